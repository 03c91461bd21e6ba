"""What a model answered, item by item: the file that keeps it, means with intervals, and two models paired.

A mean's interval holds 95 % of the means of 1,000 draws of items with replacement (percentile bootstrap, Efron 1979).
Items with the same ``meta["unit"]``, answers to one question, are drawn together: they are not independent. Two models
are compared on items of equal id alone: the interval is of the difference within items, and p is of the exact
two-sided sign test over the items that one of them did better (for scores 0 and 1 it is McNemar's exact test).

    OUT/items/TASK.jsonl    a line about the whole (task, metric, license, hash of what made it), then a line an item
"""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from jacorpus.errors import InputError
from jacorpus.report.numbers import Interval
from jacorpus.shards import storage_errors
from tokenizer_lab.comparison.bootstrap import Resampling, interval


@dataclass(frozen=True)
class Item:
    """One question asked. score: 0 to 1, or what the metric gives. contaminated: whether its text lies in the
    training corpus, None where that was not looked for."""

    id: str
    prompt: str
    output: str
    reference: str
    score: float
    contaminated: bool | None = None
    meta: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Answers:
    """All items of a task. licence: of its data."""

    task: str
    metric: str
    licence: str
    items: Sequence[Item]
    higher_is_better: bool = True

    def clean(self) -> "Answers":
        """Without the items known to lie in the training corpus."""
        return replace(self, items=[item for item in self.items if not item.contaminated])


@dataclass(frozen=True)
class Paired:
    """After less before, over items both have. wins: items where the second did better. p: see the module."""

    difference: Interval
    wins: int
    ties: int
    losses: int
    p: float


def mean_interval(answers: Answers, seed: int = 0) -> Interval:
    """The mean score. Raises InputError where there is no item."""
    scores = np.array([item.score for item in answers.items], np.float64)
    if not len(scores):
        raise InputError(f"{answers.task} has no item to take a mean of; give it questions")
    return _resampled(scores, [_unit(item) for item in answers.items], f"{seed} {answers.task}")


def paired(before: Answers, after: Answers, seed: int = 0) -> Paired:
    """What changed on the items of equal id. Raises InputError where there is none, or the metrics differ."""
    if before.metric != after.metric:
        raise InputError(f"{after.task}: {before.metric} and {after.metric} can't be compared; measure both alike")
    earlier = {item.id: item for item in before.items}
    both = [(earlier[item.id].score, item) for item in after.items if item.id in earlier]
    if not both:
        raise InputError(f"{after.task}: the two models share no item; ask both the same questions, with one --limit")
    apart = np.array([item.score - score for score, item in both], np.float64)
    better = apart if after.higher_is_better else -apart
    wins, losses = int((better > 0).sum()), int((better < 0).sum())
    found = _resampled(apart, [_unit(item) for _, item in both], f"{seed} {after.task}")
    return Paired(found, wins, len(apart) - wins - losses, losses, sign_test(wins, losses))


def sign_test(wins: int, losses: int) -> float:
    """Exact two-sided p that a fair coin falls so unevenly.

    >>> sign_test(5, 0), sign_test(3, 3)
    (0.0625, 1.0)
    """
    total, term, tail = wins + losses, 1, 1
    for k in range(min(wins, losses)):
        term = term * (total - k) // (k + 1)
        tail += term
    return min(1.0, 2 * tail / 2**total)


def _unit(item: Item) -> str:
    return str(item.meta.get("unit", item.id))


def _resampled(values: np.ndarray, units: Sequence[str], key: str) -> Interval:
    _, numbers = np.unique(np.array(units, object).astype(str), return_inverse=True)
    seed = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "little")
    draws = Resampling(numbers.reshape(-1), seed).ratios(values, np.ones(len(values)))
    return interval(float(values.mean()), draws)


def config_hash(config: Mapping[str, Any]) -> str:
    """What an outcome depends on, in 16 digits."""
    return hashlib.sha256(json.dumps(config, sort_keys=True, ensure_ascii=False).encode()).hexdigest()[:16]


def item_line(item: Item) -> str:
    """A line of the file."""
    return json.dumps(asdict(item), ensure_ascii=False, allow_nan=False) + "\n"


def item_of(line: str) -> Item:
    """The item of a line. Raises ValueError, KeyError or TypeError where it is none."""
    return Item(**json.loads(line))


def write_answers(path: Path, answers: Answers, config: str) -> None:
    """Write the file whole. config: ``config_hash`` of what it was made with."""
    head = {key: value for key, value in vars(answers).items() if key != "items"}
    lines = [json.dumps({**head, "config": config}, ensure_ascii=False) + "\n", *map(item_line, answers.items)]
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = path.with_name(f".{path.name}.{os.getpid()}")
        scratch.write_text("".join(lines), "utf-8")
        scratch.replace(path)


def read_answers(path: Path) -> tuple[Answers, str]:
    """(what ``write_answers`` wrote, its config). Raises InputError for another file."""
    number = 1
    try:
        head, *lines = path.read_text("utf-8").split("\n")[:-1]  # a text may hold other line ends
        about = json.loads(head)
        config = about.pop("config")
        items = []
        for number, line in enumerate(lines, 2):  # noqa: B007, it names the line of an error
            items.append(item_of(line))
        return Answers(**about, items=items), config
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path}, line {number}: no answers of an evaluation ({type(error).__name__}: {error}); give a file of "
            f"OUT/items that jacorpus evaluate wrote"
        ) from error
