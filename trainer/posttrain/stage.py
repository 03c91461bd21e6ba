"""One stage of post-training: from a model's folder to another's, through the one loop.

    OUT/01-sft/   config.json model.safetensors tokenizer/   the model, as any run leaves it; "chat" in config.json
                  stage.json     the key of what the stage is made from: options, data, weights before it
                  log.jsonl  checkpoints/  run.json          as of any run; run.json is there once the stage is done

A stage is a frozen dataclass of its options (``Sft`` in sft.py, ``Preference`` in preference.py, ...), found by the
name of its file. The same command on an unfinished stage goes on from its last checkpoint, on a finished one returns
what it left. A stage made from something else than now is named, never mixed with.

Post-training runs in one process on one device.
"""

import dataclasses
import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import nn

from jacorpus.errors import InputError, RecipeError
from jacorpus.shards import storage_errors
from trainer import distributed
from trainer.log import Log, Row
from trainer.loop import Job, Loop, Source, Watcher
from trainer.memory import keep_freed_memory
from trainer.model import Model
from trainer.opened import CONFIG, WEIGHTS, Opened, open_model, save_model
from trainer.optim import OptimConfig, Optimizer
from trainer.schedule import Schedule

if TYPE_CHECKING:
    from trainer.posttrain.chat import Chat

STAGE, RESULT = "stage.json", "run.json"
CPU_MICRO_TOKENS, GPU_MICRO_TOKENS = 4096, 32_768


@dataclass(frozen=True, kw_only=True)
class Training:
    """Options that all stages that train share.

    lr: the peak; it rises over ``warmup`` (a share of all steps), then follows ``schedule`` down to ``floor`` of it.
    rows: sequences, pairs or prompts of a step (packed rows for sft). seq_len: longest sequence in tokens. lora: {rank,
    alpha, dora, targets}: train an adapter in place of all weights; the result holds it merged, and by itself in
    adapter/. precision: of activations; weights are float32. eval_every: steps; 0: at the end alone.
    """

    lr: float = 1e-5
    rows: int = 8
    seq_len: int = 2048
    warmup: float = 0.05
    schedule: Literal["cosine", "linear", "constant", "wsd"] = "cosine"
    floor: float | None = None
    weight_decay: float = 0.0
    clip: float = 1.0
    lora: dict[str, Any] | None = None
    micro_tokens: int = 0
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    checkpoint_every: int = 200
    log_every: int = 10
    eval_every: int = 0
    seed: int = 42

    def __post_init__(self) -> None:
        for name in ("lr", "rows", "seq_len", "clip", "checkpoint_every", "log_every"):
            if getattr(self, name) <= 0:
                raise RecipeError(f"{name} must be over 0, got {getattr(self, name)}")


@dataclass
class Context:
    """Where a stage works. start: folder of the model before it. stages: folders of earlier ones by name, for data
    named ``@name/file``. template: the chat's. name: the stage's. cache: folder of reference log-probs, shared
    by stages and runs."""

    start: Path
    folder: Path
    template: str
    watcher: Watcher
    stages: dict[str, Path] = field(default_factory=dict)
    cache: Path = Path()
    device: str = "auto"
    name: str = "stage"

    def __post_init__(self) -> None:
        if self.cache == Path():
            self.cache = self.folder.parent / "refcache"

    @cached_property
    def world(self) -> distributed.World:
        return distributed.start(self.device)

    @cached_property
    def chat(self) -> "Chat":
        """The template with the starting model's tokenizer."""
        from trainer.posttrain.chat import Chat

        opened = self.opened
        if opened.eos_id is None:
            raise InputError(f"{self.start} names no end-of-text token, and an answer must end; save it with one")
        return Chat.open(self.template, opened.need_tokenizer(), opened.eos_id)

    @cached_property
    def opened(self) -> Opened:
        """The starting model, on the device; a stage trains this very copy."""
        return open_model(self.start, self.world.device)

    @cached_property
    def weights(self) -> str:
        """Digest of the starting weights."""
        return file_digest(self.start / WEIGHTS) if (self.start / WEIGHTS).is_file() else folder_digest(self.start)

    def paths(self, data: Sequence[str]) -> list[Path]:
        """Files of data; ``@name/file`` is a file that the stage ``name`` left. Raises RecipeError, InputError."""
        found = []
        for each in data:
            path = Path(each)
            if each.startswith("@"):
                name, _, rest = each[1:].partition("/")
                if name not in self.stages:
                    known = ", ".join(self.stages) or "none"
                    raise RecipeError(f"data {each!r}: no earlier stage is named {name}; there are: {known}")
                path = self.stages[name] / rest
            if not path.exists():
                raise InputError(f"data {path} isn't there; check the path in the recipe")
            found.append(path)
        if not found:
            raise RecipeError("a stage needs data: a list of files, JSON lines, perhaps .zst or .gz")
        return found

    def micro_tokens(self, options: Training) -> int:
        """Tokens of one forward pass."""
        return options.micro_tokens or (GPU_MICRO_TOKENS if self.world.device.type == "cuda" else CPU_MICRO_TOKENS)


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def folder_digest(folder: Path) -> str:
    """SHA-256 over a folder's weight files."""
    files = sorted(folder.glob("*.safetensors")) or sorted(folder.glob("checkpoints/*/meta.json"))
    return hashlib.sha256(" ".join(file_digest(path) for path in files).encode()).hexdigest()


def digest(value: Any) -> str:
    """SHA-256 of a JSON-able value's canonical form."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def finished(context: Context, key: dict[str, Any]) -> dict[str, Any] | None:
    """What the stage left where it is done; else None, with stage.json written for what begins or goes on now.

    Raises InputError where the folder holds a stage made from something else, naming what differs.
    """
    path = context.folder / STAGE
    if path.is_file():
        before = json.loads(path.read_bytes())
        changed = [name for name in {**before, **key} if before.get(name) != key.get(name)]
        if changed:
            raise InputError(
                f"{context.folder} holds a stage made with another {', '.join(sorted(changed))} than the recipe's now; "
                f"put it back, choose another out, or give --force to make this stage and those after it anew"
            )
        result = context.folder / RESULT
        if result.is_file():
            return json.loads(result.read_bytes())
    with storage_errors(context.folder):
        context.folder.mkdir(parents=True, exist_ok=True)
        write_whole(path, json.dumps(key, ensure_ascii=False, indent=1, sort_keys=True) + "\n")
    return None


def write_whole(path: Path, text: str) -> None:
    """Write a file that is there whole or not at all."""
    scratch = path.with_name(f".{path.name}.tmp")
    scratch.write_text(text, "utf-8")
    scratch.replace(path)


def key_of(stage: Any, context: Context, data: Sequence[Path]) -> dict[str, Any]:
    """What a stage is made from: its options, the digests of its data and of the weights before it, the template."""
    options = {f.name: getattr(stage, f.name) for f in dataclasses.fields(stage)}
    return json.loads(
        json.dumps(
            {
                "use": type(stage).__module__.rpartition(".")[2],
                **{name: value for name, value in options.items() if name not in _FREE},
                "data_files": {path.name: file_digest(path) for path in data},
                "start_weights": context.weights,
                "template": context.chat.fingerprint,
            }
        )
    )


_FREE = ("checkpoint_every", "log_every", "data", "prompts")
"""Options that change nothing of what comes out, or whose content is digested."""


@contextmanager
def settled(context: Context) -> Iterator[None]:
    """Numbers that do not change from run to run, while a stage works; a second run in the folder is refused."""
    from trainer.pretrain import alone

    with alone(context.folder, context.world):
        before = torch.are_deterministic_algorithms_enabled()
        distributed.deterministic(context.world.device)
        if context.world.device.type == "cpu":
            keep_freed_memory()
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(before)


def trainable(context: Context, options: Training) -> Model:
    """The starting model, ready to be trained: all weights, or those of an adapter."""
    model = context.opened.model
    model.requires_grad_(True).train()
    wanted = options.precision
    if wanted == "auto":
        wanted = "bf16" if context.world.device.type == "cuda" else "fp32"
    model.compute_dtype = torch.bfloat16 if wanted == "bf16" else None
    if options.lora is not None:
        from trainer.lora import add_lora, config_from_table

        add_lora(model, config_from_table(options.lora, options.seed))
    return model


def measured(names: Sequence[str]) -> Callable[[list[float], list[float]], dict[str, Any]]:
    """(sums, weights) -> means by name, of objectives whose ``by_domain`` holds a column for each number measured."""
    return lambda sums, weights: {n: s / w if w else None for n, s, w in zip(names, sums, weights, strict=True)}


def train(
    context: Context,
    options: Training,
    module: Any,
    source: Source,
    names: Sequence[str],
    micro_rows: int,
    evaluate: Callable[[int], list[Row]] = lambda step: [],
    ahead: bool = True,
) -> Loop:
    """Run the loop over a source to its end, from the last checkpoint if there is one; the module's ``model`` is left
    trained. names: of the columns that the module's ``by_domain`` has. Raises KeyboardInterrupt, JacorpusError."""
    module = module.to(context.world.device)
    torch.manual_seed(options.seed)
    job = Job(
        objective=module,
        module=module,
        optimizer=Optimizer(_trained(module), OptimConfig(weight_decay=options.weight_decay)),
        schedule=Schedule(
            options.schedule, options.lr, round(options.warmup * source.steps), source.steps, floor=options.floor
        ),
        source=source,
        world=context.world,
        folder=context.folder,
        log=Log(context.folder, rank=1),
        watcher=context.watcher,
        micro_rows=micro_rows,
        clip=options.clip,
        skip_spikes=False,
        log_every=options.log_every,
        eval_every=options.eval_every,
        checkpoint_every=options.checkpoint_every,
        ahead=ahead,
        weigh=measured(names),
        evaluate=evaluate,
    )
    loop = Loop(job)
    latest = loop.checkpoints.latest()
    first = loop.checkpoints.about(latest)["step"] if latest is not None else 0
    if hasattr(context.watcher, "begin"):
        context.watcher.begin(context.name, source.steps)
    if first:
        context.watcher.say(f"going on from step {first:,} of {source.steps:,}")
    job.log = Log(context.folder, first, tensorboard=False)
    with job.log:
        loop.execute()
    return loop


def _trained(module: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    return ((name, p) for name, p in module.named_parameters() if p.requires_grad)


def finish(context: Context, model: Model, result: dict[str, Any], options: Training | None = None) -> dict[str, Any]:
    """Save the model as ``open_model`` finds it, with tokenizer and chat template, then run.json: the stage is done."""
    if options is not None and options.lora is not None:
        from trainer.adapter_files import save_adapter
        from trainer.lora import merge_adapter

        save_adapter(model, context.folder / "adapter")
        merge_adapter(model)
    with storage_errors(context.folder):
        _describe(context, model)
        save_model(context.folder, model, step=result.get("steps"))
        write_whole(context.folder / RESULT, json.dumps(result, ensure_ascii=False, indent=1) + "\n")
        shutil.rmtree(context.folder / "checkpoints", ignore_errors=True)
    return result


def _describe(context: Context, model: Model) -> None:
    """config.json, and the tokenizer's file, as the model before the stage had them."""
    about = json.loads((context.start / CONFIG).read_bytes())
    chat = {"name": context.chat.name, "template": context.chat.source, "stop_id": context.chat.stop_id}
    entry = about.get("tokenizer") if "model" in about else _entry(context)
    kept = {"kind": "model", "model": model.config.to_dict(), "tokenizer": entry, "eos_id": context.opened.eos_id}
    write_whole(context.folder / CONFIG, json.dumps({**kept, "chat": chat}, ensure_ascii=False, indent=1) + "\n")
    own = context.start / "tokenizer"
    if own.is_dir():
        shutil.copytree(own, context.folder / "tokenizer", dirs_exist_ok=True)


def _entry(context: Context) -> dict[str, Any]:
    """The tokenizer of a folder in Hugging Face's form, copied and named as our own folders name theirs."""
    tokenizer, target = context.opened.need_tokenizer(), context.folder / "tokenizer"
    target.mkdir(parents=True, exist_ok=True)
    for path in context.start.glob("tokenizer*"):
        if path.is_file():
            shutil.copy2(path, target / path.name)
    return {
        "name": context.start.name,
        "path": "tokenizer",
        "pattern": None,
        "specials_given": [],
        "fingerprint": tokenizer.fingerprint,
        "vocab_size": tokenizer.vocab_size,
        "eos_id": context.opened.eos_id,
    }
