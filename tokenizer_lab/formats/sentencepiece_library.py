"""A SentencePiece ``.model`` behind the library that wrote it.

Control pieces never come out of text there, whatever ``special_text`` says. Decoding follows google/sentencepiece
0.2.3 ``SentencePieceProcessor::Decode``: the bytes of the tokens, without the space that the prefix put in, or without
all marks of spaces that stand alone at the beginning where the model takes extra spaces away; an unknown token gives
the file's unknown surface (`` ⁇ `` unless set), a byte token its byte, both whole. A model with a denormalizer is
decoded by the library.

Offsets are the library's, in bytes of the raw text, but for a character that was written as byte tokens: the library
gives all of it to the last of them; here each has its own byte where the normalizer did not change the character.

Legend: N documents, T tokens in all, V ids.
"""

from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from jacorpus.errors import InputError
from tokenizer_lab.decoding import byte_table, checked, joined
from tokenizer_lab.tokenizer import (
    Encoding,
    Kind,
    SpecialText,
    Tokenizer,
    Vocabulary,
    list_buffers,
    place_lists,
    token_lists,
)

ALGORITHMS = {1: "unigram", 2: "bpe", 3: "word", 4: "char"}
SPACE_MARK = "▁"


def read_proto(path: Path) -> Any:
    """The parsed file. Raises InputError where it is no SentencePiece model."""
    from google.protobuf.message import DecodeError
    from sentencepiece import sentencepiece_model_pb2 as messages

    proto = messages.ModelProto()  # type: ignore[attr-defined]
    try:
        proto.ParseFromString(path.read_bytes())
    except DecodeError as error:
        raise InputError(f"{path} is damaged ({error}); expected a SentencePiece .model") from error
    if not proto.pieces or not proto.HasField("trainer_spec"):
        raise InputError(f"{path} holds no pieces or no trainer settings; expected a whole SentencePiece .model")
    if proto.trainer_spec.model_type not in ALGORITHMS:
        raise InputError(f"{path} has the model type {proto.trainer_spec.model_type}; known: unigram, bpe, word, char")
    return proto


def read_vocabulary(proto: Any) -> Vocabulary:
    """The table of a model."""
    pieces = [piece.piece for piece in proto.pieces]
    types = [piece.type for piece in proto.pieces]  # plain numbers: numpy's beside an enum are slow and eat Ctrl-C
    kinds = np.array(types, np.uint8)
    decoded = []
    for piece, kind in zip(pieces, types, strict=True):
        if kind == Kind.BYTE:
            decoded.append(bytes([int(piece[3:5], 16)]))
        elif kind == Kind.CONTROL:
            decoded.append(b"")
        elif kind == Kind.UNKNOWN:
            decoded.append(proto.trainer_spec.unk_surface.encode())
        else:
            decoded.append(piece.replace(SPACE_MARK, " ").encode())
    scores = np.array([piece.score for piece in proto.pieces], np.float64)
    specials = {piece: i for i, piece in enumerate(pieces) if types[i] == Kind.CONTROL}
    unknown = np.flatnonzero(kinds == Kind.UNKNOWN)
    unknown_id = int(unknown[0]) if len(unknown) else None
    encoded = tuple(piece.encode() for piece in pieces)
    return Vocabulary(encoded, tuple(decoded), kinds, scores, specials, unknown_id)


def read_traits(proto: Any) -> dict[str, Any]:
    """What ``explain`` compares."""
    rules, trained = proto.normalizer_spec, proto.trainer_spec
    charsmap = rules.precompiled_charsmap
    kinds = [piece.type for piece in proto.pieces]
    unigram = trained.model_type == trained.UNIGRAM
    return {
        "normalizer": f"charsmap {sha256(charsmap).hexdigest()[:12]} ({rules.name})" if charsmap else "none",
        "prefix": ("suffix " if trained.treat_whitespace_as_suffix else "") + SPACE_MARK
        if rules.add_dummy_prefix
        else "none",
        "extra_spaces": "removed" if rules.remove_extra_whitespaces else "kept",
        "spaces": SPACE_MARK if rules.escape_whitespaces else "kept",
        "byte_fallback": Kind.BYTE in kinds,
        "ties": "longest last piece" if unigram else "leftmost",
        "scores": "float32 sums, back to zero beyond 100,000" if unigram else "float32",
        "user_defined": sorted(p.piece for p in proto.pieces if p.type == Kind.USER_DEFINED),
        "specials": sorted(p.piece for p in proto.pieces if p.type == Kind.CONTROL),
    }


def _bare(vocabulary: Vocabulary) -> list[bytes]:
    """Bytes of each token at the beginning of a text: without the mark that its piece begins with."""
    spelled = (Kind.NORMAL, Kind.USER_DEFINED, Kind.UNUSED)
    rows = zip(vocabulary.pieces, vocabulary.token_bytes, vocabulary.kinds, strict=True)
    return [
        decoded[1:] if kind in spelled and piece.startswith(SPACE_MARK.encode()) else decoded
        for piece, decoded, kind in rows
    ]


class Library(Tokenizer):
    """Any ``.model`` through ``sentencepiece``."""

    format = "sentencepiece"

    def __init__(self, path: Path, proto: Any, why_slow: str = "") -> None:
        import sentencepiece

        self.name = path.parent.name if path.name == "tokenizer.model" else path.name.removesuffix(".model")
        self.algorithm = ALGORITHMS[proto.trainer_spec.model_type]
        self.engine, self.why_slow = f"sentencepiece {sentencepiece.__version__}", why_slow
        self.identity = (sha256(path.read_bytes()).hexdigest().encode(),)
        self.vocabulary, self.traits = read_vocabulary(proto), read_traits(proto)
        rules = proto.normalizer_spec
        self._strips, self._squeezes = rules.add_dummy_prefix, rules.remove_extra_whitespaces
        self._denormalizes = bool(proto.denormalizer_spec.precompiled_charsmap)
        self._table = byte_table(self.vocabulary.token_bytes)
        bare = _bare(self.vocabulary)
        self._first_table = byte_table((*self.vocabulary.token_bytes, *bare))
        self._first_lengths = np.fromiter(map(len, bare), np.int64, len(bare))
        try:
            self._processor = sentencepiece.SentencePieceProcessor(model_proto=proto.SerializeToString())
        except (RuntimeError, ValueError) as error:
            raise InputError(f"{path} can't be read by {self.engine}: {error}") from error

    def encode(self, texts: pa.Array, special_text: SpecialText = "text") -> pa.LargeListArray:
        rows = self._processor.encode([text or "" for text in texts.to_pylist()], out_type=int, num_threads=1)
        return token_lists(_offsets(rows), _flat(rows, np.uint32))

    def encode_with_offsets(self, texts: pa.Array) -> Encoding:
        rows, starts, ends = [], [], []
        for text in texts.to_pylist():
            found = self._processor.encode(text or "", return_type="proto").pieces
            ids = np.array([piece.id for piece in found], np.uint32)
            places = np.array([(piece.begin, piece.end) for piece in found], np.int64).reshape(-1, 2)
            first, last = self.spread(ids, places)
            rows.append(ids)
            starts.append(first)
            ends.append(last)
        offsets = _offsets(rows)
        lists = [place_lists(offsets, _flat(places, np.int64)) for places in (starts, ends)]
        return Encoding(token_lists(offsets, _flat(rows, np.uint32)), *lists)

    def spread(self, ids: np.ndarray, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Starts and ends; the byte tokens of one character one behind the other, if it has as many bytes."""
        starts, ends = places[:, 0].copy(), places[:, 1].copy()
        at = 0
        bytes_of = self.vocabulary.kinds[ids] == Kind.BYTE
        for last in np.flatnonzero(bytes_of & (ends > starts)).tolist():
            first = last
            while first > at and bytes_of[first - 1] and starts[first - 1] == starts[last]:
                first -= 1
            if ends[last] - starts[last] == last + 1 - first:
                starts[first : last + 1] = starts[last] + np.arange(last + 1 - first)
                ends[first : last + 1] = starts[first : last + 1] + 1
            at = last + 1
        return starts, ends

    def decode(self, tokens: pa.LargeListArray) -> pa.LargeBinaryArray:
        if self._denormalizes:
            checked(list_buffers(tokens)[1], self.vocab_size)
            rows = [self._processor.decode(row).encode() for row in tokens.to_pylist()]
            return pa.array(rows, pa.large_binary())
        if not (self._strips or self._squeezes):
            return joined(self._table, tokens)
        offsets, ids = list_buffers(tokens)
        lengths = self._first_lengths if self._squeezes else self.vocabulary.lengths
        heard = np.flatnonzero(lengths[checked(ids, self.vocab_size)])
        # Up to and with the first token of each list that gives any text, the table without spaces holds.
        first = np.append(heard, len(ids))[np.searchsorted(heard, offsets[:-1])]
        bare = np.arange(len(ids)) <= np.repeat(first, np.diff(offsets))
        return joined(self._first_table, token_lists(offsets, ids + np.uint32(self.vocab_size) * bare))


def _offsets(rows: list[Any]) -> np.ndarray:
    return np.concatenate([[0], np.cumsum([len(row) for row in rows], dtype=np.int64)]).astype(np.int64)


def _flat(rows: list[Any], dtype: Any) -> np.ndarray:
    return np.concatenate([np.asarray(row, dtype) for row in rows]) if rows else np.zeros(0, dtype)
