"""A dataset folder as the Hugging Face libraries write it.

Parquet, Arrow, JSON Lines and text files are read by the sources for these, told apart by their first bytes;
what describes the dataset (``dataset_info.json``, ``state.json``, README, cached indices) holds no records.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch

from jacorpus.sources import compression
from jacorpus.sources.arrow import Arrow
from jacorpus.sources.jsonl import Jsonl
from jacorpus.sources.parquet import Parquet
from jacorpus.sources.text import Text
from jacorpus.stage import Chunk, InputFile, Source, Span

_DESCRIPTIONS = (
    "dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json", "*.md", "*.yaml", "*.yml",
    "*.lock", "*.py", "license*", "licence*", "cache-*.arrow", "indices*.arrow",
)  # fmt: skip


@dataclass(frozen=True)
class Huggingface:
    """Reads the data files of a dataset folder.

    column: the text. url, timestamp: the record's address and time. max_record_bytes: as for sources.jsonl.
    """

    column: str = "text"
    url: str = "url"
    timestamp: str = "timestamp"
    max_record_bytes: int = 64 << 20

    def cut(self, file: InputFile, target_bytes: int) -> list[Span]:
        """As the source of the file's format cuts it; no span for a file that only describes the dataset."""
        source = self._source(file)
        return source.cut(file, target_bytes) if source else []

    def read(self, file: InputFile, span: Span) -> Iterator[Chunk]:
        """As the source of the file's format reads it."""
        source = self._source(file)
        yield from source.read(file, span) if source else ()

    def _source(self, file: InputFile) -> Source | None:
        name = file.name.rpartition("/")[2].lower()
        if any(fnmatch(name, pattern) for pattern in _DESCRIPTIONS):
            return None
        with file.open() as handle:
            head = handle.read(8)
        if head.startswith(b"PAR1"):
            return Parquet(self.column, self.url, self.timestamp)
        if head.startswith((b"ARROW1", b"\xff\xff\xff\xff")):
            return Arrow(self.column, self.url, self.timestamp)
        if fnmatch(name, "*.txt") or (fnmatch(name, "*.txt.*") and compression.kind_of(head) != "plain"):
            return Text(self.max_record_bytes)
        return Jsonl(self.column, self.url, self.timestamp, self.max_record_bytes)
