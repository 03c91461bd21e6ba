"""DoGE where gradients are known."""

import json
import math
from typing import Any

import numpy as np
import pytest

from jacorpus.errors import RecipeError
from mixing.steering.doge import DoGEController
from mixing.tabular import quadratic_run

PRIOR = {"a": 0.5, "b": 0.3, "c": 0.2}
GRADIENTS = {"a": np.array([1.0, 0.0]), "b": np.array([0.5, 0.5]), "c": np.array([-1.0, 2.0])}


def heard(gradients: dict[str, np.ndarray], target: dict[str, float], lr: float = 0.1, step: int = 0) -> dict[str, Any]:
    """Stats of exact gradients."""
    products = {a: {b: float(g @ h) for b, h in gradients.items()} for a, g in gradients.items()}
    total = sum(target.values())
    return {
        **{"step": step, "lr": lr, "tokens": dict.fromkeys(gradients, 1), "loss": {}, "products": products},
        "alignment": {a: sum(s * row[b] for b, s in target.items()) / total for a, row in products.items()},
        "gradient_norm": {a: float(np.linalg.norm(g)) for a, g in gradients.items()},
    }


def softmax(prior: dict[str, float], drive: np.ndarray) -> np.ndarray:
    found = np.array([prior[name] for name in sorted(prior)]) * np.exp(drive)
    return found / found.sum()


def run(controller: DoGEController, target: dict[str, float], lrs: list[float]) -> np.ndarray:
    for step, lr in enumerate(lrs):
        answer = controller.update(heard(GRADIENTS, target, lr, step))
    assert math.fsum(answer.values()) == pytest.approx(1, abs=1e-14)
    return np.array([answer[name] for name in sorted(answer)])


def test_constant_gradients_have_a_closed_form() -> None:
    """a_T = prior exp(eta T W / scale): W = g . (1, 0), scale the mean of 1, 1/2 and 5 by the prior."""
    controller = DoGEController(PRIOR, {"a": 1.0}, eta=0.2, pull=0.0)
    drive = np.array([1.0, 0.5, -1.0]) / (0.5 + 0.15 + 1.0)
    np.testing.assert_allclose(run(controller, {"a": 1.0}, [0.1] * 25), softmax(PRIOR, 25 * 0.2 * drive), rtol=1e-12)


def test_steps_fall_as_the_learning_rate_does() -> None:
    controller = DoGEController(PRIOR, {"a": 1.0}, eta=0.2, pull=0.0)
    drive = np.array([1.0, 0.5, -1.0]) / 1.65
    found = run(controller, {"a": 1.0}, [0.1, 0.05, 0.02])
    np.testing.assert_allclose(found, softmax(PRIOR, 0.2 * (1 + 0.5 + 0.2) * drive), rtol=1e-12)


def test_the_pull_to_the_prior_sets_where_weights_rest() -> None:
    controller = DoGEController(PRIOR, {"a": 1.0}, eta=1.0, pull=0.5)
    found = run(controller, {"a": 1.0}, [0.1] * 200)
    np.testing.assert_allclose(found, softmax(PRIOR, np.array([1.0, 0.5, -1.0]) / 1.65 / 0.5), rtol=1e-12)


def test_faithful_is_the_public_codes_multiplier() -> None:
    norm = (1 + math.sqrt(0.5) + math.sqrt(5)) / 3 + 1e-6
    even = dict.fromkeys(PRIOR, 1.0)
    controller = DoGEController(PRIOR, {"a": 1.0}, "faithful", mu=0.01)
    drive = np.array([1.0, 0.5, 0.0]) / norm
    np.testing.assert_allclose(run(controller, {"a": 1.0}, [1e-3] * 7), softmax(even, 7 * 0.1 * drive), rtol=1e-12)
    controller = DoGEController(PRIOR, None, "faithful", mu=0.01, most=0.4)
    drive = np.minimum(np.array([0.0, 1.0, 0.0]) / norm, 0.4)
    np.testing.assert_allclose(run(controller, PRIOR, [1e-3] * 7), softmax(even, 7 * 0.1 * drive), rtol=1e-12)
    controller = DoGEController(PRIOR, {"a": 1.0, "b": 1.0}, "faithful", mu=0.01)
    drive = np.array([1.5, 1.0, 0.0]) / norm
    found = run(controller, {"a": 1.0, "b": 1.0}, [1e-3] * 7)
    np.testing.assert_allclose(found, softmax(even, 7 * 0.1 * drive), rtol=1e-12)


@pytest.mark.parametrize("curvatures", [[1.0, 3.0], [1.0, 2.0, 5.0], [0.2, 1.0, 1.0, 4.0]])
def test_weights_rest_where_all_losses_fall_alike(curvatures: list[float]) -> None:
    """Losses h x^2 / 2 of an unknown each: 1/h over their sum, which makes the slowest fall as fast as can be."""
    h = np.array(curvatures)
    names = [f"d{i}" for i in range(len(h))]
    even = dict.fromkeys(names, 1 / len(h))
    found = quadratic_run(DoGEController(even, even, eta=0.3), h, names, 4000, lr=0.05)
    np.testing.assert_allclose(found.trajectory[-1], (1 / h) / (1 / h).sum(), atol=1e-6)
    fell = -np.log(found.model)
    assert fell.min() > 10
    assert np.ptp(fell) < 0.2 * fell.min(), "none is left behind"


def test_cutting_a_domain_changes_nothing_anchored() -> None:
    whole = DoGEController(PRIOR)
    cut = DoGEController({"a": 0.5, "b": 0.3, "c0": 0.05, "c1": 0.15})
    parts = {"a": GRADIENTS["a"], "b": GRADIENTS["b"], "c0": GRADIENTS["c"], "c1": GRADIENTS["c"]}
    rng = np.random.default_rng(0)
    for step in range(50):
        turned = np.linalg.qr(rng.normal(size=(2, 2)))[0]
        one = whole.update(heard({n: turned @ g for n, g in GRADIENTS.items()}, PRIOR, 0.1, step))
        target = {"a": 0.5, "b": 0.3, "c0": 0.05, "c1": 0.15}
        two = cut.update(heard({n: turned @ g for n, g in parts.items()}, target, 0.1, step))
    assert two["c0"] + two["c1"] == pytest.approx(one["c"], abs=1e-12)
    assert two["a"] == pytest.approx(one["a"], abs=1e-12)


def test_the_scale_of_losses_changes_nothing_anchored() -> None:
    answers = []
    for scale in (1.0, 30.0):
        controller = DoGEController(PRIOR, {"a": 1.0})
        gradients = {name: scale * g for name, g in GRADIENTS.items()}
        answers.append([controller.update(heard(gradients, {"a": 1.0}, step=s)) for s in range(10)][-1])
    assert answers[0] == pytest.approx(answers[1], rel=1e-12)


def test_an_absent_domain_keeps_its_share() -> None:
    controller = DoGEController(PRIOR, {"a": 1.0}, pull=0.0)
    stats = heard({"a": GRADIENTS["a"], "c": GRADIENTS["c"]}, {"a": 1.0})
    answer = controller.update({**stats, "tokens": {"a": 1, "b": 0, "c": 1}})
    assert answer["b"] == pytest.approx(0.3)
    assert answer["a"] > 0.5


def test_it_goes_on_from_its_state() -> None:
    whole = DoGEController(PRIOR, {"a": 1.0})
    run(whole, {"a": 1.0}, [0.1, 0.2, 0.05])
    again = DoGEController(PRIOR, {"a": 1.0})
    again.load_state_dict(json.loads(json.dumps(whole.state_dict(), allow_nan=False)))
    stats = heard(GRADIENTS, {"a": 1.0}, 0.03, 3)
    assert again.update(stats) == whole.update(stats), "the largest learning rate so far is part of it"


def test_settings_tell_runs_apart() -> None:
    made = [
        DoGEController(PRIOR),
        DoGEController(PRIOR, {"a": 1.0}),
        DoGEController(PRIOR, mode="faithful"),
        DoGEController(PRIOR, mode="faithful", mu=0.1),
        DoGEController(PRIOR, eta=0.3),
        DoGEController(PRIOR, pull=0.3),
        DoGEController(PRIOR, most=1.0),
        DoGEController(dict.fromkeys("abc", 1.0)),
    ]
    assert len({json.dumps(each.identity(), sort_keys=True) for each in made}) == len(made)
    with pytest.raises(RecipeError, match="DoGE needs"):
        DoGEController(PRIOR, eta=0.0)
