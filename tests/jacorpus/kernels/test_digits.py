import io
import json

import pyarrow as pa
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from jacorpus.kernels.digits import JOINERS, PREFECTURES, find_sites, find_sites_naive
from tests.strategies import japanese_chars, japanese_texts

NUMERIC = st.text(
    st.one_of(st.sampled_from("0123456789０９８"), st.sampled_from(JOINERS + "@＠a."), japanese_chars), max_size=60
)
PLACES = st.lists(st.sampled_from([*PREFECTURES, "福島", "京都", "県", "1"])).map("".join)


def rows(texts, kind=None):
    return [tuple(row) for row in find_sites(pa.array(texts, kind or pa.large_string())).tolist()]


@settings(max_examples=150, deadline=None)
@given(st.one_of(japanese_texts, st.lists(st.one_of(st.none(), NUMERIC, PLACES), max_size=8)))
def test_equals_the_naive_twin(texts):
    assert rows(texts) == find_sites_naive(texts)


def test_slices_and_many_sites():
    texts = ["09012345678、" * 400, None, "𠮷a@b 東京都", ""]
    array = pa.array(["x", *texts]).slice(1)
    assert [tuple(row) for row in find_sites(array).tolist()] == find_sites_naive(texts)


def test_a_text_that_ends_inside_a_site():
    texts = ["０" * 7, "1.1.1.1", "1.1.1.", "@", "a@", "京都", "東京都", "1" * 6 + "ー"]
    assert rows(texts) == find_sites_naive(texts)


def test_there_are_47_prefectures():
    assert len(set(PREFECTURES)) == 47


def test_equals_the_naive_twin_on_real_text(real_data):
    with open(real_data / "ja" / "docs.jsonl.zst", "rb") as file:
        lines = io.TextIOWrapper(zstandard.ZstdDecompressor().stream_reader(file), "utf-8")
        texts = [json.loads(line)["text"] for line, _ in zip(lines, range(400), strict=False)]
    assert rows(texts) == find_sites_naive(texts)
