"""Parquet, Arrow, text folders and dataset folders: every row is a record or a loss, whatever the spans."""

import gzip
import json
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jacorpus.errors import InputError
from jacorpus.sources.arrow import Arrow
from jacorpus.sources.huggingface import Huggingface
from jacorpus.sources.parquet import Parquet
from jacorpus.sources.paths import expand
from jacorpus.sources.text import Text
from jacorpus.stage import InputFile, Source
from tests.jacorpus.sources.reading import everything, put, read_all, read_spans

TEXTS = [None if i % 11 == 3 else f"{i}番目の文書" * (i % 4) for i in range(70)]
TABLE = pa.table(
    {
        "text": pa.array(TEXTS, pa.string()),
        "url": [f"https://a.example/{i}" if i % 2 else None for i in range(70)],
        "timestamp": pa.array([datetime(2024, 1, 1 + i % 28, 3, tzinfo=UTC) for i in range(70)]),
        "score": [i / 2 for i in range(70)],
        "tags": [["あ", str(i)] for i in range(70)],
    }
)


def parquet(path: Path, table: pa.Table = TABLE, **options) -> InputFile:
    pq.write_table(table, path, row_group_size=15, **options)
    return InputFile(str(path), path.name, path.stat().st_size)


def arrow(path: Path, opener=pa.ipc.new_file, table: pa.Table = TABLE, compression: str | None = None) -> InputFile:
    options = pa.ipc.IpcWriteOptions(compression=compression)
    with pa.OSFile(str(path), "wb") as sink, opener(sink, table.schema, options=options) as writer:
        for batch in table.to_batches(15):
            writer.write_batch(batch)
    return InputFile(str(path), path.name, path.stat().st_size)


def files(folder: Path) -> list[tuple[Source, InputFile]]:
    return [
        (Parquet(), parquet(folder / "a.parquet", compression="zstd")),
        (Arrow(), arrow(folder / "a.arrow")),
        (Arrow(), arrow(folder / "z.arrow", compression="zstd")),
        (Arrow(), arrow(folder / "s.arrow", pa.ipc.new_stream)),
    ]


def test_rows_positions_and_fields(tmp_path: Path):
    for source, file in files(tmp_path):
        assert isinstance(source, Source)
        chunk = read_all(source, file)
        rows = chunk.records.to_pylist()
        assert [(row["position"], row["text"]) for row in rows] == [
            (i, text) for i, text in enumerate(TEXTS) if text is not None
        ]
        assert [lost.position for lost in chunk.lost] == [i for i, text in enumerate(TEXTS) if text is None]
        assert {lost.reason for lost in chunk.lost} == {"text_type"}
        assert rows[1]["url"] == "https://a.example/1"
        assert rows[1]["timestamp"] == datetime(2024, 1, 2, 3, tzinfo=UTC)
        assert json.loads(rows[1]["meta"]) == {"score": 0.5, "tags": ["あ", "1"]}


@pytest.mark.parametrize("target", [1, 700, 1 << 30])
def test_spans_hold_each_row_once(tmp_path: Path, target: int):
    for source, file in files(tmp_path):
        assert everything(read_spans(source, file, target)) == everything(read_all(source, file))
    assert len(Parquet().cut(files(tmp_path)[0][1], 1)) == 5
    assert len(Arrow().cut(files(tmp_path)[1][1], 1)) == 5


@pytest.mark.parametrize("kind", ["dictionary", "large", "binary"])
def test_other_types_of_text(tmp_path: Path, kind: str):
    text = TABLE["text"]
    texts = {"dictionary": lambda: text.dictionary_encode(), "large": lambda: text.cast(pa.large_string()),
             "binary": lambda: text.cast(pa.binary())}[kind]()  # fmt: skip
    table = TABLE.set_column(0, "body", texts).drop_columns(["score"]).combine_chunks()
    for source, file in [
        (Parquet(column="body"), parquet(tmp_path / "a", table)),
        (Arrow(column="body"), arrow(tmp_path / "b", table=table)),
    ]:
        assert read_all(source, file).records.column("text").to_pylist() == [text for text in TEXTS if text is not None]


def test_bytes_that_are_no_utf8_cost_one_row(tmp_path: Path):
    table = pa.table({"text": pa.array([b"a", b"\xff", "い".encode()], pa.binary())})
    chunk = read_all(Parquet(), parquet(tmp_path / "a", table))
    assert chunk.records.column("text").to_pylist() == ["a", "い"]
    assert chunk.records.column("position").to_pylist() == [0, 2]
    assert chunk.records.column("meta").to_pylist() == [None, None]
    assert [(lost.position, lost.reason) for lost in chunk.lost] == [(1, "utf8")]


def test_a_missing_column_is_one_clear_error(tmp_path: Path):
    for source, file in [(Parquet("body"), parquet(tmp_path / "a")), (Arrow("body"), arrow(tmp_path / "b"))]:
        with pytest.raises(InputError, match=r"has no column 'body'; its columns are text, url"):
            source.cut(file, 1)
    with pytest.raises(InputError, match="not strings"):
        Parquet("score").cut(parquet(tmp_path / "a"), 1)


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


def test_a_truncated_arrow_stream_gives_what_came_before(tmp_path: Path):
    file = arrow(tmp_path / "a", pa.ipc.new_stream)
    data = Path(file.uri).read_bytes()
    chunk = read_all(Arrow(), put(tmp_path, "b", data[: len(data) * 2 // 3]))
    positions = chunk.records.column("position").to_pylist()
    assert positions == [i for i, text in enumerate(TEXTS) if text is not None][: len(positions)]
    assert len(positions) > 20
    assert chunk.lost[-1].reason == "corrupt"
    assert everything(read_spans(Arrow(), put(tmp_path, "b", data[: len(data) * 2 // 3]), 10)) == everything(chunk)


def test_large_rows_are_cut_into_bounded_chunks(tmp_path: Path):
    table = pa.table({"text": ["x" * 3_000_000] * 12})
    for source, file in [
        (Parquet(), parquet(tmp_path / "a", table)),
        (Arrow(), arrow(tmp_path / "b", table=table)),
    ]:
        sizes = [chunk.records.num_rows for span in source.cut(file, 1 << 30) for chunk in source.read(file, span)]
        assert sum(sizes) == 12
        assert max(sizes) <= 2


def test_text_files(tmp_path: Path):
    file = put(tmp_path, "a.txt", "本文\n".encode("euc_jp"))
    row = read_all(Text(), file).records.to_pylist()[0]
    assert (row["position"], row["body"], row["content_type"]) == (0, "本文\n".encode("euc_jp"), "text/plain")
    packed = gzip.compress(b"abc" * 1000)
    assert read_all(Text(), put(tmp_path, "b.txt", packed)).records.column("body").to_pylist() == [b"abc" * 1000]
    assert [lost.reason for lost in read_all(Text(), put(tmp_path, "c", packed[:-9])).lost] == ["truncated"]
    assert [lost.reason for lost in read_all(Text(max_record_bytes=10), put(tmp_path, "d", packed)).lost] == [
        "too_long"
    ]
    assert read_all(Text(), put(tmp_path, "e", b"")).records.column("body").to_pylist() == [b""]


def test_a_dataset_folder(tmp_path: Path):
    (tmp_path / "set/data").mkdir(parents=True)
    parquet(tmp_path / "set/data/train-00000-of-00002.parquet")
    arrow(tmp_path / "set/data-00000-of-00001.arrow", pa.ipc.new_stream)
    (tmp_path / "set/data/more.jsonl.gz").write_bytes(gzip.compress(b'{"text": "jsonl"}\n'))
    (tmp_path / "set/plain.txt").write_bytes(b"txt")
    for name in ["dataset_info.json", "state.json", "README.md", "cache-12.arrow"]:
        (tmp_path / "set" / name).write_bytes(b"{}")
    source, seen = Huggingface(), {}
    for file in expand(["set"], tmp_path):
        seen[file.name] = read_spans(source, file, 100).records.num_rows
    rows = sum(text is not None for text in TEXTS)
    assert seen == {
        "README.md": 0,
        "cache-12.arrow": 0,
        "data-00000-of-00001.arrow": rows,
        "data/more.jsonl.gz": 1,
        "data/train-00000-of-00002.parquet": rows,
        "dataset_info.json": 0,
        "plain.txt": 1,
        "state.json": 0,
    }
