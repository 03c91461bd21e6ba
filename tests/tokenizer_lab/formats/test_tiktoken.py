"""Rank files: known ones by hash, others with a pattern; broken ones with an answer; special strings both ways."""

import base64

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jacorpus.errors import InputError
from tests.strategies import japanese_text
from tokenizer_lab.formats.known_ranks import KNOWN
from tokenizer_lab.formats.tiktoken import open_ranks
from tokenizer_lab.kernels.patterns import PATTERNS
from tokenizer_lab.tokenizer import Kind, open_tokenizer

TOKENS = [*(bytes([byte]) for byte in range(256)), b"ab", b"abc", "あ".encode()[:2], "あ".encode(), "ああ".encode()]


def lines(tokens: list[bytes]) -> list[bytes]:
    return [base64.b64encode(token) + b" %d" % rank for rank, token in enumerate(tokens)]


@pytest.fixture(scope="module")
def ranks_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("ranks") / "mine.tiktoken"
    path.write_bytes(b"\n".join(lines(TOKENS)) + b"\n")
    return path


@pytest.fixture(scope="module")
def mine(ranks_file):
    return open_tokenizer(ranks_file, pattern="cl100k", specials=["<|end|>", "<|end|>s"])


def test_unknown_file_asks_for_its_pattern(ranks_file):
    with pytest.raises(InputError, match=r"--pattern NAME .*cl100k.*Known files: cl100k_base"):
        open_tokenizer(ranks_file)
    with pytest.raises(InputError, match="did you mean `cl100k`"):
        open_tokenizer(ranks_file, pattern="cl10k")


def test_table(mine):
    assert mine.engine == "fast"
    assert (mine.name, mine.vocab_size) == ("mine", len(TOKENS) + 2)
    assert mine.vocabulary.specials == {"<|end|>": len(TOKENS), "<|end|>s": len(TOKENS) + 1}
    assert mine.vocabulary.kinds[-1] == Kind.CONTROL
    assert mine.vocabulary.token_bytes[-1] == b""
    assert mine.reference().engine.startswith("tiktoken ")
    assert mine.reference_name == mine.reference().engine
    assert mine.fingerprint == mine.reference().fingerprint


@settings(max_examples=60, deadline=None)
@given(
    texts=st.lists(
        st.one_of(st.none(), japanese_text, st.sampled_from(["<|end|>", "a<|end|>sb<|end|>", "<|end|>>ああ"]))
    )
)
def test_same_ids_as_tiktoken(mine, texts):
    array = pa.array(texts, pa.large_string())
    assert mine.encode(array).equals(mine.reference().encode(array))
    assert mine.decode(mine.encode(array)).to_pylist() == [(text or "").encode() for text in texts]


@settings(max_examples=60, deadline=None)
@given(parts=st.lists(st.sampled_from(["<|end|>", "ab", "あ", " ", "\n", "abc", "x", "<|end|"]), max_size=12))
def test_special_strings_as_ids(ranks_file, parts):
    tokenizer = open_tokenizer(ranks_file, pattern="cl100k", specials=["<|end|>", "<|pad|>"])
    array = pa.array(["".join(parts), None, "<|pad|>"], pa.large_string())
    found = tokenizer.encode(array, "ids")
    assert found.equals(tokenizer.reference().encode(array, "ids"))
    assert tokenizer.decode(found)[0].as_py() == "".join(parts).encode()
    assert len(TOKENS) not in tokenizer.encode(array).values.to_pylist()


def test_longer_special_string_wins(mine):
    array = pa.array(["a<|end|>sb<|end|>"], pa.large_string())
    assert mine.encode(array, "ids").to_pylist() == [[97, len(TOKENS) + 1, 98, len(TOKENS)]]


def test_offsets(mine):
    array = pa.array(["xx", "ああabあ", None], pa.large_string())[1:]
    found = mine.encode_with_offsets(array)
    assert found.tokens.to_pylist() == [[260, 256, 259], []]
    assert found.starts.to_pylist() == [[0, 6, 8], []]
    assert found.ends.to_pylist() == [[6, 8, 11], []]


def test_own_expression_is_left_to_tiktoken(ranks_file):
    tokenizer = open_tokenizer(ranks_file, pattern="[a-z]+")
    assert "regular expression" in tokenizer.why_slow
    assert tokenizer.reference() is None
    assert tokenizer.encode(pa.array(["ab1", "abc"], pa.large_string())).to_pylist() == [[256], [257]]
    with pytest.raises(InputError, match="leaves parts of a text out"):
        tokenizer.encode_with_offsets(pa.array(["ab1"], pa.large_string()))
    whole = open_tokenizer(ranks_file, pattern="[a-z]+|[^a-z]+")
    assert whole.encode_with_offsets(pa.array(["ab1", None], pa.large_string())).ends.to_pylist() == [[2, 3], []]


def test_expression_of_a_named_pattern_is_fast(ranks_file):
    tokenizer = open_tokenizer(ranks_file, pattern=PATTERNS["o200k"])
    assert (tokenizer.engine, tokenizer.traits["pattern"]) == ("fast", "o200k")


def _without(place: int) -> list[bytes]:
    made = lines(TOKENS)
    del made[place]
    return made


BROKEN = {
    "no rank": ([*lines(TOKENS), b"YWI"], "line 262: expected a token in base64"),
    "no base64": ([*lines(TOKENS), b"Y 261"], "line 262: expected a token in base64"),
    "no number": ([*lines(TOKENS), b"YWJh x"], "line 262: expected a token in base64"),
    "rank twice": ([*lines(TOKENS), base64.b64encode(b"zz") + b" 7"], "line 262: rank 7 or its token .* line 8"),
    "token twice": ([*lines(TOKENS), b"YWI= 261"], "line 262: rank 261 or its token .* line 257"),
    "gap": (_without(257), "no token of rank 257"),
    "byte": (_without(65), "no token for 1 of the 256 bytes .*0x41"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_files(tmp_path, case):
    content, answer = BROKEN[case]
    path = tmp_path / "broken.tiktoken"
    path.write_bytes(b"\n".join(content))
    with pytest.raises(InputError, match=answer):
        open_ranks(path, "cl100k")


def test_special_tokens_that_cannot_be(ranks_file):
    for specials in (["a", "a"], [""]):
        with pytest.raises(InputError, match="must differ"):
            open_tokenizer(ranks_file, pattern="gpt2", specials=specials)


def test_known_files(real_data):
    folder = real_data / "tokenizers"
    expected = {"gpt2": ("gpt2", 50257), "multilingual": ("whisper-multilingual", 51865)}
    for stem, (name, size) in (expected | {"cl100k_base": ("cl100k_base", 100277)}).items():
        tokenizer = open_tokenizer(folder / f"{stem}.tiktoken")
        assert (tokenizer.name, tokenizer.vocab_size) == (name, size)
        same = open_tokenizer(folder / f"{stem}.tiktoken", pattern=str(tokenizer.traits["pattern"]))
        assert same.fingerprint == tokenizer.fingerprint
    with pytest.raises(InputError, match="has the pattern cl100k"):
        open_tokenizer(folder / "cl100k_base.tiktoken", pattern="gpt2")


def test_whisper_special_tokens():
    """Facts of openai/whisper: 99 languages, the end at 50257, time stamps of 0.02 s up to 30 s last."""
    whisper = next(each for each in KNOWN.values() if each.name == "whisper-multilingual").specials
    assert len(whisper) == 1608
    assert (whisper["<|endoftext|>"], whisper["<|ja|>"], whisper["<|0.00|>"]) == (50257, 50266, 50364)
    assert whisper["<|30.00|>"] == 51864
