"""One rule: a signal, a bound, a reason. It says which documents to drop and never looks at text.

A null signal means "not measured": the rule can't say, and the document is neither dropped nor cleared by it.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jacorpus.errors import RecipeError, nearest

BOUNDS = ("min", "max", "above", "below", "in", "not_in")
_KEYS = {*BOUNDS, "signal", "reason", "tier", "optional", "domains"}


@dataclass(frozen=True)
class Rule:
    """Keep a document when its signal lies inside the bound.

    signal: ``label.column``. bound: of min (>=), max (<=), above (>), below (<), in, not_in; all must hold.
    reason: the word the audit counts. stage: label of the stage the rule came with. tier: a profile's level,
    or None. optional: inactive where the signal is not measured at all.
    """

    signal: str
    bound: tuple[tuple[str, Any], ...]
    reason: str
    stage: str
    domains: tuple[str, ...] | None = None
    tier: str | None = None
    optional: bool = False

    def describe(self) -> str:
        """The bound as people write it: ``>= 400``, ``in ja, en``."""
        signs = {"min": ">=", "max": "<=", "above": ">", "below": "<", "in": "in", "not_in": "not in"}
        return " and ".join(
            f"{signs[name]} {', '.join(map(str, value)) if isinstance(value, tuple) else value}"
            for name, value in self.bound
        )

    def fails(self, column: pa.Array) -> np.ndarray:
        """bool [N]: which documents the rule drops; False where the signal is null."""
        bad = np.zeros(len(column), bool)
        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            return self._fails_names(column, bad)
        values = column.to_numpy(zero_copy_only=False)
        for name, bound in self.bound:
            if name == "min":
                bad |= values < bound
            elif name == "max":
                bad |= values > bound
            elif name == "above":
                bad |= values <= bound
            elif name == "below":
                bad |= values >= bound
            else:
                inside = np.isin(values, np.array(bound))
                bad |= ~inside if name == "in" else inside
        if column.null_count:
            bad &= column.is_valid().to_numpy(zero_copy_only=False)
        return bad

    def _fails_names(self, column: pa.Array, bad: np.ndarray) -> np.ndarray:
        for name, bound in self.bound:
            if name not in ("in", "not_in"):
                raise RecipeError(f"rule on `{self.signal}`: `{name}` needs a number, the signal is a name; use `in`")
            inside = pc.is_in(column, pa.array(bound, column.type)).to_numpy(zero_copy_only=False)
            bad |= ~inside if name == "in" else inside
        if column.null_count:
            bad &= column.is_valid().to_numpy(zero_copy_only=False)
        return bad

    def as_json(self, index: int, active: bool) -> dict[str, Any]:
        """How the manifest lists it."""
        return {
            "index": index,
            "stage": self.stage,
            "signal": self.signal,
            "bound": {name: list(v) if isinstance(v, tuple) else v for name, v in self.bound},
            "reason": self.reason,
            "domains": list(self.domains) if self.domains else None,
            "tier": self.tier,
            "optional": self.optional,
            "active": active,
        }


def rule_from_json(listed: dict[str, Any]) -> Rule:
    """Back from ``Rule.as_json``."""
    table = {k: listed[k] for k in ("signal", "reason", "tier", "optional")} | listed["bound"]
    return rule_from_table(table, listed["stage"], tuple(listed["domains"]) if listed["domains"] else None, "manifest")


def rule_from_table(table: dict[str, Any], stage: str, domains: tuple[str, ...] | None, where: str) -> Rule:
    """A rule out of a ``[[rule]]`` table. Raises RecipeError for unknown keys or a missing bound."""
    for key in table:
        if key not in _KEYS:
            raise RecipeError(f"{where}: unknown key `{key}` in a rule{nearest(key, _KEYS)}")
    if not isinstance(table.get("signal"), str):
        raise RecipeError(f'{where}: a rule needs `signal = "label.column"`, got {table}')
    bound = tuple((name, _bound(name, table, where)) for name in BOUNDS if name in table)
    if not bound:
        raise RecipeError(f"{where}: the rule on `{table['signal']}` has no bound; give one of {', '.join(BOUNDS)}")
    _check_order(dict(bound), table["signal"], where)
    if not isinstance(table.get("domains") or [], (list, tuple)):
        raise RecipeError(f"{where}: `domains` of the rule on `{table['signal']}` must be a list of names")
    own = tuple(table["domains"]) if table.get("domains") else domains
    return Rule(
        signal=table["signal"],
        bound=bound,
        reason=str(table.get("reason") or table["signal"]),
        stage=stage,
        domains=own,
        tier=table.get("tier"),
        optional=bool(table.get("optional", False)),
    )


def check_kind(rule: Rule, kind: pa.DataType) -> None:
    """Raises RecipeError where a bound can't be compared with the signal: a number with a name, or the reverse."""
    is_name = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    for name, value in rule.bound:
        values = value if isinstance(value, tuple) else (value,)
        if is_name and not all(isinstance(v, str) for v in values):
            raise RecipeError(f"rule on `{rule.signal}` ({rule.stage}): the signal is a name; use `in` with names")
        if not is_name and any(isinstance(v, (str, bool)) or not isinstance(v, (int, float)) for v in values):
            raise RecipeError(f"rule on `{rule.signal}` ({rule.stage}): the signal is a number, `{name}` is {value!r}")


def _check_order(bound: dict[str, Any], signal: str, where: str) -> None:
    """Bounds between which no value lies would drop everything: a slip of the pen."""
    low = max((bound[name] for name in ("min", "above") if name in bound), default=None)
    high = min((bound[name] for name in ("max", "below") if name in bound), default=None)
    if low is not None and high is not None and low > high:
        raise RecipeError(f"{where}: no value of `{signal}` is over {low} and under {high}; swap the bounds")


def _bound(name: str, table: dict[str, Any], where: str) -> Any:
    value = table[name]
    if name in ("in", "not_in"):
        if not isinstance(value, (list, tuple)) or not value:
            raise RecipeError(f"{where}: `{name}` of `{table['signal']}` needs a list, got {value!r}")
        return tuple(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise RecipeError(f"{where}: `{name}` of `{table['signal']}` needs a number, got {value!r}")
    return value
