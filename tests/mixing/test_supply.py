"""Sources from words, from manifests, and shares of them."""

import json
from pathlib import Path

import pytest

from jacorpus.errors import InputError, RecipeError
from mixing.supply import (
    Source,
    by_language,
    by_name,
    defaults,
    gathered,
    number_of,
    source_of,
    sources_of,
    weights_of_file,
)
from tests.small import run_small, write_corpus

THREE = (Source("a", "ja", 10.0, ""), Source("b", "ja", 30.0, ""), Source("c", "en", 60.0, ""))


@pytest.mark.parametrize(
    ("word", "value"),
    [("412e9", 4.12e11), ("412B", 4.12e11), ("1.5T", 1.5e12), ("300m", 3e8), ("412_000", 412e3), ("7k", 7e3), ("5", 5)],
)
def test_numbers_as_people_write_them(word: str, value: float) -> None:
    assert number_of(word, "x") == pytest.approx(value)


@pytest.mark.parametrize("word", ["0", "-3", "1e999", "B", "1.5X", "", "nan", "1e9B2"])
def test_what_is_no_number_is_told(word: str) -> None:
    with pytest.raises(RecipeError, match="x must be a number over 0"):
        number_of(word, "x")


def test_a_source_in_words() -> None:
    assert source_of("web=412B:ja") == Source("web", "ja", 412e9, "as given")
    assert source_of("news-en=3e9").language == "en"
    assert source_of("novels=3e9").language == "und"
    for words in ("web", "=3e9", "web=", "web=:ja"):
        with pytest.raises(RecipeError, match="write NAME=TOKENS:LANGUAGE"):
            source_of(words)
    with pytest.raises(RecipeError, match="`jp` is no language"):
        source_of("web=3e9:jp")


def test_the_defaults_are_the_published_ones() -> None:
    sizes = {source.name: source.tokens for source in defaults()}
    assert sizes == {"code": 136e9, "pile-en": 136e9, "web-ja": 412.5e9, "wiki-en": 5.1e9}
    assert defaults(3.3)[2].tokens == pytest.approx(500e9)


def test_a_corpus_run_is_counted_by_its_train_split(tmp_path: Path) -> None:
    manifest = run_small(write_corpus(tmp_path / "in"), tmp_path / "out")
    (found,) = sources_of(tmp_path / "out")
    size = sum(shard["text_bytes"] for shard in manifest["shards"] if shard["split"] == "train")
    assert (found.name, found.language) == ("web", "und")
    assert found.tokens == size / manifest["bytes_per_token"] > 0
    assert "bytes a token" in found.told


def test_token_shards_are_counted_exactly(tmp_path: Path) -> None:
    count = {"documents": 2, "tokens": 100, "text_bytes": 400}
    domains = {"ja-web": {"train": count, "valid": count}, "empty": {"valid": count}}
    manifest = {"kind": "tokens", "tokenizer": {"name": "char"}, "domains": domains}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    assert sources_of(tmp_path) == (Source("ja-web", "ja", 100.0, "token shards, char"),)
    assert sources_of(tmp_path / "manifest.json") == sources_of(tmp_path)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (None, "no manifest at"),
        ("{", "is damaged"),
        ("[]", "is no manifest of token shards"),
        ("{}", "is no manifest of token shards"),
        ('{"kind": "tokens", "tokenizer": {"name": "x"}, "domains": {"a": {}}}', "lists no text"),
    ],
)
def test_folders_without_text_are_told(tmp_path: Path, text: str | None, sentence: str) -> None:
    if text is not None:
        (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(InputError, match=sentence):
        sources_of(tmp_path)


def test_gathered_in_order_of_names_with_languages_and_filters() -> None:
    found = gathered(THREE[::-1], {"c": "code"}, {"ja": 0.5, "c": 0.1})
    assert [(s.name, s.language, s.tokens) for s in found] == [("a", "ja", 5), ("b", "ja", 15), ("c", "code", 6)]
    assert found == gathered(THREE, {"c": "code"}, {"c": 0.1, "ja": 0.5})
    assert "0.5 of it kept" in found[0].told


def test_wrong_names_and_shares_of_sources_are_told() -> None:
    with pytest.raises(RecipeError, match="two sources are named `a`"):
        gathered([THREE[0], THREE[0]])
    with pytest.raises(RecipeError, match="no source `d`"):
        gathered(THREE, {"d": "ja"})
    with pytest.raises(RecipeError, match="no source or language `fr`"):
        gathered(THREE, kept={"fr": 0.5})
    with pytest.raises(RecipeError, match="over 0 and at most 1"):
        gathered(THREE, kept={"ja": 0.0})


def test_shares_of_languages_are_natural_within() -> None:
    assert by_language(THREE, {}) == pytest.approx([0.1, 0.3, 0.6])
    assert by_language(THREE, {"ja": 0.8}) == pytest.approx([0.2, 0.6, 0.2])
    assert by_language(THREE, {"ja": 0.5, "en": 0.5}) == pytest.approx([0.125, 0.375, 0.5])
    assert by_language(THREE, {"ja": 1.0}) == pytest.approx([0.25, 0.75, 0.0])


@pytest.mark.parametrize(
    ("shares", "sentence"),
    [
        ({"ja": 1.5}, "a share is from 0 to 1"),
        ({"ja": -0.5}, "a share is from 0 to 1"),
        ({"fr": 0.5}, "no source is of language `fr`"),
        ({"ja": 0.6, "en": 0.6}, "sum to 1.2, more than 1"),
        ({"ja": 0.6, "en": 0.2}, "sum to 0.8, less than 1"),
    ],
)
def test_shares_that_cannot_be(shares: dict[str, float], sentence: str) -> None:
    with pytest.raises(RecipeError, match=sentence):
        by_language(THREE, shares)


def test_weights_by_name() -> None:
    assert by_name(THREE, {"c": 3, "a": 1}, "it") == pytest.approx([0.25, 0, 0.75])
    with pytest.raises(RecipeError, match="it gives a weight to `d`"):
        by_name(THREE, {"d": 1}, "it")
    with pytest.raises(RecipeError, match="must be a number, 0 or more"):
        by_name(THREE, {"a": -1}, "it")
    with pytest.raises(RecipeError, match="no source here a weight above 0"):
        by_name(THREE, {}, "it")


def test_a_mixture_file_gives_token_weights(tmp_path: Path) -> None:
    path = tmp_path / "mixture.json"
    path.write_text('{"weights": {"a": 0.4}}')
    assert weights_of_file(path) == weights_of_file(tmp_path) == {"a": 0.4}
    path.write_text('{"unit": "byte", "weights": {"a": 0.4}, "shares": {"token": {"a": 0.3}}}')
    assert weights_of_file(path) == {"a": 0.3}
    for text, sentence in (("{", "is no JSON"), ('{"unit": "byte", "weights": {}}', "has no token weights")):
        path.write_text(text)
        with pytest.raises(InputError, match=sentence):
            weights_of_file(path)
    with pytest.raises(InputError, match="can't be read"):
        weights_of_file(tmp_path / "none.json")
