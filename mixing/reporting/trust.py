"""How far to trust the answer: whether two proxies agree, what the prediction rests on, what else was noted."""

from collections.abc import Mapping
from typing import Any

from jacorpus.report.numbers import Unit
from jacorpus.report.report import Block, Paragraph
from mixing.optimize import Result
from mixing.reporting.cells import finite, table

_KINDS = {"tables": "count tables of the sources' text", "swarm": "a fit of a sweep of mixtures"}


def blocks(result: Result) -> list[Block]:
    """Agreement, or how to get it; all facts."""
    found: list[Block] = [Paragraph(_words(result))]
    if result.agreement:
        rows = [[name, _rank(value)] for name, value in sorted(result.agreement.items(), key=_target_first)]
        note = "1: both order the mixtures alike; 0: one says nothing of the other."
        found.append(table("Rank correlation of predicted and measured losses", _AGREEMENT, rows, note))
    for title, facts in (
        ("What the prediction rests on", dict(result.facts)),
        (f"What {result.chosen.name} tells", dict(result.chosen.answer.facts)),
    ):
        listed = [[name, value] for name, value in _flat(facts)]
        if listed:
            found.append(table(title, [("what", "text"), ("value", "number")], listed))
    return found


_AGREEMENT: list[tuple[str, Unit]] = [("held-out set", "text"), ("rank correlation", "number")]


def _target_first(item: tuple[str, float]) -> tuple[bool, str]:
    return item[0] != "target", item[0]


def _rank(value: float) -> str:
    return "not defined" if finite(value) is None else f"{value:.2f}".replace("-", "−")


def _words(result: Result) -> str:
    kind = _KINDS.get(result.settings.surrogate, result.settings.surrogate)
    text = f"Losses are predicted by {kind}, not by models of the size to be trained. "
    rank = finite(result.agreement["target"]) if "target" in result.agreement else None
    if rank is None:
        if not len(result.chosen.judged):
            return f"{text}Write judge = 3 into [mixing], and tiny models of 3 seeds are trained on every mixture here."
        return (
            f"{text}Tiny models were trained on every mixture; there are too few to tell whether both order them alike."
        )
    word = "agree" if rank >= 0.7 else "agree in part" if rank >= 0.3 else "do not agree"  # type: ignore[operator]
    told = f"rank correlation {rank:.2f} over {len(result.rows)} mixtures"
    return f"{text}On the target they and the tiny models {word} on which mixture is better ({told}). Both are small."


def _flat(facts: Mapping[str, Any], before: str = "") -> list[tuple[str, Any]]:
    """Names and cells; tables within are ``outer, inner``, lists are joined."""
    found: list[tuple[str, Any]] = []
    for name, value in facts.items():
        if isinstance(value, Mapping):
            found += _flat(value, f"{before}{name}, ")
        elif isinstance(value, list | tuple):
            found.append((f"{before}{name}", ", ".join(str(each) for each in value)))
        else:
            found.append((f"{before}{name}", value if isinstance(value, str) else finite(value)))
    return found
