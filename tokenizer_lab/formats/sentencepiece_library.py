"""A SentencePiece ``.model`` behind the library that wrote it.

Control pieces never come out of text there, whatever ``special_text`` says. Decoding follows google/sentencepiece
0.2.3 ``SentencePieceProcessor::Decode``: the bytes of the tokens, without the space that the prefix put in; an unknown
token gives the file's unknown surface (`` ⁇ `` unless set).

Offsets are the library's, in bytes of the raw text, but for a character that was written as byte tokens: the library
gives all of it to the last of them; here each has its own byte where the normalizer did not change the character.

Legend: N documents, T tokens in all, V ids.
"""

from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from jacorpus.errors import InputError
from tokenizer_lab.decoding import byte_table, joined, without_first_space
from tokenizer_lab.tokenizer import Encoding, Kind, SpecialText, Tokenizer, Vocabulary, place_lists, token_lists

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
    kinds = np.array([piece.type for piece in proto.pieces], np.uint8)
    decoded = []
    for piece, kind in zip(pieces, kinds, strict=True):
        if kind == Kind.BYTE:
            decoded.append(bytes([int(piece[3:5], 16)]))
        elif kind == Kind.CONTROL:
            decoded.append(b"")
        elif kind == Kind.UNKNOWN:
            decoded.append(proto.trainer_spec.unk_surface.encode())
        else:
            decoded.append(piece.replace(SPACE_MARK, " ").encode())
    scores = np.array([piece.score for piece in proto.pieces], np.float64)
    specials = {piece: i for i, piece in enumerate(pieces) if kinds[i] == Kind.CONTROL}
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
        "scores": "float32 sums, compared in float64" if unigram else "float32",
        "user_defined": sorted(p.piece for p in proto.pieces if p.type == Kind.USER_DEFINED),
        "specials": sorted(p.piece for p in proto.pieces if p.type == Kind.CONTROL),
    }


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
        self._strips = proto.normalizer_spec.add_dummy_prefix or proto.normalizer_spec.remove_extra_whitespaces
        self._serialized = proto.SerializeToString()
        self._table = byte_table(self.vocabulary.token_bytes)

    @cached_property
    def _processor(self) -> Any:
        import sentencepiece

        try:
            return sentencepiece.SentencePieceProcessor(model_proto=self._serialized)
        except (RuntimeError, ValueError) as error:
            raise InputError(f"{self.name} can't be read by {self.engine}: {error}") from error

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
        found = joined(self._table, tokens)
        return without_first_space(found) if self._strips else found


def _offsets(rows: list[Any]) -> np.ndarray:
    return np.concatenate([[0], np.cumsum([len(row) for row in rows], dtype=np.int64)]).astype(np.int64)


def _flat(rows: list[Any], dtype: Any) -> np.ndarray:
    return np.concatenate([np.asarray(row, dtype) for row in rows]) if rows else np.zeros(0, dtype)
