"""Profiles: bounds replaced by name, tiers that drop and tiers that are only recorded."""

from pathlib import Path

import pytest

from jacorpus.errors import RecipeError
from jacorpus.rules.profile import Profile, load_profile, profile_names, profile_rules

TIERED = """
name = "t"
tiers = ["loose", "strict"]
[[stage]]
use = "signals.text"
[[rule]]
signal = "text.chars"
min = 50
reason = "short"
tier = "loose"
[[rule]]
signal = "text.chars"
min = 200
reason = "short"
tier = "strict"
[[rule]]
signal = "text.run_max_chars"
max = 9
reason = "run"
"""


@pytest.fixture
def tiered(tmp_path: Path) -> str:
    path = tmp_path / "tiered.toml"
    path.write_text(TIERED, "utf-8")
    return str(path)


def test_shipped_profiles_load():
    assert {"swallow-v1", "fineweb2-jpn", "llmjp-v1", "llmjp-v1-strict", "hojichar", "uzushio-tiers", "default"} <= set(
        profile_names()
    )
    for name in profile_names():
        assert profile_rules(Profile(name), "profile", None)


def test_a_tier_drops_down_to_itself(tiered: str):
    loose = profile_rules(Profile(tiered), "profile", None)
    assert [(rule.bound, rule.tier) for rule in loose] == [
        ((("min", 50),), None),
        ((("min", 200),), "strict"),
        ((("max", 9),), None),
    ]
    strict = profile_rules(Profile(tiered, tier="strict"), "profile", None)
    assert {rule.tier for rule in strict} == {None}
    with pytest.raises(RecipeError, match="did you mean `strict`"):
        profile_rules(Profile(tiered, tier="strickt"), "profile", None)


def test_set_replaces_bounds(tiered: str):
    rules = profile_rules(Profile(tiered, set={"text.run_max_chars": 20}), "profile", None)
    assert rules[2].bound == (("max", 20),)
    with pytest.raises(RecipeError, match="several bounds"):
        profile_rules(Profile(tiered, set={"text.chars": 1}), "profile", None)
    assert profile_rules(Profile(tiered, set={"text.chars.min": 1}), "profile", None)[1].bound == (("min", 1),)
    with pytest.raises(RecipeError, match="no rule on"):
        profile_rules(Profile(tiered, set={"text.char": 1}), "profile", None)


def test_unknown_keys_are_errors(tmp_path: Path):
    path = tmp_path / "p.toml"
    path.write_text('nam = "x"', "utf-8")
    with pytest.raises(RecipeError, match="did you mean `name`"):
        load_profile(str(path))
