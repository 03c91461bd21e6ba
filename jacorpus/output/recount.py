"""Count the records of an input file a second time, with readers that share no code with the sources.

Standard library and the format's own library only. A damaged file is counted up to the damage; then the
count is a lower bound and says so.
"""

import bz2
import gzip
import io
import lzma
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

COUNTED_WARC = (b"response", b"resource", b"conversion")


def recount(use: str, path: Path, options: dict[str, Any]) -> tuple[int, bool] | None:
    """(records, sound) of a file; sound is False where damage stopped the count. None for formats it can't count."""
    counters: dict[str, Callable[[Path], tuple[int, bool]]] = {
        "sources.jsonl": _jsonl,
        "sources.warc": _warc,
        "sources.parquet": _parquet,
        "sources.arrow": _arrow,
        "sources.arc": _arc,
        "sources.wikipedia": _wikipedia,
        "sources.huggingface": _by_ending,
        "sources.text": lambda path: (1, True),
    }
    counter = counters.get(use)
    return counter(path) if counter else None


def _plain(path: Path) -> IO[bytes]:
    """The decompressed stream, by magic bytes."""
    with open(path, "rb") as stream:
        head = stream.read(6)
    if head[:2] == b"\x1f\x8b":
        return gzip.open(path, "rb")  # type: ignore[return-value]
    if head[:4] == b"\x28\xb5\x2f\xfd":
        import zstandard

        return io.BufferedReader(zstandard.ZstdDecompressor().stream_reader(open(path, "rb"), read_across_frames=True))
    if head[:3] == b"BZh":
        return bz2.open(path, "rb")  # type: ignore[return-value]
    if head == b"\xfd7zXZ\x00":
        return lzma.open(path, "rb")  # type: ignore[return-value]
    return open(path, "rb")


def _jsonl(path: Path) -> tuple[int, bool]:
    """Non-blank lines. A truncated stream makes the last line's fate unknown."""
    import zstandard

    lines = 0
    stream = _plain(path)
    try:
        for line in stream:
            lines += bool(line.strip(b" \t\r\n\x0b\x0c"))
    except (EOFError, OSError, zlib.error, lzma.LZMAError, zstandard.ZstdError):
        return lines, False
    return lines, True


def _warc(path: Path) -> tuple[int, bool]:
    records, sound = 0, True
    for kind in _warc_kinds(path):
        if kind is None:
            sound = False
        records += kind in COUNTED_WARC
    return records, sound


def _warc_kinds(path: Path) -> Iterator[bytes | None]:
    """WARC-Type of each record in order; None where the file is damaged."""
    import zstandard

    stream = _plain(path)
    try:
        while True:
            line = stream.readline()
            if not line:
                return
            if not line.strip():
                continue
            if not line.startswith(b"WARC/"):
                yield None
                return
            kind, length = b"", 0
            while (header := stream.readline()).strip():
                name, _, value = header.partition(b":")
                if name.lower() == b"warc-type":
                    kind = value.strip().lower()
                elif name.lower() == b"content-length":
                    length = int(value)
            if len(stream.read(length)) < length:
                yield None
                return
            yield kind
    except (EOFError, OSError, ValueError, zlib.error, zstandard.ZstdError):
        yield None


def _parquet(path: Path) -> tuple[int, bool]:
    import polars as pl

    return int(pl.scan_parquet(path).select(pl.len()).collect().item()), True


def _arrow(path: Path) -> tuple[int, bool]:
    import polars as pl

    with open(path, "rb") as stream:
        is_file = stream.read(6) == b"ARROW1"
    return (pl.read_ipc(path) if is_file else pl.read_ipc_stream(path)).height, True


def _arc(path: Path) -> tuple[int, bool]:
    """Records but the file's own header, by warcio."""
    from warcio.archiveiterator import ArchiveIterator

    records = 0
    try:
        with open(path, "rb") as stream:
            for record in ArchiveIterator(stream):
                records += record.rec_type != "arc_header"
    except Exception:  # warcio raises many kinds; how far it came is the answer
        return records, False
    return records, True


def _wikipedia(path: Path) -> tuple[int, bool]:
    """Articles (namespace 0) that are no redirects, by the standard library's XML parser."""
    from xml.etree.ElementTree import ParseError, iterparse

    pages = 0
    try:
        for _, element in iterparse(_plain(path)):
            name = element.tag.rpartition("}")[2]
            if name == "page":
                found = {child.tag.rpartition("}")[2]: child.text for child in element}
                pages += found.get("ns") == "0" and "redirect" not in found
                element.clear()
    except (ParseError, EOFError, OSError, ValueError):
        return pages, False
    return pages, True


def _by_ending(path: Path) -> tuple[int, bool]:
    """A file of a dataset folder, by what its name says it is."""
    if path.suffix == ".parquet":
        return _parquet(path)
    return _arrow(path) if path.suffix == ".arrow" else _jsonl(path)
