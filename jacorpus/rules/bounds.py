"""Rules written into the recipe itself."""

from dataclasses import dataclass
from typing import Any

from jacorpus.rule import Rule, rule_from_table


@dataclass(frozen=True)
class Bounds:
    """Drop by rules given here: ``rules = [{ signal = "text.chars", min = 200, reason = "short" }]``."""

    rules: list[dict[str, Any]]


def bounds_rules(options: Bounds, stage: str, domains: tuple[str, ...] | None) -> list[Rule]:
    """The rules, in order."""
    return [rule_from_table(table, stage, domains, f"stage {stage}") for table in options.rules]
