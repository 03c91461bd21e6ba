"""Rows of Parquet and Arrow: every row is a record or a loss, whatever the spans."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest

from jacorpus.errors import InputError
from jacorpus.sources.arrow import Arrow
from jacorpus.sources.parquet import Parquet
from jacorpus.stage import InputFile, Source
from tests.jacorpus.sources.reading import everything, read_all, read_spans
from tests.jacorpus.sources.written import TABLE, TEXTS, arrow, parquet


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


def test_a_missing_column_is_one_clear_error(tmp_path: Path):
    for source, file in [(Parquet("body"), parquet(tmp_path / "a")), (Arrow("body"), arrow(tmp_path / "b"))]:
        with pytest.raises(InputError, match=r"has no column 'body'; its columns are text, url"):
            source.cut(file, 1)
    with pytest.raises(InputError, match="not strings"):
        Parquet("score").cut(parquet(tmp_path / "a"), 1)


def test_large_rows_are_cut_into_bounded_chunks(tmp_path: Path):
    table = pa.table({"text": ["x" * 3_000_000] * 12})
    for source, file in [
        (Parquet(), parquet(tmp_path / "a", table)),
        (Arrow(), arrow(tmp_path / "b", table=table)),
    ]:
        sizes = [chunk.records.num_rows for span in source.cut(file, 1 << 30) for chunk in source.read(file, span)]
        assert sum(sizes) == 12
        assert max(sizes) <= 2
