"""Texts that tokenizers are compared on, and one tokenizer's tokens of them with all that metrics ask for.

Legend: N documents, T tokens in all, V ids, S bytes of UTF-8.
"""

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jacorpus.kernels.buffers import text_buffers
from tokenizer_lab.comparison.bootstrap import Resampling
from tokenizer_lab.tokenizer import Encoding, Kind, Tokenizer, list_buffers, token_lists
from tokenizer_lab.verify import differing

VERIFIED_BYTES = 100_000
"""Of each corpus so much text, line by line, is also encoded by the original library."""

_CONTINUES = 0xC0, 0x80  # a byte within a character: byte & 0xC0 == 0x80


@dataclass(frozen=True)
class Units:
    """Gold units of text: words, long units, bunsetsu.

    offsets: int64 [N+1]. starts, ends: int64 [units in all], bytes from the first byte of the document.
    """

    offsets: np.ndarray
    starts: np.ndarray
    ends: np.ndarray


@dataclass(frozen=True, eq=False)
class Texts:
    """A corpus as it is compared on: large_string [N].

    units: gold units by name, for gold corpora. group: int64 [N], the unit of resampling of each document (documents
    of one source); None where each stands alone. about: one line on how the texts were drawn.
    """

    name: str
    texts: pa.LargeStringArray
    units: dict[str, Units] = field(default_factory=dict)
    group: np.ndarray | None = None
    about: str = ""
    read_bytes: int = 0

    @cached_property
    def bytes_N(self) -> np.ndarray:
        """int64 [N]: UTF-8 bytes of each document."""
        return pc.binary_length(self.texts).to_numpy(zero_copy_only=False).astype(np.int64)

    @cached_property
    def chars_N(self) -> np.ndarray:
        """int64 [N]: Unicode scalar values of each document."""
        return pc.utf8_length(self.texts).to_numpy(zero_copy_only=False).astype(np.int64)

    @cached_property
    def data(self) -> tuple[np.ndarray, np.ndarray]:
        """(offsets int64 [N+1] from 0, bytes uint8 [S])."""
        offsets, data = text_buffers(self.texts)
        return offsets - offsets[0], data[offsets[0] : offsets[-1]]

    @cached_property
    def dark(self) -> np.ndarray:
        """int64, ascending: places of all bytes that are no ASCII space or line feed, and the end of the corpus."""
        data = self.data[1]
        return np.append(np.flatnonzero((data != 0x20) & (data != 0x0A)), len(data))

    @cached_property
    def resampling(self) -> Resampling:
        return Resampling(np.arange(len(self.texts)) if self.group is None else self.group)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 in hex over the documents in their order."""
        offsets, data = self.data
        digest = hashlib.sha256(np.ascontiguousarray(offsets).tobytes())
        digest.update(np.ascontiguousarray(data).tobytes())
        return digest.hexdigest()


@dataclass(frozen=True)
class Speed:
    """Cold speed: bytes timed once after a warm-up on others, and the CPU seconds of this process.

    lines, lines_differ: lines also encoded by the reference, and those whose ids are others; None without reference.
    """

    bytes: int
    cpu_s: float
    lines: int | None = None
    lines_differ: int | None = None


@dataclass(frozen=True, eq=False)
class Encoded:
    """Tokens of a corpus. tokens: large_list<uint32> [N]."""

    tokenizer: Tokenizer
    source: Texts
    tokens: pa.LargeListArray
    speed: Speed | None = None

    @cached_property
    def offsets(self) -> np.ndarray:
        """int64 [N+1], from 0."""
        return list_buffers(self.tokens)[0]

    @cached_property
    def ids(self) -> np.ndarray:
        """uint32 [T]."""
        return list_buffers(self.tokens)[1]

    @cached_property
    def tokens_N(self) -> np.ndarray:
        """int64 [N]: tokens of each document."""
        return np.diff(self.offsets)

    @cached_property
    def uses_V(self) -> np.ndarray:
        """int64 [V]: how often each id was used."""
        return np.bincount(self.ids, minlength=self.tokenizer.vocab_size)

    def sums(self, values: np.ndarray) -> np.ndarray:
        """float64 [N]: sum of a value of each token, [T], over the tokens of each document."""
        return summed(values, self.offsets)

    @cached_property
    def placed(self) -> Encoding:
        """The tokens with their places in the raw text."""
        return self.tokenizer.encode_with_offsets(self.source.texts)

    @cached_property
    def spans(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(document, start, end) of each token that stands for text; places count from the first byte of the corpus."""
        offsets, starts = list_buffers(self.placed.starts)
        _, ends = list_buffers(self.placed.ends)
        document = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
        base, real = self.source.data[0][document], ends > starts
        return document[real], (base + starts)[real], (base + ends)[real]

    @cached_property
    def decoded(self) -> pa.LargeBinaryArray:
        """large_binary [N]: what the ids decode to."""
        return self.tokenizer.decode(self.tokens)

    @cached_property
    def exact_N(self) -> np.ndarray:
        """bool [N]: documents that come back byte for byte."""
        return pc.equal(self.decoded, self.source.texts.cast(pa.large_binary())).to_numpy(zero_copy_only=False)


def summed(values: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """float64 [N]: sums of values [T] over the runs that offsets int64 [N+1] mark."""
    total = np.concatenate([[0.0], np.cumsum(values, dtype=np.float64)])
    return total[offsets[1:]] - total[offsets[:-1]]


@dataclass(frozen=True)
class TokenTable:
    """What is known of each id of a vocabulary, bool [V].

    byte: fallback tokens that are one byte. unknown: the unknown token. leads: begins a character (its first byte is no
    continuation). opens: its last character is not complete. broken: no valid UTF-8 by itself.
    """

    byte: np.ndarray
    unknown: np.ndarray
    leads: np.ndarray
    opens: np.ndarray
    broken: np.ndarray


def token_table(tokenizer: Tokenizer) -> TokenTable:
    vocabulary = tokenizer.vocabulary
    unknown = vocabulary.kinds == Kind.UNKNOWN
    if vocabulary.unknown_id is not None:
        unknown = unknown.copy()
        unknown[vocabulary.unknown_id] = True
    leads = np.array([bool(t) and (t[0] & _CONTINUES[0]) != _CONTINUES[1] for t in vocabulary.token_bytes], bool)
    broken = np.array([not _is_utf8(t) for t in vocabulary.token_bytes], bool)
    opens = np.array([_opens(t) if b else False for t, b in zip(vocabulary.token_bytes, broken, strict=True)], bool)
    return TokenTable(vocabulary.kinds == Kind.BYTE, unknown, leads, opens, broken)


def _is_utf8(token: bytes) -> bool:
    try:
        token.decode()
    except UnicodeDecodeError:
        return False
    return True


def _opens(token: bytes) -> bool:
    """Whether a token ends within a character that it also begins."""
    for back in range(1, min(4, len(token)) + 1):
        byte = token[-back]
        if byte & _CONTINUES[0] != _CONTINUES[1]:
            needed = 1 if byte < 0x80 else 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            return back < needed
    return False


def encode_timed(tokenizer: Tokenizer, source: Texts, verified_bytes: int = VERIFIED_BYTES) -> Encoded:
    """Encode a corpus once, timed as the spec asks: the first quarter warms up, the rest is timed, nothing twice.

    CPU seconds of this process, so that threads of a library count. Lines of up to verified_bytes of the timed part
    are encoded by the reference too and compared.
    """
    texts = source.texts
    quarter = int(np.searchsorted(np.cumsum(source.bytes_N), source.bytes_N.sum() / 4, "right"))
    quarter = min(max(quarter, 1), max(len(texts) - 1, 0))
    warm = tokenizer.encode(texts.slice(0, quarter))
    before = time.process_time()
    rest = tokenizer.encode(texts.slice(quarter))
    seconds = time.process_time() - before
    lines, wrong = _verified(tokenizer, texts.slice(quarter), verified_bytes)
    timed = int(source.bytes_N[quarter:].sum())
    return Encoded(tokenizer, source, joined([warm, rest]), Speed(timed, seconds, lines, wrong))


def joined(parts: Sequence[pa.LargeListArray]) -> pa.LargeListArray:
    """Token lists one behind the other, as one array."""
    buffers = [list_buffers(part) for part in parts]
    counts = np.concatenate([np.diff(offsets) for offsets, _ in buffers])
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return token_lists(offsets, np.concatenate([ids for _, ids in buffers]).astype(np.uint32, copy=False))


def _verified(tokenizer: Tokenizer, texts: pa.LargeStringArray, most_bytes: int) -> tuple[int | None, int | None]:
    reference = tokenizer.reference() if most_bytes else None
    if reference is None:
        return None, None
    sizes = np.cumsum(pc.binary_length(texts).to_numpy(zero_copy_only=False))
    some = texts.slice(0, max(1, int(np.searchsorted(sizes, most_bytes, "right"))))
    lines = pc.split_pattern(some, "\n").flatten()
    return len(lines), len(differing(tokenizer.encode(lines), reference.encode(lines)))
