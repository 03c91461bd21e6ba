"""What a training run writes down as it goes: ``log.jsonl``, and the same for TensorBoard and Weights & Biases.

``log.jsonl`` holds one row a line, of three kinds:

    {"step": 1200, "tokens": 39321600, "loss": 3.1, "lr": 0.0003, ...}                       a step of training
    {"step": 1200, "split": "valid", "domain": "web", "bits_per_byte": 1.2, "loss": 3.0}     an evaluation
    {"step": 1200, "event": "skip", "loss": 9.7}                                             something that happened

step: counts from 0. What an update brings about, its evaluation and its checkpoint too, carries its step. domain: null
for all domains together. wall_s: seconds of training so far, over all processes of the run. A number that is not finite
is null: JSON has no word for it.

Keys of a step: tokens (so far), loss, z_loss, bits_per_byte, bits_per_byte_by_domain, lr, grad_norm, skipped (so far),
tokens_per_s, mfu (null where the device's peak is unknown), peak_memory_bytes. Others are written as they are.

A resumed run cuts off what was written after its checkpoint, so that the file reads like that of an unbroken one. When
a run goes back by itself (a ``rewind``), the file keeps both tries; ``read_log`` gives steps of the last try.

Only the first rank writes; on the others all calls do nothing. This module imports the standard library alone.
"""

import importlib.util
import json
import math
import os
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jacorpus.errors import InputError, RecipeError, StorageError

NAME = "log.jsonl"

Row = dict[str, Any]

# Where a number of a step is found in TensorBoard; keys not listed go to "train".
_GROUPS = {
    "lr": "optimizer",
    "grad_norm": "optimizer",
    "skipped": "optimizer",
    "tokens_per_s": "speed",
    "mfu": "speed",
    "wall_s": "speed",
    "peak_memory_bytes": "speed",
}


class Log:
    """The log of a run, open for writing.

    folder: of the run. first_step: the step this process starts with; rows from there on, of an earlier process, are
    cut off, at 0 all. tensorboard: write ``folder/tensorboard`` where the package is installed. wandb: name of a
    project of Weights & Biases. settings: shown there beside the curves.

    Raises RecipeError when wandb is asked for and not installed, StorageError when the log can't be written.
    """

    def __init__(
        self,
        folder: Path,
        first_step: int = 0,
        *,
        rank: int = 0,
        tensorboard: bool = True,
        wandb: str | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        if wandb and importlib.util.find_spec("wandb") is None:  # asked on every rank: all stop together
            raise RecipeError(
                f'[train] wandb = "{wandb}" needs the package wandb, which is not installed; run `pip install wandb`, '
                "or leave the key out: log.jsonl holds all curves, and TensorBoard files are written where it is there"
            )
        self.path = folder / NAME
        self._file, self._tensorboard, self._wandb, self._before_s = None, None, None, 0.0
        if rank == 0:
            try:
                folder.mkdir(parents=True, exist_ok=True)
                self._before_s = _cut(self.path, first_step)
                self._file = self.path.open("a", encoding="utf-8")
            except OSError as error:
                raise _unwritable(self.path, error) from error
            self._tensorboard = _open_tensorboard(folder, first_step) if tensorboard else None
            self._wandb = _open_wandb(wandb, folder, first_step, settings or {}) if wandb else None
        self._started = time.monotonic()

    @property
    def wall_s(self) -> float:
        """Seconds of training so far, those of the earlier processes included."""
        return self._before_s + time.monotonic() - self._started

    def step(self, row: Mapping[str, Any]) -> Row:
        """Write a step's row. Tensors of one number will do; reading them waits for the device.

        Returns it as written, for the progress bar; ``wall_s`` is filled in here.
        """
        return self._write({**row, "wall_s": self.wall_s})

    def evaluated(
        self,
        step: int,
        domain: str | None,
        bits_per_byte: float | None,
        loss: float | None,
        split: str = "valid",
        **facts: Any,
    ) -> Row:
        """Write what an evaluation measured on one domain, or on all together (None)."""
        row = {"step": step, "split": split, "domain": domain, "bits_per_byte": bits_per_byte, "loss": loss}
        return self._write({**row, **facts, "wall_s": self.wall_s})

    def event(self, step: int, event: str, **facts: Any) -> Row:
        """Write that something happened: ``start``, ``resume``, ``phase``, ``skip``, ``rewind``, ``checkpoint``, ..."""
        return self._write({"step": step, "event": event, **facts, "wall_s": self.wall_s})

    def close(self) -> None:
        """Write out what the other tools still hold."""
        if self._file:
            self._file.close()
        if self._tensorboard:
            self._tensorboard.close()
        if self._wandb:
            self._wandb.finish()
        self._file = self._tensorboard = self._wandb = None

    def __enter__(self) -> "Log":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _write(self, row: Row) -> Row:
        if self._file is None:
            return row
        row = _plain(row)
        try:
            self._file.write(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n")
            self._file.flush()
        except OSError as error:
            raise _unwritable(self.path, error) from error
        numbers = scalars(row)
        if self._tensorboard:
            for name, value in numbers.items():
                self._tensorboard.add_scalar(name, value, row["step"])
        if self._wandb and numbers:
            self._wandb.log({**numbers, "step": row["step"]})
        return row


def scalars(row: Row) -> dict[str, float]:
    """The numbers of a row by the name of their curve, such as ``valid/bits_per_byte/web``; an event has none."""
    if "event" in row:
        return {}
    split, domain = row.get("split"), row.get("domain")
    found: dict[str, float] = {}
    for key, value in row.items():
        group = split or _GROUPS.get(key, "train")
        if key in ("step", "wall_s", "domain") and (split or key != "wall_s"):
            continue
        if isinstance(value, dict):  # bits_per_byte_by_domain
            base = key.removesuffix("_by_domain")
            found |= {f"{group}/{base}/{name}": float(one) for name, one in value.items() if _is_number(one)}
        elif _is_number(value):
            found[f"{group}/{key}" + (f"/{domain}" if domain is not None else "")] = float(value)
    return found


@dataclass(frozen=True)
class Rows:
    """A log as read: steps in order, each once, as the last try had it; evaluations and events as written."""

    steps: list[Row] = field(default_factory=list)
    evaluations: list[Row] = field(default_factory=list)
    events: list[Row] = field(default_factory=list)


def read_log(path: Path) -> Rows:
    """The rows of ``log.jsonl``, or of the one in a run's folder. A last line that was not finished is left out.

    Raises InputError when there is none, or when it can't be read.
    """
    path = path / NAME if path.is_dir() else path
    if not path.is_file():
        raise InputError(f"there is no log at {path}; give the folder of a training run, which holds {NAME}")
    rows = Rows()
    for row, _ in _lines(path):
        if "event" in row:
            rows.events.append(row)
        elif "split" in row:
            _replace(rows.evaluations, row)
        else:
            while rows.steps and rows.steps[-1]["step"] >= row["step"]:
                rows.steps.pop()
            rows.steps.append(row)
    return rows


def _replace(evaluations: list[Row], row: Row) -> None:
    """An evaluation takes the place of those that a rewind has made void."""
    first = len(evaluations)
    while first and evaluations[first - 1]["step"] >= row["step"]:
        first -= 1
    same = [one for one in evaluations[first:] if one["step"] == row["step"] and _of(one) != _of(row)]
    evaluations[first:] = [*same, row]


def _of(evaluation: Row) -> tuple[Any, Any]:
    return evaluation["split"], evaluation.get("domain")


def _lines(path: Path) -> list[tuple[Row, int]]:
    """Rows, each with the place where it ends in the file; without a last line that a killed process left half."""
    found, end = [], 0
    lines = path.read_bytes().splitlines(keepends=True)
    for number, line in enumerate(lines, 1):
        end += len(line)
        try:
            row = json.loads(line) if line.endswith(b"\n") else None
        except ValueError:
            row = None
        if isinstance(row, dict) and isinstance(row.get("step"), int):
            found.append((row, end))
        elif number < len(lines):
            raise InputError(
                f"{path}:{number} is no row of a training log: a JSON object with a whole number as `step`; take the "
                "line out, or move the file away: a run starts a new one"
            )
    return found


def _cut(path: Path, first_step: int) -> float:
    """Cut off rows that steps from first_step on have left; returns the seconds of training of what stays.

    The file ends behind the last step before first_step and what belongs to it. So a rewind before that stays visible.
    """
    if not path.exists():
        return 0.0
    keep, wall_s, past = 0, 0.0, False
    for row, end in _lines(path) if first_step > 0 else ():
        if "event" not in row and "split" not in row:
            past = row["step"] >= first_step
        if not past and row["step"] < first_step:
            keep, wall_s = end, row.get("wall_s") or wall_s
    os.truncate(path, keep)
    return wall_s


def _plain(value: Any) -> Any:
    """As JSON has it: tensors and numpy numbers as Python numbers, not finite ones as None."""
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if hasattr(value, "item"):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _open_tensorboard(folder: Path, first_step: int) -> Any:
    """A writer that hides curves of an earlier process from first_step on; None where TensorBoard is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder / "tensorboard"), purge_step=first_step)  # type: ignore[no-untyped-call]


def _open_wandb(project: str, folder: Path, first_step: int, settings: Mapping[str, Any]) -> Any:
    """A run of Weights & Biases, the earlier one when resumed. WANDB_MODE=offline keeps it on this machine.

    Curves are drawn over our ``step``: their own counter refuses to go back, as a resumed run does.
    """
    import wandb

    remembered = folder / "wandb_id"
    if not (first_step and remembered.is_file()):
        remembered.write_text(uuid.uuid4().hex[:16], encoding="utf-8")
    run = wandb.init(
        project=project,
        name=folder.name,
        id=remembered.read_text(encoding="utf-8").strip(),
        resume="allow",
        dir=str(folder),
        config=_plain(settings),
    )
    run.define_metric("step")
    run.define_metric("*", step_metric="step")
    return run


def _unwritable(path: Path, error: OSError) -> StorageError:
    return StorageError(
        f"the training log {path} can't be written: {error.strerror}; free space or give another --out, then run the "
        "same command again: training goes on from the last checkpoint"
    )
