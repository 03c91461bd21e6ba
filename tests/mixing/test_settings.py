"""[mixing] as it is written: what it takes, and what it says to what it doesn't."""

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jacorpus.errors import RecipeError
from mixing.settings import KEYS, MixingSettings, deciding, mixing_settings, settings_of


def test_everything_has_a_default() -> None:
    assert mixing_settings({}) == MixingSettings()
    assert settings_of({}) == MixingSettings()


def test_numbers_lists_and_tables_come_typed() -> None:
    found = mixing_settings(
        {
            "target": {"ja": 1, "en": 0.5},
            "bounds": {"web": 0.5, "wiki": [0, 1], "books": (0.1, 0.2)},
            "epochs": {"web": 2},
            "prior": {"web": 3},
            "compare": ["mixmax"],
            "tokens": 20_000_000_000,
            "options": {"tau": 0.5},
        }
    )
    assert found.target == {"ja": 1.0, "en": 0.5}
    assert found.bounds == {"web": (0.0, 0.5), "wiki": (0.0, 1.0), "books": (0.1, 0.2)}
    assert (found.epochs, found.prior, found.compare) == ({"web": 2.0}, {"web": 3.0}, ("mixmax",))
    assert isinstance(found.tokens, float)
    assert mixing_settings({"epochs": 4}).epochs == 4.0


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ({"taget": {"ja": 1}}, "no key `taget`; did you mean `target`?"),
        ({"target": "ja"}, r"target must be a table such as \{ ja = 1.0 \}, got 'ja'"),
        ({"target": {"ja": "1"}}, "target.ja must be a number, 0 or more, got '1'"),
        ({"target": {"ja": math.nan}}, "target.ja must be a number, 0 or more, got nan"),
        ({"target": {"ja": -1}}, "target.ja must be a number, 0 or more"),
        ({"keep": {"en": math.inf}}, "keep.en must be a number"),
        ({"keep": {"en": True}}, "keep.en must be a number"),
        ({"bounds": {"web": [0.5, 0.2]}}, r"bounds.web = \[0.5, 0.2\] must rise and lie within \[0, 1\]"),
        ({"bounds": {"web": [0.5, 1.2]}}, r"must rise and lie within \[0, 1\]"),
        ({"bounds": {"web": 20}}, r"bounds.web = \[0, 20\] must rise and lie within"),
        ({"languages": {"ja": [0.1, 0.2, 0.3]}}, r"languages.ja must be \[least, most\]"),
        ({"languages": {"ja": "0.1"}}, r"languages.ja must be \[least, most\]"),
        ({"types": {"web": [0.1, math.nan]}}, "types.web must be a number"),
        ({"types": 0.5}, "types must be a table"),
        ({"epochs": "4"}, "epochs must be a number, 0 or more, got '4'"),
        ({"epochs": -1}, "epochs must be a number, 0 or more"),
        ({"tokens": math.inf}, "tokens must be a number"),
        ({"repeats": 1}, "repeats must be true or false, got 1"),
        ({"seeds": 0}, "seeds must be 1 or more, got 0"),
        ({"seeds": 2.5}, "seeds must be a whole number, got 2.5"),
        ({"seeds": True}, "seeds must be a whole number"),
        ({"draws": -1}, "draws must be 0 or more"),
        ({"judge": -1}, "judge must be 0 or more"),
        ({"seed": -1}, "seed must be 0 or more, got -1"),
        ({"compare": "mixmax"}, r"compare must be a list of names such as \[\"natural\"\], got 'mixmax'"),
        ({"held_out": [1]}, "held_out must be a list of names"),
        ({"method": 3}, "method must be a word in quotes, got 3"),
        ({"prior": "even"}, 'prior = "even" is unknown; write natural, uniform or a table'),
        ({"prior": 3}, "prior must be natural, uniform or a table of weights, got 3"),
        ({"prior": {"web": -1}}, "prior.web must be a number, 0 or more"),
        ({"surrogate": "table"}, 'surrogate = "table" is unknown; write tables or swarm'),
        ({"options": 3}, "options must be a table"),
        ({"domains": ["web"]}, "domains must be a table"),
    ],
)
def test_wrong_wishes_name_their_key(table: dict[str, Any], says: str) -> None:
    with pytest.raises(RecipeError, match=r"^\[mixing\] .*" + says):
        mixing_settings(table)


def test_mixing_that_is_no_table() -> None:
    with pytest.raises(RecipeError, match=r"\[mixing\] must be a table, got 3"):
        settings_of({"mixing": 3})


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 9) | st.floats() | st.sampled_from(["natural", "tables", "", "ja"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["ja", "web", "x"]), inner, max_size=2),
    max_leaves=4,
)


@given(st.dictionaries(st.sampled_from(KEYS), JUNK, max_size=3))
def test_any_table_is_taken_or_refused_in_words(table: dict[str, Any]) -> None:
    """Never another error than the one a person can read."""
    try:
        found = mixing_settings(table)
    except RecipeError:
        return
    assert isinstance(found, MixingSettings)


@pytest.mark.parametrize(
    ("train", "tokens"),
    [
        ({"tokens": 5e9}, 5e9),
        ({"tokens": 7, "phase": [{"tokens": 1}, {"tokens": 2}]}, 7),
        ({"phase": [{"tokens": 1_000}, {"tokens": 2_000}, {}]}, 3_000),
        ({}, 0),
    ],
)
def test_the_size_of_training_is_trains_unless_named(train: dict[str, Any], tokens: float) -> None:
    assert settings_of({"train": train}).tokens == tokens
    assert settings_of({"train": train, "mixing": {"tokens": 11}}).tokens == 11


@pytest.mark.parametrize("train", [{"tokens": "2B"}, {"tokens": -1}, {"phase": [{"tokens": "1B"}]}])
def test_a_size_that_is_none_is_told(train: dict[str, Any]) -> None:
    with pytest.raises(RecipeError, match=r"train.* tokens must be a number, 0 or more, got"):
        settings_of({"train": train})


def test_what_decides_is_all_but_what_only_a_report_shows() -> None:
    plain = deciding(mixing_settings({}))
    assert json.loads(json.dumps(plain)) == plain
    assert set(plain) == set(KEYS) - {"compare", "judge", "draws"}
    assert deciding(mixing_settings({"compare": ["mixmax"], "judge": 2, "draws": 5})) == plain
    for table in ({"seed": 1}, {"target": {"ja": 1}}, {"bounds": {"web": 0.1}}, {"method": "natural"}, {"tokens": 1}):
        assert deciding(mixing_settings(table)) != plain
