"""tiktoken rank files: lines of a token in base64 and its rank, which is its id.

The pattern that cuts text and the special tokens are not in the file; published files are known by their SHA-256
(tokenizer_lab.formats.known_ranks), for others they have to be named. A pre-token that is a token is taken whole; else
neighbors of the lowest rank merge first, leftmost among equals.

Legend: N documents, T tokens in all, V ids.
"""

import base64
import binascii
import hashlib
import json
from collections.abc import Sequence
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from jacorpus.errors import InputError
from tokenizer_lab.decoding import byte_table, joined
from tokenizer_lab.formats.known_ranks import KNOWN, Known
from tokenizer_lab.formats.special_text import encode_specials
from tokenizer_lab.kernels.bpe import BytePairs
from tokenizer_lab.kernels.bpe_tables import MOST_IDS, from_ranks
from tokenizer_lab.kernels.bpe_trie import MOST_NODES
from tokenizer_lab.kernels.character_classes import UNICODE
from tokenizer_lab.kernels.patterns import PATTERNS, compiled, pattern_name
from tokenizer_lab.tokenizer import Encoding, Kind, SpecialText, Tokenizer, Vocabulary, place_lists, token_lists

BYTES = 256


def open_ranks(path: str | Path, pattern: str | None = None, specials: Sequence[str] = ()) -> Tokenizer:
    """The tokenizer of a rank file.

    pattern: a name of PATTERNS or a regular expression, specials: texts of special tokens, which get the ids behind
    the ranks; both only for files that are not known by their hash. A pattern of your own is cut by tiktoken itself.
    Raises InputError for broken lines, missing or double ranks, missing bytes, and where pattern is missing or wrong.
    """
    path = Path(path)
    content = path.read_bytes()
    known = KNOWN.get(hashlib.sha256(content).hexdigest())
    beside = named_beside(path) if known is None else None
    known = known or beside
    if known is None and pattern is None:
        raise InputError(
            f"{path} is a rank file that is not known here, and its pattern is not in it; name it: --pattern NAME "
            f"(one of {', '.join(PATTERNS)}) or a regular expression. Known files: "
            + ", ".join(sorted(each.name for each in KNOWN.values()))
        )
    if known is not None and (specials or (pattern and (pattern_name(pattern) or pattern) != known.pattern)):
        raise InputError(f"{path} is {known.name}, which has the pattern {known.pattern} and its own special tokens")
    ranks = read_ranks(content, path)
    if known is None:
        known = Known(path.stem, pattern or "", _behind(ranks, specials, path))
        _check_whole(ranks, {}, path)
    elif beside:
        _check_whole(ranks, known.specials, path)
    compiled(known.pattern)
    name = pattern_name(known.pattern)
    if name is None or max(ranks.values()) >= MOST_IDS or sum(map(len, ranks)) >= MOST_NODES:
        return Library(ranks, known, hashlib.sha256(content).digest())
    known = Known(known.name, name, known.specials)
    return Fast(ranks, known, hashlib.sha256(content).digest())


def read_ranks(content: bytes, path: Path) -> dict[bytes, int]:
    """Token -> rank. Raises InputError, naming the line, where a line is broken or a token or rank stands twice."""
    ranks: dict[bytes, int] = {}
    lines: dict[int, int] = {}
    for number, line in enumerate(content.splitlines(), 1):
        if not line.strip():
            continue
        try:
            coded, written = line.split()
            token, rank = base64.b64decode(coded), int(written)
        except (ValueError, binascii.Error) as error:
            raise InputError(
                f"{path}, line {number}: expected a token in base64 and its rank, got {line[:60]!r}"
            ) from error
        if rank < 0 or rank in lines or token in ranks:
            first = lines.get(rank, lines.get(ranks.get(token, -1)))
            raise InputError(f"{path}, line {number}: rank {rank} or its token already stands in line {first}")
        ranks[token], lines[rank] = rank, number
    missing = [byte for byte in range(BYTES) if bytes([byte]) not in ranks]
    if missing:
        raise InputError(
            f"{path} has no token for {len(missing)} of the 256 bytes (the first is 0x{missing[0]:02x}), so some "
            "texts could not be written; a byte-level vocabulary needs them all"
        )
    return ranks


def named_beside(path: Path) -> Known | None:
    """Pattern and special tokens from ``NAME.tiktoken.json``, which training writes beside its ranks
    (tokenizer_lab.save.tiktoken); None where there is no such file. Raises InputError where it is broken."""
    beside = path.with_name(path.name + ".json")
    if not beside.is_file():
        return None
    try:
        content = json.loads(beside.read_bytes())
        specials = {str(text): int(id) for text, id in content["specials"].items()}
        return Known(path.stem, str(content["pattern"]), specials)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{beside} should hold the keys pattern and specials (text -> id): {error!r}") from error


def _check_whole(ranks: dict[bytes, int], specials: dict[str, int], path: Path) -> None:
    taken = {*ranks.values(), *specials.values()}
    gaps = sorted(set(range(len(taken))) - taken)
    if gaps:
        raise InputError(
            f"{path} has no token of rank {gaps[0]} though it goes up to {max(ranks.values())}; lines are lost"
        )


def _behind(ranks: dict[bytes, int], specials: Sequence[str], path: Path) -> dict[str, int]:
    if len(set(specials)) != len(specials) or "" in specials:
        raise InputError(f"special tokens for {path} must differ from each other and not be empty")
    return {special: len(ranks) + i for i, special in enumerate(specials)}


def vocabulary_of(ranks: dict[bytes, int], specials: dict[str, int]) -> Vocabulary:
    """The table; ids without a token (cl100k leaves some free) and the empty token of Whisper are unused."""
    size = 1 + max([*ranks.values(), *specials.values()])
    pieces, kinds = [b""] * size, np.full(size, Kind.UNUSED, np.uint8)
    token_bytes = list(pieces)
    for token, rank in ranks.items():
        pieces[rank] = token_bytes[rank] = token
        kinds[rank] = Kind.NORMAL if token else Kind.UNUSED
    for special, id in specials.items():
        pieces[id], kinds[id] = special.encode(), Kind.CONTROL
    return Vocabulary(tuple(pieces), tuple(token_bytes), kinds, specials=dict(specials))


class Ranks(Tokenizer):
    """What our kernels and the library share."""

    format = "tiktoken"
    algorithm = "byte-bpe"

    def __init__(self, ranks: dict[bytes, int], known: Known, digest: bytes) -> None:
        self.name = known.name
        self.vocabulary = vocabulary_of(ranks, known.specials)
        self._ranks, self._known, self._digest = ranks, known, digest
        specials = "".join(f"{text}\t{id}\n" for text, id in known.specials.items())
        self.identity = (digest, PATTERNS.get(known.pattern, known.pattern).encode(), specials.encode())
        self.traits: dict[str, Any] = {
            "normalizer": "none",
            "prefix": "none",
            "pattern": known.pattern,
            "regex": "fancy-regex",
            "unicode": UNICODE,
            "ties": "leftmost",
            "scores": "ranks",
            "ignore_merges": True,
            "specials": len(known.specials),
        }

    @cached_property
    def _table(self) -> pa.LargeBinaryArray:
        """Bytes of each id; a special token decodes to its text, as in tiktoken."""
        v = self.vocabulary
        return byte_table(
            tuple(p if k == Kind.CONTROL else t for p, t, k in zip(v.pieces, v.token_bytes, v.kinds, strict=True))
        )

    def decode(self, tokens: pa.LargeListArray) -> pa.LargeBinaryArray:
        return joined(self._table, tokens)

    def encode_with_offsets(self, texts: pa.Array) -> Encoding:
        tokens = self.encode(texts)
        offsets, ids = tokens.offsets.to_numpy(), tokens.values.to_numpy()
        places = np.concatenate([np.zeros(1, np.int64), np.cumsum(self.vocabulary.lengths[ids])])
        first = np.repeat(places[offsets[:-1]], np.diff(offsets))
        return Encoding(tokens, place_lists(offsets, places[:-1] - first), place_lists(offsets, places[1:] - first))


class Fast(Ranks):
    """Our kernels, for the named patterns."""

    @cached_property
    def _pairs(self) -> BytePairs:
        return BytePairs(from_ranks({token: rank for token, rank in self._ranks.items() if token}), self._known.pattern)

    def encode(self, texts: pa.Array, special_text: SpecialText = "text") -> pa.LargeListArray:
        if special_text == "ids":
            return token_lists(*encode_specials(texts, self._known.specials, self._pairs.encode))
        return token_lists(*self._pairs.encode(texts))

    def reference(self) -> "Library":
        return Library(self._ranks, self._known, self._digest)

    @property
    def reference_name(self) -> str:
        return f"tiktoken {version('tiktoken')}"


class Library(Ranks):
    """tiktoken itself, by ``encode_ordinary_batch`` with one thread."""

    def __init__(self, ranks: dict[bytes, int], known: Known, digest: bytes) -> None:
        super().__init__(ranks, known, digest)
        self.engine = f"tiktoken {version('tiktoken')}"
        self.why_slow = "the vocabulary is too large for the fast path"
        if pattern_name(known.pattern) is None:
            self.why_slow = "the pattern is a regular expression of your own; the fast path has the named ones"

    @cached_property
    def _encoding(self) -> Any:
        import tiktoken

        pattern = PATTERNS.get(self._known.pattern, self._known.pattern)
        try:
            return tiktoken.Encoding(
                self.name, pat_str=pattern, mergeable_ranks=self._ranks, special_tokens=self._known.specials
            )
        except ValueError as error:
            raise InputError(f"tiktoken does not take the pattern `{pattern}`: {error}") from error

    def encode(self, texts: pa.Array, special_text: SpecialText = "text") -> pa.LargeListArray:
        strings = [text or "" for text in texts.to_pylist()]
        if special_text == "ids":
            rows = [self._encoding.encode(text, allowed_special="all") for text in strings]
        else:
            rows = self._encoding.encode_ordinary_batch(strings, num_threads=1)
        offsets = np.cumsum([0, *map(len, rows)], dtype=np.int64)
        return token_lists(offsets, np.fromiter((id for row in rows for id in row), np.uint32, int(offsets[-1])))

    def encode_with_offsets(self, texts: pa.Array) -> Encoding:
        found = super().encode_with_offsets(texts)
        whole = joined(self._table, found.tokens).cast(pa.large_string())
        if whole != texts.fill_null("").cast(pa.large_string()):
            raise InputError(
                f"pattern `{self._known.pattern}` leaves parts of a text out, so its tokens have no places"
            )
        return found
