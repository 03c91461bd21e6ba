"""What a stage's folder holds of rollouts, as tables for a page: cycles, the answers of one, the tokens of an answer.

Files are read by memory map, and only those that are whole; a stage may go on drawing meanwhile. Numbers are those on
disk; what is summed here is summed in float64.

Letters: N answers of a cycle, T tokens of all of them together.
"""

import json
import re
from bisect import bisect_left
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jacorpus.errors import InputError, RecipeError
from trainer.log import NAME as LOG
from trainer.log import read_log
from trainer.opened import CONFIG, open_folder_tokenizer
from trainer.posttrain.rollout import SCHEMA, answer_texts
from trainer.serve.pieces import pieces

if TYPE_CHECKING:
    from tokenizer_lab.tokenizer import Tokenizer

CREDITED = ("grpo", "ppo")
"""Stages whose zeros are numbers; others write zeros for what they have not."""

NUMBERS = ("logp", "trainer_logp", "ref_logp", "value", "advantage", "token_reward")
SORTS = ("group", "reward", "-reward", "kl", "-kl", "length", "-length")
TOLERANCE = 1e-6
"""How far token rewards may sum up from the reward, times the reward where that is larger than 1."""

PREVIEW = 240
_FILE = re.compile(r"\d{8}\.arrow")
_UNTOLD = {"step", "tokens", "wall_s", "tokens_per_s", "peak_memory_bytes", "skipped", "z_loss"}


@dataclass(frozen=True)
class Cycle:
    """A file of rollouts. zeros: whether a column of zeros is one of numbers."""

    table: pa.Table
    zeros: bool

    @cached_property
    def lengths(self) -> np.ndarray:
        """int64 [N]: tokens of answers."""
        return pc.list_value_length(self.table["ids"]).to_numpy().astype(np.int64)

    @cached_property
    def mask(self) -> np.ndarray:
        """bool [T]: tokens that the policy drew."""
        return pc.list_flatten(self.table["mask"]).to_numpy()

    def numbers(self, name: str) -> np.ndarray | None:
        """float64 [T] of a column; None where the stage has no such numbers."""
        found = pc.list_flatten(self.table[name]).to_numpy().astype(np.float64)
        if len(found) != len(self.mask) or not (self.zeros or name == "trainer_logp" or found.any()):
            return None
        return found

    @cached_property
    def kl(self) -> np.ndarray | None:
        """float64 [T]: log-prob of the pass that trains over the reference's, 0 off the mask."""
        reference, own = self.numbers("ref_logp"), self.numbers("trainer_logp")
        return None if reference is None or own is None else np.where(self.mask, own - reference, 0.0)

    def sums(self, found: np.ndarray) -> np.ndarray:
        """float64 [N]: numbers of tokens summed over answers."""
        owner = np.repeat(np.arange(len(self.lengths)), self.lengths)
        return np.bincount(owner, found, len(self.lengths))

    def summary(self) -> dict[str, Any]:
        """Of the cycle; kl: mean over drawn tokens."""
        drawn = max(1, int(self.mask.sum()))
        first = self.table.slice(0, 1).select(["step"]).to_pylist()
        reward = self.table["reward"].to_numpy()
        return {
            "step": first[0]["step"] if first else None,
            "answers": len(reward),
            "groups": pc.count_distinct(self.table["group"]).as_py(),
            "reward": _mean(reward),
            "kl": None if self.kl is None else float(self.kl.sum()) / drawn,
            "length": _mean(self.lengths),
            "ended": _mean(pc.equal(self.table["end"], "eos").to_numpy()),
        }


@dataclass(frozen=True)
class Folder:
    """The folder of a stage. Raises InputError where it holds no rollouts."""

    path: Path

    def __post_init__(self) -> None:
        if self._files():
            return
        stages = [each.parent.name for each in sorted(self.path.glob("*/rollouts")) if _whole_files(each)]
        if stages:
            raise InputError(
                f"{self.path} holds several stages; give the folder of one with rollouts: {', '.join(stages)}"
            )
        raise InputError(
            f"{self.path} holds no rollouts; first run a stage that draws answers (use = grpo, ppo, online or "
            f"rejection) by `jacorpus train post`, then give the folder of that stage"
        )

    def _files(self) -> dict[int, Path]:
        return _whole_files(self.path / "rollouts")

    @cached_property
    def stage(self) -> dict[str, Any]:
        """The stage's settings, {} where there are none."""
        try:
            return dict(json.loads((self.path / "stage.json").read_bytes()))
        except (OSError, ValueError, TypeError):
            return {}

    @cached_property
    def tokenizer(self) -> "Tokenizer | None":
        """That of the folder, or of the stage before it where this one trains nothing; None where there is none."""
        before = sorted((each for each in self.path.parent.glob("*/") if each.name < self.path.name), reverse=True)
        for folder in (self.path, *before):
            if (folder / CONFIG).is_file():
                return open_folder_tokenizer(folder)[0]
        return None

    def about(self) -> dict[str, Any]:
        """What the page says of the folder."""
        return {"name": self.path.resolve().name, "use": self.stage.get("use")}

    def cycles(self) -> dict[str, Any]:
        """{"cycles": [...], "unread": names of files that are not whole}; log: means of the log over its steps."""
        found: list[dict[str, Any]] = []
        unread = []
        for number, path in self._files().items():
            try:
                found.append({"cycle": number, **_summary(*self._version(path))})
            except InputError:
                unread.append(path.name)
        log = self.path / LOG
        logged = _log(*self._version(log)[:3]) if log.is_file() else []
        places = [bisect_left(logged, each["step"] or 0, key=lambda row: row["step"]) for each in found]
        for each, first, end in zip(found, places, [*places[1:], len(logged)], strict=True):
            each["log"] = _means(logged[first:end])
        return {"cycles": found, "unread": unread}

    def _version(self, path: Path) -> tuple[Path, int, int, bool]:
        """What a file's reading is kept under."""
        about = path.stat()
        return path, about.st_mtime_ns, about.st_size, self.stage.get("use") in CREDITED

    def cycle(self, number: int) -> Cycle:
        """Raises InputError where there is none."""
        path = self._files().get(number)
        if path is None:
            raise InputError(f"{self.path} holds no cycle {number}; choose one that /api/cycles lists")
        return _cycle(*self._version(path))

    def answers(
        self, number: int, sort: str = "group", group: int | None = None, offset: int = 0, limit: int = 64
    ) -> dict[str, Any]:
        """Answers of a cycle from place ``offset``; group: those of one prompt alone; sort: of SORTS."""
        if sort not in SORTS:
            raise RecipeError(f"answers can't be sorted by {sort!r}; choose {', '.join(SORTS)}")
        cycle = self.cycle(number)
        groups, reward = cycle.table["group"].to_numpy(), cycle.table["reward"].to_numpy()
        kl = None if cycle.kl is None else cycle.sums(cycle.kl)
        drawn = cycle.sums(cycle.mask.astype(np.float64)).astype(np.int64)
        keys = {"group": groups, "reward": reward, "length": cycle.lengths, "kl": drawn * 0 if kl is None else kl}
        key = keys[sort.removeprefix("-")]
        order = np.argsort(-key if sort.startswith("-") else key, kind="stable")
        order = order if group is None else order[groups[order] == group]
        chosen = order[max(0, offset) :][: max(1, limit)]
        columns = ["group", "draw", "prompt_id", "prompt", "text", "end", "reward", "parts"]
        rows = cycle.table.select(columns).take(pa.array(chosen, pa.int64())).to_pylist()
        told: dict[int, dict[str, Any]] = {}
        for place, row in zip(chosen.tolist(), rows, strict=True):
            here = groups == row["group"]
            prompt = {"prompt_id": row.pop("prompt_id"), "prompt": row.pop("prompt"), "answers": int(here.sum())}
            told.setdefault(row["group"], prompt | {"reward": _mean(reward[here]), "deviation": _spread(reward[here])})
            row |= {"row": place, "parts": dict(row["parts"]), "length": int(cycle.lengths[place])}
            row |= {"drawn": int(drawn[place]), "kl": None if kl is None else float(kl[place])}
            row["text"] = row["text"][:PREVIEW]
        return {"cycle": number, "total": len(order), "offset": offset, "rows": rows, "groups": told}

    def answer(self, number: int, row: int) -> dict[str, Any]:
        """One answer: columns of numbers, one for each of ids; None for what the stage has not."""
        cycle = self.cycle(number)
        if not 0 <= row < len(cycle.lengths):
            raise InputError(f"cycle {number} of {self.path} has no row {row}; it has {len(cycle.lengths)}")
        told = cycle.table.slice(row, 1).to_pylist()[0]
        end = int(cycle.lengths[: row + 1].sum())
        here = slice(end - len(told["ids"]), end)
        columns = {name: cycle.numbers(name) for name in NUMBERS} | {"kl": cycle.kl}
        found = {name: None if each is None else each[here] for name, each in columns.items()}
        own, mask = found["trainer_logp"], cycle.mask[here]
        found["gap"] = None if own is None or found["logp"] is None else np.where(mask, found["logp"] - own, 0.0)
        for name in (*NUMBERS, "gap"):
            told.pop(name, None)
        told |= {"row": row, "parts": dict(told["parts"]), **self._said(told)}
        told["numbers"] = {name: None if each is None else each.tolist() for name, each in found.items()}
        told["sums"] = {name: None if each is None else float(each.sum()) for name, each in found.items()}
        return told | {"balance": self._balance(told["sums"], told["reward"], bool(mask.any()))}

    def _said(self, told: dict[str, Any]) -> dict[str, Any]:
        """Pieces of the answer's text, and whether together they are the text on disk."""
        ids, found = told["ids"], self.tokenizer
        if found is None:
            return {"pieces": [{"text": f"{i}", "kind": "id"} for i in ids], "agrees": None}
        said = ids[: len(ids) - (told["end"] == "eos")]
        agrees = answer_texts(found, [told["prompt_ids"]], [said]) == [told["text"]]
        return {"pieces": pieces(found, ids), "agrees": agrees}

    def _balance(self, sums: dict[str, Any], reward: float, drawn: bool) -> dict[str, Any] | None:
        """Token rewards, and what PPO took off them for the distance from the reference, against the reward."""
        if sums["token_reward"] is None or not drawn:
            return None
        ppo = self.stage.get("use") == "ppo"
        most = self.stage.get("reward_clip", np.inf) if ppo else np.inf
        taken = self.stage.get("beta", 0.0) * (sums["kl"] or 0.0) if ppo else 0.0
        wanted = float(np.clip(reward, -most, most))
        apart = abs(sums["token_reward"] + taken - wanted)
        holds = bool(apart <= TOLERANCE * max(1.0, abs(wanted)))
        return {"tokens": sums["token_reward"], "kl": taken, "reward": wanted, "apart": apart, "holds": holds}

    def matches(self, prompt_id: str, draw: int, cycle: int) -> dict[str, Any]:
        """Where answers to a prompt are: {"best": of the nearest cycle, the same draw if there; "all": all of them}."""
        found = []
        for number, path in self._files().items():
            try:
                table = _cycle(*self._version(path)).table
            except InputError:
                continue
            rows = pc.indices_nonzero(pc.equal(table["prompt_id"], prompt_id))
            draws = table["draw"].take(rows).to_pylist()
            found += [{"cycle": number, "row": int(r), "draw": d} for r, d in zip(rows.to_pylist(), draws, strict=True)]
        found.sort(key=lambda each: (abs(each["cycle"] - cycle), each["cycle"], each["draw"] != draw, each["draw"]))
        return {"best": found[0] if found else None, "all": found}


def _whole_files(folder: Path) -> dict[int, Path]:
    """Files by cycle, in order; one that is being written has a name of its own."""
    return {int(path.stem): path for path in sorted(folder.glob("*.arrow")) if _FILE.fullmatch(path.name)}


@lru_cache(64)
def _cycle(path: Path, modified: int, size: int, zeros: bool) -> Cycle:
    """A file as it was at that time. Raises InputError where it is not whole."""
    try:
        table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
        if table.schema != SCHEMA:
            raise ValueError("other columns")
    except (OSError, ValueError, pa.ArrowInvalid) as error:
        raise InputError(f"{path} holds no rollouts ({error}); remove it, and the cycle is drawn again") from error
    return Cycle(table, zeros)


@lru_cache(1 << 14)
def _summary(path: Path, modified: int, size: int, zeros: bool) -> dict[str, Any]:
    return _cycle(path, modified, size, zeros).summary()


@lru_cache(4)
def _log(path: Path, modified: int, size: int) -> list[dict[str, Any]]:
    return read_log(path).steps


def _means(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Of each number that all rows have."""
    names = [name for name, value in rows[0].items() if isinstance(value, int | float)] if rows else []
    columns = {name: [row.get(name) for row in rows] for name in names if name not in _UNTOLD}
    return {name: _mean(np.array(each)) for name, each in columns.items() if None not in each}


def _mean(found: np.ndarray) -> float:
    return float(found.mean()) if len(found) else float("nan")


def _spread(found: np.ndarray) -> float | None:
    """Sample standard deviation; None of one number."""
    return float(found.std(ddof=1)) if len(found) > 1 else None
