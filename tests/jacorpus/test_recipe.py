"""Recipes: strict, and every error names the nearest right word."""

from pathlib import Path

import pytest

from jacorpus.errors import RecipeError
from jacorpus.plan import pipeline_of
from jacorpus.recipe import load_recipe, to_toml

GOOD = """
seed = 7
[[source]]
use = "sources.jsonl"
domain = "web"
paths = ["*.jsonl"]
[[stage]]
use = "normalize.width"
[[stage]]
use = "rules.profile"
profile = "swallow-v1"
[[stage]]
use = "dedup.minhash"
threshold = 0.8
"""


def _recipe(tmp_path: Path, text: str, *overrides: str):
    path = tmp_path / "r.toml"
    path.write_text(text, "utf-8")
    return load_recipe(path, overrides)


def test_defaults_are_written_out(tmp_path: Path) -> None:
    resolved = _recipe(tmp_path, GOOD).resolved()
    assert resolved["seed"] == 7
    assert resolved["name"] == "r"
    assert resolved["stage"][2]["threshold"] == 0.8
    again = _recipe(tmp_path, to_toml(resolved))
    assert again.resolved() == resolved


def test_a_profile_brings_its_measurements(tmp_path: Path) -> None:
    pipeline = pipeline_of(_recipe(tmp_path, GOOD))
    labels = [step.label for step in pipeline.steps]
    assert labels.index("text") < labels.index("minhash")
    assert len(pipeline.rules) > 15


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("seed = 7", "sed = 7", r"unknown key `sed`; did you mean `seed`"),
        ("seed = 7", 'seed = "x"', r"`seed` must be int"),
        ("sources.jsonl", "sources.json", r"sources\.jsonl"),
        ("normalize.width", "normalise.width", r"did you mean `normalize\.width`"),
        ("threshold = 0.8", "treshold = 0.8", r"unknown option `treshold`; did you mean `threshold`"),
        ("threshold = 0.8", 'threshold = "high"', r"option `threshold`"),
        ("swallow-v1", "swalow-v1", r"did you mean `swallow-v1`"),
        ('domain = "web"', "", r'needs `domain = "\.\.\."`'),
        ('domain = "web"', 'domain = "w/b"', r"letters, digits"),
        ('paths = ["*.jsonl"]', "", r"needs `paths"),
        ("dedup.minhash", "sources.warc", r"\[\[source\]\]"),
        ("seed = 7", "seed = ", r"no valid TOML"),
        ('use = "normalize.width"', 'use = "nowhere.module:Class"', r"can't be loaded"),
    ],
)
def test_errors_name_the_place(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in GOOD
    with pytest.raises(RecipeError, match=message):
        pipeline_of(_recipe(tmp_path, GOOD.replace(old, new, 1)))


def test_set_overrides(tmp_path: Path) -> None:
    recipe = _recipe(tmp_path, GOOD, "seed=9", "stage.minhash.threshold=0.9", "source.web.priority=3")
    assert recipe.seed == 9
    assert recipe.stages[2].stage.threshold == 0.9
    assert recipe.sources[0].priority == 3
    with pytest.raises(RecipeError, match="did you mean `minhash`"):
        _recipe(tmp_path, GOOD, "stage.minhsh.threshold=0.9")


def test_a_missing_recipe_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="recipe new"):
        load_recipe(tmp_path / "none.toml")


def test_a_file_that_an_option_names_must_exist(tmp_path: Path) -> None:
    text = GOOD + '[[stage]]\nuse = "signals.keywords"\nlists = { ads = "ads.txt" }\n'
    with pytest.raises(RecipeError, match=r"no file `ads\.txt`"):
        _recipe(tmp_path, text)
    (tmp_path / "ads.txt").write_text("広告\n", "utf-8")
    lists = _recipe(tmp_path, text).stages[3].stage.lists
    assert lists["ads"] == str(tmp_path / "ads.txt")


def test_a_stage_of_other_options_than_the_profile_needs_is_refused(tmp_path: Path) -> None:
    text = GOOD.replace('use = "normalize.width"', 'use = "signals.lines"\nsplit = "lf_run"')
    with pytest.raises(RecipeError, match=r"needs \[\[stage\]\] lines with split = .lf."):
        pipeline_of(_recipe(tmp_path, text))


def test_costly_measurements_of_a_profile_are_guarded_by_its_cheap_rules(tmp_path: Path) -> None:
    pipeline = pipeline_of(_recipe(tmp_path, GOOD.replace("swallow-v1", "hojichar")))
    words = next(step for step in pipeline.steps if step.label == "words")
    assert words.guards
    assert not any(pipeline.rules[i].signal.startswith("words.") for i in words.guards)
