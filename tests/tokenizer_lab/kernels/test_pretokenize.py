"""The named patterns cut as tiktoken, tokenizers and Python's regex do; scanners equal the expressions."""

import json
from itertools import islice, pairwise

import numpy as np
import pyarrow as pa
import pytest
import tiktoken
import tokenizers
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from jacorpus.errors import InputError
from jacorpus.kernels.buffers import text_buffers
from tests.strategies import japanese_text, japanese_texts
from tokenizer_lab.kernels import character_classes
from tokenizer_lab.kernels.patterns import PATTERNS, pattern_name, with_digits
from tokenizer_lab.kernels.pretokenize import split, split_naive

CORNERS = (
    "I'S don'T we'LL it'ſ they'Re 'd ''s 's12345 x1234567 ４５６７ ①②③④ 二〇二〇年 2〇2 Ⅷ",
    "東京タワーへ行く。人々ー々ガー゛゜ か\u3099は\u309a ﾊﾟﾝ ｶﾞｰ ー。ー、々",
    "a b  c   d\t\te \n\n f \r\n\r\n g　　あ　い\u0085\u2028 \u00a0x\n  \n  ",
    "HTTPServer fooBar ＡＢＣａｂｃ Straße ǅ ʰa é e\u0301E\u0301 \u0301\u0301A \u0301 中AB中 XMLa'll A'S",
    "// path/to\n/*x*/ ...\r\n !!! \U00020000\U0003fffd𠮷 👨‍👩‍👧 ▁x \x00\x1c\x1f\u200b\ufeff اَلْ हिन्दी",
    "",
    " ",
    " \n",
    "x \n \t",
)
SYLLABLES = st.sampled_from(
    list("aAſsS'tlLvVeErR12３〇①々ーあゝア・漢〻。、「\u3099\u0301ʰǅ中 \t\n\r　\u0085\u2028/!-_ éＡａ𠮷😀゛ｶﾞ\x1c\u200d")
)
MIXED = st.one_of(japanese_text, st.lists(SYLLABLES, max_size=60).map("".join))


def pieces(text: str, pattern: str, cut=split) -> list[bytes]:
    """The bytes of each piece."""
    _, ends = cut(pa.array([text], pa.large_string()), pattern)
    data = text.encode()
    return [data[a:b] for a, b in pairwise([0, *ends.tolist()])]


def tiktoken_agrees(text: str, pattern: str, found: list[bytes]) -> bool:
    """Whether tiktoken cuts so. It tells no cuts: it gets a vocabulary in which each piece is one token, and so are
    two neighbors together and the two bytes at each cut, which a cut elsewhere would show."""
    joined = [a + b for a, b in pairwise(found)] + [a[-1:] + b[:1] for a, b in pairwise(found)]
    tokens = [bytes([i]) for i in range(256)]
    tokens += sorted({piece for piece in [*found, *joined] if len(piece) > 1}, key=lambda t: (len(t), t))
    ranks = {token: rank for rank, token in enumerate(tokens)}
    engine = tiktoken.Encoding("cut", pat_str=PATTERNS[pattern], mergeable_ranks=ranks, special_tokens={})
    return engine.encode_ordinary(text) == [ranks[piece] for piece in found]


def huggingface_pieces(text: str, pattern: str) -> list[bytes]:
    cut = tokenizers.pre_tokenizers.Split(tokenizers.Regex(PATTERNS[pattern]), "isolated")
    return [piece.encode() for piece, _ in cut.pre_tokenize_str(text)]


def real_texts(folder, names=("ja/docs", "en/docs", "ko/docs", "zh/docs"), each=150) -> list[str]:
    texts = []
    for name in names:
        with zstandard.open(folder / f"{name}.jsonl.zst", "rt", encoding="utf-8") as lines:
            texts += [json.loads(line)["text"] for line in islice(lines, each)]
    return texts


@pytest.mark.parametrize("pattern", PATTERNS)
def test_cuts_as_the_engines_on_corners(pattern):
    for text in CORNERS:
        found = pieces(text, pattern)
        assert tiktoken_agrees(text, pattern, found)
        # Oniguruma repeats {1,3}+, and has another $; the patterns that Hugging Face's files have are without them.
        assert pattern.startswith(("cl100k", "gpt2")) or huggingface_pieces(text, pattern) == found


@pytest.mark.parametrize("pattern", PATTERNS)
@settings(max_examples=12, deadline=None)
@given(text=MIXED)
def test_cuts_as_tiktoken(pattern, text):
    assert tiktoken_agrees(text, pattern, pieces(text, pattern))


@pytest.mark.parametrize("pattern", [name for name in PATTERNS if name.startswith(("ja", "llama3", "o200k", "none"))])
@settings(max_examples=12, deadline=None)
@given(text=MIXED)
def test_cuts_as_huggingface(pattern, text):
    assert huggingface_pieces(text, pattern) == pieces(text, pattern)


@pytest.mark.parametrize("pattern", PATTERNS)
@settings(max_examples=12, deadline=None)
@given(texts=japanese_texts, mixed=MIXED, cut=st.integers(0, 3))
def test_scanner_equals_expression(pattern, texts, mixed, cut):
    array = pa.array([*texts, mixed, None, ""], pa.large_string())[cut:]
    for found, expected in zip(split(array, pattern), split_naive(array, pattern), strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_scanner_equals_expression_on_real_text(pattern, real_data):
    array = pa.array(real_texts(real_data, each=8), pa.large_string())
    offsets, ends = split(array, pattern)
    expected = split_naive(array, pattern)
    np.testing.assert_array_equal(offsets, expected[0])
    np.testing.assert_array_equal(ends, expected[1])
    assert len(ends) > 4_000


@pytest.mark.parametrize("pattern", ["ja", "ja-okurigana"])
def test_three_engines_read_our_pattern_alike_on_real_text(pattern, real_data):
    for text in real_texts(real_data, each=2):
        found = pieces(text, pattern)
        assert found == huggingface_pieces(text, pattern)
        assert tiktoken_agrees(text, pattern, found)


def test_ja_cuts_between_scripts():
    found = [piece.decode() for piece in pieces("人々がコーヒーを3杯、New York で飲んだ。\n  すごーい", "ja")]
    expected = ["人々", "が", "コーヒー", "を", "3", "杯", "、", "New", " York", " ", "で", "飲", "んだ", "。\n", "  "]
    assert found == [*expected, "すごーい"]
    assert "飲んだ".encode() in pieces("飲んだ", "ja-okurigana")


def test_digits():
    cuts = {name: pieces("12345", with_digits("ja", name)) for name in ("three", "single", "uncut")}
    assert cuts == {"three": [b"123", b"45"], "single": [b"1", b"2", b"3", b"4", b"5"], "uncut": [b"12345"]}
    assert with_digits("gpt2", "uncut") == "gpt2"
    with pytest.raises(InputError, match="uncut"):
        with_digits("gpt2", "single")
    with pytest.raises(InputError, match="did you mean"):
        with_digits("cl10k", "single")


def test_ends_count_from_the_buffer():
    array = pa.array(["xx", "ab cd", "", "e f"], pa.large_string())[1:]
    offsets, ends = split(array, "gpt2")
    starts, data = text_buffers(array)
    assert starts[0] == 2
    assert offsets.tolist() == [0, 2, 2, 4]
    assert bytes(data[ends[0] : ends[1]]) == b" cd"
    assert bytes(data[starts[2] : ends[2]]) == b"e"


def test_own_expression():
    assert pieces("ab12..", r"[a-z]|\d+") == [b"a", b"b", b"12", b".."]
    assert pieces("日本", "x*") == ["日本".encode()]
    with pytest.raises(InputError, match="did you mean `cl100k`"):
        split(pa.array(["a"], pa.large_string()), "cl100")
    for broken in ("(", r"\p{Nope}"):
        with pytest.raises(InputError, match="no regular expression"):
            split(pa.array(["a"], pa.large_string()), broken)


def test_names_of_published_spellings():
    assert pattern_name(PATTERNS["o200k"]) == "o200k" == pattern_name("o200k")
    assert pattern_name(r"""'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+""") == "gpt2"
    assert pattern_name("[a-z]+") is None


def test_class_table_is_the_engine_s(monkeypatch):
    kinds = character_classes.character_kinds()
    np.testing.assert_array_equal(kinds, character_classes.from_engine())
    assert character_classes.written(kinds) == character_classes.FILE.read_bytes()
    character_classes.character_kinds.cache_clear()
    monkeypatch.setattr(character_classes, "SHA256", "0")
    with pytest.raises(InputError, match="install the package again"):
        character_classes.character_kinds()
