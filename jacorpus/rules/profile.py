"""Profiles: published pipelines as data. A profile names the measurements it needs and the rules over them."""

import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jacorpus.errors import RecipeError, nearest
from jacorpus.rule import Rule, rule_from_table

FOLDER = Path(__file__).parent.parent / "profiles"
_KEYS = {"name", "source", "description", "tiers", "stage", "rule"}


@dataclass(frozen=True)
class Profile:
    """Measure what a profile needs, and drop by its rules.

    profile: a name under jacorpus/profiles, or a path. tier: for profiles of several tiers, the strictest one
    that drops (stricter ones are recorded in the audit's ``failed_rules`` only); default the first.
    set: bounds to replace, ``{"text.chars" = 200}``: where the rules on a signal have one bound, its value is
    replaced; ``{"text.chars.min" = 200}`` names the bound.
    """

    profile: str
    tier: str | None = None
    set: dict[str, Any] = field(default_factory=dict)


def profile_names() -> list[str]:
    """Profiles that ship with the package."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def load_profile(name: str) -> dict[str, Any]:
    """The tables of a profile. Raises RecipeError when there is none, or it has unknown keys."""
    path = FOLDER / f"{name}.toml" if name in profile_names() else Path(name)
    if path.is_dir():
        raise RecipeError(f"profile {path} is a folder; give the path of a TOML file")
    if not path.is_file():
        raise RecipeError(f"unknown profile `{name}`{nearest(name, profile_names())}")
    try:
        tables = tomllib.loads(path.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"profile {path}: {error}") from error
    for key in tables:
        if key not in _KEYS:
            raise RecipeError(f"profile {path}: unknown key `{key}`{nearest(key, _KEYS)}")
    return tables


def profile_rules(options: Profile, stage: str, domains: tuple[str, ...] | None) -> list[Rule]:
    """The rules of a profile with ``set`` applied, in order.

    Rules of a tier stricter than ``tier`` stay in the list with their tier; the others lose it: they drop.
    """
    tables = load_profile(options.profile)
    tiers = list(tables.get("tiers", []))
    chosen = options.tier or (tiers[0] if tiers else None)
    if chosen is not None and chosen not in tiers:
        raise RecipeError(f"profile {options.profile}: unknown tier `{chosen}`{nearest(chosen, tiers)}")
    where = f"profile {options.profile}"
    rules = []
    for table in tables.get("rule", []):
        tier = table.get("tier")
        if tier is not None and tier not in tiers:
            raise RecipeError(f"{where}: a rule on `{table.get('signal')}` names the unknown tier `{tier}`")
        drops = tier is None or tiers.index(tier) <= tiers.index(chosen or tier)
        rules.append(rule_from_table({**table, "tier": None if drops else tier}, stage, domains, where))
    return override(rules, options.set, where)


def override(rules: list[Rule], bounds: dict[str, Any], where: str) -> list[Rule]:
    """The rules with bounds replaced: ``signal=value`` or ``signal.bound=value``. Raises RecipeError on no match."""
    for name, value in bounds.items():
        signal, _, last = name.rpartition(".")
        wanted, kind = (signal, last) if last in ("min", "max", "above", "below", "in", "not_in") else (name, None)
        hits = [i for i, rule in enumerate(rules) if rule.signal == wanted]
        if not hits:
            raise RecipeError(f"{where}: no rule on `{wanted}`{nearest(wanted, {r.signal for r in rules})}")
        rules = list(rules)
        for i in hits:
            rules[i] = _with_bound(rules[i], kind, value, where, len(hits) > 1)
        if kind and not any((kind, _tuple(value)) in rules[i].bound for i in hits):
            raise RecipeError(f"{where}: no rule on `{wanted}` has the bound `{kind}`")
    return rules


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _with_bound(rule: Rule, kind: str | None, value: Any, where: str, several: bool) -> Rule:
    if kind is None and (len(rule.bound) > 1 or several):
        raise RecipeError(f"{where}: `{rule.signal}` has several bounds; name one, as in `{rule.signal}.max`")
    new = {n: value if kind in (None, n) else v for n, v in rule.bound}
    bound = rule_from_table({"signal": rule.signal, **new}, rule.stage, None, where).bound
    return Rule(rule.signal, bound, rule.reason, rule.stage, rule.domains, rule.tier, rule.optional)
