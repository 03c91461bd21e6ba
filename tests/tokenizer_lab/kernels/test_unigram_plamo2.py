"""PLaMo-2's search against its readable twin: random vocabularies full of ties, and real text."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.strategies import japanese_texts
from tokenizer_lab.kernels.unigram_plamo2 import UNKNOWN_COST, plamo2_table, unigram_plamo2, unigram_plamo2_naive

BYTE_IDS = np.arange(1000, 1256).astype(np.uint32)


def assert_equal(array: pa.Array, pieces: dict[str, tuple[int, int]]) -> None:
    ours = unigram_plamo2(array, plamo2_table(pieces, BYTE_IDS))
    for x, y in zip(ours, unigram_plamo2_naive(array, pieces, BYTE_IDS), strict=True):
        assert x.dtype == y.dtype
        assert np.array_equal(x, y)
    bare = unigram_plamo2(array, plamo2_table(pieces, BYTE_IDS), sized=False)
    assert np.array_equal(bare[0], ours[0])
    assert np.array_equal(bare[1], ours[1])


few = st.text(st.sampled_from("abc日本𠮷"), min_size=1, max_size=5)
costs = st.sampled_from([0, 1, 2, 3, 4, -1, UNKNOWN_COST - 1, UNKNOWN_COST + 1, 15_000_000])


@settings(max_examples=150, deadline=None)
@given(
    st.dictionaries(few, costs, max_size=25),
    st.lists(st.one_of(st.none(), st.text(st.sampled_from("abc日本𠮷é"), max_size=30)), max_size=6),
    st.integers(0, 2),
)
def test_ties_and_unknowns(pieces: dict[str, int], texts: list[str | None], start: int) -> None:
    table = {piece: (id, cost) for id, (piece, cost) in enumerate(pieces.items(), 1)}
    assert_equal(pa.array(texts, pa.large_string()).slice(start), table)


@settings(max_examples=60, deadline=None)
@given(japanese_texts)
def test_any_text(texts: list[str | None]) -> None:
    pieces = ["日本", "日", "本語", "の", "です", " ", "か\u3099", "𠮷", "A", "\n", "ｶﾞ", "😀"]
    assert_equal(pa.array(texts, pa.string()), {piece: (id, 10 + id % 3) for id, piece in enumerate(pieces)})


def test_real_text(real_data: Path) -> None:
    listing = (real_data / "tokenizers" / "code10k_en20k_ja30k.ver2.1.vocab").read_text("utf-8").split("\n")
    rows = [line.split("\t") for line in listing if "\t" in line]
    pieces = {
        row[0].replace("▁", " "): (id, -round(float(row[1]) * 1e4)) for id, row in enumerate(rows) if row[0] != ""
    }
    with zstandard.open(real_data / "ja" / "docs.jsonl.zst", "rt", encoding="utf-8") as lines:
        texts = [json.loads(line)["text"][:1500] for line, _ in zip(lines, range(25), strict=False)]
    assert_equal(pa.array(texts, pa.large_string()), pieces)


def test_a_long_line_does_not_drift() -> None:
    pieces = {"a": (1, 1), "b": (2, 1), "ab": (3, 2), "aab": (4, 3)}
    array = pa.array(["aab" * 30_000], pa.large_string())
    offsets, ids, _ = unigram_plamo2(array, plamo2_table(pieces, BYTE_IDS))
    assert offsets.tolist() == [0, 30_000]
    assert set(ids.tolist()) == {4}
