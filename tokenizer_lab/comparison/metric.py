"""What a metric is: one file in tokenizer_lab/metrics/, found by its name.

A metric module has
    TITLE     what the report calls it
    FORMULA   how it is computed, in one line
    TRAP      how it misleads, in one or two sentences
    MATERIAL  what ``measure`` is given:
        text        an Encoded of each corpus
        gold        an Encoded of each corpus with gold units
        pair        two Encoded of texts that say the same, document by document
        tokenizer   the Tokenizer alone
    measure   -> list of figures; a figure is a Ratio, a Resampled or a Single

Legend: N documents, D draws.
"""

import importlib
import pkgutil
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, Protocol, TypeAlias, cast

import numpy as np

import tokenizer_lab.metrics
from jacorpus.report.numbers import Cell, Interval, Unit
from tokenizer_lab.comparison.bootstrap import Resampling, interval

Material: TypeAlias = Literal["text", "gold", "pair", "tokenizer"]


@dataclass(frozen=True)
class Ratio:
    """A pooled figure: the sum of ``over`` through the sum of ``under``, float64 [N] each; never a mean of ratios."""

    title: str
    over: np.ndarray
    under: np.ndarray
    unit: Unit = "number"


@dataclass(frozen=True)
class Resampled:
    """A figure that is no ratio of sums, with its value in each draw, float64 [D]."""

    title: str
    value: float
    draws: np.ndarray
    unit: Unit = "number"


@dataclass(frozen=True)
class Single:
    """A figure that no resampling applies to. None: it can't be told."""

    title: str
    value: float | int | str | None
    unit: Unit = "number"


Figure: TypeAlias = Ratio | Resampled | Single


class Metric(Protocol):
    """A module of tokenizer_lab/metrics."""

    TITLE: str
    FORMULA: str
    TRAP: str
    MATERIAL: Material

    def measure(self, *material: Any) -> list[Figure]: ...


@cache
def metrics() -> dict[str, Metric]:
    """Every metric by the name of its file, sorted."""
    names = sorted(info.name for info in pkgutil.iter_modules(tokenizer_lab.metrics.__path__))
    return {name: cast(Metric, importlib.import_module(f"tokenizer_lab.metrics.{name}")) for name in names}


def pooled(figure: Figure) -> float | None:
    """The figure over all documents; None where nothing stands below the line."""
    if not isinstance(figure, Ratio):
        return figure.value if isinstance(figure.value, int | float) else None
    under = float(figure.under.sum())
    return float(figure.over.sum()) / under if under else None


def draws_of(figure: Figure, resampling: Resampling) -> np.ndarray | None:
    """float64 [D]: the figure in each draw; None for a Single."""
    if isinstance(figure, Single):
        return None
    return figure.draws if isinstance(figure, Resampled) else resampling.ratios(figure.over, figure.under)


def cell(figure: Figure, resampling: Resampling) -> Cell:
    """The figure with its interval, as a table's cell."""
    if isinstance(figure, Single):
        return figure.value
    value, draws = pooled(figure), draws_of(figure, resampling)
    if value is None or draws is None:
        return None
    return interval(value, draws)


def number(value: Cell) -> float | None:
    """The plain number of a cell."""
    if isinstance(value, Interval):
        return value.value
    return float(value) if isinstance(value, int | float) else None
