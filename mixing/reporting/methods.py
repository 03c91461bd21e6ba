"""Methods side by side, how they came to their weights, and how their repetitions differ."""

import math
from collections.abc import Callable, Sequence

import numpy as np

from jacorpus.report.numbers import Interval
from jacorpus.report.report import Block, Curve, Paragraph, Table, Views
from mixing.intervals import clear, paired
from mixing.optimize import Result, Row
from mixing.reporting import cells
from mixing.reporting.cells import loss_text, part_of, table

EACH = 8
"""Up to so many repetitions each has a column; more are told by their quantiles."""


def blocks(result: Result) -> list[Block]:
    """Losses and gains, weights, losses by held-out set."""
    return [Paragraph(_words(result)), _overview(result), _by_domain(result), _kinds(result), *_losses(result)]


def _words(result: Result) -> str:
    over = "the loss on the target" if cells.plain(result) else "the objective (target and other wishes)"
    text = (
        f"How much lower {over} is with the answer than with each method, as a share of it. The intervals are of draws "
        f"of held-out text, the same for all methods; where one holds 0 there is no significant difference."
    )
    if not len(result.chosen.judged):
        return text
    count = len(result.chosen.judged)
    told = "one seed, so without intervals" if count == 1 else f"{count} seeds, paired"
    return f"{text} Measured: tiny models trained on each mixture, {told}."


def _overview(result: Result) -> Table:
    """What each method's mixture loses, predicted and measured; one row a method."""
    judged, plain = len(result.chosen.judged) > 0, cells.plain(result)
    columns: list = [("method", "text"), ("predicted loss", "number"), *([] if plain else [("objective", "number")])]
    columns += [("the answer is lower by", "share"), ("predicted", "text")]
    columns += [("measured loss", "number"), ("lower by", "share"), ("measured", "text")] if judged else []
    rows = []
    for title, row in zip(cells.titled(result), result.rows, strict=True):
        same = float(np.abs(row.weights - result.chosen.weights).sum()) < cells.SAME
        line: list = [title, loss_text(row.wanted), *([] if plain else [loss_text(row.value)])]
        line += [part_of(row.better, row.value), verdict(row.better, same)]
        if judged:
            measured = _measured(result, row)
            line += [measured, part_of(row.gain, measured.value), verdict(row.gain, same)]
        rows.append(line)
    return table("Losses of the methods", columns, rows, "Bits per byte of held-out text.")


def _kinds(result: Result) -> Table:
    """What kind of mixture each is: how even, how often it repeats, whether it kept the limits itself."""
    problem, moved = result.problem, any(row.moved > cells.SAME for row in result.rows)
    broken = any(broken_by(result, row) for row in result.rows)
    columns: list = [("method", "text"), ("largest weight", "share"), ("entropy, nats", "number")]
    columns += [("L1 to the answer", "number")]
    columns += [("most epochs", "number")] if problem.tokens else []
    columns += [("L1 into the limits", "number")] if moved else []
    columns += [("breaks", "text")] if broken else []
    rows = []
    for title, row in zip(cells.titled(result), result.rows, strict=True):
        apart = float(np.abs(row.weights - result.chosen.weights).sum())
        line = [title, row.weights.max(), f"{entropy(row.weights):.2f}", f"{apart:.2f}"]
        line += [f"{problem.epochs(row.weights).max():.1f}"] if problem.tokens else []
        line += [f"{row.moved:.2f}"] if moved else []
        line += [", ".join(broken_by(result, row))] if broken else []
        rows.append(line)
    note = "L1: the sum of all differences of weights, 2 at most."
    if moved:
        note += " A mixture outside the limits was moved to the nearest within, by so much."
    return table("Kinds of mixtures", columns, rows, note)


def broken_by(result: Result, row: Row) -> list[str]:
    """Losses to keep that a row's mixture doesn't keep."""
    return [f"keep.{word}" for (word, *_), over in zip(result.problem.keep, row.over, strict=True) if over > 1e-6]


def verdict(gain: Interval | None, same: bool) -> str:
    """Of a gain of the answer over a method."""
    if gain is None:
        return ""
    if same:
        return "the same mixture"
    if not (math.isfinite(gain.low) and math.isfinite(gain.high)):
        return "not known from one seed"
    if not clear(gain):
        return "no significant difference"
    return "answer better" if gain.value > 0 else "answer worse"


def _measured(result: Result, row: Row) -> Interval:
    target = result.problem.weight_of(result.problem.sets)
    return paired(row.judged @ target)


def entropy(weights: np.ndarray) -> float:
    """Nats: 0 for one domain alone, log k for k even ones."""
    some = weights[weights > 0]
    return abs(-math.fsum(some * np.log(some)))


def _by_domain(result: Result) -> Table:
    names = result.problem.domains.names
    columns = [("domain", "text"), *((title, "share") for title in cells.titled(result))]
    rows = [[names[i], *(row.weights[i] for row in result.rows)] for i in cells.used(result)]
    return table("Weights of the methods", columns, rows)  # type: ignore[arg-type]


def _losses(result: Result) -> list[Block]:
    """By held-out set: predicted, and measured where it was."""
    predicted = np.array([row.losses for row in result.rows])
    views: list[tuple[str, Block]] = [("predicted", _by_set(result, result.sets, predicted, "predicted"))]
    if len(result.chosen.judged):
        measured = np.array([row.judged.mean(0) for row in result.rows])
        views.append(("measured", _by_set(result, result.problem.sets, measured, "measured by tiny models")))
    return [Views(tuple(views))] if len(views) > 1 else [views[0][1]]


def _by_set(result: Result, sets: Sequence[str], losses: np.ndarray, how: str) -> Table:
    """losses [rows, J]."""
    target = result.problem.weight_of(tuple(sets))
    columns = [("held-out set", "text"), ("part of the target", "share")]
    columns += [(title, "number") for title in cells.titled(result)] + [("lowest with", "text")]
    rows = []
    for j, name in enumerate(sets):
        least = losses[:, j].min()
        best = [row.name for row, loss in zip(result.rows, losses[:, j], strict=True) if loss <= least + 1e-6]
        rows.append([name, target[j] or None, *map(loss_text, losses[:, j]), ", ".join(best)])
    return table(f"Bits per byte by held-out set, {how}", columns, rows)  # type: ignore[arg-type]


def way(result: Result) -> list[Block]:
    """Weights on the way and repetitions, of methods that have them; tabs where several do."""
    found: list[Block] = []
    for draw in (_trajectory, _repetitions):
        views = _views(result, draw)
        found += [views[0][1]] if len(views) == 1 else [Views(tuple(views))] if views else []
    return found


def _views(result: Result, draw: Callable[[Result, Row], Block | None]) -> list[tuple[str, Block]]:
    made = ((row.name, draw(result, row)) for row in result.rows)
    return [(name, block) for name, block in made if block is not None]


def _trajectory(result: Result, row: Row) -> Curve | None:
    steps = row.answer.trajectory
    if steps is None or len(steps) < 2:
        return None
    steps = np.asarray(steps, float)
    if not np.all(np.isfinite(steps)) or float(np.abs(steps - steps[0]).sum(1).max()) < 1e-3:
        return None
    return cells.curve(f"Weights on the way, {row.name}", "step", steps, result)


def _repetitions(result: Result, row: Row) -> Table | None:
    draws = cells.repeated(result, row)
    if len(draws) < 2:
        return None
    names, what = result.problem.domains.names, cells.repetitions(result, len(draws))
    columns: list = [("domain", "text"), ("weight", "share")]
    if len(draws) <= EACH:
        columns += [(f"{number}", "share") for number in range(1, len(draws) + 1)]
    else:
        columns += [(title, "share") for title in ("least", "2.5 %", "median", "97.5 %", "most")]
    quantiles = np.quantile(draws, [0, 0.025, 0.5, 0.975, 1], axis=0)
    shown = draws if len(draws) <= EACH else quantiles
    rows = [[names[i], row.weights[i], *shown[:, i]] for i in cells.used(result)]
    note = f"Single mixtures lie up to L1 {row.spread:.2g} from their mean."
    return table(f"{len(draws)} {what}, {row.name}", columns, rows, note)
