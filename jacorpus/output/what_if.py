"""What another profile or threshold would keep, from signals and clusters alone, exactly as a run would decide."""

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jacorpus.decide import Decisions, SignalPart, decide, signal_column
from jacorpus.errors import RecipeError, nearest
from jacorpus.output.finished import Finished, finished
from jacorpus.rule import Rule
from jacorpus.rules.profile import Profile, override, profile_rules
from jacorpus.run import read_removals


def what_if(
    out: Path,
    profile: str | None = None,
    bounds: dict[str, Any] | None = None,
    bytes_per_token: float | None = None,
) -> dict[str, Any]:
    """Documents, bytes and tokens kept now and under the change, per domain.

    profile: replaces the rules of every ``rules.profile`` stage. bounds: ``{"text.chars": 300}`` or
    ``{"text.chars.min": 300}``. ``unknown`` counts documents that a costly signal was never measured on and
    that no other rule decides; they are not in ``kept``. bytes_per_token: the recipe's where None.
    Raises RecipeError when a rule needs a signal that was not measured.
    """
    folder = finished(out)
    old_rules, old_active = folder.rules()
    rules = _replaced(folder, old_rules, profile)
    rules = override(rules, bounds or {}, "--set") if bounds else rules
    columns = set(folder.manifest["columns"]) | {"bytes"}
    active = [rule.signal in columns for rule in rules]
    for rule, known in zip(rules, active, strict=True):
        if not known and not rule.optional:
            hint = nearest(rule.signal, columns)
            raise RecipeError(f"a rule on `{rule.signal}` can't be answered: the run did not measure it{hint}")
    parts, clusters, removed = folder.parts(), folder.clusters(), read_removals(out)
    now = decide(parts, old_rules, old_active, clusters, removed)
    then = decide(parts, rules, active, clusters, removed, now.members)
    unknown = _unknown(parts, rules, active, now, then)
    ratio = bytes_per_token or folder.manifest["bytes_per_token"]
    domains: dict[str, dict[str, Any]] = {
        domain: {
            "now": _sums(parts, domain, now.kept, ratio),
            "then": _sums(parts, domain, then.kept & ~unknown, ratio),
            "unknown": _sums(parts, domain, unknown, ratio)["documents"],
        }
        for domain in folder.manifest["domains"]
    }
    total: dict[str, Any] = {when: _total([d[when] for d in domains.values()]) for when in ("now", "then")}
    total["unknown"] = sum(d["unknown"] for d in domains.values())
    return {"total": total, "domains": domains, "rules": _effects(rules, active, then)}


def _replaced(folder: Finished, rules: list[Rule], profile: str | None) -> list[Rule]:
    """The run's rules, with those of each of its profiles replaced by another profile's; without one, those too."""
    if profile is None:
        return rules
    stages = _profile_stages(folder)
    if not stages:
        return [*rules, *profile_rules(Profile(profile), "profile", None)]
    new = {label: profile_rules(Profile(profile), label, domains) for label, domains in stages.items()}
    found: list[Rule] = []
    for rule in rules:
        if rule.stage in stages:
            found.extend(new.pop(rule.stage, []))  # all of them where the first one stood
        else:
            found.append(rule)
    return [*found, *(rule for left in new.values() for rule in left)]


def _profile_stages(folder: Finished) -> dict[str, tuple[str, ...] | None]:
    """Labels of the run's ``rules.profile`` stages, and their domains."""
    resolved = tomllib.loads((folder.out / "recipe.resolved.toml").read_text("utf-8"))
    stages = [stage for stage in resolved.get("stage", []) if stage["use"] == "rules.profile"]
    return {stage["label"]: tuple(stage["domains"]) if stage.get("domains") else None for stage in stages}


def _unknown(
    parts: Sequence[SignalPart], rules: Sequence[Rule], active: Sequence[bool], now: Decisions, then: Decisions
) -> np.ndarray:
    """bool [N]: kept under the new rules only because a signal they need was not measured.

    A run measures costly signals only on what the rules before left, so a null that matters is on a document
    that the run's own rules dropped; elsewhere a null means that the signal does not apply.
    """
    unknown = np.zeros(len(then.rule), bool)
    for part in parts:
        span = slice(part.first_row, part.first_row + part.rows)
        candidates = then.kept[span] & (now.rule[span] >= 0)
        if not candidates.any():
            continue
        table = part.table()
        for rule, on in zip(rules, active, strict=True):
            if on and rule.tier is None and (rule.domains is None or part.domain in rule.domains):
                column = signal_column(table, rule.signal)
                if column.null_count:
                    unknown[span] |= candidates & column.is_null().to_numpy(zero_copy_only=False)
    return unknown


def _sums(parts: Sequence[SignalPart], domain: str, mask: np.ndarray, bytes_per_token: float) -> dict[str, int]:
    documents = size = 0
    for part in parts:
        if part.domain == domain:
            inside = mask[part.first_row : part.first_row + part.rows]
            documents += int(inside.sum())
            size += int(signal_column(part.table(), "bytes").to_numpy()[inside].sum())
    return {"documents": documents, "bytes": size, "tokens": round(size / bytes_per_token)}


def _total(each: list[dict[str, int]]) -> dict[str, int]:
    return {name: sum(one[name] for one in each) for name in ("documents", "bytes", "tokens")}


def _effects(rules: Sequence[Rule], active: Sequence[bool], then: Decisions) -> list[dict[str, Any]]:
    """Documents each rule is the first to drop."""
    counts = np.bincount(then.rule[then.rule >= 0].astype(np.int64), minlength=len(rules))
    return [
        {"signal": r.signal, "bound": r.describe(), "reason": r.reason, "active": on, "drops": int(counts[i])}
        for i, (r, on) in enumerate(zip(rules, active, strict=True))
    ]
