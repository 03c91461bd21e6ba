"""From a problem to an answer with everything that tells how far to trust it.

    method and baselines  -> weights, within the limits
    surrogate             -> each one's predicted loss; on bootstrap draws, whether differences are more than noise
    judge (asked for)     -> tiny models trained on each, some seeds: the same, measured
    objective             -> mixtures as good as the best, what each active limit costs, what one target costs another

Nothing here is random but by the problem's seed: the same input gives the same numbers, after any interruption.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from jacorpus.errors import RecipeError
from jacorpus.report.numbers import Interval
from mixing.evidence import Evidence
from mixing.intervals import clear, interval_of, paired, student
from mixing.landscape import Effect, Front, Range, effects, epsilon_ranges, fronts
from mixing.method import Answer, method_named
from mixing.objective import Objective
from mixing.problem import Problem
from mixing.settings import BASELINES, MixingSettings, deciding
from mixing.solve import GAP

SPREAD = 0.2
"""L1 distance between seeds' mixtures above which they disagree."""

SAME = 1e-6
"""L1 distance below which two mixtures are one."""


@dataclass(frozen=True, eq=False)
class Row:
    """One method's mixture and what is known of it.

    weights [k] within the limits; moved: L1 distance to what the method answered. losses [J]: predicted; wanted: the
    target's; value: F, all wishes; over [C]: by how much losses to keep exceed their caps. better: the chosen method's
    predicted gain over it in F with an interval, from draws of held-out documents. judged [R, J]: of tiny models, by
    seed, empty if none were asked for; gain: on the target, measured so.
    """

    name: str
    answer: Answer
    weights: np.ndarray
    moved: float
    intervals: tuple[Interval, ...]
    spread: float
    losses: np.ndarray
    wanted: float
    value: float
    better: Interval | None
    judged: np.ndarray
    gain: Interval | None
    over: np.ndarray


@dataclass(frozen=True, eq=False)
class Result:
    """All of it; ``rows[0]`` is the answer."""

    problem: Problem
    settings: MixingSettings
    sets: tuple[str, ...]
    rows: tuple[Row, ...]
    ranges: tuple[Range, ...]
    effects: tuple[Effect, ...]
    fronts: tuple[Front, ...]
    agreement: Mapping[str, float]
    warnings: tuple[str, ...]
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def chosen(self) -> Row:
        """The answer."""
        return self.rows[0]

    @property
    def weights(self) -> dict[str, float]:
        """The answer by name, weights above 0."""
        return {name: weight for name, weight in self.problem.domains.named(self.chosen.weights).items() if weight > 0}


def optimize(problem: Problem, settings: MixingSettings, evidence: Evidence) -> Result:
    """Ask the method, the methods to compare and the baselines; judge; look around the answer.

    Raises RecipeError for what a method can't do, InputError for what isn't there.
    """
    names = _names(settings)
    asked = [_asked(name, problem, settings, evidence) for name in names]
    objective = Objective.of(problem, evidence.surrogate(problem))
    weights = [_settled(problem.within(answer.weights)) for answer in asked]
    losses = [objective.losses(each) for each in weights]
    gains = _predicted_gains(objective, weights, [answer.replicates for answer in asked])
    judged = _judged(problem, settings, evidence, names, weights)
    sets = objective.surrogate.sets
    rows = []
    for i, (name, answer) in enumerate(zip(names, asked, strict=True)):
        measured = None
        if i and len(judged[i]):
            target = problem.weight_of(problem.sets)
            measured = paired((judged[i] - judged[0]) @ target)
        replicates = np.array([problem.within(each) for each in answer.replicates]).reshape(-1, len(problem.domains))
        rows.append(
            Row(
                name=name,
                answer=answer,
                weights=weights[i],
                moved=float(np.abs(weights[i] - answer.weights).sum()),
                intervals=interval_of(weights[i], replicates),
                spread=_spread(replicates),
                losses=losses[i],
                wanted=objective.wanted(losses[i]),
                value=objective.value(weights[i], losses[i]),
                better=gains[i] if i else None,
                judged=judged[i],
                gain=measured,
                over=objective.over(losses[i]),
            )
        )
    evidence.tell("looking around the answer", 0, 1)
    ranges = epsilon_ranges(objective, weights[0], evidence.tell)
    found = Result(
        problem=problem,
        settings=settings,
        sets=sets,
        rows=tuple(rows),
        ranges=ranges,
        effects=effects(objective, weights[0]),
        fronts=fronts(objective, weights[0]),
        agreement=_agreement(problem, sets, rows),
        warnings=(),
        facts=_rests_on(problem, settings, objective),
    )
    return replace(found, warnings=warnings_of(found))


def _settled(weights: np.ndarray) -> np.ndarray:
    """Without dust: a weight of a billionth is none."""
    clean = np.where(weights < 1e-9, 0.0, weights)
    return clean / math.fsum(clean)


def _names(settings: MixingSettings) -> list[str]:
    chosen = "fixed" if settings.weights else settings.method
    return list(dict.fromkeys([chosen, *settings.compare, *BASELINES]))


def _asked(name: str, problem: Problem, settings: MixingSettings, evidence: Evidence) -> Answer:
    chosen = name == ("fixed" if settings.weights else settings.method)
    options = dict(settings.options) if chosen else {}
    if settings.weights and chosen:
        options = {"mixture": dict(settings.weights)}
    method = method_named(name, options)
    if chosen and problem.given and not method.takes_target:
        raise RecipeError(
            f"[mixing] target is set and the method {name} can't follow one; leave the target out, or choose mixmin, "
            f"regmix, olmix or doge"
        )
    evidence.tell(name, 0, 1)
    asked = problem if method.takes_target else replace(problem, given=False)
    answer = method.weights(asked, evidence)
    evidence.tell(name, 1, 1)
    if not isinstance(answer, Answer):
        raise RecipeError(f"the method {name} gave {type(answer).__name__}; weights() has to give mixing.method.Answer")
    weights = _mixtures(f"the method {name} gave weights", answer.weights, problem.domains.names)
    draws = answer.replicates
    if len(draws):
        draws = _mixtures(f"the method {name} gave replicates", draws, problem.domains.names, ndim=2)
    return replace(answer, weights=weights, replicates=draws)


def _mixtures(what: str, table: Any, names: Sequence[str], ndim: int = 1) -> np.ndarray:
    """As float64 [k] or [R, k]. Raises RecipeError for what a method of one's own may get wrong."""
    try:
        found = np.asarray(table, float)
    except (TypeError, ValueError):
        found = np.zeros(0)
    good = found.ndim == ndim and found.shape[-1] == len(names) and np.all(np.isfinite(found))
    if good and found.min() >= -1e-12 and np.abs(found.sum(-1) - 1).max() <= 1e-6:
        return found
    raise RecipeError(
        f"{what} that are no mixture of {len(names)} domains: {table}; they must be finite, 0 or more, of sum 1, one a "
        f"domain in the order of sorted names: {', '.join(names)}"
    )


def _predicted_gains(
    objective: Objective, weights: Sequence[np.ndarray], replicates: Sequence[np.ndarray]
) -> list[Interval]:
    """How much lower the first one's F is than each one's, with an interval from draws of documents.

    A mixture that was fitted to these documents looks better on them than on others, the more so the more domains there
    are. By how much (its optimism, B. Efron, JASA 78, 1983) its replicates tell, which were fitted to the same draws
    and are measured on the documents themselves; the interval is wider by it. What the solver leaves open is no gain.
    """
    problem, table, optimism = objective.problem, [], np.zeros(len(weights))
    here = np.array([objective.value(each) for each in weights])
    count = max(problem.draws, 2)
    for draw in range(count):
        again = replace(objective, surrogate=objective.surrogate.resampled(problem.seed + draw))
        table.append([again.value(each) for each in weights])
        for i, fitted in enumerate(replicates):
            if len(fitted) == count:
                mine = problem.within(fitted[draw])
                optimism[i] += (objective.value(mine) - here[i] - again.value(mine) + table[-1][i]) / count
    drawn, optimism = np.array(table), np.maximum(optimism, 0.0)
    found = []
    for i, gain in enumerate(here - here[0]):
        half = student(count) * float((drawn[:, i] - drawn[:, 0]).std(ddof=1)) + GAP
        found.append(Interval(float(gain), float(gain - half - optimism[0]), float(gain + half + optimism[i])))
    return found


def _judged(
    problem: Problem, settings: MixingSettings, evidence: Evidence, names: Sequence[str], weights: Sequence[np.ndarray]
) -> list[np.ndarray]:
    """[R, J] of each mixture: tiny models of R seeds. Equal mixtures are trained once."""
    empty = np.zeros((0, len(problem.sets)))
    if not settings.judge:
        return [empty for _ in names]
    first, found = _first_alike(weights), {}
    done, whole = 0, settings.judge * len(set(first))
    for i in sorted(set(first)):
        mine = []
        for seed in range(problem.seed, problem.seed + settings.judge):
            evidence.tell("judging by tiny models", done, whole)
            mine.append(evidence.proxy_losses(problem, weights[i], seed))
            done += 1
        found[i] = np.array(mine)
    evidence.tell("judging by tiny models", done, whole)
    return [found[i] for i in first]


def _first_alike(weights: Sequence[np.ndarray]) -> list[int]:
    """Of each mixture the place of the first that is the same."""
    return [next(i for i, one in enumerate(weights) if float(np.abs(one - each).sum()) < SAME) for each in weights]


def _spread(replicates: np.ndarray) -> float:
    """Largest L1 distance of a replicate from their mean."""
    if len(replicates) < 2:
        return 0.0
    return float(np.abs(replicates - replicates.mean(0)).sum(1).max())


def _agreement(problem: Problem, sets: Sequence[str], rows: Sequence[Row]) -> dict[str, float]:
    """Rank correlation of predicted and measured losses over the mixtures, by held-out set; empty without a judge, and
    for fewer than four different ones."""
    rows = [rows[i] for i in sorted(set(_first_alike([row.weights for row in rows])))]
    if len(rows) < 4 or not len(rows[0].judged):
        return {}
    from scipy.stats import spearmanr

    predicted = np.array([row.losses for row in rows])
    measured = np.array([row.judged.mean(0) for row in rows])
    found = {}
    for j, name in enumerate(sets):
        if name in problem.sets:
            mine = measured[:, problem.sets.index(name)]
            if np.ptp(mine) > 0 and np.ptp(predicted[:, j]) > 0:
                found[name] = float(spearmanr(predicted[:, j], mine).statistic)
    told, is_so = predicted @ problem.weight_of(tuple(sets)), measured @ problem.weight_of(problem.sets)
    if np.ptp(told) > 0 and np.ptp(is_so) > 0:
        found["target"] = float(spearmanr(told, is_so).statistic)
    return found


def _rests_on(problem: Problem, settings: MixingSettings, objective: Objective) -> dict[str, Any]:
    """What the predicted losses were made from."""
    kind = "count tables" if settings.surrogate == "tables" else "a fit of a sweep"
    found: dict[str, Any] = {"predicted by": kind, "convex in the weights": objective.surrogate.convex}
    for name in objective.surrogate.sets:
        if name in problem.domains.names:
            found[f"held-out documents of {name}"] = problem.domains[name].valid_documents
    found["predicted gains"] = "on the documents the mixture was chosen by, a little too good; intervals allow for it"
    return found


def warnings_of(result: Result) -> tuple[str, ...]:
    """What a reader must know before using the weights; sentences."""
    problem, chosen, found = result.problem, result.chosen, []
    if chosen.spread > SPREAD:
        found.append(
            f"seeds disagree: mixtures of single seeds or draws lie up to L1 {chosen.spread:.2f} from their mean; "
            f"their mean is shown, and the ranges of equally good mixtures matter more than its digits"
        )
    if chosen.moved > 0.01:
        found.append(f"{chosen.name} answered a mixture outside the limits; it was moved by L1 {chosen.moved:.2f}")
    for row in result.rows[1:]:
        shown = row.gain or row.better
        if shown is None or float(np.abs(row.weights - chosen.weights).sum()) < SAME:
            continue
        by = "tiny models" if row.gain else "count tables" if result.settings.surrogate == "tables" else "the fit"
        breaks = [word for (word, *_), over in zip(problem.keep, row.over, strict=True) if over > 1e-6]
        if not math.isfinite(shown.high):
            found.append(f"one seed can't tell {chosen.name} and {row.name} apart; judge with 3 or more")
        elif not clear(shown):
            found.append(f"no significant difference between {chosen.name} and {row.name} by {by}")
        elif shown.high < 0:
            yet = f"; it breaks keep.{' and keep.'.join(breaks)}" if breaks else ""
            found.append(f"{row.name} does better than {chosen.name} by {by}{yet}")
    for (word, _, share), over in zip(problem.keep, chosen.over, strict=True):
        if over > 1e-6:
            found.append(f"keep.{word} = {share:g} is not met by {chosen.name}: {over:.4f} bits per byte over")
    found += _broken_when_measured(result)
    epochs = problem.epochs(chosen.weights)
    for domain, times in zip(problem.domains.all, epochs, strict=True):
        if times > 4.005:
            found.append(
                f"{domain.name} is seen {times:.1f} times; beyond about 4 a repeat is worth less than new text, cap it "
                f"with [mixing] epochs"
            )
    return (*found, *chosen.answer.notes)


def _broken_when_measured(result: Result) -> list[str]:
    """Losses to keep that were predicted to be kept and, by tiny models, are not; where the prior was judged too."""
    problem, chosen, found = result.problem, result.chosen, []
    priors = [row for row in result.rows if float(np.abs(row.weights - problem.prior).sum()) < SAME]
    if not priors or not len(chosen.judged):
        return []
    for word, table, share in problem.keep:
        kept = problem.weight_of(problem.sets, table)
        rise = float((chosen.judged @ kept / (priors[0].judged @ kept) - 1).mean())
        if rise > share:
            less = f", such as {share * share / rise:.2g}" if share else ""
            found.append(
                f"keep.{word} = {share:g} is not met by {chosen.name} when measured: tiny models lose {rise:.1%} "
                f"against the prior's mixture; ask for less{less}"
            )
    return found


def facts_of(result: Result) -> dict[str, Any]:
    """What a mixture's file says of how it came about; JSON."""
    problem, names = result.problem, result.problem.domains.names
    chosen, certificate = result.chosen, result.chosen.answer.certificate
    return {
        "method": chosen.name,
        "target": problem.target,
        "settings": asdict(result.settings),
        "settings_that_decide": deciding(result.settings),
        "intervals": {name: [each.low, each.high] for name, each in zip(names, chosen.intervals, strict=True)},
        "as_good": {each.name: [each.low, each.high] for each in result.ranges},
        "certificate": asdict(certificate) if certificate and math.isfinite(certificate.gap) else None,
        "losses": dict(zip(result.sets, map(float, chosen.losses), strict=True)),
        "methods": {
            row.name: {
                "weights": problem.domains.named(row.weights),
                "target_loss": row.wanted,
                "judged": [float(problem.weight_of(problem.sets) @ each) for each in row.judged],
            }
            for row in result.rows
        },
        "warnings": list(result.warnings),
    }
