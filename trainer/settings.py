"""A recipe's [train] table, typed and strict, and the plan of phases it means."""

import dataclasses
import math
import re
from dataclasses import dataclass
from typing import Any, Literal

from jacorpus.errors import RecipeError, nearest
from trainer.plan import Phase, Plan, linear_pieces
from trainer.schedule import Schedule

PHASE_KEYS = ("tokens", "seq_len", "batch_tokens", "mixture")


@dataclass(frozen=True)
class Selective:
    """Loss only on the tokens whose loss exceeds a reference model's the most (Rho-1, arXiv 2404.07965).

    reference: folder of a trained model with the same tokenizer. ratio: share of tokens that count.
    """

    reference: str
    ratio: float = 0.6

    def __post_init__(self) -> None:
        if not 0 < self.ratio <= 1:
            raise RecipeError(f"[train] select.ratio must be in (0, 1], got {self.ratio}")


@dataclass(frozen=True)
class TrainSettings:
    """What [train] can say. Times are in steps where a name says nothing else.

    How much: tokens to train on, or epochs of the train split. batch_tokens: of a step, over all ranks. seq_len: of a
    row. micro_tokens: of one forward pass on a rank (0: 4,096 on a CPU, 32,768 on a GPU). phases: [[train.phase]],
    one after another, in place of tokens. length_warmup_tokens: so long, extra document boundaries keep pieces short,
    from 64 to seq_len (arXiv 2108.06084). block: the longest seq_len a later phase will have.

    How: optimizer adamw or muon, lr its peak (muon_lr: that of matrices under Muon), schedule wsd, cosine, linear or
    constant; warmup and decay as shares of all steps; floor: the last rate as a share of lr (none: the schedule's
    own). z_loss: weight of lse^2. clip: of the global gradient norm. skip_spikes: no update where loss or norm are
    over 6 standard deviations of the last 128 steps. rewind: back to the last checkpoint, past the data since, after
    ten bad steps in a row (else the run stops).

    With what: precision auto (bf16 on a GPU, fp32 on a CPU), bf16 or fp32; parallel ddp or fsdp under torchrun;
    checkpointing: layers are computed again for the gradient, which saves memory; compile: torch.compile, by layer.

    What is left: checkpoint_every, keep (the newest so many), keep_every (multiples of it stay for good; 0: none),
    log_every, eval_every (0: at the end alone), eval_tokens of each domain's valid split, ledger: which document
    trained at which step, tensorboard, wandb (a project), profile: write a trace of steps 5 to 8.
    """

    tokens: int = 0
    epochs: float = 0.0
    batch_tokens: int = 524_288
    seq_len: int = 2048
    micro_tokens: int = 0
    phases: tuple[dict[str, Any], ...] = ()
    length_warmup_tokens: int = 0
    block: int = 0
    optimizer: Literal["adamw", "muon"] = "adamw"
    lr: float = 4e-4
    muon_lr: float = 0.02
    betas: tuple[float, float] = (0.9, 0.95)
    weight_decay: float = 0.1
    schedule: Literal["wsd", "cosine", "linear", "constant"] = "wsd"
    warmup: float = 0.01
    decay: float = 0.2
    floor: float | None = None
    clip: float = 1.0
    z_loss: float = 1e-5
    select: Selective | None = None
    skip_spikes: bool = True
    rewind: bool = False
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    parallel: Literal["ddp", "fsdp"] = "ddp"
    checkpointing: bool = False
    compile: bool = False
    seed: int = 42
    eos_id: int | None = None
    checkpoint_every: int = 1000
    keep: int = 2
    keep_every: int = 0
    log_every: int = 10
    eval_every: int = 0
    eval_tokens: int = 262_144
    ledger: bool = False
    tensorboard: bool = True
    wandb: str | None = None
    profile: bool = False
    threads: int = 0
    device: str = "auto"

    def __post_init__(self) -> None:
        for name in ("batch_tokens", "seq_len", "checkpoint_every", "keep", "log_every"):
            if getattr(self, name) < 1:
                raise RecipeError(f"[train] {name} must be over 0, got {getattr(self, name)}")
        for name in _NOT_NEGATIVE:
            if getattr(self, name) < 0:
                raise RecipeError(f"[train] {name} must be 0 or more, got {getattr(self, name)}")
        for name, advice in _OVER_ZERO.items():
            if not getattr(self, name):
                raise RecipeError(f"[train] {name} must be over 0; {advice}")
        if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", self.device):
            raise RecipeError(f'[train] device = "{self.device}" is unknown; write auto, cpu, cuda or cuda:1')


_NOT_NEGATIVE = (
    *("tokens", "epochs", "micro_tokens", "lr", "muon_lr", "warmup", "clip", "z_loss", "weight_decay"),
    *("eval_every", "eval_tokens"),
)
_OVER_ZERO = {
    "lr": "4e-4 is a usual one",
    "muon_lr": "0.02 is a usual one",
    "clip": "write a large number to clip nothing",
}


_CHOICES = {
    "optimizer": ("adamw", "muon"),
    "schedule": ("wsd", "cosine", "linear", "constant"),
    "precision": ("auto", "bf16", "fp32"),
    "parallel": ("ddp", "fsdp"),
}


def settings_from_table(table: dict[str, Any]) -> TrainSettings:
    """[train] as settings. Raises RecipeError naming the key, and the nearest right one."""
    fields = {f.name: f for f in dataclasses.fields(TrainSettings)}
    given = {("phases" if key == "phase" else key): value for key, value in table.items()}
    for key in given:
        if key not in fields:
            raise RecipeError(f"[train] has no key `{key}`{nearest(key, [*fields, 'phase'])}")
    if "phases" in given:
        given["phases"] = tuple(_phase(entry) for entry in _listed(given["phases"]))
    if "select" in given:
        given["select"] = _selective(given["select"])
    plain = {key: _typed(key, value, fields[key]) for key, value in given.items() if key not in ("phases", "select")}
    return TrainSettings(**{**given, **plain})


def _selective(table: Any) -> Selective:
    known = {f.name for f in dataclasses.fields(Selective)}
    for key in table if isinstance(table, dict) else ():
        if key not in known:
            raise RecipeError(f"[train] select has no key `{key}`{nearest(key, known)}")
    if not isinstance(table, dict) or not isinstance(table.get("reference"), str):
        raise RecipeError('[train] select needs `reference = "..."`, the folder of a trained model')
    return Selective(table["reference"], _number("select.ratio", table.get("ratio", Selective.ratio)))


def _listed(value: Any) -> list[dict[str, Any]]:
    if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value) or not value:
        raise RecipeError("[train] phases are written as [[train.phase]] tables")
    return value


def _phase(entry: dict[str, Any]) -> dict[str, Any]:
    for key in entry:
        if key not in PHASE_KEYS:
            raise RecipeError(f"[[train.phase]] has no key `{key}`{nearest(key, PHASE_KEYS)}")
    whole = {key: _whole(f"[[train.phase]] {key}", entry[key]) for key in PHASE_KEYS[:3] if key in entry}
    if "tokens" not in whole:
        raise RecipeError("[[train.phase]] needs `tokens`, how many the phase trains on")
    if not isinstance(entry.get("mixture", {}), dict):
        raise RecipeError("[[train.phase]] mixture is a table of domain = weight, as in { web = 0.7, wiki = 0.3 }")
    return {**entry, **whole}


def _whole(name: str, value: Any) -> int:
    """1e9 is a whole number too."""
    if _is_number(value) and value >= 0 and value == int(value):
        return int(value)
    raise RecipeError(f"{name} must be a whole number, 0 or more, got {value!r}")


def _number(key: str, value: Any) -> float:
    if not _is_number(value):
        raise RecipeError(f"[train] {key} must be a finite number, got {value!r}")
    return float(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _typed(key: str, value: Any, wanted: Any) -> Any:
    kind = wanted.type
    if key in _CHOICES:
        if value not in _CHOICES[key]:
            raise RecipeError(f"[train] {key} must be one of {', '.join(_CHOICES[key])}, got {value!r}")
        return value
    if kind is int or key == "eos_id":
        return _whole(f"[train] {key}", value)
    if kind is bool:
        if not isinstance(value, bool):
            raise RecipeError(f"[train] {key} must be true or false, got {value!r}")
        return value
    if key == "betas":
        pair = isinstance(value, list | tuple) and len(value) == 2
        if not pair or not all(_is_number(beta) and 0 <= beta < 1 for beta in value):
            raise RecipeError(f"[train] betas must be two numbers in [0, 1), got {value!r}")
        return tuple(map(float, value))
    if kind is float or key == "floor":
        return _number(key, value)
    if not isinstance(value, str):
        raise RecipeError(f"[train] {key} must be a word, got {value!r}")
    return value


def plan_of(settings: TrainSettings, mixture: dict[str, float], train_tokens: int) -> Plan:
    """The plan that [train] and a mixture mean. train_tokens: of the train split, what an epoch is.

    Raises RecipeError where nothing says how long to train.
    """
    entries = settings.phases
    if entries and (settings.tokens or settings.epochs):
        raise RecipeError("[train] has both phases and tokens or epochs; the phases say how long: leave the others out")
    if settings.tokens and settings.epochs:
        raise RecipeError("[train] has both tokens and epochs; leave one out")
    if not entries:
        tokens = settings.tokens or round(settings.epochs * train_tokens)
        if not tokens:
            raise RecipeError("[train] doesn't say how long; write tokens = 1e9, epochs = 1, or [[train.phase]] tables")
        entries = ({"tokens": tokens},)
    phases: list[Phase] = []
    for entry in entries:
        seq_len = entry.get("seq_len", settings.seq_len)
        if seq_len > entry["tokens"]:
            raise RecipeError(
                f"[train] seq_len = {seq_len:,} is longer than the {entry['tokens']:,} tokens to train on; lower it"
            )
        pieces: tuple[tuple[int, int], ...] = ()
        if settings.length_warmup_tokens and not phases and seq_len > 64:
            pieces = linear_pieces(seq_len, settings.length_warmup_tokens)
        batch = entry.get("batch_tokens", max(settings.batch_tokens, seq_len))
        phases.append(Phase(entry["tokens"], entry.get("mixture", mixture), seq_len, batch, pieces))
    return Plan(tuple(phases), settings.block)


def schedule_of(settings: TrainSettings, steps: int) -> Schedule:
    """The learning rate over a plan's steps. Raises RecipeError where warm-up and decay don't fit."""
    given = {"floor": settings.floor} if settings.floor is not None else {}
    warmup = round(settings.warmup * steps)
    return Schedule(settings.schedule, settings.lr, warmup=warmup, steps=steps, decay=settings.decay, **given)
