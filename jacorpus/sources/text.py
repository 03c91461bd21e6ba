"""A folder of plain text: each file is one record, its position 0.

The bytes go on as a body of type ``text/plain``, so that their charset is found as for a page. A file that
is compressed (gzip, zstd, bzip2, xz) is unpacked.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from jacorpus.sources import compression
from jacorpus.sources.jsonl import too_long
from jacorpus.sources.records import Gathered
from jacorpus.stage import Chunk, InputFile, Lost, Span


@dataclass(frozen=True)
class Text:
    """Reads plain text files. max_record_bytes: a longer file is Lost with ``too_long``."""

    max_record_bytes: int = 64 << 20

    def cut(self, file: InputFile, target_bytes: int) -> list[Span]:
        """One span: a file is one record."""
        return [Span(0, 1)]

    def read(self, file: InputFile, span: Span) -> Iterator[Chunk]:
        """The file."""
        parts: list[bytes] = []
        rows, size = Gathered(read_bytes=file.size), 0
        try:
            with file.open() as handle:
                kind = compression.kind_of(handle.read(6))
                handle.seek(0)
                for piece in compression.pieces(handle, kind):
                    size += len(piece)
                    if size <= self.max_record_bytes:
                        parts.append(piece)
        except compression.Damaged as error:
            rows.lost.append(Lost(0, error.reason, error.detail, size))
        else:
            if size > self.max_record_bytes:
                rows.lost.append(too_long(0, size, self.max_record_bytes))
            else:
                rows.add(0, body=b"".join(parts), content_type="text/plain")
        yield rows.take()
