"""Wishes to a problem: words to held-out sets, limits, priors, and what is refused with which words."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jacorpus.errors import InputError, JacorpusError, RecipeError
from mixing.domains import Domain, Domains
from mixing.problem import Problem, problem_of
from mixing.settings import mixing_settings
from tests.mixing.worlds import domains

SOME = domains(ja_web=600, en_web=1000, ja_wiki=(300, 0), ja_books=100)  # en-web, ja-books, ja-web, ja-wiki


def problem(table: dict[str, Any] | None = None, some: Domains = SOME) -> Problem:
    return problem_of(mixing_settings(table or {}), some)


def test_words_become_held_out_sets() -> None:
    """Of several domains each counts alike, those without held-out text not at all; weights are of sum 1."""
    found = problem({"target": {"ja": 3, "en-web": 1}})
    assert found.target == {"en-web": 0.25, "ja-books": 0.375, "ja-web": 0.375}
    assert found.words == {"en-web": ("en-web",), "ja": ("ja-books", "ja-web")}
    assert found.sets == ("en-web", "ja-books", "ja-web")
    assert found.weight_of(("ja-web", "x", "en-web")).tolist() == [0.375, 0, 0.25]
    assert found.given


def test_words_may_overlap_and_weigh_nothing() -> None:
    found = problem({"target": {"ja": 1, "ja-web": 1, "web": 0}})
    assert found.target == {"ja-books": 0.25, "ja-web": 0.75}
    assert set(found.words) == {"ja", "ja-web"}


def test_without_a_target_every_set_counts_alike() -> None:
    found = problem()
    assert found.target == pytest.approx({"en-web": 1 / 3, "ja-books": 1 / 3, "ja-web": 1 / 3})
    assert not found.given


@pytest.mark.parametrize(
    ("table", "prior"),
    [
        ({}, [0.5, 0.05, 0.3, 0.15]),
        ({"prior": "uniform"}, [0.25, 0.25, 0.25, 0.25]),
        ({"prior": {"ja-web": 3, "en-web": 1}}, [0.25, 0, 0.75, 0]),
        ({"held_out": ["ja-web", "ja-web"]}, [1000 / 1400, 100 / 1400, 0, 300 / 1400]),
        ({"prior": "uniform", "held_out": ["en-web"]}, [0, 1 / 3, 1 / 3, 1 / 3]),
        ({"bounds": {"en-web": 0.2}}, [0.2, 0.08, 0.48, 0.24]),  # the rest in proportion: the nearest in KL
    ],
)
def test_priors(table: dict[str, Any], prior: list[float]) -> None:
    assert problem(table).prior == pytest.approx(prior, abs=1e-12)


def test_a_prior_of_zeros_is_lifted_where_limits_ask_for_weight() -> None:
    found = problem({"prior": {"ja-web": 1}, "languages": {"en": [0.3, 0.4]}})
    assert found.prior == pytest.approx([0.3, 0, 0.7, 0], abs=1e-11)
    assert found.limits.violation(found.prior) <= 1e-12


@pytest.mark.parametrize(
    ("epochs", "most"),
    [
        (2, [1, 0.2, 1, 0.6]),
        ({"ja": 1}, [1, 0.1, 0.6, 0.3]),
        ({"ja": 1, "web": 0.5, "ja-wiki": 3}, [0.5, 0.1, 0.3, 0.9]),  # its own name, else the lowest of its words
        ({"ja": 0}, [1, 1, 1, 1]),
    ],
)
def test_epochs_cap_weights(epochs: Any, most: list[float]) -> None:
    found = problem({"epochs": epochs, "tokens": 1000})
    assert found.limits.upper == pytest.approx(most)
    assert all("epoch" in bound.label and "tokens" in bound.label for bound in found.limits.bounds)


def test_a_single_epoch_is_one_epoch() -> None:
    labels = [bound.label for bound in problem({"epochs": {"ja-books": 1}, "tokens": 1000}).limits.bounds]
    assert labels == ["ja-books <= 0.1 (1 epoch of 100 tokens)"]


def test_limits_are_named_as_people_write_them() -> None:
    table = {
        "bounds": {"ja-books": [0.1, 0.1], "ja-web": 0.5},
        "languages": {"ja": [0.3, 1]},
        "types": {"web": [0.1, 0.6]},
    }
    labels = [bound.label for bound in problem(table).limits.bounds]
    assert labels == ["ja-books = 0.1", "ja-web <= 0.5", "language ja >= 0.3", "type web in [0.1, 0.6]"]


def test_domains_without_text_get_nothing() -> None:
    some = domains(ja_web=600, en_web=0)
    found = problem({}, some)
    assert found.prior.tolist() == [0, 1]
    assert found.limits.extent(0) == (0, 0)
    assert found.sets == ("en-web", "ja-web")  # measured on, all the same
    assert found.within(np.array([1.0, 0.0])) == pytest.approx([0, 1])


NO_VALID = Domains.of([Domain("a", "ja", "x", 10, 30, 1)])


@pytest.mark.parametrize(
    ("table", "some", "kind", "says"),
    [
        ({"target": {"jp": 1}}, SOME, RecipeError, r"\[mixing\] target: `jp` is no domain, language or type"),
        ({"target": {"ja-wiki": 1}}, SOME, InputError, r"target: `ja-wiki` has no held-out document.*valid_ratio"),
        ({"target": {"ja": 0}}, SOME, RecipeError, "target needs a weight above 0"),
        ({}, NO_VALID, InputError, "no domain has a held-out document.*valid_ratio"),
        ({"keep": {"fr": 0.1}}, SOME, RecipeError, r"\[mixing\] keep\.fr: `fr` is no domain"),
        ({"keep": {"wiki": 0.1}}, SOME, InputError, r"keep\.wiki: `wiki` has no held-out document"),
        ({"bounds": {"ja-wob": 0.1}}, SOME, RecipeError, r"\[mixing\] bounds: no domain `ja-wob` here; did you mean"),
        ({"bounds": {"web": 0.1}}, SOME, RecipeError, r"`web` is a type and no domain; .*types = \{ web = \[least"),
        ({"bounds": {"ja": 0.1}}, SOME, RecipeError, r"`ja` is a language and no domain; .*languages = \{ ja"),
        ({"prior": {"ja-wob": 1}}, SOME, RecipeError, r"\[mixing\] prior: no domain `ja-wob`"),
        ({"prior": {"ja-web": 0}}, SOME, RecipeError, r"\[mixing\] prior: no domain of the mixture has a weight"),
        ({"held_out": ["ja-wob"]}, SOME, RecipeError, r"\[mixing\] held_out: no domain `ja-wob`"),
        ({"held_out": list(SOME.names)}, SOME, InputError, "no domain is left.*leave one of held_out's out"),
        ({}, domains(a=0, b=0), InputError, "no domain is left that has tokens to train on: add documents"),
        ({"languages": {"fr": 0.1}}, SOME, RecipeError, "no domain is of language `fr`"),
        ({"epochs": 4}, SOME, RecipeError, r"epochs needs the size of the training run: add tokens"),
        ({"epochs": {"jp": 4}, "tokens": 1}, SOME, RecipeError, r"\[mixing\] epochs: `jp` is no domain"),
        ({"epochs": 1, "tokens": 4000}, SOME, RecipeError, r"can't hold together.*1 epoch of 1,000 tokens.*0\.5 of"),
        ({"bounds": {"a": [0.2, 1]}}, domains(a=0, b=9), InputError, "bounds gives `a` a weight.*no tokens"),
        ({"prior": {"a": 1}}, domains(a=0, b=9), InputError, "prior gives `a` a weight.*no tokens to train on"),
        ({"prior": {"ja-web": 1}, "held_out": ["ja-web"]}, SOME, RecipeError, "prior gives `ja-web`.*drop one"),
        ({"bounds": {"ja-web": [0.1, 1]}, "held_out": ["ja-web"]}, SOME, RecipeError, "bounds gives `ja-web`"),
        ({"bounds": {"en-web": [0.6, 1], "ja-web": [0.5, 1]}}, SOME, RecipeError, "en-web >= 0.6; ja-web >= 0.5"),
        ({"languages": {"ja": [0.6, 1]}, "bounds": {"en-web": [0.5, 1]}}, SOME, RecipeError, "ja >= 0.6"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_told(table: dict[str, Any], some: Domains, kind: type[Exception], says: str) -> None:
    with pytest.raises(kind, match=says):
        problem(table, some)


def test_an_unused_bound_on_a_domain_without_tokens_is_fine() -> None:
    assert problem({"bounds": {"a": 0.2}, "prior": {"a": 0, "b": 1}}, domains(a=0, b=9)).prior.tolist() == [0, 1]


def test_shares_are_what_weights_are_worth() -> None:
    """Below an epoch all of it; the derivative is the slope."""
    weights = np.array([0.4, 0.1, 0.2, 0.3])
    found = problem({"tokens": 2000})
    shares, slope = found.shares(weights)
    assert shares[0] == 0.4
    assert shares[1] < 0.1
    assert found.epochs(weights) == pytest.approx([0.8, 2, 2 / 3, 2])
    for i in range(4):
        step = 1e-6 * np.eye(4)[i]
        rise = (found.shares(weights + step)[0] - found.shares(weights - step)[0]) / 2e-6
        assert rise == pytest.approx(slope * np.eye(4)[i], abs=1e-6)
    for table in ({}, {"tokens": 2000, "repeats": False}):
        shares, slope = problem(table).shares(weights)
        assert (shares.tolist(), slope.tolist()) == (weights.tolist(), [1, 1, 1, 1])
    assert np.all(np.isnan(problem().epochs(weights)))


def test_within_leaves_alone_what_is_within() -> None:
    found = problem({"bounds": {"en-web": 0.5}})
    inside = np.array([0.5, 0.5, 0.0, 0.0])
    assert found.within(inside) is inside


def test_within_takes_rounding_below_zero() -> None:
    found = problem({"bounds": {"en-web": 0.5}})
    moved = found.within(np.array([1.0 + 1e-13, -1e-13, 0.0, 0.0]))
    assert moved[0] == pytest.approx(0.5)
    assert found.limits.violation(moved) <= 1e-12


@settings(max_examples=60)
@given(st.lists(st.floats(0, 1), min_size=4, max_size=4), st.floats(0, 1), st.floats(0, 1), st.floats(0.05, 1))
def test_within_meets_the_limits_or_they_are_refused(point: list[float], a: float, b: float, cap: float) -> None:
    table = {"languages": {"ja": sorted((a, b))}, "bounds": {"ja-web": cap, "en-web": [0, max(cap, 0.5)]}}
    try:
        found = problem(table)
    except JacorpusError:
        return
    weights = np.array(point) + 1e-3
    moved = found.within(weights / math.fsum(weights))
    assert found.limits.violation(moved) <= 1e-11


def test_a_limit_can_be_lifted() -> None:
    found = problem({"bounds": {"en-web": 0.2}, "languages": {"ja": [0.5, 1]}})
    freed = found.freed_of("en-web <= 0.2")
    assert freed.limits.upper[0] == 1
    assert [bound.label for bound in freed.limits.bounds] == ["language ja >= 0.5"]
    assert freed.prior is found.prior
