"""Files without near-duplicates: which lines stay, that they stay as they were, and what is written beside them."""

import gzip
import json
import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from jacorpus.dedup import files as files_module
from jacorpus.dedup.files import Options, dedup_files, memory_estimate
from jacorpus.dedup.minhash import Minhash
from jacorpus.errors import InputError, StorageError


def _text(seed: int, length: int = 300) -> str:
    draw = random.Random(seed)
    return "".join(chr(draw.randrange(0x3041, 0x3097)) for _ in range(length))


def _texts() -> list[str]:
    """Twelve different ones; 12 and 13 are an equal and an edited copy of 3 and 5."""
    base = [_text(seed) for seed in range(12)]
    return [*base, base[3], base[5][:-5] + "改めました"]


def _lines(texts: list[str]) -> list[bytes]:
    """Odd white space, key order and escapes, which a writer would not make."""
    made = []
    for i, text in enumerate(texts):
        escaped = json.dumps(text) if i % 2 else json.dumps(text, ensure_ascii=False)
        made.append(f'{{ "n":{i} ,  "text" : {escaped}, "u":"\\u3042\\/" }}'.encode() + b"\n")
    return made


def _packed(data: bytes, ending: str) -> bytes:
    if ending == ".zst":
        return zstandard.ZstdCompressor().compress(data)
    return gzip.compress(data) if ending else data


def _unpacked(data: bytes, ending: str) -> bytes:
    if ending == ".zst":
        return zstandard.ZstdDecompressor().decompressobj().decompress(data)
    return gzip.decompress(data) if ending else data


def _read(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def test_lines_that_stay_are_the_very_bytes(tmp_path: Path) -> None:
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    lines = _lines(_texts())
    source.write_bytes(b"".join(lines))
    summary = dedup_files([source], out)
    assert out.read_bytes() == b"".join(lines[:12])
    assert (summary["documents"], summary["kept"], summary["removed"], summary["clusters"]) == (14, 12, 2, 2)
    clusters = _read(tmp_path / "out.jsonl.clusters.jsonl")
    assert [(row["line"], row["kept"]["line"], row["cluster_size"]) for row in clusters] == [(13, 4, 2), (14, 6, 2)]
    assert clusters[0]["similarity"] == 1
    assert 0.85 < clusters[1]["similarity"] < 1
    assert clusters[1]["file"] == str(source)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "in.jsonl",
        "out.jsonl",
        "out.jsonl.clusters.jsonl",
        "out.jsonl.rejected.jsonl",
    ]


def test_bad_lines_are_counted_and_written_beside(tmp_path: Path) -> None:
    first, second, third = _lines(_texts())[:3]
    bad = [b"{oops\n", b"[1]\n", b'{"n": 1}\n', b'{"text": 5}\n', b'{"text": "\xff\xe3\x81"}\n']
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_bytes(b"".join([first, bad[0], b" \n", bad[1], bad[2], second, bad[3], bad[4], third.rstrip(b"\n")]))
    summary = dedup_files([source], out)
    assert out.read_bytes() == first + second + third
    rejected = _read(tmp_path / "out.jsonl.rejected.jsonl")
    assert [(row["line"], row["reason"]) for row in rejected] == [
        (2, "json"),
        (4, "not_object"),
        (5, "missing_text"),
        (7, "text_type"),
        (8, "json"),
    ]
    assert rejected[0]["raw"] == "{oops"
    assert source.read_bytes()[rejected[3]["byte"] :].startswith(bad[3])
    assert summary["rejected"] == 5
    assert summary["rejected_by_reason"]["json"] == 2


def test_line_numbers_after_a_line_that_is_too_long(tmp_path: Path) -> None:
    lines = _lines(_texts())
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_bytes(lines[3] + b'{"text": "' + b"a" * 9000 + b'"}\n' + lines[12])
    summary = dedup_files([source], out, Options(max_record_bytes=5000))
    assert out.read_bytes() == lines[3]
    assert summary["rejected_by_reason"] == {"too_long": 1}
    assert _read(tmp_path / "out.jsonl.clusters.jsonl")[0]["line"] == 3


@pytest.mark.parametrize("ending", ["", ".gz", ".zst"])
def test_compressed_files_and_copies_across_files(tmp_path: Path, ending: str) -> None:
    lines = _lines(_texts())
    inputs = [tmp_path / f"{name}.jsonl{ending}" for name in "ab"]
    inputs[0].write_bytes(_packed(b"".join(lines[:7]), ending))
    inputs[1].write_bytes(_packed(b"".join(lines[7:]), ending))
    out, again = tmp_path / f"out.jsonl{ending}", tmp_path / f"again.jsonl{ending}"
    dedup_files(inputs, out)
    dedup_files(inputs, again)
    assert _unpacked(out.read_bytes(), ending) == b"".join(lines[:12])
    assert out.read_bytes() == again.read_bytes()
    removed = _read(Path(f"{out}.clusters.jsonl"))
    assert [(row["file"], row["line"], row["kept"]["file"]) for row in removed] == [
        (str(inputs[1]), 6, str(inputs[0])),
        (str(inputs[1]), 7, str(inputs[0])),
    ]


def test_a_stream_that_breaks_off_gives_what_came_before(tmp_path: Path) -> None:
    lines = _lines(_texts())
    source, out = tmp_path / "in.jsonl.gz", tmp_path / "out.jsonl"
    source.write_bytes(gzip.compress(b"".join(lines))[:-30])
    summary = dedup_files([source], out)
    assert summary["rejected"] == 1
    assert b"".join(lines).startswith(out.read_bytes())
    assert summary["kept"] > 8


def test_parquet_keeps_rows_and_schema(tmp_path: Path) -> None:
    texts: list[str | None] = [*_texts(), None]
    schema = pa.schema([("n", pa.int8()), ("text", pa.string())], metadata={"who": "tests"})
    source, out = tmp_path / "in.parquet", tmp_path / "out.parquet"
    table = pa.table([pa.array(range(len(texts)), pa.int8()), pa.array(texts)], schema=schema)
    pq.write_table(table, source, row_group_size=5)
    summary = dedup_files([source], out)
    assert pq.read_table(out).equals(table.slice(0, 12))
    assert pq.read_schema(out).metadata == schema.metadata
    assert summary["rejected_by_reason"] == {"missing_text": 1}
    assert [row["row"] for row in _read(tmp_path / "out.parquet.clusters.jsonl")] == [12, 13]


def test_many_pieces_and_partitions_give_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "in.jsonl"
    source.write_bytes(b"".join(_lines(_texts())))
    dedup_files([source], tmp_path / "one.jsonl")
    monkeypatch.setattr(files_module, "DOCUMENTS_AT_ONCE", 5)
    dedup_files([source], tmp_path / "many.jsonl", Options(Minhash(partition_bytes=5000)))
    for end in ("", ".clusters.jsonl"):
        assert (tmp_path / f"one.jsonl{end}").read_bytes() == (tmp_path / f"many.jsonl{end}").read_bytes()


def test_what_can_not_be_done_says_why_and_leaves_nothing(tmp_path: Path) -> None:
    source, table, out = tmp_path / "in.jsonl", tmp_path / "in.parquet", tmp_path / "out.jsonl"
    source.write_bytes(b"".join(_lines(_texts())))
    pq.write_table(pa.table({"body": ["a"]}), table)
    with pytest.raises(InputError, match="two kinds"):
        dedup_files([source, table], out)
    with pytest.raises(InputError, match="has to end in"):
        dedup_files([table], out)
    with pytest.raises(InputError, match="no column 'text'"):
        dedup_files([table], tmp_path / "out.parquet")
    with pytest.raises(InputError, match="can't be read"):
        dedup_files([tmp_path / "none.jsonl"], out)
    with pytest.raises(StorageError, match="exists"):
        dedup_files([source], source, Options(overwrite=True))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.jsonl", "in.parquet"]
    out.write_bytes(b"mine")
    with pytest.raises(StorageError, match="exists"):
        dedup_files([source], out)
    assert out.read_bytes() == b"mine"
    assert dedup_files([source], out, Options(overwrite=True))["kept"] == 12


def test_empty_input_gives_empty_output(tmp_path: Path) -> None:
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_bytes(b"")
    assert dedup_files([source], out)["documents"] == 0
    assert out.read_bytes() == b""


def test_an_input_that_changes_meanwhile_is_an_error(tmp_path: Path) -> None:
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_bytes(b"".join(_lines(_texts())))

    def watch(phase: str, *_: object) -> None:
        if phase == "copy":
            source.write_bytes(b"{}\n")

    with pytest.raises(InputError, match="changed"):
        dedup_files([source], out, watch=watch)
    assert not out.exists()


def test_memory_estimate_is_what_a_document_takes() -> None:
    assert memory_estimate(Minhash(), 1) == 28 * 8 + 512 + 24
