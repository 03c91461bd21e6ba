"""Byte-level BPE equals its definition, tiktoken and tokenizers: on made-up vocabularies, real ones, hostile text."""

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

from jacorpus.kernels.buffers import text_buffers
from tests.strategies import japanese_texts
from tokenizer_lab.kernels import bpe
from tokenizer_lab.kernels.bpe_cuts import closed_places
from tokenizer_lab.kernels.bpe_tables import MOST_IDS, from_merges, from_ranks
from tokenizer_lab.kernels.bpe_trie import longest, shorter_prefixes, trie, whole
from tokenizer_lab.kernels.patterns import PATTERNS
from tokenizer_lab.kernels.pointers import pointer
from tokenizer_lab.kernels.words64 import key, key_naive

BYTES = [bytes([byte]) for byte in range(256)]
TEXT = "あいうあいあい、漢字漢漢字 aaa ababab bcabc abcabcabcabcabcabcabcabcabcabcabcabcabcabcabc  \n𠮷𠮷👨‍👩"
RUNS = st.lists(
    st.sampled_from(["a", "b", "c", "ab", "あ", "い", "う", "漢", "字", " ", "、", "𠮷", "aaaa", "1"]), max_size=80
)


@st.composite
def trained(draw) -> list[tuple[bytes, bytes]]:
    """Merges as a trainer makes them: each joins two tokens that stand side by side in TEXT."""
    rows = [[bytes([byte]) for byte in word.encode()] for word in TEXT.split(" ")]
    merges = []
    for _ in range(draw(st.integers(0, 40))):
        pairs = sorted({pair for row in rows for pair in pairwise(row)})
        if not pairs:
            break
        pair = pairs[draw(st.integers(0, len(pairs) - 1))]
        if b"".join(pair) in {a + b for a, b in merges}:
            continue
        merges.append(pair)
        rows = [_joined(row, pair) for row in rows]
    return merges


def _joined(row: list[bytes], pair: tuple[bytes, bytes]) -> list[bytes]:
    out: list[bytes] = []
    at = 0
    while at < len(row):
        both = tuple(row[at : at + 2]) == pair
        out.append(row[at] + row[at + 1] if both else row[at])
        at += 1 + both
    return out


def rows(found: tuple[np.ndarray, np.ndarray]) -> list[list[int]]:
    return [found[1][a:b].tolist() for a, b in pairwise(found[0])]


def by_tiktoken(ranks: dict[bytes, int], pattern: str, texts: pa.Array) -> list[list[int]]:
    engine = tiktoken.Encoding("test", pat_str=PATTERNS[pattern], mergeable_ranks=ranks, special_tokens={})
    return [engine.encode_ordinary(text or "") for text in texts.to_pylist()]


def mixed_texts(texts: list, runs: list[str], cut: int) -> pa.Array:
    return pa.array([*texts, "".join(runs), None, TEXT], pa.large_string())[cut:]


@settings(max_examples=60, deadline=None)
@given(
    merges=trained(),
    texts=japanese_texts,
    runs=RUNS,
    cut=st.integers(0, 2),
    pattern=st.sampled_from(["cl100k", "none"]),
)
def test_equals_tiktoken_on_trained_ranks(merges, texts, runs, cut, pattern):
    ranks = {token: rank for rank, token in enumerate([*BYTES, *(a + b for a, b in merges)])}
    array = mixed_texts(texts, runs, cut)
    tables = from_ranks(ranks)
    assert tables.ordered
    assert rows(bpe.BytePairs(tables, pattern).encode(array)) == by_tiktoken(ranks, pattern, array)


@settings(max_examples=60, deadline=None)
@given(
    tokens=st.lists(st.lists(st.sampled_from("abあ漢"), min_size=2, max_size=5).map("".join), max_size=14, unique=True),
    bits=st.lists(st.binary(min_size=2, max_size=3), max_size=6),
    runs=RUNS,
    byte_order=st.randoms(use_true_random=False),
)
def test_equals_tiktoken_on_any_ranks(tokens, bits, runs, byte_order):
    """Ranks in any order, tokens that no merge reaches, bytes that do not come first: still tiktoken's ids."""
    every = list(dict.fromkeys([*BYTES, *(token.encode() for token in tokens), *bits]))
    byte_order.shuffle(every)
    ranks = {token: rank for rank, token in enumerate(every)}
    array = pa.array(["".join(runs), "".join(tokens), *tokens], pa.large_string())
    assert rows(bpe.BytePairs(from_ranks(ranks), "gpt2").encode(array)) == by_tiktoken(ranks, "gpt2", array)


def test_a_whole_pre_token_is_not_taken_for_a_part():
    """No merge reaches aaaaa: it is an id where it stands alone, and is remembered as a part of a longer pre-token."""
    ranks = {token: rank for rank, token in enumerate([*BYTES, b"aa", b"ab", b"aaaaa"])}
    array = pa.array(["aaaaa漢", "aaaaa", "aaaaa漢"], pa.large_string())
    encoder = bpe.BytePairs(from_ranks(ranks), "gpt2")
    assert rows(encoder.encode(array)) == rows(encoder.encode(array)) == by_tiktoken(ranks, "gpt2", array)


def _spelled() -> dict[int, str]:
    """The characters that Hugging Face's byte-level BPE writes for bytes."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    return {byte: chr(byte) for byte in printable} | {byte: chr(256 + i) for i, byte in enumerate(others)}


@settings(max_examples=60, deadline=None)
@given(merges=trained(), extra=st.data(), runs=RUNS, ignore=st.booleans())
def test_equals_huggingface_with_free_ids(merges, extra, runs, ignore):
    """Ids unlike ranks, merges in another order, and two merges that make one token."""
    merges = extra.draw(st.permutations(merges))
    again = [(a[:1], a[1:] + b) for a, b in merges if len(a) > 1 and (a[1:] + b) in {x + y for x, y in merges}]
    merges = list(dict.fromkeys([*merges, *again]))
    made = list(dict.fromkeys([*BYTES, *(a + b for a, b in merges)]))
    ids = {token: id for id, token in enumerate(extra.draw(st.permutations(made)))}
    letters = _spelled()
    vocab = {"".join(letters[byte] for byte in token): id for token, id in ids.items()}
    pairs = [tuple("".join(letters[byte] for byte in part) for part in pair) for pair in merges]
    known = [(a, b) for a, b in pairs if a in vocab and b in vocab]
    model = tokenizers.Tokenizer(tokenizers.models.BPE(vocab, known, ignore_merges=ignore))
    cut = tokenizers.pre_tokenizers.Split(tokenizers.Regex(PATTERNS["llama3"]), "isolated")
    level = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    model.pre_tokenizer = tokenizers.pre_tokenizers.Sequence([cut, level])
    array = pa.array(["".join(runs), TEXT, ""], pa.large_string())
    triples = [(ids[a], ids[b], ids[a + b]) for a, b in merges]
    tables = from_merges([ids[b] for b in BYTES], triples, {id: t for t, id in ids.items()}, ids if ignore else None)
    expected = [model.encode(text).ids for text in array.to_pylist()]
    assert rows(bpe.BytePairs(tables, "llama3").encode(array)) == expected


@settings(max_examples=40, deadline=None)
@given(merges=trained(), texts=japanese_texts, runs=RUNS)
def test_equals_naive_twin(merges, texts, runs):
    ranks = {token: rank for rank, token in enumerate([*BYTES, *(a + b for a, b in merges)])}
    array = mixed_texts(texts, runs, 1)
    numbers = {(ranks[a], ranks[b]): rank for rank, (a, b) in enumerate(merges)}
    made = [ranks[a + b] for a, b in merges]
    expected = bpe.encode_naive(array, "ja", numbers, made, list(range(len(ranks))), {})
    assert rows(bpe.BytePairs(from_ranks(ranks), "ja").encode(array)) == expected


@settings(max_examples=60, deadline=None)
@given(merges=trained(), runs=st.lists(RUNS.map("".join), max_size=4))
def test_memory_and_backtracking_change_nothing(merges, runs):
    """Parts that are remembered, merged in short and found by backtracking give the same ids."""
    ranks = {token: rank for rank, token in enumerate([*BYTES, *(a + b for a, b in merges)])}
    one, parted = bpe.BytePairs(from_ranks(ranks), "none"), bpe.BytePairs(from_ranks(ranks), "none")
    array = pa.array([*runs, TEXT * 3], pa.large_string())
    together = rows(one.encode(array))
    assert together == [rows(parted.encode(array[i : i + 1]))[0] for i in range(len(array))] == rows(one.encode(array))


def test_pattern_of_ones_own():
    tables = from_ranks({token: rank for rank, token in enumerate([*BYTES, b"ab", b"12"])})
    encoder = bpe.BytePairs(tables, r"[a-z]|\d+")
    assert rows(encoder.encode(pa.array(["ab12", None], pa.large_string()))) == [[97, 98, 257], []]


def test_refuses_what_does_not_fit():
    with pytest.raises(ValueError, match="a byte has no token"):
        from_ranks({b"a": 0})
    with pytest.raises(ValueError, match="do not fit"):
        from_ranks({token: rank for rank, token in enumerate(BYTES)} | {b"ab": MOST_IDS})
    with pytest.raises(ValueError, match="an id each"):
        from_merges([0] * 256, [], {})


def _chosen(tokens: list[bytes]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    starts = np.cumsum([0, *map(len, tokens)]).astype(np.int64)
    return np.frombuffer(b"".join(tokens) or b"", np.uint8), starts, np.ones(len(tokens), bool)


@settings(max_examples=60, deadline=None)
@given(
    tokens=st.lists(st.binary(min_size=1, max_size=4), max_size=30, unique=True), text=st.binary(min_size=1, max_size=6)
)
def test_trie(tokens, text):
    arena, starts, chosen = _chosen(tokens)
    grown = trie(arena, starts, chosen)
    data, mask = np.frombuffer(text, np.uint8), np.uint64(len(grown.edges) - 1)
    fits = [token for token in tokens if text.startswith(token)]
    found = longest(data, 0, len(text), grown.edges, mask, grown.tokens)
    assert (tokens[found] if found >= 0 else None) == max(fits, key=len, default=None)
    found = whole(data, 0, len(text), grown.edges, mask, grown.tokens)
    assert found == (tokens.index(text) if text in tokens else -1)
    for token, shorter in zip(tokens, shorter_prefixes(arena, starts, chosen, *grown), strict=True):
        begins = [other for other in tokens if other != token and token.startswith(other)]
        assert (tokens[shorter] if shorter >= 0 else None) == max(begins, key=len, default=None)


def test_a_place_that_a_token_lies_across_is_closed():
    """Whole characters, and parts of the left or the right one."""
    encoded = "漢字".encode()
    for token in (encoded, encoded[2:], encoded[:4], encoded[:5], encoded[1:5]):
        tokens = [*BYTES, token]
        tokens += [token[i:j] for i in range(len(token)) for j in range(i + 2, len(token) + 1) if j - i < len(token)]
        ranks = {token: rank for rank, token in enumerate(dict.fromkeys(tokens[:256] + sorted(tokens[256:], key=len)))}
        array = pa.array(["漢字", "漢字漢字"], pa.large_string())
        assert rows(bpe.BytePairs(from_ranks(ranks), "none").encode(array)) == by_tiktoken(ranks, "none", array)
    closed = closed_places(*_chosen([b"a", "漢".encode()]))
    assert not closed.pairs.any()
    assert not closed.parts.any()


@settings(max_examples=60, deadline=None)
@given(text=st.binary(min_size=1, max_size=40), data=st.data())
def test_key(text, data):
    start = data.draw(st.integers(0, len(text) - 1))
    stop = data.draw(st.integers(start + 1, min(len(text), start + 15)))
    low, high = _key(np.frombuffer(text, np.uint8), start, stop)
    assert (int(low), int(high)) == key_naive(text[start:stop])


def _key(data: np.ndarray, start: int, stop: int) -> tuple[int, int]:
    from numba import njit

    global _compiled_key
    if _compiled_key is None:
        _compiled_key = njit(lambda data, start, stop: key(pointer(data), start, stop, len(data)))
    return _compiled_key(data, start, stop)


_compiled_key = None


def test_threads_do_not_share_memory():
    from concurrent.futures import ThreadPoolExecutor

    ranks = {token: rank for rank, token in enumerate([*BYTES, b"ab", b"abc", "あい".encode()[:4]])}
    encoder = bpe.BytePairs(from_ranks(ranks), "cl100k")
    array = pa.array([TEXT[i % 30 :] for i in range(300)], pa.large_string())
    expected = rows(encoder.encode(array))
    with ThreadPoolExecutor(4) as pool:
        assert all(rows(found) == expected for found in pool.map(encoder.encode, [array] * 16))


@pytest.mark.parametrize("name", ["cl100k_base", "gpt2", "multilingual"])
def test_equals_tiktoken_on_real_text(name, real_data):
    from tokenizer_lab.tokenizer import open_tokenizer

    tokenizer = open_tokenizer(real_data / "tokenizers" / f"{name}.tiktoken")
    texts = []
    for part in ("ja/docs", "en/docs", "ko/docs", "zh/docs"):
        with zstandard.open(real_data / f"{part}.jsonl.zst", "rt", encoding="utf-8") as lines:
            texts += [json.loads(line)["text"] for line in islice(lines, 12)]
    array = pa.array(texts, pa.large_string())
    reference = tokenizer.reference()
    assert tokenizer.engine == "fast"
    assert reference is not None
    found = tokenizer.encode(array)
    assert found.equals(reference.encode(array))
    assert tokenizer.decode(found).cast(pa.large_string()).equals(array)
    hostile = [c * 40_000 for c in (" ", "あ", "ー", "a", "=", "漢字", "\u3099", "\n", "ab")]
    array = pa.array([*hostile, "".join(hostile)], pa.large_string())
    assert tokenizer.encode(array).equals(reference.encode(array))


def test_reads_slices_without_moving_data():
    ranks = {token: rank for rank, token in enumerate([*BYTES, b"bc"])}
    array = pa.array(["abc", "bcd", "xbc"], pa.large_string())[1:]
    assert text_buffers(array)[0][0] == 3
    assert rows(bpe.BytePairs(from_ranks(ranks), "gpt2").encode(array)) == [[256, 100], [120, 256]]
