"""A prepared pre-training while it runs: the model on its ranks, the log, evaluation, and what is left at the end."""

import dataclasses
import json
import math
import platform
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from jacorpus.errors import InputError
from jacorpus.recipe import to_toml
from jacorpus.shards import storage_errors
from jacorpus.store import write_json
from tokenizer_lab.tokenizer import token_lists
from tokenizer_lab.tokens import Tokens
from trainer import distributed
from trainer.batch import TokenBatch
from trainer.config import ModelConfig
from trainer.data import Feed, counts_of, text_bytes_per_token, valid_batches
from trainer.distributed import World
from trainer.evaluate.bigram import Bigram
from trainer.flops import Flops, flops_per_token, mfu, peak_flops
from trainer.generate import complete
from trainer.ledger import write_ledger
from trainer.log import Log, Row
from trainer.loop import Job, Loop, Watcher
from trainer.model import Model
from trainer.objective import LanguageModeling
from trainer.opened import open_model, save_model
from trainer.optim import OptimConfig, Optimizer
from trainer.sampling import Sampling
from trainer.settings import schedule_of
from trainer.training_report import write_training_report

if TYPE_CHECKING:
    from trainer.pretrain import Pretraining

CPU_MICRO_TOKENS, GPU_MICRO_TOKENS = 4096, 32_768
BASELINE_TOKENS = 10_000_000
"""Pairs counted for the report's baseline, at most: a few seconds."""

SAMPLES, PROMPT_TOKENS, SAMPLE_TOKENS = 2, 12, 80
"""Of each domain, so many held-out documents; so many of their tokens; so many of the model's."""


@dataclass(frozen=True)
class FeedSource:
    """The feed as the loop's source of batches: this rank's rows."""

    feed: Feed
    world: World

    @property
    def steps(self) -> int:
        return self.feed.plan.steps

    def batch(self, step: int) -> TokenBatch:
        return self.feed.batch(step, self.world.rows(self.feed.plan.phase_of(step).rows))

    def tokens(self, step: int) -> int:
        return self.feed.plan.tokens_at(min(step, self.steps))


class Silent:
    """The watcher of ranks that have nothing to tell."""

    def update(self, row: Row) -> None: ...

    def say(self, line: str) -> None: ...


class Run:
    """A prepared run while it runs: model, optimizer, log, evaluation."""

    def __init__(self, given: "Pretraining", world: World, watcher: Watcher) -> None:
        self.given, self.world, self.watcher = given, world, watcher if world.first else Silent()
        self.settings, self.tokens, self.plan = given.settings, given.tokens, given.plan
        self.model = self._model()
        self.module = self._objective().to(world.device)
        self.objective = distributed.spread(self.module, list(self.model.layers), self.settings.parallel, world)
        if self.settings.compile:
            for layer in self.model.layers:
                layer.compile(dynamic=False)

    def _dtype(self) -> torch.dtype | None:
        wanted = self.settings.precision
        if wanted == "auto":
            wanted = "bf16" if self.world.device.type == "cuda" else "fp32"
        return torch.bfloat16 if wanted == "bf16" else None

    def _model(self) -> Model:
        model = Model(self.given.config)
        if self.given.start is None:
            model.init(self.given.seed)
        else:
            model.load_state_dict(self.given.start())
        model.compute_dtype, model.checkpointing = self._dtype(), self.settings.checkpointing
        return model.to(self.world.device)

    def _objective(self) -> LanguageModeling:
        """What a step minimizes; another kind of training has another."""
        ratio = self.settings.select.ratio if self.settings.select else None
        return LanguageModeling(self.model, len(self.plan.domains), self.settings.z_loss, self._reference(), ratio)

    def _reference(self) -> Model | None:
        if self.settings.select is None:
            return None
        opened = open_model(Path(self.settings.select.reference), str(self.world.device))
        if opened.config.vocab_size != self.given.config.vocab_size:
            raise InputError(
                f"the reference model {self.settings.select.reference} has {opened.config.vocab_size:,} ids and the "
                f"model {self.given.config.vocab_size:,}; selective loss needs the same tokenizer"
            )
        opened.model.compute_dtype = self._dtype()
        return opened.model.requires_grad_(False)

    def execute(self) -> dict[str, Any]:
        """Train, or find it done. What came out, on rank 0; nothing on the others, who have nothing to tell."""
        loop = Loop(self._job())
        result = self._finished(loop)
        if result:
            self.watcher.say(f"{self.given.out} is trained to the end already; a longer plan would go on from there")
        else:
            loop.job.log = self._log(loop)
            with loop.job.log:
                loop.execute()
            result = self._finish(loop)
        return result if self.world.first else {}

    def _job(self) -> Job:
        settings, config = self.settings, self.given.config
        muon = settings.optimizer == "muon"
        optim = OptimConfig(kind=settings.optimizer, betas=settings.betas, weight_decay=settings.weight_decay)
        if muon:
            optim = dataclasses.replace(optim, muon_lr_scale=settings.muon_lr / settings.lr)
        source = FeedSource(self.given.feed, self.world)
        micro = settings.micro_tokens or (GPU_MICRO_TOKENS if self.world.device.type == "cuda" else CPU_MICRO_TOKENS)
        longest = max(phase.seq_len for phase in self.plan.phases)
        name = torch.cuda.get_device_name() if self.world.device.type == "cuda" else None
        peak = peak_flops(name, "bf16" if self._dtype() else "fp32")

        def flops_at(step: int) -> Flops:
            return flops_per_token(config, self.plan.phase_of(min(step, self.plan.steps - 1)).seq_len)

        return Job(
            self.objective,
            self.module,
            Optimizer(self.module.named_parameters(), optim),
            schedule_of(settings, self.plan.steps),
            source,
            self.world,
            self.given.out,
            Log(self.given.out, rank=1),
            self.watcher,
            identity={**self.given.feed.identity, "model": config.to_dict()},
            micro_rows=max(1, micro // longest),
            clip=settings.clip,
            skip_spikes=settings.skip_spikes,
            rewind=settings.rewind,
            log_every=settings.log_every,
            eval_every=settings.eval_every,
            checkpoint_every=settings.checkpoint_every,
            keep=settings.keep,
            keep_every=settings.keep_every,
            profile=settings.profile,
            weigh=self._weigh,
            speed=lambda step, speed: {"mfu": mfu(speed, flops_at(step), peak, self.world.size)},
            evaluate=self._evaluate,
        )

    @cached_property
    def _bytes_E(self) -> list[float]:
        """Bytes of text a target stands for, by domain."""
        return [text_bytes_per_token(self.tokens, name, "train") for name in self.plan.domains]

    def _weigh(self, nats: list[float], weights: list[float]) -> dict[str, Any]:
        """Bits per byte of a step: of each domain that had rows in it, and of all."""
        sizes = [w * b for w, b in zip(weights, self._bytes_E, strict=True)]
        by_domain = {
            name: n / math.log(2) / size for name, n, size in zip(self.plan.domains, nats, sizes, strict=True) if size
        }
        return {"bits_per_byte": sum(nats) / math.log(2) / max(sum(sizes), 1e-9), "bits_per_byte_by_domain": by_domain}

    @torch.no_grad()
    def _evaluate(self, step: int) -> list[Row]:
        """Bits per byte on the valid split, by domain and together, on the first eval_tokens of each."""

        def scored(batch: TokenBatch) -> tuple[float, float]:
            nats, tokens = self.objective(batch.to(self.world.device)).by_domain.sum(1).tolist()
            return nats, tokens

        found = self._on_valid(scored)
        self.module.facts()  # an evaluation is nothing for a controller
        return found

    def _on_valid(self, scored: Callable[[TokenBatch], tuple[float, float]]) -> list[Row]:
        """Rows of an evaluation. scored: (nats, targets) of a batch."""
        seq_len = self.plan.phases[-1].seq_len
        rows = max(1, (self.settings.micro_tokens or CPU_MICRO_TOKENS) // seq_len)
        found: list[Row] = []
        sums = np.zeros(3)
        for number, name in enumerate(self.plan.domains):
            if not counts_of(self.tokens, name, "valid").tokens or not self.settings.eval_tokens:
                continue
            batches = valid_batches(self.tokens, name, seq_len, rows, self.given.feed.eos_id, number)
            most = -(-self.settings.eval_tokens // (rows * seq_len))
            nats, tokens = (sum(column) for column in zip(*map(scored, islice(batches, most)), strict=True))
            size = tokens * text_bytes_per_token(self.tokens, name)
            found.append(_evaluated(name, nats, tokens, size))
            sums += nats, tokens, size
        return found if len(found) < 2 else [*found, _evaluated(None, *sums.tolist())]

    def baseline(self) -> dict[str, Any]:
        """What pairs of tokens alone give on the same documents, for the report."""
        bigram = Bigram.train(self.tokens, self.given.feed.eos_id, BASELINE_TOKENS)

        def scored(batch: TokenBatch) -> tuple[float, float]:
            counted = (batch.weight_BT > 0).numpy()
            before, after = batch.tokens_BT.numpy()[counted], batch.targets_BT.numpy()[counted]
            return float(-np.log(bigram.probabilities(before, after)).sum()), float(counted.sum())

        bits = {row["domain"]: row["bits_per_byte"] for row in self._on_valid(scored)}
        whole = bits.pop(None) if None in bits else next(iter(bits.values()), None)
        note = "interpolated Kneser-Ney over the train split"
        return {"pairs of tokens": {"bits_per_byte": whole, "domains": bits, "note": note}}

    def _finished(self, loop: Loop) -> dict[str, Any] | None:
        """What a finished run gave, where this is one; checks that a begun one can go on."""
        latest = loop.checkpoints.latest()
        if latest is None:
            if any((self.given.out / "checkpoints").glob("step-*")) and not (self.given.out / "log.jsonl").exists():
                self.watcher.say("no whole checkpoint is left; training starts anew")
            return None
        extra = loop.checkpoints.about(latest)
        saved = extra["identity"]
        if (model := ModelConfig.from_dict(saved["model"])) != self.given.config:
            raise InputError(_other_model(self.given.out, model, self.given.config))
        self.given.feed.check_continues(saved, extra["step"] + extra["offset"])
        result = self.given.out / "run.json"
        if extra["step"] + extra["offset"] < self.plan.steps or not result.is_file():
            return None
        return json.loads(result.read_text("utf-8"))

    def _log(self, loop: Loop) -> Log:
        latest = loop.checkpoints.latest()
        first = loop.checkpoints.about(latest)["step"] if latest is not None else 0
        settings, about = self.settings, self.given.about()
        log = Log(
            self.given.out,
            first,
            rank=self.world.rank,
            tensorboard=settings.tensorboard,
            wandb=settings.wandb,
            settings={"model": self.given.config.to_dict(), "train": about["train"]},
        )
        if self.world.first:
            self._describe()
        if latest is not None:
            log.event(first, "resume")
            self.watcher.say(f"going on from step {first:,} of {self.plan.steps:,}")
        return log

    def _describe(self) -> None:
        """Write what the run is, before its first step."""
        about = {"kind": "model", "model": self.given.config.to_dict(), **self.given.about()}
        with storage_errors(self.given.out):
            write_json(self.given.out / "config.json", about)
            if about["tokenizer"]["path"]:
                shutil.copytree(self.tokens.folder / "tokenizer", self.given.out / "tokenizer", dirs_exist_ok=True)
            text = to_toml({**self.given.tables, "train": self.given.about()["train"]})
            (self.given.out / "recipe.resolved.toml").write_text(text, "utf-8")

    def _finish(self, loop: Loop) -> dict[str, Any]:
        """The model, samples, ledger and report of a run that has ended."""
        out = self.given.out
        result = {
            "steps": loop.step,
            "tokens": self.plan.tokens_at(loop.step + loop.offset),
            "parameters": self.given.config.parameters(),
            "rewinds": loop.rewinds,
            "skipped": loop.guard.read()["skipped"],
            "valid": loop.valid,
            "world": self.world.size,
            "device": _device_name(self.world.device),
            "host": platform.node(),
            "torch": torch.__version__,
        }
        save_model(out, self.model, step=loop.step, write=self.world.first)
        if self.world.first:
            if self.settings.ledger:
                write_ledger(self.given.feed, range(self.plan.steps), out / "ledger")
            with storage_errors(out):
                write_json(out / "baseline.json", self.baseline())
                write_json(out / "run.json", result)
                write_json(out / "samples.json", samples(out, self.tokens))
            write_training_report(out)
        self.world.barrier()
        return result


def samples(folder: Path, tokens: Tokens) -> list[dict[str, str]]:
    """What the trained model makes of the beginnings of some held-out documents; nothing where there are none."""
    opened = open_model(folder)
    if opened.tokenizer is None:
        return []
    prompts = []
    for domain in tokens.domains:
        for shard in tokens.of(domain, "valid")[:1]:
            for number in range(min(SAMPLES, shard.documents)):
                ids = shard.ids[shard.offsets[number] : shard.offsets[number + 1]][:PROMPT_TOKENS]
                if len(ids):
                    prompts.append((domain, opened.tokenizer.decode(token_lists(np.array([0, len(ids)]), ids))[0]))
    texts = [(domain, text.as_py().decode("utf-8", "ignore")) for domain, text in prompts]
    texts = [(domain, text) for domain, text in texts if text]
    options = Sampling(max_tokens=SAMPLE_TOKENS, temperature=0.8, top_p=0.95, seed=0)
    answers = complete(opened, [text for _, text in texts], options)
    return [
        {"domain": domain, "prompt": text, "text": answer.text}
        for (domain, text), answer in zip(texts, answers, strict=True)
    ]


def _evaluated(domain: str | None, nats: float, tokens: float, size: float) -> Row:
    bits = nats / math.log(2) / size if size else None
    return {"domain": domain, "bits_per_byte": bits, "loss": nats / max(tokens, 1.0), "tokens": int(tokens)}


def _other_model(out: Path, saved: ModelConfig, config: ModelConfig) -> str:
    names = [field.name for field in dataclasses.fields(config) if field.name != "layers"]
    changed = [(name, getattr(saved, name), getattr(config, name)) for name in names]
    shown = ", ".join(f"{name} was {old!r}, is {new!r}" for name, old, new in changed if old != new) or "other layers"
    return (
        f"{out} holds a run of another model ({shown}), so it can't go on; put [model] back, choose another --out, "
        f'or start from its weights with [model] init = "{out}"'
    )


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or platform.machine()
