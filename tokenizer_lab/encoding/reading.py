"""A corpus cut into parts that tasks read side by side, and the documents of a part with their split and weight.

A part is a range of one file: record batches of a text shard, or what the file's source calls a span. How files are
cut depends on the files alone, never on the number of workers.

Documents go to their corpus' domain, or, by language, to NAME-LANGUAGE: ``web-ja``. Text shards carry the language
that a corpus run found (``lang``, where its recipe has ``language.detect``); other files carry none.
"""

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jacorpus.errors import InputError, JacorpusError
from jacorpus.measure import document_id
from jacorpus.schema import ID, SHARD
from jacorpus.stage import InputFile, Span
from tokenizer_lab.corpus import Domain, chunks_of, held_out, pieces_of, source_of

TASK_BYTES = 64 << 20
"""Text of one part, about."""

PACKED_RATIO = 4
"""Assumed bytes of text for one byte of a compressed text shard."""

UNKNOWN = "und"
"""Language of documents that carry none (ISO 639-2, undetermined)."""

_LANGUAGE = re.compile(r"[A-Za-z0-9]+([-_][A-Za-z0-9]+)*")


@dataclass(frozen=True)
class Documents:
    """About 8 MB of documents. ids: binary(16) [N]. texts: large_string [N]. valid: bool [N]. weight: int8 [N].
    domain: str objects [N], the name of the domain each goes to."""

    ids: pa.FixedSizeBinaryArray
    texts: pa.LargeStringArray
    valid: np.ndarray
    weight: np.ndarray
    domain: np.ndarray


@dataclass
class Tally:
    """What a part held beside documents: records that could not be read, by reason, and what is no record, by kind."""

    lost: dict[str, int] = field(default_factory=dict)
    skipped: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Part:
    """A range of a file of a domain. shard: the file is a text shard of a corpus run. size: its bytes on disk.
    by_language: its documents go to a domain for each language."""

    domain: str
    file: InputFile
    span: Span
    shard: bool
    column: str
    size: int
    by_language: bool = False

    def documents(self, tally: Tally, progress: Callable[[int], None]) -> Iterator[Documents]:
        """The documents in the file's order. progress: called with bytes of the file as they are read.

        Raises InputError where a text shard is damaged or a language can't name files; damage in other files is
        counted in ``tally``.
        """
        yield from self._of_shard(progress) if self.shard else self._of_source(tally, progress)

    def _of_shard(self, progress: Callable[[int], None]) -> Iterator[Documents]:
        names = ["id", "text", "split", "weight", *(["lang"] if self.by_language else [])]
        try:
            options = pa.ipc.IpcReadOptions(included_fields=[SHARD.get_field_index(name) for name in names])
            reader = pa.ipc.open_file(pa.memory_map(self.file.uri), options=options)
            for i in range(self.span.start, self.span.stop):
                batch = reader.get_batch(i)
                valid = pc.equal(batch["split"], "valid").to_numpy(zero_copy_only=False)
                domain = self._domains(batch["lang"].to_pylist() if self.by_language else [None] * batch.num_rows)
                yield Documents(batch["id"], batch["text"], valid, batch["weight"].to_numpy(), domain)
                progress(self.size // (self.span.stop - self.span.start))
        except (OSError, pa.ArrowException) as error:
            raise InputError(
                f"{self.file.uri} is damaged ({error}); run the corpus recipe again to rebuild it"
            ) from error

    def _of_source(self, tally: Tally, progress: Callable[[int], None]) -> Iterator[Documents]:
        for chunk in chunks_of(self.file, self.span, self.column):
            for lost in chunk.lost:
                tally.lost[lost.reason] = tally.lost.get(lost.reason, 0) + 1
            for kind, number in chunk.skipped.items():
                tally.skipped[kind] = tally.skipped.get(kind, 0) + number
            for batch in pieces_of(chunk.records):
                ids = [document_id(self.domain, self.file.name, place) for place in batch["position"].to_pylist()]
                texts = batch["text"].cast(pa.large_string())
                weight, domain = np.ones(len(ids), np.int8), self._domains([None] * len(ids))
                yield Documents(pa.array(ids, ID), texts, held_out(ids), weight, domain)
            progress(chunk.read_bytes)

    def _domains(self, languages: Sequence[str | None]) -> np.ndarray:
        """str objects [N]: where documents of these languages go."""
        if not self.by_language:
            return np.full(len(languages), self.domain, object)
        for language in set(languages):
            check_language(language or UNKNOWN, InputError, f"documents of {self.file.uri} are of")
        return np.array([f"{self.domain}-{language or UNKNOWN}" for language in languages], object)


def check_language(code: str, error: type[JacorpusError], what: str) -> None:
    """Raises ``error`` for a language that can't be part of a name: letters and digits, joined by - or _."""
    if not _LANGUAGE.fullmatch(code):
        raise error(f"{what} language `{code}`, which can't name a domain; a language is a code such as ja or zh-Hant")


def parts_of(domains: Sequence[Domain], by_language: Collection[str] = ()) -> list[Part]:
    """All parts of a corpus. by_language: names of domains to be split by language.

    Raises InputError for a file that can't be opened, or two with the same ids to come.
    """
    found = []
    for domain in domains:
        seen: dict[str, str] = {}
        for file in domain.files:
            if file.name in seen:
                raise InputError(
                    f"{seen[file.name]} and {file.uri} of domain {domain.name} have one name, {file.name}, "
                    "and would give the same ids; name them as two domains, or by one common glob"
                )
            seen[file.name] = file.uri
            found += [
                Part(domain.name, file, span, domain.shards, domain.column, size, domain.name in by_language)
                for span, size in _cut(file, domain.shards, domain.column)
            ]
    return found


def _cut(file: InputFile, shard: bool, column: str) -> list[tuple[Span, int]]:
    """Spans of about TASK_BYTES of text, with their share of the file's bytes."""
    if shard:
        number = _batches(file)
        step = max(1, number * TASK_BYTES // max(1, file.size * PACKED_RATIO))
        spans = [Span(a, min(a + step, number)) for a in range(0, number, step)]
        return [(span, file.size * (span.stop - span.start) // number) for span in spans]
    try:
        spans = source_of(file, column).cut(file, TASK_BYTES)
    except OSError as error:
        raise InputError(f"{file.uri} can't be read: {error.strerror or error}") from error
    return [(span, file.size // len(spans)) for span in spans]


def _batches(file: InputFile) -> int:
    try:
        reader = pa.ipc.open_file(pa.memory_map(str(Path(file.uri))))
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{file.uri} is damaged ({error}); run the corpus recipe again to rebuild it") from error
    if reader.schema != SHARD:
        raise InputError(f"{file.uri} is no text shard of a corpus run; run the corpus recipe again")
    return int(reader.num_record_batches)
