"""Curricula: the same totals in another order, and tables that TOML reads."""

import math
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jacorpus.errors import RecipeError
from mixing.curriculum import REPLAY, Kind, make, outcome
from mixing.scaling import law_named

WEIGHTS = {"code": 0.1, "en web": 0.4, "ja": 0.3, "ja-books": 0.2}
LANGUAGES = {"code": "code", "en web": "en", "ja": "ja", "ja-books": "ja"}
UNIQUE = {"code": 5e9, "en web": 100e9, "ja": 20e9, "ja-books": 2e9}


def test_joint_is_one_phase_of_the_mixture() -> None:
    found = make("joint", 1e11, WEIGHTS, LANGUAGES)
    assert [(phase.tokens, phase.mixture) for phase in found.phases] == [(10**11, pytest.approx(WEIGHTS))]


@given(st.integers(2, 4), st.floats(0.01, 0.99), st.integers(10**3, 10**13))
def test_a_ramp_rises_and_has_the_totals_of_joint(phases: int, share: float, tokens: int) -> None:
    weights = {"en": 1 - share, "ja": share * 0.75, "ja-books": share * 0.25}
    languages = {"en": "en", "ja": "ja", "ja-books": "ja"}
    found = make("ramp", tokens, weights, languages, phases=phases)
    assert len(found.phases) == phases
    assert found.tokens == tokens
    shares = [phase.mixture["ja"] + phase.mixture["ja-books"] for phase in found.phases]
    assert shares == sorted(shares)
    assert all(0 < one < 1 for one in shares)
    assert all(math.fsum(phase.mixture.values()) == pytest.approx(1) for phase in found.phases)
    seen, before = found.seen(), make("joint", tokens, weights, languages).seen()
    assert seen == pytest.approx(before, rel=1e-9)


def test_transfer_goes_on_from_a_model_with_replay() -> None:
    found = make("transfer", 1e11, WEIGHTS, LANGUAGES, init="models/en-1b")
    (phase,) = found.phases
    assert phase.mixture["ja"] + phase.mixture["ja-books"] == pytest.approx(1 - REPLAY)
    assert phase.mixture["ja"] / phase.mixture["ja-books"] == pytest.approx(1.5)
    assert tomllib.loads(found.to_toml())["model"] == {"init": "models/en-1b"}
    bare = make("transfer", 1e11, {"ja": 1.0}, {"ja": "ja"}, replay=0.0, init="m")
    assert bare.phases[0].mixture == {"ja": 1.0}


@pytest.mark.parametrize("kind", ["joint", "ramp", "transfer"])
def test_tables_are_toml_and_say_the_same(kind: Kind) -> None:
    odd = {'a "quoted" name': 0.5, "日本語.本": 0.5}
    found = make(kind, 1e9, odd, {'a "quoted" name': "en", "日本語.本": "ja"}, init='dir\\with "odd" name')
    tables = tomllib.loads(found.to_toml())
    phases = tables["train"]["phase"]
    assert [(phase["tokens"], phase["mixture"]) for phase in phases] == [(p.tokens, p.mixture) for p in found.phases]
    assert ("model" in tables) == (kind == "transfer")


def test_outcomes_follow_totals_not_order() -> None:
    law = law_named("besiroglu")
    joint, ramp = (outcome(make(kind, 1e11, WEIGHTS, LANGUAGES), law, UNIQUE, LANGUAGES) for kind in ("joint", "ramp"))  # type: ignore[arg-type]
    assert ramp.data_term == pytest.approx(joint.data_term)
    assert joint.epochs == pytest.approx({"code": 2, "en web": 0.4, "ja": 1.5, "ja-books": 10})
    assert joint.shares == pytest.approx((0.5,))
    assert ramp.shares == pytest.approx((0.25, 0.5, 0.75))
    transfer = outcome(make("transfer", 1e11, WEIGHTS, LANGUAGES, init="m"), law, UNIQUE, LANGUAGES)
    assert transfer.data_term["ja"] < joint.data_term["ja"]
    assert transfer.data_term["en"] > joint.data_term["en"]
    alone = outcome(make("transfer", 1e11, WEIGHTS, LANGUAGES, replay=0.0, init="m"), law, UNIQUE, LANGUAGES)
    assert alone.data_term["en"] == math.inf


@pytest.mark.parametrize(
    ("kind", "change", "sentence"),
    [
        ("rump", {}, "no curriculum `rump`"),
        ("ramp", {"phases": 5}, "2, 3 or 4 phases"),
        ("ramp", {"weights": {"ja": 1.0}}, "nothing beside it"),
        ("ramp", {"weights": {"en web": 1.0}}, "none of it"),
        ("transfer", {}, "name its folder with --init"),
        ("transfer", {"init": "m", "replay": 1.0}, "from 0 to below 1"),
    ],
)
def test_what_cannot_be_is_told(kind: Kind, change: dict, sentence: str) -> None:
    with pytest.raises(RecipeError, match=sentence):
        make(kind, **{"tokens": 1e9, "weights": WEIGHTS, "languages": LANGUAGES, **change})
