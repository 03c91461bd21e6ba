"""encode by language: the same documents with the same ids and tokens, in domains that languages tell apart."""

from collections import Counter

import pytest

from jacorpus.engine.local import Local
from jacorpus.errors import InputError, RecipeError
from jacorpus.progress import Silent
from tests.tokenizer_lab.test_encode import SMALL, digests, jsonl, rows, shard_folder, words
from tokenizer_lab.corpus import open_corpus
from tokenizer_lab.encode import EncodeOptions, EncodeRun, encode_corpus
from tokenizer_lab.encoding.check_tokens import validate_tokens

BY_LANGUAGE = EncodeOptions(shard_tokens=3000, run_tokens=1000, by_language=True)
TEXTS = {"web": words(90, 3), "wiki": words(40, 4)}


def language(text: str) -> str | None:
    """By length, so that all are in each file: none, no label, and two labels."""
    return (None, "", "ja", "en", "ja")[len(text) % 5]


@pytest.fixture
def corpus(tmp_path):
    return open_corpus([str(shard_folder(tmp_path / "corpus", TEXTS, language))])


class Heard(Silent):
    """A watcher that keeps what it is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)


def test_each_document_goes_to_its_language_with_its_own_id_split_and_tokens(corpus, tmp_path):
    whole = encode_corpus(corpus, "byte", tmp_path / "whole", SMALL)
    split = encode_corpus(corpus, "byte", tmp_path / "split", BY_LANGUAGE)
    assert split.domains == ("web-en", "web-ja", "web-und", "wiki-en", "wiki-ja", "wiki-und")
    wanted = [(f"{d}-{language(bytes(t).decode()) or 'und'}", s, i, t) for d, s, i, t in rows(whole)]
    assert sorted(rows(split)) == sorted(wanted)
    counts = Counter((domain, split) for domain, split, _, _ in wanted)
    assert {(d, s): c["documents"] for d, by in split.manifest["domains"].items() for s, c in by.items()} == counts
    assert sum(len(shards) for _, _, shards in split.groups()) == len(split.shards)
    for name in ("counts", "inputs", "lost", "skipped"):
        assert split.manifest[name] == whole.manifest[name]


def test_the_manifest_tells_the_axes_only_where_they_are_known(corpus, tmp_path):
    split = encode_corpus(corpus, "byte", tmp_path / "split", BY_LANGUAGE).manifest
    wanted = {f"{d}-{code}": {"language": code, "type": d} for d in TEXTS for code in ("en", "ja", "und")}
    assert split["axes"] == wanted
    assert set(split["axes"]) == set(split["domains"])
    whole = encode_corpus(corpus, "byte", tmp_path / "whole", SMALL).manifest
    assert "axes" not in whole
    assert whole["key"] != split["key"]


def test_a_folder_by_language_is_proven_with_its_corpus(corpus, tmp_path):
    encode_corpus(corpus, "char", tmp_path / "split", BY_LANGUAGE)
    answer = validate_tokens(tmp_path / "split", corpus)
    assert answer["passed"], answer
    assert "130 documents give their tokens again" in answer["checks"][-1]["detail"]
    other = open_corpus([str(shard_folder(tmp_path / "other", TEXTS, lambda text: "ja"))])
    assert "is in no shard" in validate_tokens(tmp_path / "split", other)["checks"][-1]["detail"]


def test_the_same_bytes_by_one_and_two_workers_and_any_size_of_runs(corpus, tmp_path):
    encode_corpus(corpus, "byte", tmp_path / "one", BY_LANGUAGE)
    encode_corpus(corpus[::-1], "byte", tmp_path / "two", BY_LANGUAGE, Local(2))
    assert digests(tmp_path / "one") == digests(tmp_path / "two")
    large = encode_corpus(corpus, "byte", tmp_path / "large", EncodeOptions(by_language=True))
    assert rows(large) == rows(encode_corpus(corpus, "byte", tmp_path / "one", BY_LANGUAGE))


def test_the_flag_and_told_languages_are_part_of_the_key(corpus, tmp_path):
    def key(**options):
        return EncodeRun(corpus, "byte", tmp_path / "out", EncodeOptions(**options), None).key

    told = {"web": "ja"}
    keys = [key(), key(by_language=True), key(languages=told), key(by_language=True, languages=told)]
    assert len({*keys, key(languages={"web": "en"})}) == 5
    everything = {"web": "ja", "wiki": "en"}
    assert key(languages=everything) == key(by_language=True, languages=everything)  # nothing is left to split


def test_files_that_carry_no_language_are_und_and_a_note_says_what_to_do(tmp_path):
    domains = open_corpus([f"x={jsonl(tmp_path / 'a.jsonl', words(50, 1))}"])
    heard = Heard()
    tokens = encode_corpus(domains, "byte", tmp_path / "out", BY_LANGUAGE, watcher=heard)
    assert tokens.domains == ("x-und",)
    assert any("no document of x carries a language" in line and "--language x=CODE" in line for line in heard.lines)
    plain = encode_corpus(domains, "byte", tmp_path / "plain", SMALL)
    assert [row[1:] for row in rows(tokens)] == [row[1:] for row in rows(plain)]


def test_a_domain_of_a_told_language_stays_whole(corpus, tmp_path):
    heard = Heard()
    options = EncodeOptions(by_language=True, languages={"wiki": "ja"})
    tokens = encode_corpus(corpus, "byte", tmp_path / "out", options, watcher=heard)
    assert tokens.domains == ("web-en", "web-ja", "web-und", "wiki")
    assert tokens.manifest["axes"]["wiki"] == {"language": "ja"}
    assert not any("carries a language" in line for line in heard.lines)
    assert validate_tokens(tmp_path / "out", corpus)["passed"]
    told = encode_corpus(corpus, "byte", tmp_path / "told", EncodeOptions(languages={"wiki": "ja"}))
    assert told.domains == ("web", "wiki")
    assert told.manifest["axes"] == {"wiki": {"language": "ja"}}


def test_two_domains_that_would_become_one_are_an_error(tmp_path):
    mine = shard_folder(tmp_path / "corpus", {"web": words(30, 1), "web-ja": words(30, 2)}, lambda text: "ja")
    options = EncodeOptions(by_language=True, languages={"web-ja": "ja"})
    with pytest.raises(InputError, match="documents of web and of web-ja both go to the domain web-ja"):
        encode_corpus(open_corpus([str(mine)]), "byte", tmp_path / "out", options)
    assert not (tmp_path / "out/manifest.json").exists()


@pytest.mark.parametrize("label", ["../ja", "a/b", "日本語", "ja-"])
def test_a_language_that_can_not_name_files_is_an_error(tmp_path, label):
    mine = shard_folder(tmp_path / "corpus", {"web": words(9, 1)}, lambda text: label)
    with pytest.raises(InputError, match="can't name a domain"):
        encode_corpus(open_corpus([str(mine)]), "byte", tmp_path / "out", BY_LANGUAGE)
    with pytest.raises(RecipeError, match="can't name a domain"):
        encode_corpus(open_corpus([str(mine)]), "byte", tmp_path / "out", EncodeOptions(languages={"web": label}))


def test_a_language_of_no_domain_is_an_error(corpus, tmp_path):
    with pytest.raises(RecipeError, match="no domain `wikki` in this corpus; did you mean `wiki`"):
        encode_corpus(corpus, "byte", tmp_path / "out", EncodeOptions(languages={"wikki": "ja"}))
