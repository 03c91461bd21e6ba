"""``explain`` must name the one rule in which two tokenizers were built to differ, and not another."""

import base64
import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tests.tokenizer_lab.formats import json_files
from tokenizer_lab.corpus import open_corpus
from tokenizer_lab.explain import CAUSES, PROBES, explain, summarize, traits_that_differ, why
from tokenizer_lab.kernels.patterns import PATTERNS
from tokenizer_lab.save.unigram import save_unigram
from tokenizer_lab.tokenizer import Kind, Tokenizer, open_tokenizer
from tokenizer_lab.training.unigram_model import LOW, UnigramModel

Content = dict[str, Any]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Content]:
    folder = tmp_path_factory.mktemp("made")
    return {name: json.loads(make(folder / name).read_text("utf-8")) for name, make in json_files.MAKERS.items()}


def opened(folder: Path, name: str, content: Content) -> Tokenizer:
    path = folder / f"{name}.json"
    path.write_text(json.dumps(content), "utf-8")
    return open_tokenizer(path)


def small_unigram(**scores: float) -> Content:
    """Unigram without prefix or normalizer over the pieces given."""
    content: Content = {"added_tokens": [], "normalizer": None, "pre_tokenizer": None, "decoder": None}
    vocab = [["<unk>", -20.0], *[[piece, score] for piece, score in scores.items()]]
    return {**content, "model": {"type": "Unigram", "unk_id": 0, "vocab": vocab, "byte_fallback": False}}


def small_bpe(pieces: list[str], merges: list[str], **settings: Any) -> Content:
    content: Content = {"added_tokens": [], "normalizer": None, "pre_tokenizer": None, "decoder": None}
    vocab = {piece: id for id, piece in enumerate(pieces)}
    return {**content, "model": {"type": "BPE", "vocab": vocab, "merges": merges, **settings}}


def changed(content: Content, change: Callable[[Content], None]) -> Content:
    other = copy.deepcopy(content)
    change(other)
    return other


def cause(tmp_path: Path, a: Content, b: Content, text: str) -> tuple[str, str]:
    """Name and whole story, the same both ways round."""
    one, two = opened(tmp_path, "a", a), opened(tmp_path, "b", b)
    assert explain(one, one, text) is None
    found, back = explain(one, two, text), explain(two, one, text)
    assert found is not None
    assert back is not None
    assert found.cause.name == back.cause.name
    assert found.cause.name in CAUSES
    assert json.loads(json.dumps(found.as_json()))["cause"] == found.cause.name
    return found.cause.name, " | ".join([found.cause.rule, *found.cause.evidence])


def test_special_tokens(tmp_path: Path, made: dict[str, Content]) -> None:
    def drop(content: Content) -> None:
        content["added_tokens"] = [t for t in content["added_tokens"] if t["content"] != "</s>"]
        content["model"]["vocab"][2][0] = "<|end|>"

    name, story = cause(tmp_path, made["unigram"], changed(made["unigram"], drop), "吾輩は</s>猫")
    assert name == "specials"
    assert "`</s>` in the text is the special token 2 for a, and plain text for b" in story
    assert "b has no entry `</s>`" in story


def test_added_tokens_that_are_not_special(tmp_path: Path, made: dict[str, Content]) -> None:
    def add(content: Content) -> None:
        flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized", "special"), False)
        content["added_tokens"].append({"id": len(content["model"]["vocab"]), "content": "猫である", **flags})

    name, story = cause(tmp_path, made["byte_bpe"], changed(made["byte_bpe"], add), "吾輩は猫である。")
    assert name == "specials"
    assert "added (user-defined) token" in story


def test_the_name_of_a_byte_token(tmp_path: Path, made: dict[str, Content]) -> None:
    found = explain(opened(tmp_path, "a", made["unigram"]), open_tokenizer("byte"), "<0x41>")
    assert found is not None
    assert found.cause.name == "specials"
    assert "takes the string `<0x41>` in the text for its byte token 68" in found.cause.rule


def test_dummy_prefix(tmp_path: Path, made: dict[str, Content]) -> None:
    def bare(content: Content) -> None:
        content["normalizer"]["normalizers"] = content["normalizer"]["normalizers"][1:]

    name, story = cause(tmp_path, made["llama_bpe"], changed(made["llama_bpe"], bare), "吾輩は猫である。")
    assert name == "dummy prefix"
    assert "a puts a space before the text, b does not" in story
    _, story = cause(tmp_path, made["llama_bpe"], made["unigram"], " ")
    assert "a puts a space before the text even where it begins with one" in story


def test_what_lies_behind_a_prefix(tmp_path: Path, made: dict[str, Content]) -> None:
    def bare(content: Content) -> None:
        content["normalizer"]["normalizers"] = [{"type": "NFKC"}, *content["normalizer"]["normalizers"][1:]]

    one, two = opened(tmp_path, "a", made["llama_bpe"]), opened(tmp_path, "b", changed(made["llama_bpe"], bare))
    found = explain(one, two, "吾輩は猫である。Ｆ")
    assert found is not None
    assert found.then is not None
    assert (found.cause.name, found.then.cause.name) == ("dummy prefix", "normalizer")
    assert found.then.place.raw.decode().endswith("Ｆ")
    only = explain(one, two, "吾輩は猫である。")
    assert only is not None
    assert only.then is None
    spaces = explain(one, two, "  ")
    assert spaces is not None
    assert (spaces.cause.name, spaces.place.start) == ("dummy prefix", 0)
    path = tmp_path / "corpus.jsonl"
    path.write_text('{"text": "Ｆ"}\n{"text": "a"}\n', "utf-8")
    summary = summarize(one, two, open_corpus([f"x={path}"]))
    assert sum(summary.causes.values()) == 2
    assert set(summary.first) == {*summary.causes, *summary.then}


def test_white_space(tmp_path: Path, made: dict[str, Content]) -> None:
    def squeeze(content: Content) -> None:
        content["normalizer"] = {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "}

    name, story = cause(tmp_path, made["unigram"], changed(made["unigram"], squeeze), "x  ** 2")
    assert name == "white space"
    assert "a keeps white space that the other changes" in story


def test_normalizer(tmp_path: Path, made: dict[str, Content]) -> None:
    def nfkc(content: Content) -> None:
        content["normalizer"] = {"type": "NFKC"}

    name, story = cause(tmp_path, made["byte_bpe"], changed(made["byte_bpe"], nfkc), "日本語のｶﾞｷﾞ")
    assert name == "normalizer"
    assert "a reads the text as it is; b reads the text in NFKC" in story


def test_unicode_version(tmp_path: Path, made: dict[str, Content]) -> None:
    """NFKC of two times: one does not know the digits U+1FBF0-1FBF9 of Unicode 13."""

    def nfkc(content: Content) -> None:
        content["normalizer"] = {"type": "NFKC"}

    def younger(content: Content) -> None:
        replace = {"type": "Replace", "pattern": {"String": "\U0001fbf1"}, "content": "1"}
        content["normalizer"] = {"type": "Sequence", "normalizers": [replace, {"type": "NFKC"}]}

    old, new = changed(made["byte_bpe"], nfkc), changed(made["byte_bpe"], younger)
    name, story = cause(tmp_path, old, new, "第\U0001fbf1回")
    assert name == "unicode version"
    assert "U+1FBF1" in story


def test_byte_fallback(tmp_path: Path, made: dict[str, Content]) -> None:
    def without(content: Content) -> None:
        content["model"]["byte_fallback"] = False

    name, story = cause(tmp_path, made["unigram"], changed(made["unigram"], without), "猫は𠮟る")
    assert name == "byte fallback"
    assert "b can't write `𠮟` and gives its unknown id 0; a writes the bytes" in story


def test_unknown_run(tmp_path: Path) -> None:
    pieces = ["<unk>", "a", "b"]
    fused = small_bpe(pieces, [], unk_token="<unk>", fuse_unk=True)
    name, _ = cause(tmp_path, fused, small_bpe(pieces, [], unk_token="<unk>", fuse_unk=False), "a日本b")
    assert name == "unknown run"


def test_a_piece_is_missing(tmp_path: Path) -> None:
    scores = {"日": -3.0, "本": -3.0, "日本": -4.0}
    name, story = cause(tmp_path, small_unigram(**scores), small_unigram(日=-3.0, 本=-3.0), "日本")
    assert name == "vocabulary"
    assert "`日本` of a is not in the vocabulary of b" in story


def test_the_same_pieces_under_other_ids(tmp_path: Path) -> None:
    pieces = {f"{c}": -3.0 for c in "abcdefghijklmnopqrstuvwxyz"}
    swapped = {**pieces, "a": -3.0}
    first, *rest = swapped
    second, third = rest[0], rest[1]
    order = {first: -3.0, third: -3.0, second: -3.0, **dict.fromkeys(rest[2:], -3.0)}
    name, story = cause(tmp_path, small_unigram(**pieces), small_unigram(**order), "xabx")
    assert name == "vocabulary"
    assert "the same pieces have other ids: `b` 2 in a, 3 in b" in story


def test_pattern(tmp_path: Path, made: dict[str, Content]) -> None:
    def digits(content: Content) -> None:
        split = {"type": "Split", "pattern": {"Regex": r"\p{N}"}, "behavior": "Isolated", "invert": False}
        content["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [split, content["pre_tokenizer"]]}

    name, story = cause(tmp_path, made["byte_bpe"], changed(made["byte_bpe"], digits), "it's 2024 and 1234567 yen")
    assert name == "pattern"
    assert "pre-tokens of b: ` ` `2` `0` `2` `4`" in story


def test_scores(tmp_path: Path) -> None:
    one, two = {"a": -1.0, "b": -1.0, "ab": -1.5}, {"a": -1.0, "b": -1.0, "ab": -2.5}
    name, story = cause(tmp_path, small_unigram(**one), small_unigram(**two), "ab")
    assert name == "scores"
    assert "`ab` -1.5 in a, -2.5 in b" in story


def plamo2(folder: Path, scores: dict[str, float]) -> Tokenizer:
    rows: list[Any] = [["<unk>", 0.0, "UNKNOWN"], *[[f"<0x{b:02X}>", 0.0, "BYTE"] for b in range(256)]]
    rows += [[piece, score, "NORMAL"] for piece, score in scores.items()]
    path = folder / "tokenizer.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return open_tokenizer(path)


def test_a_tie(tmp_path: Path) -> None:
    scores = {"a": -1.0, "b": -1.0, "ab": -2.0, "ba": -2.0}
    found = explain(plamo2(tmp_path, scores), opened(tmp_path, "b", small_unigram(**scores)), "aba")
    assert found is not None
    assert found.cause.name == "tie"
    assert "a takes the longest first piece, b the longest last piece" in found.cause.evidence[-1]


def test_precision(tmp_path: Path) -> None:
    scores = {"a": -1.0, "b": -1.0, "ab": -2.00003}  # PLaMo-2 rounds to -2.0000, a tie
    found = explain(plamo2(tmp_path, scores), opened(tmp_path, "b", small_unigram(**scores)), "ab")
    assert found is not None
    assert found.cause.name == "float precision"
    assert "whole numbers of 1e-4 (a) and float64, sums in float64 (b)" in found.cause.rule


def three_forms(folder: Path, **scores: float) -> dict[str, Tokenizer]:
    """One Unigram model as SentencePiece, Hugging Face and PLaMo-2 have it."""
    byte_names = [f"<0x{byte:02X}>" for byte in range(256)]
    names = ["<unk>", "<s>", "</s>", "<pad>", "<|im_end|>", *byte_names, *scores]
    kinds = [Kind.UNKNOWN, *[Kind.CONTROL] * 4, *[Kind.BYTE] * 256, *[Kind.NORMAL] * len(scores)]
    ticks = [LOW] * 261 + [round(score * 10_000) for score in scores.values()]
    model = UnigramModel(tuple(names), np.array(kinds, np.uint8), np.array(ticks, np.int64))
    return {form: open_tokenizer(path) for form, path in save_unigram(model, folder).items()}


def test_three_forms_of_one_model(tmp_path: Path) -> None:
    forms = three_forms(tmp_path, a=-1.0, b=-1.0, ab=-2.0, ba=-2.0)
    for other, name in (("plamo2", "tie"), ("huggingface", "")):
        found = explain(forms["sentencepiece"], forms[other], "aba")
        assert (found.cause.name if found else "") == name
    forms = three_forms(tmp_path, x=-10.0, a=-1.0, b=-1.0, ab=-2.0001)
    text = "x" * 4000 + "ab"  # a running score of -40,000: 32-bit sums have steps of 0.004
    for other in ("plamo2", "huggingface"):
        found = explain(forms["sentencepiece"], forms[other], text)
        assert found is not None
        assert (found.cause.name, found.place.start) == ("float precision", 4000)
        assert "float32 sums" in found.cause.rule
        assert explain(forms["sentencepiece"], forms[other], "xab") is None
    unknown = explain(forms["sentencepiece"], forms["huggingface"], "猫" * 4000 + "ab")  # bytes, 4,000 unknown scores
    assert unknown is not None
    assert unknown.cause.name == "float precision"
    assert explain(forms["huggingface"], forms["plamo2"], text) is None


def test_merges(tmp_path: Path) -> None:
    pieces = ["a", "b", "c", "ab", "bc"]
    name, story = cause(tmp_path, small_bpe(pieces, ["a b", "b c"]), small_bpe(pieces, ["b c", "a b"]), "abc")
    assert name == "merges"
    assert "a joins `a` + `b` (order 0; in b it comes 1)" in story
    assert "b joins `b` + `c` (order 0; in a it comes 1)" in story


def test_a_merge_is_missing(tmp_path: Path) -> None:
    pieces = ["a", "b", "ab"]
    name, story = cause(tmp_path, small_bpe(pieces, ["a b"]), small_bpe(pieces, []), "ab")
    assert name == "merges"
    assert "b has no such merge" in story


def test_whole_pre_tokens(tmp_path: Path) -> None:
    pieces = ["a", "b", "ab"]
    whole = small_bpe(pieces, [], ignore_merges=True)
    name, story = cause(tmp_path, whole, small_bpe(pieces, [], ignore_merges=False), "ab")
    assert name == "merges"
    assert "looks a whole pre-token up before it merges" in story


def test_algorithm(tmp_path: Path) -> None:
    scores = {"a": -1.0, "b": -1.0, "c": -1.0, "ab": -2.5, "bc": -1.5}
    bpe = small_bpe(["<unk>", *scores], ["a b", "b c"])
    name, story = cause(tmp_path, small_unigram(**scores), bpe, "abc")
    assert name == "algorithm"
    assert "a is unigram, b is bpe" in story


def test_the_place_is_the_first_and_no_wider_than_needed(tmp_path: Path) -> None:
    pieces = ["a", "b", "c", "ab", "bc"]
    one = opened(tmp_path, "a", small_bpe(pieces, ["a b", "b c"]))
    two = opened(tmp_path, "b", small_bpe(pieces, ["b c", "a b"]))
    found = explain(one, two, "c" * 60 + "abc" + "c" * 60 + "abc")
    assert found is not None
    assert (found.place.start, found.place.end) == (60, 63)
    assert [t.piece for t in found.place.a.tokens] == [b"ab", b"c"]
    assert [(t.start, t.end) for t in found.place.b.tokens] == [(60, 61), (61, 63)]
    assert found.place.around() == ("c" * 48, "c" * 48)
    assert why(one, two, "ccabc").startswith("merges: the order of merges differs")
    assert why(one, two, "cc") == "equal"


def test_a_corpus_by_cause(tmp_path: Path, made: dict[str, Content]) -> None:
    def nfkc(content: Content) -> None:
        content["normalizer"] = {"type": "NFKC"}
        split = {"type": "Split", "pattern": {"Regex": r"\p{N}"}, "behavior": "Isolated", "invert": False}
        content["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [split, content["pre_tokenizer"]]}

    texts = ["吾輩は猫である。", "ｶﾞｷﾞ", "it's 2024", "Ｆｕｌｌ", "<|endoftext|>"]
    path = tmp_path / "corpus.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts) + '{"text": 1}\n', "utf-8")
    one = opened(tmp_path, "a", made["byte_bpe"])
    two = opened(tmp_path, "b", changed(made["byte_bpe"], nfkc))
    seen: list[int] = []
    found = summarize(one, two, open_corpus([f"x={path}"]), progress=seen.append)
    assert (found.documents, found.differ, found.unread) == (5, 3, 0)
    assert found.causes == {"normalizer": 2, "pattern": 1}
    assert found.first["normalizer"].place.raw.decode().startswith("ｶ")
    assert sum(seen) == sum(len(text.encode()) for text in texts)
    assert sum(found.lost.values()) == 1
    few = summarize(one, two, open_corpus([f"x={path}"]), limit=1)
    assert (few.differ, few.unread, few.causes) == (3, 2, {"normalizer": 1})
    assert set(traits_that_differ(one, two)) >= {"normalizer", "pattern"}


def test_vocabularies_that_share_no_numbers(tmp_path: Path, made: dict[str, Content]) -> None:
    one, two = opened(tmp_path, "a", made["byte_bpe"]), opened(tmp_path, "b", made["unigram"])
    path = tmp_path / "corpus.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in PROBES), "utf-8")
    found = summarize(one, two, open_corpus([f"x={path}"]))
    assert found.differ == len(PROBES)
    assert "unexplained" not in found.causes
    same = summarize(one, opened(tmp_path, "c", made["byte_bpe"]), open_corpus([f"x={path}"]))
    assert same.differ == 0


def test_byte_against_char() -> None:
    found = explain(open_tokenizer("byte"), open_tokenizer("char"), "a日")
    assert found is not None
    assert found.cause.name == "vocabulary"
    assert found.place.start == 1
    assert explain(open_tokenizer("byte"), open_tokenizer("char"), "abc") is None
    assert pa.array(PROBES).null_count == 0


def ranks_of(tokenizer: Tokenizer, path: Path) -> Path:
    """The tokens of a byte-level tokenizer as a tiktoken rank file."""
    tokens = [t for t, k in zip(tokenizer.vocabulary.token_bytes, tokenizer.vocabulary.kinds, strict=True) if k == 1]
    path.write_bytes(b"".join(b"%s %d\n" % (base64.b64encode(t), rank) for rank, t in enumerate(tokens)))
    return path


def test_regex_dialect(tmp_path: Path, made: dict[str, Content]) -> None:
    def cl100k(content: Content) -> None:
        split = {"type": "Split", "pattern": {"Regex": PATTERNS["cl100k"]}, "behavior": "Isolated", "invert": False}
        plain = {**content["pre_tokenizer"], "use_regex": False}
        content["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [split, plain]}

    one = opened(tmp_path, "a", changed(made["byte_bpe"], cl100k))
    two = open_tokenizer(ranks_of(one, tmp_path / "b.tiktoken"), pattern="cl100k")
    found = explain(one, two, "it costs 1234567 yen")
    assert found is not None
    assert found.cause.name == "regex dialect"
    assert "Oniguruma and fancy-regex" in found.cause.rule
    assert "pre-tokens of b: `123` `456`" in found.cause.evidence
    assert explain(one, two, "it costs 123 yen") is None


def test_another_version_of_the_character_classes(tmp_path: Path, made: dict[str, Content]) -> None:
    one = opened(tmp_path, "a", made["byte_bpe"])
    two = open_tokenizer(ranks_of(one, tmp_path / "b.tiktoken"), pattern="gpt2")
    three = open_tokenizer(tmp_path / "b.tiktoken", pattern="猫|[^猫]+")  # stands for an engine to which 猫 is new
    three.traits = {**two.traits, "unicode": "3.2"}
    three.pre_token_ends = lambda text: {6, 9, 18}  # type: ignore[attr-defined]
    found = explain(two, three, "ねこ猫である")
    assert found is not None
    assert found.cause.name == "unicode version"
    assert "of Unicode 16.0 and 3.2" in found.cause.rule
