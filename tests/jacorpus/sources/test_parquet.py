"""Parquet: what a damaged row group, a damaged footer and bytes that are no UTF-8 cost."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from jacorpus.sources.parquet import Parquet
from tests.jacorpus.sources.reading import everything, put, read_all, read_spans
from tests.jacorpus.sources.written import TEXTS, parquet


def test_bytes_that_are_no_utf8_cost_one_row(tmp_path: Path):
    table = pa.table({"text": pa.array([b"a", b"\xff", "い".encode()], pa.binary())})
    chunk = read_all(Parquet(), parquet(tmp_path / "a", table))
    assert chunk.records.column("text").to_pylist() == ["a", "い"]
    assert chunk.records.column("position").to_pylist() == [0, 2]
    assert chunk.records.column("meta").to_pylist() == [None, None]
    assert [(lost.position, lost.reason) for lost in chunk.lost] == [(1, "utf8")]


def test_a_damaged_parquet_file(tmp_path: Path):
    file = parquet(tmp_path / "a", compression="zstd", write_page_checksum=True)
    data = bytearray(Path(file.uri).read_bytes())
    group = pq.ParquetFile(file.uri).metadata.row_group(2).column(0)
    place = group.data_page_offset + group.total_compressed_size // 4
    data[place : place + 20] = bytes(20)
    chunk = read_all(Parquet(), put(tmp_path, "b", bytes(data)))
    got = set(chunk.records.column("position").to_pylist())
    assert got >= {i for i, text in enumerate(TEXTS) if text is not None and not 30 <= i < 45}
    assert [(lost.position, lost.reason) for lost in chunk.lost if lost.reason != "text_type"] == [(30, "corrupt")]
    cutoff = put(tmp_path, "c", bytes(data[:-10]))
    chunk = read_all(Parquet(), cutoff)
    assert [(lost.position, lost.reason, lost.bytes) for lost in chunk.lost] == [(0, "corrupt", cutoff.size)]
    assert everything(read_spans(Parquet(), cutoff, 1)) == everything(chunk)
