"""Distributions of the signals: streamed over the parts of signals/, one batch in memory at a time.

Two passes. The first looks at every n-th row (200,000 in all) to choose the edges, the second counts every row.
Edges are laid so that a bound falls on one of them: a bar is wholly kept or wholly dropped.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jacorpus.report.report import Histogram, Threshold
from jacorpus.rule import Rule

LOOKED_AT = 200_000
BINS = 44
SIDES = {"min": "min", "above": "min", "max": "max", "below": "max"}


@dataclass(frozen=True)
class Wanted:
    """A signal, the domains its rules speak about (None: all), and those rules."""

    signal: str
    domains: tuple[str, ...] | None
    rules: tuple[Rule, ...]

    @property
    def thresholds(self) -> tuple[Threshold, ...]:
        """One for each distinct numeric bound."""
        signs = {"min": "≥", "above": ">", "max": "≤", "below": "<"}
        bounds = {(name, value) for rule in self.rules for name, value in rule.bound if name in SIDES}
        return tuple(
            Threshold(float(value), SIDES[name], f"keep {signs[name]} {value:g}", name in ("above", "below"))  # type: ignore[arg-type]
            for name, value in sorted(bounds, key=lambda bound: (bound[1], bound[0]))
        )


@dataclass(frozen=True)
class Edges:
    """values: ascending. closed: which bin a value on an edge belongs to. log: even in the logarithm."""

    values: np.ndarray
    closed: Literal["left", "right"]
    log: bool


def histograms(parts: Sequence[Path], wanted: Sequence[Wanted]) -> list[Histogram]:
    """One histogram for each wanted signal that the parts hold as numbers, in the order wanted."""
    names = _numeric(parts)
    wanted = [one for one in wanted if one.signal in names and one.thresholds]
    edges = _look(parts, wanted, names)
    counts = [np.zeros(len(edge.values) + 1, np.int64) for edge in edges]
    failing, unknown = np.zeros(len(wanted), np.int64), np.zeros(len(wanted), np.int64)
    for batch in _batches(parts, wanted):
        for number, (one, edge) in enumerate(zip(wanted, edges, strict=True)):
            column = _column(batch, one)
            unknown[number] += column.null_count
            bad = np.zeros(len(column), bool)
            for rule in one.rules:
                bad |= rule.fails(column)
            failing[number] += int(bad.sum())
            counts[number] += _count(_numbers(column), edge)
    return [
        Histogram(
            title=one.signal,
            edges=tuple(float(f"{value:.12g}") for value in edge.values),
            counts=tuple(int(n) for n in count[1:-1]),
            thresholds=one.thresholds,
            below=int(count[0]),
            above=int(count[-1]),
            unknown=int(unknown[number]),
            failing=int(failing[number]),
            log=edge.log,
            note=f"Only {', '.join(one.domains)}." if one.domains else "",
        )
        for number, (one, edge, count) in enumerate(zip(wanted, edges, counts, strict=True))
    ]


def choose_edges(values: np.ndarray, thresholds: Sequence[Threshold], whole: bool) -> Edges:
    """Edges of about 44 bins over the middle 99 % of values and all bounds.

    values: float64, finite. whole: they are whole numbers, so no bin is narrower than 1.
    """
    bounds = [bound.value for bound in thresholds]
    values = values if len(values) else np.array(bounds)
    low, high = np.percentile(values, (0.5, 99.5))
    low, high = min(low, *bounds), max(high, *bounds)
    dropped = values[values > max(bounds)] if any(bound.side == "max" for bound in thresholds) else values[:0]
    if len(dropped):  # they are what one looks for: shown, unless they would squeeze the rest into a corner
        high = max(high, min(float(np.percentile(dropped, 95)), max(bounds) + 3 * abs(max(bounds) - low)))
    median = float(np.median(values))
    log = bool(whole and low >= 1 and (high > 12 * median or high > 300 * low))
    if log:
        low, high, bounds = np.log10(low), np.log10(high), [float(np.log10(bound)) for bound in bounds]
    margin = 0.06 * (high - low) or 0.5
    low = 0.0 if not log and low >= 0 and low <= 0.3 * high else low - margin
    high += margin
    width = (high - low) / BINS
    if whole and not log:
        width = max(1.0, float(round(width)))
    closed = thresholds[0].closed
    # a bar of one whole number stands around it, so the bound's edge lies halfway to what is dropped
    edge = bounds[0] + (0.5 if closed == "left" else -0.5) * (whole and not log and width == 1)
    left = max(int(np.ceil((edge - low) / width - 1e-9)), 0)
    if low == 0 and left > 2 and not whole:  # zero is often the tallest bar: give it a whole one
        width = edge / left
    right = max(int(np.ceil((high - edge) / width)), 1)
    grid = edge + width * np.arange(-left, right + 1)
    if low == 0 and not log and edge == bounds[0] and grid[0] < 0 < grid[1]:
        grid[0] = 0.0
    return Edges(10.0**grid if log else grid, closed, log)


def _open(path: Path) -> pa.Table:
    return pa.ipc.open_file(pa.memory_map(str(path))).read_all()


def _numeric(parts: Sequence[Path]) -> dict[str, bool]:
    """Numeric columns, and whether they hold whole numbers."""
    if not parts:
        return {}
    fields = pa.ipc.open_file(pa.memory_map(str(parts[0]))).schema
    return {
        field.name: pa.types.is_integer(field.type)
        for field in fields
        if pa.types.is_integer(field.type) or pa.types.is_floating(field.type)
    }


def _batches(parts: Sequence[Path], wanted: Sequence[Wanted]) -> Iterator[pa.RecordBatch]:
    columns = sorted({one.signal for one in wanted} | {"domain"})
    for path in parts:
        yield from _open(path).select(columns).to_batches(max_chunksize=1 << 17)


def _column(batch: pa.RecordBatch, one: Wanted) -> pa.Array:
    column = batch[one.signal]
    if one.domains is None:
        return column
    domain = batch["domain"]
    return column.filter(pc.is_in(domain.cast(pa.string()), pa.array(one.domains)))


def _numbers(column: pa.Array) -> np.ndarray:
    return column.drop_null().to_numpy(zero_copy_only=False).astype(np.float64, copy=False)


def _look(parts: Sequence[Path], wanted: Sequence[Wanted], names: dict[str, bool]) -> list[Edges]:
    rows = sum(_open(path).num_rows for path in parts)
    step, seen = max(1, rows // LOOKED_AT), [[np.zeros(0)] for _ in wanted]
    for batch in _batches(parts, wanted):
        for values, one in zip(seen, wanted, strict=True):
            column = _column(batch, one)
            values.append(_numbers(column.take(pa.array(np.arange(0, len(column), step)))))
    joined = [np.concatenate(values) for values in seen]
    return [
        choose_edges(values[np.isfinite(values)], one.thresholds, names[one.signal])
        for values, one in zip(joined, wanted, strict=True)
    ]


def _count(values: np.ndarray, edges: Edges) -> np.ndarray:
    """int64 [bins + 2]: below the first edge, the bins, above the last. The outer edges belong to the outer bins."""
    grid, last = edges.values, len(edges.values) - 1
    bins = np.searchsorted(grid, values, side=edges.closed)
    bins[(bins == 0) & (values >= grid[0])] = 1
    bins[(bins == last + 1) & (values <= grid[last])] = last
    return np.bincount(bins, minlength=last + 2)
