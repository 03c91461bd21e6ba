"""Compression ratios against zlib on the whole text, and an LZ4 block read back."""

import zlib

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings

from jacorpus.signals.compression import LZ4_BYTES, Compression, whole_characters
from tests.strategies import japanese_texts


def batch(texts: list[str | None]) -> pa.RecordBatch:
    return pa.record_batch({"text": pa.array(texts, pa.large_string())})


@given(japanese_texts)
@settings(max_examples=50, deadline=None)
def test_zlib_is_level_9_of_the_whole_text(texts: list[str | None]) -> None:
    data = [(text or "").encode("utf-8", "ignore") for text in texts]
    measured = Compression().measure(batch([part.decode() for part in data]))
    expected = [len(zlib.compress(part, 9)) / len(part) if part else 0.0 for part in data]
    assert measured["zlib_ratio"].tolist() == expected
    assert [value > 0 for value in measured["lz4_ratio"]] == [bool(part) for part in data]


def test_lz4_is_one_bare_block() -> None:
    text = "同じ文が続く。" * 100
    ratio = Compression(("lz4",)).measure(batch(["x", text])[1:])["lz4_ratio"][0]
    size = len(text.encode())
    block = pa.compress(text.encode(), codec="lz4_raw")
    assert ratio == block.size / size
    assert pa.decompress(block, decompressed_size=size, codec="lz4_raw").to_pybytes() == text.encode()
    assert block[0] >> 4 > 0  # a literal run comes first: no frame's magic number


def test_lz4_reads_one_mebibyte_and_cuts_no_character() -> None:
    data = np.frombuffer(("a" + "あ" * LZ4_BYTES).encode(), np.uint8)
    end = whole_characters(data, 0, len(data))
    assert end == 1 + (LZ4_BYTES - 1) // 3 * 3
    data[:end].tobytes().decode()
    text = "あいうえお" * 100_000
    head = Compression(("lz4",)).measure(batch([text, text[: LZ4_BYTES // 3]]))["lz4_ratio"]
    assert head[0] == head[1]


def test_only_what_is_asked_for() -> None:
    assert list(Compression(("lz4",)).measure(batch(["あ"]))) == list(Compression(("lz4",)).columns()) == ["lz4_ratio"]
    with pytest.raises(ValueError, match="gzip"):
        Compression(("gzip",))
