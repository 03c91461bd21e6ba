"""Pre-training by a recipe: token shards and the tables [model], [mixing], [train] to a trained model.

A run's folder:

    config.json          the model, its tokenizer, what it was trained on: all that `open_model` needs
    model.safetensors    the last weights, float32; there once training has ended
    tokenizer/           the tokenizer's file
    checkpoints/         step-NNNNNNNN: weights, optimizer and all else a run needs to go on
    log.jsonl  report.html  report.json  samples.json  ledger/  tensorboard/
    recipe.resolved.toml run.json

The same command on an unfinished folder goes on from its last checkpoint, on a finished one only says so. With a longer
plan (more tokens, another phase) it goes on too: what was trained must stay what it was, all else may change.
"""

import dataclasses
import fcntl
import math
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from jacorpus.errors import InputError, JacorpusError, RecipeError, nearest
from mixing.mixture import NAME, Mixture, read_mixture
from mixing.settings import deciding, settings_of
from tokenizer_lab.tokens import Tokens, open_tokens
from trainer import distributed
from trainer.data import Feed, counts_of
from trainer.distributed import World
from trainer.flops import flops_per_token
from trainer.loop import Watcher
from trainer.memory import keep_freed_memory
from trainer.plan import Plan
from trainer.settings import plan_of, schedule_of, settings_from_table

if TYPE_CHECKING:
    from trainer.running import Run


class Pretraining:
    """One run, prepared: everything that can be wrong with a recipe is told here, before the first step.

    tables: the recipe. tokens: folder of token shards. out: the run's folder. mixture: file or folder of an optimized
    one, which a recipe with [mixing] and no weights needs. use_mixture: take it whatever the recipe says.
    Raises RecipeError for tables that don't fit, InputError for shards that are missing or of another tokenizer.
    """

    def __init__(
        self,
        tables: Mapping[str, Any],
        tokens: Path,
        out: Path,
        mixture: Path | None = None,
        use_mixture: bool = False,
    ) -> None:
        self.tables, self.out = tables, out
        self.settings = settings_from_table(dict(tables.get("train", {})))
        self.tokens = open_tokens(tokens)
        _check_shards(self.tokens)
        self.notes: list[str] = []
        self.mixture = mixture_of(tables, self.tokens, mixture, use_mixture, self.notes)
        for phase in self.settings.phases:
            _check_weights("[[train.phase]] mixture", phase.get("mixture", self.mixture), self.tokens)
        of_epoch = sum(counts_of(self.tokens, name, "train").tokens for name in self.mixture)
        self.plan: Plan = plan_of(self.settings, self.mixture, of_epoch)
        schedule_of(self.settings, self.plan.steps)
        self.feed = Feed(self.tokens, self.plan, self.settings.seed, self.settings.eos_id)
        self.start = None
        table = dict(tables.get("model", {}))
        if "init" in table:
            from trainer.continued import continued

            self.config, self.start = continued(table, self.tokens)
        else:
            from trainer.layouts import model_from_table

            self.config = model_from_table(table, self.tokens.vocab_size)
        self.feed.check_model(self.config.vocab_size)
        if self.settings.select and not (Path(self.settings.select.reference) / "config.json").is_file():
            raise InputError(f"[train] select: {self.settings.select.reference} holds no trained model to compare with")
        self.seed = table.get("seed", self.settings.seed)
        if not isinstance(self.seed, int) or isinstance(self.seed, bool) or self.seed < 0:
            raise RecipeError(f"[model] seed must be a whole number, 0 or more, got {self.seed!r}")

    def summary(self) -> dict[str, Any]:
        """What would be trained: for people before a run, and for ``--dry-run``."""
        phases: list[dict[str, Any]] = [
            {
                "tokens": phase.steps * phase.batch_tokens,
                "steps": phase.steps,
                "rows": phase.rows,
                "seq_len": phase.seq_len,
                "mixture": {name: rows / 65_536 for name, rows in phase.schedule.quotas.items()},
            }
            for phase in self.plan.phases
        ]
        epochs = {
            name: sum(p["tokens"] * p["mixture"].get(name, 0.0) for p in phases)
            / max(1, counts_of(self.tokens, name, "train").tokens)
            for name in self.plan.domains
        }
        mixers = [layer.mixer for layer in self.config.layers]
        return {
            "parameters": self.config.parameters(),
            "layers": mixers,
            "vocab_size": self.config.vocab_size,
            "tokens": self.plan.tokens,
            "steps": self.plan.steps,
            "phases": phases,
            "epochs": epochs,
            "flops_per_token": flops_per_token(self.config, self.plan.phases[-1].seq_len).model_flops,
        }

    def run(self, watcher: Watcher) -> dict[str, Any]:
        """Train, from where the folder is; returns what came out. Raises JacorpusError; KeyboardInterrupt after Ctrl-C
        with a checkpoint written."""
        if self.settings.threads:
            torch.set_num_threads(self.settings.threads)
        world = distributed.start(self.settings.device)
        try:
            with alone(self.out, world):
                distributed.deterministic(world.device)
                if world.device.type == "cpu":
                    keep_freed_memory()
                return self.runner(world, watcher).execute()
        finally:
            distributed.stop(world)

    def runner(self, world: World, watcher: Watcher) -> "Run":
        """This run while it runs."""
        from trainer.running import Run

        return Run(self, world, watcher)

    def about(self) -> dict[str, Any]:
        """What config.json says beside the model."""
        return {
            "tokenizer": {**self.tokens.manifest["tokenizer"], "eos_id": self.feed.eos_id},
            "tokens": {"key": self.tokens.manifest["key"], "domains": self.tokens.manifest["domains"]},
            "train": dataclasses.asdict(self.settings),
            "plan": self.plan.to_dict(),
        }

    def clear(self) -> None:
        """Remove what an earlier run left. Raises InputError where the folder holds something else."""
        if self.out.is_dir() and any(self.out.iterdir()) and not (self.out / "log.jsonl").is_file():
            raise InputError(f"{self.out} is no folder of a training run; nothing was removed: choose another --out")
        shutil.rmtree(self.out, ignore_errors=True)


def mixture_of(
    tables: Mapping[str, Any],
    tokens: Tokens,
    mixture: Path | None = None,
    use_mixture: bool = False,
    notes: list[str] | None = None,
) -> dict[str, float]:
    """Weights of domains: [mixing] weights; else the optimized mixture of [mixing]; else in proportion to the tokens.

    notes: gets a sentence where a mixture had to be converted to the shards' tokens. Raises RecipeError for a domain
    that the shards don't have, for a mixture that isn't there or is of other wishes than the recipe's.
    """
    settings = settings_of(tables)
    if settings.weights and not use_mixture:
        _check_weights("[mixing] weights", settings.weights, tokens)
        return {name: weight for name, weight in settings.weights.items() if weight}
    if tables.get("mixing") or use_mixture:
        found = _optimized(mixture)
        if not use_mixture and found.facts.get("settings_that_decide") != deciding(settings):
            raise RecipeError(
                f"the mixture at {mixture} was made for other wishes than this recipe's [mixing] and [train] tokens; "
                f"run `jacorpus mix optimize` with it again, or name it with --mixture to use it as it is"
            )
        weights, told = found.for_tokens(tokens.manifest)
        if told and notes is not None:
            notes.append(told)
        return weights
    natural = {name: float(counts_of(tokens, name, "train").tokens) for name in tokens.domains}
    natural = {name: size for name, size in natural.items() if size}
    if not natural:
        raise InputError(f"{tokens.folder} has no tokens to train on: all its documents are of split valid")
    return natural


def _optimized(mixture: Path | None) -> Mixture:
    where = mixture / NAME if mixture is not None and mixture.suffix != ".json" else mixture
    if where is None or not where.is_file():
        raise RecipeError(
            f"[mixing] asks for an optimized mixture and there is none{f' at {where}' if where else ''}; run "
            f"`jacorpus mix optimize` with this recipe first, or write weights = {{ domain = weight }}, or leave "
            f"[mixing] out to train in proportion to the tokens there are"
        )
    return read_mixture(where)


def _check_weights(what: str, weights: Mapping[str, Any], tokens: Tokens) -> None:
    for name, weight in weights.items():
        if name not in tokens.domains:
            raise RecipeError(f"{what}: no domain `{name}` in {tokens.folder}{nearest(name, tokens.domains)}")
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight < math.inf:
            raise RecipeError(f"{what}: {name} must be a number, 0 or more, got {weight!r}")
    if not any(weights.values()):
        raise RecipeError(f"{what}: all are 0, or there are none; give at least one domain a weight")


def _check_shards(tokens: Tokens) -> None:
    """Every shard the manifest names is there with its size: told at the start, not after hours."""
    for entry in tokens.manifest["shards"]:
        path = tokens.folder / entry["path"]
        size = path.stat().st_size if path.is_file() else None
        if size != entry["bytes"]:
            what = "is missing" if size is None else f"has {size:,} bytes and the manifest says {entry['bytes']:,}"
            raise InputError(f"token shard {path} {what}; copy it again, or encode the corpus again to rebuild it")


@contextmanager
def alone(out: Path, world: World) -> Iterator[None]:
    """Hold the folder against a second run."""
    if not world.first:
        yield
        return
    from jacorpus.shards import storage_errors

    with storage_errors(out):
        out.mkdir(parents=True, exist_ok=True)
        stream = open(out / ".lock", "wb")  # noqa: SIM115
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        stream.close()
        raise JacorpusError(f"another run is training in {out}; wait for it or choose another --out") from None
    try:
        yield
    finally:
        stream.close()
