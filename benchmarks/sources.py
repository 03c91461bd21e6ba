"""Speed of the sources beside the plain use of a library, and their memory: ``python -m benchmarks.sources``.

MB/s are of the decompressed input (JSON, Parquet: UTF-8 text; WARC: payload bytes) per CPU second, all threads
counted. The rivals read the same file: they build Arrow columns of text (JSON, Parquet) or read each payload
(WARC), without positions, accounting or damage control. Memory is the peak of a process that reads one large
file, less that of a process that only imports the source.
"""

import io
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import orjson
import polars
import pyarrow as pa
import pyarrow.json
import pyarrow.parquet as pq
import zstandard
from fastwarc.warc import ArchiveIterator, WarcRecordType
from warcio.archiveiterator import ArchiveIterator as Warcio

from benchmarks.record import DATA, cpu_seconds, save
from jacorpus.sources.arrow import Arrow
from jacorpus.sources.jsonl import Jsonl
from jacorpus.sources.parquet import Parquet
from jacorpus.sources.warc import Warc
from jacorpus.stage import InputFile, Source, Span

LARGE_BYTES = 1_500_000_000
_PEAK = (
    "import sys; from jacorpus.sources.{module} import {name}; from jacorpus.stage import InputFile, Span\n"
    "{name}_ = {name}()\n"
    "for _ in ({name}_.read(InputFile(sys.argv[1], 'x', int(sys.argv[2])), Span(0, 1 << 62)) if {go} else ()): pass\n"
    "print(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))"
)


def ours(source: Source, path: Path) -> Callable[[], int]:
    """Read a file whole; the number of records."""
    file = InputFile(str(path), path.name, path.stat().st_size)
    return lambda: sum(chunk.records.num_rows for chunk in source.read(file, Span(0, 1 << 62)))


def with_orjson(lines: Callable[[], Iterable[bytes]]) -> Callable[[], int]:
    """A line, a dict, a list of strings, an Arrow array."""
    return lambda: len(pa.array([orjson.loads(line)["text"] for line in lines()], pa.large_string()))


def zstd_lines(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        yield from io.BufferedReader(zstandard.ZstdDecompressor().stream_reader(file), 1 << 20)


def with_pyarrow(path: Path) -> int:
    schema = pa.schema([("text", pa.large_string())])
    parse = pyarrow.json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore")
    read = pyarrow.json.ReadOptions(use_threads=False, block_size=16 << 20)
    return pyarrow.json.read_json(path, read, parse).num_rows


def with_fastwarc(path: Path, parse_http: bool) -> int:
    found = ArchiveIterator(str(path), record_types=WarcRecordType.response, parse_http=parse_http)
    return sum(len(record.reader.read()) >= 0 for record in found)


def with_warcio(path: Path) -> int:
    count = 0
    with path.open("rb") as file:
        for record in Warcio(file):
            if record.rec_type == "response":
                record.content_stream().read()
                count += 1
    return count


def rows_of(what: str, size: int, readers: dict[str, Callable[[], int]]) -> list[dict[str, Any]]:
    """One row for each reader of one file."""
    rows = []
    for name, call in readers.items():
        seconds, records = cpu_seconds(call, 3)
        rows.append({"input": what, "reader": name, "records": records, "mb_per_s": round(size / 1e6 / seconds, 1)})
        print(rows[-1], flush=True)
    return rows


def jsonl_rows(name: str, folder: Path) -> list[dict[str, Any]]:
    packed = DATA / "ja" / f"{name}.jsonl.zst"
    with packed.open("rb") as file:
        data = zstandard.ZstdDecompressor().stream_reader(file).read(60_000_000)
    data = data[: data.rfind(b"\n") + 1]
    plain, escaped, small = folder / f"{name}.jsonl", folder / f"{name}.ascii.jsonl", folder / f"{name}.jsonl.zst"
    plain.write_bytes(data)
    small.write_bytes(zstandard.ZstdCompressor(3).compress(data))
    with escaped.open("w", encoding="ascii") as out:
        out.writelines(json.dumps(json.loads(line)) + "\n" for line in data.splitlines())
    rows = rows_of(
        f"{name}.jsonl",
        len(data),
        {
            "sources.jsonl": ours(Jsonl(), plain),
            "orjson": with_orjson(plain.read_bytes().splitlines),
            "pyarrow.json, text only": lambda: with_pyarrow(plain),
            "polars, text only": lambda: polars.read_ndjson(plain, schema={"text": polars.String}).height,
        },
    )
    rows += rows_of(
        f"{name}.jsonl.zst",
        len(data),
        {"sources.jsonl": ours(Jsonl(), small), "zstandard + orjson": with_orjson(lambda: zstd_lines(small))},
    )
    readers = {"sources.jsonl": ours(Jsonl(), escaped), "orjson": with_orjson(escaped.read_bytes().splitlines)}
    return rows + rows_of(f"{name}.jsonl escaped to ASCII", escaped.stat().st_size, readers)


def table_rows(folder: Path) -> list[dict[str, Any]]:
    lines = (folder / "docs.jsonl").read_bytes().splitlines()
    table = pa.Table.from_pylist(
        [{key: orjson.loads(line).get(key) for key in ("text", "url", "id")} for line in lines]
    )
    size = pa.compute.sum(pa.compute.binary_length(table["text"])).as_py()
    pq.write_table(table, folder / "docs.parquet", compression="zstd", row_group_size=1000)
    with pa.OSFile(str(folder / "docs.arrow"), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table, 1000)
    plain = {
        "sources.parquet": ours(Parquet(), folder / "docs.parquet"),
        "pyarrow": lambda: pq.read_table(folder / "docs.parquet", use_threads=False).num_rows,
    }
    rows = rows_of("docs.parquet (zstd)", size, plain)
    return rows + rows_of("docs.arrow", size, {"sources.arrow": ours(Arrow(), folder / "docs.arrow")})


def warc_rows() -> list[dict[str, Any]]:
    path = DATA / "warc" / "dev-00000.warc.gz"
    size = sum(len(record.reader.read()) for record in ArchiveIterator(str(path), parse_http=False))
    readers = {
        "sources.warc": ours(Warc(), path),
        "fastwarc, blocks only": lambda: with_fastwarc(path, False),
        "fastwarc, HTTP headers parsed": lambda: with_fastwarc(path, True),
        "warcio, decoded": lambda: with_warcio(path),
    }
    return rows_of("dev-00000.warc.gz", size, readers)


def peak_mb(module: str, name: str, path: Path, go: bool) -> float:
    code = _PEAK.format(module=module, name=name, go=go)
    run = [sys.executable, "-c", code, str(path), str(path.stat().st_size)]
    return int(subprocess.run(run, capture_output=True, text=True, check=True).stdout) / 1024


def memory_rows(folder: Path) -> list[dict[str, Any]]:
    """Peak memory on a JSONL file of 1.5 GB, packed, and on one web archive repeated as often."""
    data, large = (folder / "docs.jsonl").read_bytes(), folder / "large.jsonl.zst"
    times = LARGE_BYTES // len(data)
    with large.open("wb") as sink, zstandard.ZstdCompressor(1).stream_writer(sink) as writer:
        for _ in range(times):
            writer.write(data)
    archive, wide = (DATA / "warc" / "dev-00000.warc.gz").read_bytes(), folder / "large.warc.gz"
    with wide.open("wb") as sink:
        for _ in range(15):
            sink.write(archive)
    rows = []
    inputs = [("jsonl", "Jsonl", large, times * len(data)), ("warc", "Warc", wide, 15 * 97_690_000)]
    for module, name, path, size in inputs:
        base, peak = peak_mb(module, name, path, False), peak_mb(module, name, path, True)
        what = {"input": f"{size / 1e9:.1f} GB {path.name}", "reader": f"sources.{module}"}
        rows.append({**what, "peak_mb": round(peak), "import_mb": round(base)})
        print(rows[-1], flush=True)
    return rows


def main() -> None:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        rows = jsonl_rows("docs", folder) + jsonl_rows("aozora", folder)
        rows += table_rows(folder) + warc_rows() + memory_rows(folder)
    save("sources", rows, ["pyarrow", "polars", "orjson", "zstandard", "isal", "fastwarc", "warcio", "numba"])


if __name__ == "__main__":
    main()
