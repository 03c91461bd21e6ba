"""DoReMi's update, its options, its state."""

import json
import math
from typing import Any

import numpy as np
import pytest

from jacorpus.errors import InputError, RecipeError
from mixing.steering.doremi import DoReMiController, mean_with_start

PRIOR = {"a": 0.5, "b": 0.3, "c": 0.2}


def heard(step: int = 0, **excess: float) -> dict[str, Any]:
    """Stats of a step; a domain not named is absent."""
    tokens = {name: 10 if name in excess else 0 for name in "abc"}
    clipped = {name: max(value, 0) + 0.1 for name, value in excess.items()}
    return {"step": step, "lr": 0.5, "tokens": tokens, "loss": excess, "excess": excess, "clipped_excess": clipped}


def weights_of(answer: dict[str, float]) -> np.ndarray:
    assert math.fsum(answer.values()) == pytest.approx(1, abs=1e-14)
    return np.array([answer[name] for name in sorted(answer)])


def by_hand(start: list[float], target: list[float], scores: list[list[float]], eta: float, c: float) -> np.ndarray:
    weights = np.array(start)
    for score in scores:
        weights = weights * np.exp(eta * np.array(score))
        weights = (1 - c) * weights / weights.sum() + c * np.array(target)
    return weights


ROUNDS = [[0.3, -0.2, 0.1], [-0.5, 0.4, 0.2], [0.1, 0.1, -0.9]]


def test_anchored_begins_at_the_prior_and_is_pulled_to_it() -> None:
    controller = DoReMiController(PRIOR, eta=0.7, smoothing=0.01)
    for step, (a, b, c) in enumerate(ROUNDS):
        answer = controller.update(heard(step, a=a, b=b, c=c))
    expected = by_hand([0.5, 0.3, 0.2], [0.5, 0.3, 0.2], ROUNDS, 0.7, 0.01)
    np.testing.assert_allclose(weights_of(answer), expected, rtol=1e-13)


def test_faithful_is_algorithm_1() -> None:
    controller = DoReMiController(PRIOR, "faithful")
    for step, (a, b, c) in enumerate(ROUNDS):
        answer = controller.update(heard(step, a=a, b=b, c=c))
    clipped = [[max(x, 0) + 0.1 for x in row] for row in ROUNDS]
    expected = by_hand([1 / 3] * 3, [1 / 3] * 3, clipped, 1.0, 1e-3)
    np.testing.assert_allclose(weights_of(answer), expected, rtol=1e-13)


def test_clip_by_domain_and_a_falling_eta() -> None:
    controller = DoReMiController(PRIOR, eta=0.8, smoothing=0.01, clip="domain", decay=True)
    expected = np.array([0.5, 0.3, 0.2])
    for step, (a, b, c) in enumerate(ROUNDS):
        answer = controller.update(heard(step, a=a, b=b, c=c))
        slower = 1 / math.sqrt(step + 1)
        score = np.maximum(ROUNDS[step], 0)
        expected = by_hand(expected.tolist(), [0.5, 0.3, 0.2], [score.tolist()], 0.8 * slower, 0.01 * slower)
    np.testing.assert_allclose(weights_of(answer), expected, rtol=1e-13)


def test_an_absent_domain_keeps_its_share() -> None:
    controller = DoReMiController(PRIOR, smoothing=0.0)
    answer = controller.update(heard(a=1.0, c=0.0))
    assert answer["b"] == pytest.approx(0.3)
    assert answer["a"] / answer["c"] == pytest.approx(0.5 * math.e / 0.2)
    assert controller.update(heard(1)) == pytest.approx(answer), "nobody is there"


def test_the_codes_absent_domain_repeats_its_last_score() -> None:
    controller = DoReMiController.as_code(PRIOR, first_score=2.0)
    answer = controller.update(heard(a=1.0, c=0.0))
    expected = by_hand([1 / 3] * 3, [1 / 3] * 3, [[1.1, 2.0, 0.1]], 1.0, 1e-4)
    np.testing.assert_allclose(weights_of(answer), expected, rtol=1e-13)
    answer = controller.update(heard(1, b=0.4))
    expected = by_hand(expected.tolist(), [1 / 3] * 3, [[1.1, 0.5, 0.1]], 1.0, 1e-4)
    np.testing.assert_allclose(weights_of(answer), expected, rtol=1e-13)
    np.testing.assert_allclose(mean_with_start(np.array([[1.0, 0.0], [0.7, 0.3]])), [2.2 / 3, 0.8 / 3])


def test_the_order_of_tables_changes_nothing() -> None:
    names = [f"n{i}" for i in range(9)]
    rng = np.random.default_rng(0)
    prior = dict(zip(names, rng.dirichlet(np.ones(9)), strict=True))
    answers = []
    for order in (names, names[::-1]):
        controller = DoReMiController({name: prior[name] for name in order})
        rng = np.random.default_rng(1)
        for step in range(20):
            excess = dict(zip(names, rng.normal(size=9), strict=True))
            table = {name: excess[name] for name in order}
            answer = controller.update(
                {"step": step, "lr": 1.0, "tokens": dict.fromkeys(order, 1), "excess": table, "clipped_excess": table}
            )
        answers.append(answer)
        identity = controller.identity()
    assert answers[0] == answers[1]
    assert DoReMiController(prior).identity() == identity


def test_it_goes_on_from_its_state_and_json_keeps_it() -> None:
    whole = DoReMiController.as_code(PRIOR)
    for step, (a, _, c) in enumerate(ROUNDS):
        whole.update(heard(step, a=a, c=c))
    again = DoReMiController.as_code(PRIOR)
    again.load_state_dict(json.loads(json.dumps(whole.state_dict(), allow_nan=False)))
    assert again.state_dict() == whole.state_dict()
    assert again.update(heard(3, b=0.2, c=1.0)) == whole.update(heard(3, b=0.2, c=1.0))
    with pytest.raises(InputError, match="can't go on from"):
        DoReMiController({"a": 1.0, "d": 1.0}).load_state_dict(whole.state_dict())


def test_settings_tell_runs_apart() -> None:
    def project(weights: np.ndarray) -> np.ndarray:
        return weights

    same = DoReMiController(PRIOR).identity()
    assert same == DoReMiController({"c": 2, "a": 5, "b": 3, "d": 0}).identity()
    others = [
        DoReMiController(PRIOR, "faithful"),
        DoReMiController(PRIOR, eta=0.5),
        DoReMiController(PRIOR, smoothing=0.0),
        DoReMiController(PRIOR, clip="token"),
        DoReMiController(PRIOR, decay=True),
        DoReMiController({"a": 1, "b": 1, "c": 1}),
        DoReMiController(PRIOR, project=project, limits=[["a"], 0, 0.4]),
        DoReMiController(PRIOR, absent="repeat"),
    ]
    identities = [json.dumps(each.identity(), sort_keys=True) for each in others]
    assert len({json.dumps(same, sort_keys=True), *identities}) == 9


def test_limits_hold_at_every_step_and_mirror_descent_goes_on_from_there() -> None:
    def capped(weights: np.ndarray) -> np.ndarray:
        if weights[0] <= 0.6:
            return weights
        rest = weights[1:] / weights[1:].sum() * 0.4
        return np.array([0.6, *rest])

    controller = DoReMiController(PRIOR, smoothing=0.0, project=capped, limits="a <= 0.6")
    for step in range(30):
        answer = controller.update(heard(step, a=1.0, b=0.0, c=0.0))
        assert answer["a"] <= 0.6 + 1e-12
    assert answer["b"] / answer["c"] == pytest.approx(1.5)
    assert controller.update(heard(30, a=-1.0, b=0.0, c=0.0))["a"] < 0.4, "it comes back at once"


def test_a_tiny_weight_can_come_back() -> None:
    controller = DoReMiController(PRIOR, smoothing=0.0)
    for step in range(2000):
        controller.update(heard(step, a=1.0, b=0.0, c=0.0))
    for step in range(2000):
        answer = controller.update(heard(step, a=0.0, b=1.0, c=0.0))
    assert answer["a"] / answer["b"] == pytest.approx(5 / 3)


def test_domains_without_a_prior_take_no_part() -> None:
    controller = DoReMiController({"a": 1.0, "b": 1.0, "c": 0.0}, "faithful")
    answer = controller.update(heard(a=0.0, b=0.0, c=9.0))
    assert answer == {"a": pytest.approx(0.5), "b": pytest.approx(0.5), "c": 0.0}


def test_the_gap_is_what_other_weights_would_gain() -> None:
    controller = DoReMiController(PRIOR, smoothing=0.0)
    assert math.isnan(controller.gap(PRIOR))
    for step in range(400):
        late = step >= 200
        controller.update(heard(step, a=0.3 if late else 9.0, b=0.1, c=-0.1))
    assert controller.late["b"] == pytest.approx(0.1)
    assert controller.late["a"] == pytest.approx(0.3 + 8.7 / 16, abs=0.02), "a sixteenth of it is the first half"
    assert controller.gap({"a": 1.0}) == pytest.approx(0)
    assert controller.gap({"b": 1.0, "c": 1.0}) == pytest.approx(controller.late["a"])


def test_what_is_wrong_is_told() -> None:
    with pytest.raises(RecipeError, match="eta above 0"):
        DoReMiController(PRIOR, eta=0.0)
    with pytest.raises(RecipeError, match="eta above 0"):
        DoReMiController(PRIOR, smoothing=1.0)
    with pytest.raises(RecipeError, match="a prior needs weights"):
        DoReMiController({"a": 0.0})
    with pytest.raises(RecipeError, match="give limits"):
        DoReMiController(PRIOR, project=lambda weights: weights)
    with pytest.raises(RecipeError, match="give a reference"):
        DoReMiController(PRIOR).update({"step": 0, "lr": 1.0, "tokens": dict.fromkeys("abc", 1), "loss": {}})
    with pytest.raises(RecipeError, match="d, which the run has no text of"):
        DoReMiController({**PRIOR, "d": 1.0}).update(heard(a=1.0))
