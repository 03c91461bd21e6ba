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
        ('domain = "web"', 'domain = "web"\nmax_record_bytes = -5', r"`max_record_bytes` must be 0 or more, got -5"),
        ("swallow-v1", "swalow-v1", r"did you mean `swallow-v1`"),
        ('domain = "web"', "", r'needs `domain = "\.\.\."`'),
        ('domain = "web"', 'domain = "w/b"', r"letters, digits"),
        ('paths = ["*.jsonl"]', "", r"needs `paths"),
        ("dedup.minhash", "sources.warc", r"\[\[source\]\]"),
        ("seed = 7", "seed = ", r"no valid TOML"),
        ('use = "normalize.width"', 'use = "nowhere.module:Class"', r"can't be loaded"),
        ("seed = 7", "limit = -3", r"`limit` must be 0"),
        ("seed = 7", "valid_ratio = 2", r"`valid_ratio` must be in"),
        ("seed = 7", "shard_bytes = -1.0", r"`shard_bytes` must be over 0"),
        ("seed = 7", "bytes_per_token = nan", r"finite"),
        ("seed = 7", 'name = "../a"', r"`name` must be"),
        ('paths = ["*.jsonl"]', 'paths = [""]', r"needs `paths"),
        ('domain = "web"', 'domain = ".."', r"letters, digits"),
        ("threshold = 0.8", "domains = [1]", r"`domains` must be a list of names"),
        ("threshold = 0.8", 'label = "../../x"', r"`label` must be letters"),
        ("threshold = 0.8", 'label = ""', r"`label` must be letters"),
        ("threshold = 0.8", "label = 3", r"`label` must be letters"),
        ('profile = "swallow-v1"', "", r"needs the option `profile`"),
        ('profile = "swallow-v1"', 'profile = "swallow-v1"\nset = { "text.chars" = "x" }', r"needs a number, got 'x'"),
    ],
)
def test_errors_name_the_place(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in GOOD
    with pytest.raises(RecipeError, match=message):
        pipeline_of(_recipe(tmp_path, GOOD.replace(old, new, 1)))


_RULE = '[[stage]]\nuse = "language.detect"\n[[stage]]\nuse = "rules.bounds"\nrules = [%s]\n'


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("", r"`rules` is empty"),
        ('{ signal = "bytes", min = 9, max = 3 }', r"swap the bounds"),
        ('{ signal = "bytes", in = ["a"] }', r"the signal is a number"),
        ('{ signal = "language.label", min = 3 }', r"the signal is a name"),
        ('{ signal = "language.label", in = [3] }', r"the signal is a name"),
        ('{ signal = "bytes", min = 3, tier = "gold" }', r"only profiles have tiers"),
        ('{ signal = "bytes", min = 3, domains = ["wbe"] }', r"no source has the domain `wbe`; did you mean `web`"),
        ('{ signal = "bytes", min = 3, domains = "web" }', r"`domains` of the rule"),
    ],
)
def test_rules_that_can_not_be_meant(tmp_path: Path, rule: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        pipeline_of(_recipe(tmp_path, GOOD + _RULE % rule))


def test_one_extract_stage_a_domain(tmp_path: Path) -> None:
    other = GOOD + '[[source]]\nuse = "sources.warc"\ndomain = "crawl"\npaths = ["*.warc.gz"]\n'
    fast = '[[stage]]\nuse = "extract.fast"\ndomains = ["%s"]\n'
    pipeline_of(
        _recipe(
            tmp_path,
            other.replace('"normalize.width"', '"normalize.width"\ndomains = ["web"]', 1)
            .replace('"rules.profile"', '"rules.profile"\ndomains = ["web"]')
            .replace('"dedup.minhash"', '"dedup.minhash"\ndomains = ["web"]')
            + fast % "crawl",
        )
    )
    with pytest.raises(RecipeError, match="must come before"):
        pipeline_of(_recipe(tmp_path, other + fast % "crawl"))
    twice = '[[stage]]\nuse = "extract.fast"\n[[stage]]\nuse = "extract.quality"\nlabel = "slow"\n'
    with pytest.raises(RecipeError, match="keep one of them"):
        pipeline_of(_recipe(tmp_path, GOOD.split("[[stage]]")[0] + twice))


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
