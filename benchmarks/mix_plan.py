"""``jacorpus mix plan``: refit of Hoffmann's points, budget planner beside other solvers, published examples, time.

    python -m benchmarks.mix_plan --points svg_extracted_data.csv --cvxpy .venv-peers/bin/python

points: the 245 points that arXiv 2404.10102 read off Hoffmann's figure, data/svg_extracted_data.csv of
epoch-research/analyzing-chinchilla (9225883); they have no license and are not shipped. cvxpy: an interpreter that has
it; without, the planner is compared with brute force alone.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.record import ROOT, save
from mixing.budget import Budget, epoch_bounds, spend
from mixing.limits import Bound, Limits
from mixing.repeats import R_STAR, effective
from mixing.scaling import LAWS, chosen, constrained_loss, draws, law_named

Row = dict[str, Any]
LAW = law_named("besiroglu")
INSTANCES = 60
JACORPUS = [sys.executable, "-m", "cli.main"]
PUBLISHED = {"E": 0.02566, "A": 124.52, "B": 1293.28, "a": 0.0154, "b": 0.0206}


def row(
    what: str, bar: str, ours: object, rival: str | None = None, theirs: object = None, met: bool | None = None
) -> Row:
    """As the table of results takes it."""
    return {"what": what, "bar": bar, "ours": ours, "rival": rival, "theirs": theirs, "ratio": None, "met": met}


def refit_rows(path: Path, grid: bool) -> list[Row]:
    """The fit without the five largest losses and with them, and its bootstrap."""
    from mixing.refit import bootstrap, fit, objective, read_points

    points = read_points(path)
    kept = points.without_largest(5)
    fit(kept)
    started = time.process_time()
    found = fit(kept)
    seconds = time.process_time() - started
    law = found.law
    shown = f"E {law.E:.4f}, A {law.A:.2f}, B {law.B:.2f}, a {law.a:.4f}, b {law.b:.4f}"
    rows = [
        row(
            f"refit, {len(kept)} points: objective ({shown})",
            "<= .0010183",
            round(found.objective, 9),
            "published constants (arXiv 2404.10102)",
            round(objective(LAW, kept), 9),
            found.objective <= 0.0010183,
        ),
        row(f"refit: {found.starts} polished starts that agree", "reported", found.agreed),
        row("refit: CPU s", "reported", round(seconds, 3)),
    ]
    if grid:
        value, seconds = hoffmann_grid(kept)
        rows[0] |= {"rival": "L-BFGS from Hoffmann's grid of 4,500", "theirs": round(value, 9)}
        rows[2] |= {"rival": rows[0]["rival"], "theirs": round(seconds, 1)}
    whole = fit(points).law
    rows.append(row(f"refit, all {len(points)} points", "B 12846, b .453", f"B {whole.B:.0f}, b {whole.b:.3f}"))
    drawn = bootstrap(kept, found, 4000)
    errors = {name: float(np.std(getattr(drawn, name), ddof=1)) for name in PUBLISHED}
    for name, published in PUBLISHED.items():
        met = abs(errors[name] / published - 1) <= 0.05
        rows.append(
            row(f"bootstrap of 4,000: error of {name}", "within 5 %", errors[name], "published", published, met)
        )
    rows[-1]["correlation"] = correlation(drawn).tolist()
    rows[-1]["spread"] = spread(drawn).tolist()
    return rows


def _basis(drawn: Any) -> np.ndarray:
    """[5, draws]: the numbers whose correlation mixing/scaling.py keeps."""
    A, B = np.log(drawn.A) - drawn.a * np.log(2e7), np.log(drawn.B) - drawn.b * np.log(7.5e8)
    return np.stack([A, B, np.log(drawn.E), drawn.a, drawn.b])


def correlation(drawn: Any) -> np.ndarray:
    """[5, 5], three places."""
    return np.corrcoef(_basis(drawn)).round(3)


def spread(drawn: Any) -> np.ndarray:
    """[5]: standard deviations."""
    return _basis(drawn).std(axis=1, ddof=1).round(5)


def hoffmann_grid(points: Any) -> tuple[float, float]:
    """(least objective, CPU s) of 4,500 runs of L-BFGS-B with the library's own tolerance and gradient."""
    from itertools import product

    from scipy.optimize import minimize

    x, z, y = np.log(points.parameters), np.log(points.tokens), np.log(points.losses)

    def value(theta: np.ndarray) -> float:
        a, b, e, alpha, beta = theta
        error = np.abs(y - np.log(np.exp(a - alpha * x) + np.exp(b - beta * z) + np.exp(e)))
        return float(np.where(error <= 1e-3, error**2 / 2, 1e-3 * (error - 5e-4)).sum())

    best, started = np.inf, time.process_time()
    steps = (range(0, 30, 5), range(0, 30, 5), np.arange(-1, 1.5, 0.5), np.arange(0, 2.5, 0.5), np.arange(0, 2.5, 0.5))
    with np.errstate(all="ignore"):
        for start in product(*steps):
            end = minimize(value, np.array(start, float), method="L-BFGS-B")
            best = min(best, float(end.fun)) if np.isfinite(end.fun) else best
    return best, time.process_time() - started


def instance(seed: int) -> Budget:
    """Random sources, pools, qualities and limits around a mixture that keeps them all."""
    draw = np.random.default_rng(seed)
    k = int(draw.integers(2, 13))
    names = tuple(f"s{i:02}" for i in range(k))
    unique, tokens = np.exp(draw.uniform(np.log(1e8), np.log(3e12), k)), float(np.exp(draw.uniform(23, 30)))
    J = int(draw.integers(1, min(k, 4) + 1))
    pools, inside, bounds = tuple(f"l{i % J}" for i in range(k)), draw.dirichlet(np.ones(k)), []
    if draw.random() < 0.6:
        bounds += epoch_bounds(names, unique, tokens, np.maximum(draw.choice([1, 2, 4], k), inside * tokens / unique))
    for number, members in enumerate(
        [*(np.array([i % J == j for i in range(k)]) for j in range(J)), draw.random(k) < 0.5]
    ):
        if draw.random() < 0.6 and members.any():
            total, room = inside[members].sum(), draw.choice([0, 0.02, 0.2])
            bounds.append(Bound(f"group {number}", members, min(1, max(0, total - room)), min(1, total + room)))
    for i in range(k):
        if draw.random() < 0.2:
            bounds.append(Bound(names[i], np.arange(k) == i, inside[i] / 2, min(1, inside[i] * 1.5)))
    importance = {f"l{j}": float(draw.uniform(0.1, 1)) for j in range(J)}
    quality = draw.uniform(0.3, 1.5, k) if draw.random() < 0.5 else None
    return Budget(names, unique, pools, tokens, LAW, Limits(names, tuple(bounds)), importance, quality)


def three_sources(seed: int) -> Budget:
    """Two Japanese sources and an English one, caps, and Japanese within bounds: all with room for a grid."""
    draw = np.random.default_rng(1000 + seed)
    names, inside = ("a", "b", "c"), draw.dirichlet(np.ones(3) * 3)
    unique, tokens = np.exp(draw.uniform(np.log(1e9), np.log(3e12), 3)), float(np.exp(draw.uniform(25, 30)))
    bounds = epoch_bounds(names, unique, tokens, np.maximum(draw.choice([1, 4], 3), 1.5 * inside * tokens / unique))
    total = inside[:2].sum()
    bounds.append(Bound("ja", np.array([True, True, False]), max(0.0, total - 0.1), min(1.0, total + 0.05)))
    share = float(draw.uniform(0.1, 0.9))
    pools, importance = ("ja", "ja", "en"), {"ja": share, "en": 1 - share}
    return Budget(
        names, unique, pools, tokens, LAW, Limits(names, tuple(bounds)), importance, draw.uniform(0.5, 1.5, 3)
    )


def planner_rows(python: str | None) -> list[Row]:
    """Ours on every instance: proven gap, time; cvxpy's answers; a grid where there are three sources."""
    budgets = [instance(seed) for seed in range(INSTANCES)]
    spend(budgets[0])
    started = time.process_time()
    answers = [spend(budget) for budget in budgets]
    each = (time.process_time() - started) / len(budgets)
    gap = max(answer.gap / answer.value for answer in answers)
    broken = max(b.limits.violation(a.shares) for a, b in zip(answers, budgets, strict=True))
    rows = [
        row(f"planner, {INSTANCES} instances: proven gap at most, relative", "<= 1e-4", gap, met=gap <= 1e-4),
        row("planner: limits missed by at most", "<= 1e-6", broken, met=broken <= 1e-6),
        row("planner: CPU ms an instance", "reported", round(each * 1e3, 1)),
    ]
    three = [three_sources(seed) for seed in range(20)]
    worst = max(abs(brute(budget) / spend(budget).value - 1) for budget in three)
    what = f"planner, {len(three)} instances of three sources: off by at most, relative"
    rows.append(row(what, "<= 1e-4", worst, "brute force (grid)", None, worst <= 1e-4))
    if python:
        content = json.dumps([_plain(budget) for budget in budgets])
        command = [python, "-W", "ignore", "-m", "benchmarks.mix_plan", "--rival"]
        done = subprocess.run(command, input=content, capture_output=True, text=True, cwd=ROOT, check=True)
        answer = json.loads(done.stdout)
        solved = [(a.value, v) for a, v in zip(answers, answer["values"], strict=True) if v is not None]
        worst = max(abs(mine / theirs - 1) for mine, theirs in solved)
        name = f"cvxpy {answer['version']}, Clarabel"
        what = f"planner, {len(solved)} instances it solved: off by at most, relative"
        rows.append(
            {**row(what, "<= 1e-4", worst, name, None, worst <= 1e-4), "versions": {"cvxpy": answer["version"]}}
        )
        rows[2] |= {"rival": name, "theirs": round(answer["ms"], 1)}
    return rows


def brute(budget: Budget) -> float:
    """The least value on a grid of the simplex of three, made finer around its best."""
    best, center, width = np.inf, np.full(3, 1 / 3), 1.0
    limits = budget.limits
    for _ in range(6):
        axis = np.linspace(-width, width, 301)
        a, b = (grid.ravel() for grid in np.meshgrid(center[0] + axis, center[1] + axis))
        points = np.stack([a, b, 1 - a - b], 1)
        totals = points @ limits.matrix.T
        within = (points >= limits.lower - 1e-6).all(1) & (points <= limits.upper + 1e-6).all(1)
        within &= ((totals >= limits.spans[:, 0] - 1e-6) & (totals <= limits.spans[:, 1] + 1e-6)).all(1)
        points = np.maximum(points[within], 0)
        if len(points):
            have = (budget.worth * effective(budget.tokens * points, budget.unique)) @ budget.members.T
            with np.errstate(divide="ignore"):
                values = LAW.data_term(have) @ budget.weights
            best, center = min((best, tuple(center)), (values.min(), tuple(points[values.argmin()])))
            center = np.array(center)
        width /= 8
    return float(best)


def _plain(budget: Budget) -> dict[str, Any]:
    limits = budget.limits
    arrays = {"unique": budget.unique, "members": budget.members, "weights": budget.weights, "worth": budget.worth}
    arrays |= {"lower": limits.lower, "upper": limits.upper, "matrix": limits.matrix, "spans": limits.spans}
    return {"tokens": budget.tokens, **{name: array.tolist() for name, array in arrays.items()}}


def rival() -> None:
    """Standard input's instances by cvxpy; an interpreter of its own runs this."""
    import cvxpy as cp

    values, started = [], time.process_time()
    problems = json.loads(sys.stdin.read())
    for problem in problems:
        one = {name: np.array(value) for name, value in problem.items()}
        k, room = len(one["unique"]), one["unique"] / one["tokens"]
        x, first, more = cp.Variable(k), cp.Variable(k, nonneg=True), cp.Variable(k, nonneg=True)
        worth = first + cp.multiply(room * R_STAR, 1 - cp.exp(-cp.multiply(more, 1 / (room * R_STAR))))
        rules = [cp.sum(x) == 1, x >= one["lower"], x <= one["upper"], first + more == x, first <= room]
        for line, (low, high) in zip(one["matrix"].reshape(-1, k), one["spans"].reshape(-1, 2), strict=True):
            rules += [line @ x >= low, line @ x <= high]
        value = one["weights"] @ cp.power(one["members"] @ cp.multiply(one["worth"], worth), -LAW.b)
        task = cp.Problem(cp.Minimize(value), rules)
        try:
            task.solve(solver="CLARABEL")
            values.append(float(task.value) * LAW.B * float(one["tokens"]) ** -LAW.b)
        except (cp.error.SolverError, TypeError):
            values.append(None)
    ms = (time.process_time() - started) * 1e3 / len(problems)
    print(json.dumps({"values": values, "version": cp.__version__, "ms": ms}))


def published_rows() -> list[Row]:
    """Examples and tables of the papers."""
    law = law_named("muennighoff")
    cases = (((6.34e9, 242e9, 25e9), 2.2256440889984477), ((8.67e9, 178e9, 25e9), 2.2269634075087867))
    off = max(abs(constrained_loss(law, *case) - value) for case, value in cases)
    rows = [row("datablations' two examples: off by at most", "<= 1e-12", off, met=off <= 1e-12)]
    table = {4e8: 2.21e19, 1e9: 1.62e20, 1e10: 2.46e22, 67e9: 1.71e24, 175e9: 1.26e25, 280e9: 3.52e25, 520e9: 1.36e26}
    table |= {1e12: 5.65e26, 1e13: 8.55e28}
    for name in ("hoffmann-tex", "hoffmann-printed"):
        ratios = [6 * n * law_named(name).tokens_for(n) / c - 1 for n, c in table.items()]
        rows.append(row(f"Hoffmann Table A3, {name}", "known", f"{min(ratios):+.0%} to {max(ratios):+.0%}"))
    drawn = draws(LAW, 4000)
    for size in (6.74e9, 13e9, 34e9, 69e9):
        saved = " / ".join(f"{chosen(one, size, 2e12).saved:.0%}" for one in (LAWS[1], LAW))
        assert drawn is not None
        low, high = np.percentile(chosen(drawn, size, 2e12).saved, [2.5, 97.5])
        what = f"Llama 2 {size / 1e9:g}B on 2.0T: saved by an optimal split, TeX / Besiroglu"
        rows.append(row(what, "reported", f"{saved} (95 %: {low:.0%} to {high:.0%})"))
    return rows


def time_rows() -> list[Row]:
    """Wall seconds of processes, the best of seven, in turns."""
    plan = [*JACORPUS, "mix", "plan", "--gpus", "64", "--days", "30", "--share", "ja=0.5"]
    commands = {"help": [*JACORPUS, "--help"], "plan": plan, "plan --best --max-epochs 4": [*plan, "--best"]}
    commands["plan --best --max-epochs 4"] += ["--max-epochs", "4"]
    best = dict.fromkeys(commands, np.inf)
    for _ in range(7):
        for name, command in commands.items():
            started = time.perf_counter()
            subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
            best[name] = min(best[name], time.perf_counter() - started)
    return [
        row(
            f"mix {name}: wall s beyond `jacorpus --help`",
            "< 1 s",
            round(s - best["help"], 3),
            met=s - best["help"] < 1,
        )
        for name, s in best.items()
        if name != "help"
    ]


def main(points: Path | None, python: str | None, grid: bool) -> None:
    """Run and save."""
    rows = (refit_rows(points, grid) if points else []) + planner_rows(python) + published_rows() + time_rows()
    for each in rows:
        print(json.dumps(each))
    print(save("mix_plan", rows, ("numpy", "scipy")))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--points", type=Path)
    parser.add_argument("--cvxpy", metavar="PYTHON")
    parser.add_argument("--grid", action="store_true", help="also run L-BFGS from Hoffmann's 4,500 starts")
    parser.add_argument("--rival", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    rival() if given.rival else main(given.points, given.cvxpy, given.grid)
