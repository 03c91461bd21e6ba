"""From wishes to an answer and what is said of it: in worlds whose losses are known."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from jacorpus.errors import RecipeError
from mixing.domains import Domains
from mixing.evidence import Evidence
from mixing.intervals import clear
from mixing.method import Certificate
from mixing.optimize import Result, facts_of, optimize
from mixing.problem import problem_of
from mixing.settings import BASELINES, mixing_settings
from tests.mixing.worlds import Words, domains, words_of, world

SOME = domains(ja_web=1_000_000, en_web=30_000_000, ja_wiki=300_000, en_wiki=900_000, en_code=500_000)


def run(table: dict[str, Any], some: Domains = SOME, words: Words | None = None, **more: Any) -> Result:
    settings = mixing_settings({"draws": 4, **table})
    world_ = words or words_of(some)
    found = optimize(problem_of(settings, some), settings, Evidence(tables_of=lambda: world_, **more))
    for row in found.rows:
        assert found.problem.limits.violation(row.weights) <= 1e-8
        assert math.fsum(row.weights) == pytest.approx(1, abs=1e-12)
    json.dumps(facts_of(found), allow_nan=False)
    return found


@dataclass(frozen=True)
class Loss:
    bits_per_byte: float
    loss: float = 0.0
    error: float = 0.0


class TinyModels:
    """A judge: losses of another world, with a seed's luck, which all mixtures share, and little of their own."""

    def __init__(self, words: Words, names: tuple[str, ...], noise: float = 1e-3) -> None:
        self.words, self.names, self.noise = words, names, noise
        self.asked: list[tuple[dict[str, float], int]] = []

    def losses(self, mixture: Mapping[str, float], seed: int = 0, **options: Any) -> dict[str, Loss]:
        self.asked.append((dict(mixture), seed))
        weights = np.array([mixture.get(name, 0.0) for name in self.names])
        luck = np.random.default_rng(seed).normal(0, 0.1, len(self.words.sets))
        own = np.random.default_rng([seed, int(1e6 * weights[0])]).normal(0, self.noise, len(self.words.sets))
        return dict(zip(self.words.sets, map(Loss, self.words.losses(weights) + luck + own), strict=True))


def test_the_answer_and_all_baselines_beside_it() -> None:
    found = run({"target": {"ja": 1.0}})
    assert [row.name for row in found.rows] == ["mixmin", *BASELINES]
    assert found.chosen.name == "mixmin"
    assert found.chosen.better is None
    assert found.chosen.weights == pytest.approx([0, 0, 0, 0.5, 0.5], abs=2e-3)
    for row in found.rows[1:]:
        assert row.value >= found.chosen.value - 1e-5
        assert row.better is not None
        assert row.better.low <= row.better.value <= row.better.high
        assert row.better.value == pytest.approx(row.value - found.chosen.value, abs=1e-12)
        assert row.wanted == pytest.approx(row.losses[found.sets.index("ja-web")] / 2 + row.losses[-1] / 2)
    assert found.effects == ()
    assert [(front.first, front.second) for front in found.fronts] == [("ja", "the rest")]
    assert found.agreement == {}


def test_methods_to_compare_come_once() -> None:
    found = run({"method": "natural", "compare": ["mixmax", "uniform", "mixmax", "natural"]})
    assert [row.name for row in found.rows] == ["natural", "mixmax", "uniform", "temperature", "unimax", "own_weight"]
    beside = run({"target": {"ja": 1.0}, "compare": ["mixmax"]})  # it follows no target; beside an answer it may
    assert beside.rows[1].name == "mixmax"


@pytest.mark.parametrize("method", ["natural", "uniform", "temperature", "unimax", "mixmax"])
def test_a_target_is_refused_by_who_cannot_follow_it(method: str) -> None:
    with pytest.raises(RecipeError, match=f"target is set and the method {method} can't follow one.*mixmin"):
        run({"method": method, "target": {"ja": 1.0}})


def test_own_weights_are_the_answer() -> None:
    found = run({"weights": {"ja-web": 3, "en-web": 1}, "target": {"ja": 1.0}, "options": {}})
    assert found.weights == {"en-web": 0.25, "ja-web": 0.75}
    assert found.chosen.name == "fixed"
    assert any("does better than fixed by count tables" in text for text in found.warnings)
    with pytest.raises(RecipeError, match="no domain `ja-wob` here; did you mean"):
        run({"weights": {"ja-wob": 1}})


def test_the_same_input_gives_the_same_numbers() -> None:
    table = {"target": {"ja": 1.0}, "languages": {"ja": 0.4}, "compare": ["mixmax"]}
    one, other = (run(table) for _ in range(2))
    assert json.dumps(facts_of(one)) == json.dumps(facts_of(other))
    assert [front.points[3][0] for front in one.fronts] == [front.points[3][0] for front in other.fronts]


def test_the_order_of_names_changes_nothing() -> None:
    """The same domains under names that sort the other way round."""
    table, held_out = world(4, seed=4), world(4, seed=5)
    first, second = domains(a=100, b=200, c=300, d=400), domains(d=100, c=200, b=300, a=400)
    wishes = {"target": {"a": 0.5, "b": 0.5}, "bounds": {"c": [0.2, 1.0]}, "tokens": 900.0, "draws": 0}
    turned = {"target": {"d": 0.5, "c": 0.5}, "bounds": {"b": [0.2, 1.0]}, "tokens": 900.0, "draws": 0}
    one = run(wishes, first, Words(table, held_out, first.names))
    other = run(turned, second, Words(table[::-1], held_out[::-1], second.names))
    for mine, its in zip(one.rows, other.rows, strict=True):
        tolerance = 1e-3 if mine.name == "mixmin" else 1e-9
        assert its.weights[::-1] == pytest.approx(mine.weights, abs=tolerance)
        assert its.value == pytest.approx(mine.value, abs=1e-6)
    for mine, its in zip(one.ranges, other.ranges[::-1], strict=True):
        assert (its.low, its.high) == pytest.approx((mine.low, mine.high), abs=2e-3)
    assert [(e.side, e.gain) for e in other.effects] == [(e.side, pytest.approx(e.gain, abs=2e-5)) for e in one.effects]


def test_limits_move_what_does_not_keep_them() -> None:
    found = run({"method": "natural", "bounds": {"en-web": 0.3}})
    natural = found.problem.domains.natural
    assert found.weights["en-web"] == pytest.approx(0.3)
    assert found.chosen.moved == pytest.approx(2 * (natural[1] - 0.3))
    assert any(text.startswith("natural answered a mixture outside the limits") for text in found.warnings)
    kept = run({"target": {"ja": 1.0}, "languages": {"ja": 0.3}})
    assert kept.chosen.moved < 1e-8
    assert [(each.label, each.side) for each in kept.effects] == [("language ja <= 0.3", "upper")]


def test_many_repeats_are_told() -> None:
    small = domains(a=1000, b=1_000_000)
    found = run({"weights": {"a": 0.5, "b": 0.5}, "tokens": 20_000}, small)
    assert any("a is seen 10.0 times; beyond about 4" in text and "epochs" in text for text in found.warnings)
    capped = run({"method": "uniform", "tokens": 20_000, "epochs": 4}, small)
    assert capped.weights["a"] == pytest.approx(0.2)
    assert not any("is seen" in text for text in capped.warnings)
    assert not any("is seen" in text for text in run({"method": "uniform"}, small).warnings)


def test_losses_to_keep_that_are_broken_are_told() -> None:
    """Of the answer how far, of a baseline that does better that it does."""
    found = run({"target": {"ja": 1.0}, "keep": {"en": 0.02}})
    assert np.all(found.chosen.over <= 1e-6)
    assert "own_weight does better than mixmin by count tables; it breaks keep.en" in found.warnings
    broken = run({"method": "own_weight", "target": {"ja": 1.0}, "keep": {"en": 0.02, "en-web": 0.0}})
    texts = [text for text in broken.warnings if "is not met by own_weight" in text]
    assert [text.split(" ")[0] for text in texts] == ["keep.en", "keep.en-web"]
    assert "bits per byte over" in texts[0]


def test_equal_mixtures_are_not_told_apart() -> None:
    """Domains of the same text: every mixture is as good, to the last bit but one."""
    same = np.repeat(world(1, words=9, seed=3), 3, axis=0)
    some = domains(a=100, b=200, c=300)
    found = run({"target": {"a": 1.0}}, some, Words(same, same, some.names))
    told = [text for text in found.warnings if text.startswith("no significant difference")]
    different = [row for row in found.rows[1:] if np.abs(row.weights - found.chosen.weights).sum() > 1e-6]
    assert len(told) == len(different) > 0
    assert not any("better" in text for text in found.warnings)
    for each in found.ranges:
        assert (each.low, each.high) == pytest.approx((0, 1), abs=1e-6)


def test_a_chance_find_is_not_significant(monkeypatch: pytest.MonkeyPatch) -> None:
    """Held-out text is drawn from the even mixture, which so is the best in truth; one that is fitted to the draw does
    better on it all the same, by more than draws of it differ where domains are many."""
    for name in ("epsilon_ranges", "effects", "fronts"):
        monkeypatch.setattr(f"mixing.optimize.{name}", lambda *given: ())
    k, wrong, trials = 16, 0, 16
    some, sources = domains(**{f"d{i:02}": 10**i for i in range(k)}), world(k, words=120, seed=1)
    for trial in range(trials):
        drawn = np.random.default_rng(trial).multinomial(2000, sources.mean(0)) / 2000
        found = run({"target": {"d00": 1.0}, "draws": 8}, some, Words(sources, drawn[None], ("d00",)))
        even, natural = found.rows[2], found.rows[1]
        assert even.better is not None
        assert even.better.value > 0
        wrong += clear(even.better)
        assert natural.better is not None
        assert natural.better.low > 0, "what is worse in truth is told apart"
    assert wrong <= 2


def test_two_given_mixtures_are_compared_rightly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither is fitted: an interval holds the true difference in 95 % of draws, whether it is 0 or not."""
    for name in ("epsilon_ranges", "effects", "fronts"):
        monkeypatch.setattr(f"mixing.optimize.{name}", lambda *given: ())
    some, sources = domains(a=100, b=100, c=900), world(3, words=30, seed=2)
    truth = np.array([0.4, 0.4, 0.2]) @ sources
    words = Words(sources, truth[None], ("a",))
    problem = problem_of(mixing_settings({"target": {"a": 1.0}}), some)
    true_gain = float((words.losses(problem.domains.natural) - words.losses(np.full(3, 1 / 3)))[0])
    assert true_gain > 0.01
    held, told, trials = 0, 0, 120
    for trial in range(trials):
        drawn = np.random.default_rng(trial).multinomial(2000, truth) / 2000
        found = run(
            {"weights": {"a": 1, "b": 1, "c": 1}, "target": {"a": 1.0}, "draws": 12},
            *(some, Words(sources, drawn[None], ("a",))),
        )
        gain = found.rows[1].better
        assert gain is not None
        held, told = held + (gain.low <= true_gain <= gain.high), told + (gain.low > 0)
    assert 0.88 <= held / trials <= 0.995
    assert told / trials > 0.5


def test_a_judge_has_the_last_word() -> None:
    """Tables say one thing and tiny models another: measured differences are told, by seed, and how far both agree."""
    truth = words_of(SOME, seed=9)
    judge = TinyModels(Words(truth.sources, truth.held_out, SOME.names), SOME.names)
    found = run({"target": {"ja": 1.0}, "judge": 3, "seed": 5}, proxy_of=lambda: judge)
    asked = {(tuple(sorted(mixture.items())), seed) for mixture, seed in judge.asked}
    assert len(asked) == len(judge.asked), "equal mixtures are trained once"
    assert {seed for _, seed in asked} == {5, 6, 7}
    target = found.problem.weight_of(found.problem.sets)
    for row in found.rows:
        assert row.judged.shape == (3, 5)
    for row in found.rows[1:]:
        assert row.gain is not None
        wanted = np.mean((row.judged - found.chosen.judged) @ target)
        assert row.gain.value == pytest.approx(wanted)
    assert set(found.agreement) == {*SOME.names, "target"}
    assert all(-1 <= value <= 1 for value in found.agreement.values())
    assert found.agreement["target"] > 0.5  # the same domains are the target's own in both worlds
    assert facts_of(found)["methods"]["natural"]["judged"] == pytest.approx((found.rows[1].judged @ target).tolist())


def test_a_judge_of_one_world_agrees_and_tells_the_better_from_the_worse() -> None:
    words = words_of(SOME)
    judge = TinyModels(words, SOME.names, noise=1e-4)
    found = run({"method": "natural", "judge": 2}, proxy_of=lambda: judge)
    assert found.agreement["target"] == pytest.approx(1)
    assert "uniform does better than natural by tiny models" in found.warnings
    lucky = TinyModels(words, SOME.names, noise=3.0)
    unsure = run({"method": "natural", "judge": 3}, proxy_of=lambda: lucky)
    assert any(text.startswith("no significant difference between natural and") for text in unsure.warnings)


def test_one_seed_tells_no_difference() -> None:
    judge = TinyModels(words_of(SOME), SOME.names)
    found = run({"method": "natural", "judge": 1}, proxy_of=lambda: judge)
    assert all(row.gain is not None and math.isinf(row.gain.high) for row in found.rows[1:])
    assert "one seed can't tell natural and uniform apart; judge with 3 or more" in found.warnings


def test_a_loss_kept_by_prediction_and_not_when_measured_is_said() -> None:
    words = words_of(SOME)
    wishes = {"target": {"ja": 1.0}, "keep": {"en": 0.02}, "judge": 2}
    true = TinyModels(words, SOME.names, noise=0.0)
    calm = run({**wishes, "keep": {"en": 0.5}}, proxy_of=lambda: true)
    assert not any("when measured" in text for text in calm.warnings)
    english = [i for i, name in enumerate(SOME.names) if name.startswith("en")]
    steeper = words.sources.copy()  # models that need English text more than the tables know
    steeper[english] = np.roll(steeper[english], 3, axis=1)
    held_out = words.held_out.copy()
    held_out[english] = steeper[english]
    judge = TinyModels(Words(steeper, held_out, words.sets), SOME.names, noise=0.0)
    found = run(wishes, proxy_of=lambda: judge)
    prior = next(row for row in found.rows if row.name == "natural")
    kept = found.problem.weight_of(found.problem.sets, found.problem.keep[0][1])
    rise = float((found.chosen.judged @ kept / (prior.judged @ kept) - 1).mean())
    told = [text for text in found.warnings if "when measured" in text]
    assert bool(told) == (rise > 0.02)
    assert rise > 0.02, "this world is one where prediction and measurement part"
    assert f"tiny models lose {rise:.1%}" in told[0]


def test_a_judge_that_cannot_measure_a_set_says_which() -> None:
    some = domains(a=100, b=0)
    judge = TinyModels(Words(world(1), world(1), ("a",)), ("a",))
    with pytest.raises(RecipeError, match="tiny models are not measured on `b`"):
        run({"method": "natural", "judge": 1}, some, proxy_of=lambda: judge)


def test_what_is_missing_is_told() -> None:
    settings = mixing_settings({"method": "natural", "judge": 1, "draws": 0})
    problem, words = problem_of(settings, SOME), words_of(SOME)
    with pytest.raises(RecipeError, match="predicting losses needs count tables"):
        optimize(problem, settings, Evidence())
    with pytest.raises(RecipeError, match="needs torch: pip install"):
        optimize(problem, settings, Evidence(tables_of=lambda: words))


def test_one_domain() -> None:
    one = domains(a=100)
    found = run({"target": {"a": 1.0}, "tokens": 1000, "epochs": 20}, one, words_of(one))
    assert found.weights == {"a": 1.0}
    assert [(each.low, each.high) for each in found.ranges] == [(1, 1)]
    assert found.fronts == ()
    assert all("difference" not in text for text in found.warnings)
    assert any("a is seen 10.0 times" in text for text in found.warnings)


def test_two_domains() -> None:
    two = domains(ja=100, en=900)
    found = run({"target": {"ja": 3, "en": 1}}, two, words_of(two))
    assert found.weights == pytest.approx({"en": 0.25, "ja": 0.75}, abs=2e-3)
    assert [(front.first, front.second) for front in found.fronts] == [("en", "ja")]


def test_domains_without_tokens_and_domains_only_measured_on_get_nothing() -> None:
    some = domains(ja_web=100, ja_wiki=0, en_web=900, en_exam=50, ja_news=(200, 0))
    found = run({"target": {"exam": 1.0, "ja-wiki": 1.0}, "held_out": ["en-exam"], "compare": ["mixmax"]}, some)
    assert set(found.weights) <= {"ja-web", "en-web", "ja-news"}
    assert found.sets == some.names  # the world has all five, the target is measured on two
    for row in found.rows:
        assert row.weights[some.index("ja-wiki")] == row.weights[some.index("en-exam")] == 0
        assert row.moved < 1e-8, row.name
    ranges = {each.name: (each.low, each.high) for each in found.ranges}
    assert ranges["ja-wiki"] == ranges["en-exam"] == (0, 0)
    assert found.effects == ()


@pytest.mark.parametrize("method", ["mixmin", "natural"])
def test_without_draws_there_are_intervals_of_differences_and_none_of_weights(method: str) -> None:
    found = run({"method": method, "draws": 0})
    assert all(each.low == each.value == each.high for each in found.chosen.intervals)
    assert all(row.better is not None and row.better.low < row.better.high for row in found.rows[1:])
    assert found.chosen.spread == 0


def test_seeds_that_disagree_are_told() -> None:
    """Little held-out text: draws of it ask for other mixtures."""

    @dataclass(frozen=True, eq=False)
    class Few(Words):
        def resampled(self, seed: int) -> Words:
            drawn = np.random.default_rng(seed).multinomial(5, self.held_out[0]) / 5
            return replace(self, held_out=drawn[None])

    some, sources = domains(a=100, b=200, c=300), world(3, words=10, seed=3)
    words = Few(sources, sources.mean(0)[None], ("a",))
    found = run({"target": {"a": 1.0}}, some, words)
    assert found.chosen.spread > 0.2
    assert any(text.startswith("seeds disagree") for text in found.warnings)
    assert all(each.high - each.low > 0.1 for each in found.chosen.intervals)


def test_progress_is_told_of_every_part() -> None:
    told: list[tuple[str, int, int]] = []
    run({"method": "natural"}, progress=lambda *each: told.append(each))
    assert ("natural", 1, 1) in told
    assert told[-1] == ("looking around the answer", 5, 5)
    assert all(0 <= done <= whole for _, done, whole in told)


def test_a_file_holds_no_number_that_json_has_not() -> None:
    found = run({"method": "natural"})
    answer = replace(found.chosen.answer, certificate=Certificate(math.inf, "bits per byte", False))
    endless = replace(found, rows=(replace(found.chosen, answer=answer), *found.rows[1:]))
    assert json.loads(json.dumps(facts_of(endless), allow_nan=False))["certificate"] is None


def test_a_file_tells_all_of_it() -> None:
    found = run({"target": {"ja": 1.0}, "languages": {"ja": 0.4}})
    facts = facts_of(found)
    assert facts["method"] == "mixmin"
    assert facts["target"] == {"ja-web": 0.5, "ja-wiki": 0.5}
    assert set(facts["methods"]) == {"mixmin", *BASELINES}
    assert facts["losses"] == pytest.approx(dict(zip(found.sets, found.chosen.losses, strict=True)))
    assert facts["settings"]["languages"] == {"ja": (0.0, 0.4)}
    assert facts["settings_that_decide"]["languages"] == {"ja": [0.0, 0.4]}
    assert facts["certificate"]["proof"]
    for name, weight in found.weights.items():
        low, high = facts["intervals"][name]
        assert low <= weight <= high
        assert facts["as_good"][name][0] - 1e-9 <= weight <= facts["as_good"][name][1] + 1e-9
