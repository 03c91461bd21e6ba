"""Rules written into the recipe itself."""

from dataclasses import dataclass
from typing import Any

from jacorpus.errors import RecipeError
from jacorpus.rule import Rule, rule_from_table


@dataclass(frozen=True)
class Bounds:
    """Drop by rules given here: ``rules = [{ signal = "text.chars", min = 200, reason = "short" }]``."""

    rules: list[dict[str, Any]]


def bounds_rules(options: Bounds, stage: str, domains: tuple[str, ...] | None) -> list[Rule]:
    """The rules, in order. Raises RecipeError where there is none, or one asks for a tier: profiles have tiers."""
    if not options.rules:
        raise RecipeError(f"stage {stage}: `rules` is empty; add one, or leave the stage out")
    for table in options.rules:
        if "tier" in table:
            raise RecipeError(
                f"stage {stage}: a rule on `{table.get('signal')}` has a `tier`; only profiles have tiers"
            )
    return [rule_from_table(table, stage, domains, f"stage {stage}") for table in options.rules]
