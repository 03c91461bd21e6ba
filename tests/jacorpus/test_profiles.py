"""Profiles that ship: each is sound, measures what its rules need, and has the published bounds."""

import importlib
import tomllib
from itertools import pairwise
from typing import Any

import pytest

from jacorpus.rules.profile import FOLDER, Profile, load_profile, profile_names, profile_rules
from tests.conftest import ROOT

NAMES = profile_names()
PUBLISHED = {
    "swallow-v1",
    "fineweb2-jpn",
    "fineweb2-jpn-words",
    "llmjp-v1",
    "llmjp-v1-strict",
    "hojichar",
    "uzushio-tiers",
}
# Signals a recipe provides where the user gives a path or reads pages; rules on them must be optional.
FROM_THE_RECIPE = ("keywords.", "url.ut1_hit", "extract.", "glotlid.", "paragraphs.")


def stage(table: dict[str, Any]) -> Any:
    """The stage of a [[stage]] table, its options checked by its own class."""
    module, _, name = table["use"].rpartition(".")
    code = importlib.import_module(f"jacorpus.{module}.{name}")
    options = {key: value for key, value in table.items() if key not in ("use", "label")}
    options = {key: tuple(value) if isinstance(value, list) else value for key, value in options.items()}
    return getattr(code, "".join(part.capitalize() for part in name.split("_")))(**options)


def label(table: dict[str, Any]) -> str:
    fixed = {"language.detect": "language"}
    return table.get("label") or fixed.get(table["use"]) or table["use"].rpartition(".")[2]


def bounds(profile: str, signal: str, tier: str | None = None) -> dict[str, Any]:
    found = [r for r in load_profile(profile)["rule"] if r["signal"] == signal and r.get("tier") == tier]
    assert len(found) == 1, f"{profile}: {len(found)} rules on {signal}"
    return {key: found[0][key] for key in ("min", "max", "above", "below", "in", "not_in") if key in found[0]}


def test_all_profiles_are_there() -> None:
    assert set(NAMES) == PUBLISHED | {"default"}


@pytest.mark.parametrize("name", NAMES)
def test_profile_is_sound(name: str) -> None:
    tables = load_profile(name)
    assert tables["name"] == name
    assert tables["source"]
    assert tables["description"]
    for tier in tables.get("tiers", [None]):
        rules = profile_rules(Profile(name, tier), "rules", None)
        assert len(rules) == len(tables["rule"])
        assert all(rule.reason and rule.signal.count(".") == 1 for rule in rules)


@pytest.mark.parametrize("name", NAMES)
def test_each_rule_has_its_measurement(name: str) -> None:
    tables = load_profile(name)
    labels = [label(table) for table in tables["stage"]]
    assert len(set(labels)) == len(labels)
    provided = {f"{label(table)}.{column}" for table in tables["stage"] for column in stage(table).columns()}
    for rule in tables["rule"]:
        if rule.get("optional"):
            assert rule["signal"].startswith(FROM_THE_RECIPE)
        else:
            assert rule["signal"] in provided


@pytest.mark.parametrize("name", NAMES)
def test_no_stage_measures_what_no_rule_asks_for(name: str) -> None:
    tables = load_profile(name)
    used = {rule["signal"].partition(".")[0] for rule in tables["rule"]}
    assert {label(table) for table in tables["stage"]} <= used


@pytest.mark.parametrize("name", NAMES)
def test_each_rule_says_where_it_is_from(name: str) -> None:
    lines = (FOLDER / f"{name}.toml").read_text("utf-8").splitlines()
    for before, line in pairwise(lines):
        if line == "[[rule]]":
            assert before.startswith("# ")


def test_a_tier_drops_what_the_looser_ones_drop() -> None:
    active = {
        tier: {rule for rule in profile_rules(Profile("uzushio-tiers", tier), "rules", None) if rule.tier is None}
        for tier in load_profile("uzushio-tiers")["tiers"]
    }
    assert active["loose"] < active["middle"] < active["strict"]


# Curation facts: bounds as published; a document is kept inside them.
SPOT_CHECKS = [
    ("swallow-v1", "text.chars", {"min": 400}),
    ("swallow-v1", "text.japanese_chars", {"min": 400}),
    ("swallow-v1", "lines.dup_line_ratio", {"max": 0.30}),
    ("swallow-v1", "lines.dup_sentence_chars_ratio", {"max": 0.20}),
    ("swallow-v1", "repetition.top_2_ratio", {"max": 0.20}),
    ("swallow-v1", "repetition.top_4_ratio", {"max": 0.16}),
    ("swallow-v1", "repetition.dup_5_type_ratio", {"max": 0.15}),
    ("swallow-v1", "repetition.dup_10_type_ratio", {"max": 0.10}),
    ("swallow-v1", "text.hiragana_ratio", {"min": 0.2}),
    ("swallow-v1", "text.katakana_ratio", {"max": 0.5}),
    ("swallow-v1", "text.japanese_ratio", {"min": 0.5}),
    ("swallow-v1", "text.sentence_mean_chars", {"min": 20, "max": 90}),
    ("swallow-v1", "text.sentence_max_chars", {"max": 200}),
    ("swallow-v1", "text.ellipsis_sentence_ratio", {"max": 0.2}),
    ("swallow-v1", "keywords.ng_ratio", {"below": 0.05}),
    ("llmjp-v1", "text.kuten_gap_chars", {"max": 250}),
    ("llmjp-v1", "compression.zlib_ratio", {"min": 0.30, "max": 0.70}),
    ("llmjp-v1", "keywords.adult_hits", {"max": 3}),
    ("llmjp-v1", "keywords.ads_hits", {"max": 10}),
    ("llmjp-v1-strict", "text.kuten_gap_chars", {"max": 80}),
    ("llmjp-v1-strict", "compression.zlib_ratio", {"min": 0.375, "max": 0.70}),
    ("llmjp-v1-strict", "keywords.violence_hits", {"max": 2}),
    ("llmjp-v1-strict", "keywords.ads_hits", {"max": 10}),
    ("hojichar", "text.kana_head_chars", {"min": 1}),
    ("hojichar", "text.kuten_gap_chars", {"max": 100}),
    ("hojichar", "repetition.char_repetition_ratio", {"below": 0.33}),
    ("hojichar", "text.special_ratio", {"max": 0.40}),
    ("hojichar", "text.run_max_chars", {"below": 200}),
    ("hojichar", "lines.ellipsis_line_ratio", {"max": 0.70}),
    ("hojichar", "lines.short_line_ratio", {"max": 0.50}),
    ("hojichar", "language.score", {"min": 0.50}),
    ("hojichar", "keywords.discrimination_hits", {"max": 0}),
    ("hojichar", "words.noun_ratio", {"below": 0.80}),
    ("hojichar", "words.word_repetition_ratio", {"below": 0.40}),
    ("fineweb2-jpn", "line_runs.dup_line_ratio", {"max": 0.328}),
    ("fineweb2-jpn", "line_runs.dup_line_chars_ratio", {"max": 0.1}),
    ("fineweb2-jpn", "line_runs.terminal_line_ratio", {"min": 0.096}),
    ("fineweb2-jpn", "text.stopword_types", {"min": 2}),
    ("fineweb2-jpn", "wordless.alpha_word_ratio", {"min": 0.748}),
    ("fineweb2-jpn", "wordless.dup_5_word_cover_ratio", {"max": 0.243}),
    ("fineweb2-jpn-words", "words.newline_per_word", {"max": 0.13}),
    ("fineweb2-jpn-words", "words.plain_words", {"min": 50, "max": 100_000}),
    ("fineweb2-jpn-words", "words.word_mean_chars", {"min": 1, "max": 6}),
    ("fineweb2-jpn-words", "words.alpha_word_ratio", {"min": 0.759}),
    ("fineweb2-jpn-words", "words.symbol_word_ratio", {"max": 0.1}),
    ("fineweb2-jpn-words", "words.stopword_types", {"min": 2}),
    ("fineweb2-jpn-words", "words.top_2_word_cover_ratio", {"max": 0.239}),
    ("fineweb2-jpn-words", "words.dup_10_word_cover_ratio", {"max": 0.159}),
    ("fineweb2-jpn-words", "line_runs.bullet_line_ratio", {"max": 0.9}),
    ("fineweb2-jpn-words", "line_runs.ellipsis_line_ratio", {"max": 0.3}),
    ("fineweb2-jpn-words", "glotlid.score", {"min": 0.886}),
]
TIERS = [
    ("loose", "text.hiragana_all_ratio", {"min": 0.10}),
    ("middle", "text.hiragana_all_ratio", {"min": 0.15}),
    ("loose", "extract.link_ratio", {"max": 0.8}),
    ("middle", "extract.link_ratio", {"max": 0.4}),
    ("loose", "compression.lz4_ratio", {"min": 0.25, "max": 5.0}),
    ("middle", "compression.lz4_ratio", {"min": 0.40, "max": 0.75}),
    ("strict", "compression.lz4_ratio", {"min": 0.50, "max": 0.75}),
    ("loose", "keywords.adult_types", {"below": 9}),
    ("middle", "keywords.adult_types", {"below": 6}),
    (None, "keywords.discrimination_types", {"below": 9}),
    (None, "text.chars", {"min": 50}),
    (None, "paragraphs.chars", {"min": 200}),
    ("loose", "paragraphs.copies_05", {"max": 5}),
    ("middle", "paragraphs.copies_05", {"max": 2.5}),
    ("strict", "paragraphs.copies_10", {"max": 1.5}),
]


@pytest.mark.parametrize(("profile", "signal", "bound"), SPOT_CHECKS)
def test_bound_as_published(profile: str, signal: str, bound: dict[str, float]) -> None:
    assert bounds(profile, signal) == bound


@pytest.mark.parametrize(("tier", "signal", "bound"), TIERS)
def test_bound_of_a_tier(tier: str | None, signal: str, bound: dict[str, float]) -> None:
    assert bounds("uzushio-tiers", signal, tier) == bound


def test_top_level_domains() -> None:
    domains = ["biz", "cc", "com", "info", "jp", "me", "net", "org", "site", "tokyo", "tv", "work", "xyz"]
    for name in ("llmjp-v1", "llmjp-v1-strict"):
        assert bounds(name, "url.tld") == {"in": domains}
        assert bounds(name, "url.host") == {"not_in": ["ja.wikipedia.org"]}


def test_profiles_are_plain_toml() -> None:
    for name in NAMES:
        tomllib.loads((FOLDER / f"{name}.toml").read_text("utf-8"))


@pytest.mark.parametrize("name", NAMES)
def test_each_rule_is_in_the_documentation(name: str) -> None:
    page = (ROOT / "docs" / "profiles.md").read_text("utf-8")
    section = page.partition(f"\n## {name}\n")[2].partition("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| `")]
    rules = load_profile(name)["rule"]
    assert len(rows) == len(rules)
    for row, rule in zip(rows, rules, strict=True):
        assert row.startswith(f"| `{rule['signal']}`")
        assert all(str(rule[bound]) in row for bound in ("min", "max", "above", "below") if bound in rule)
        assert (" * |" in row) == bool(rule.get("optional"))
