"""SentencePiece ``.model`` files: Unigram by our kernels, all else by the library.

Our path gives the library's ids and places for texts of any length. It leaves to the library what is rare: white space
as a suffix, words and characters as models, a charsmap together with user-defined symbols.
"""

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from tokenizer_lab.formats.sentencepiece_library import SPACE_MARK, Library, read_proto
from tokenizer_lab.kernels.charsmap import normalize, read_charsmap
from tokenizer_lab.kernels.unigram import UnigramRules, unigram, unigram_table
from tokenizer_lab.tokenizer import Encoding, Kind, SpecialText, Tokenizer, list_buffers, place_lists, token_lists

UNKNOWN_PENALTY = 10.0


class Fast(Tokenizer):
    """A Unigram model by our kernels. Raises ValueError where they can't do it exactly, saying why."""

    format, algorithm = "sentencepiece", "unigram"

    def __init__(self, library: Library, proto: Any) -> None:
        rules = proto.normalizer_spec
        defined = any(piece.type == Kind.USER_DEFINED for piece in proto.pieces)
        self._normalizes = bool(rules.precompiled_charsmap) or rules.remove_extra_whitespaces
        if proto.trainer_spec.model_type != proto.trainer_spec.UNIGRAM:
            raise ValueError(f"the fast path has Unigram models; this one is of type {library.algorithm}")
        if proto.trainer_spec.treat_whitespace_as_suffix:
            raise ValueError("white space is a suffix in this model")
        if not rules.escape_whitespaces and (self._normalizes or rules.add_dummy_prefix):
            raise ValueError("spaces stay spaces in this model, and are put in or taken out")
        if self._normalizes and defined:
            raise ValueError("user-defined symbols are kept from its normalizer")
        self.name, self.identity = library.name, library.identity
        self.vocabulary, self.traits = library.vocabulary, library.traits
        self._library = library
        self._charsmap = read_charsmap(rules.precompiled_charsmap, rules.remove_extra_whitespaces)
        self._table = unigram_table(unigram_rules(proto))

    def encode(self, texts: pa.Array, special_text: SpecialText = "text") -> pa.LargeListArray:
        if self._normalizes:
            texts, _ = normalize(texts, self._charsmap)
        offsets, ids, _ = unigram(texts, self._table, sized=False)
        return token_lists(offsets, ids)

    def encode_with_offsets(self, texts: pa.Array) -> Encoding:
        places = None
        if self._normalizes:
            texts, places = normalize(texts, self._charsmap)
        offsets, ids, sizes = unigram(texts, self._table)
        ends = np.cumsum(sizes, dtype=np.int64)
        first = np.repeat(np.append(0, ends)[offsets[:-1]], np.diff(offsets))
        starts, ends = ends - sizes - first, ends - first
        found = Encoding(token_lists(offsets, ids), place_lists(offsets, starts), place_lists(offsets, ends))
        return found if places is None else self._in_raw_text(found, texts, places)

    def _in_raw_text(self, found: Encoding, texts: pa.Array, places: np.ndarray) -> Encoding:
        """Places in normalized text as places in the text before; byte tokens as in the library's path."""
        offsets, ids = list_buffers(found.tokens)
        document = np.repeat(np.arange(len(texts)), np.diff(offsets))
        base = np.frombuffer(texts.buffers()[1], np.int64)[: len(texts) + 1]
        first = (base[:-1] + np.arange(len(texts)))[document]
        starts = places[first + list_buffers(found.starts)[1]]
        ends = places[first + list_buffers(found.ends)[1]]
        if (self.vocabulary.kinds == Kind.BYTE).any():
            rows = [self._library.spread(ids[a:b], np.stack([starts[a:b], ends[a:b]], 1)) for a, b in pairwise(offsets)]
            starts, ends = (np.concatenate([row[i] for row in rows]) for i in (0, 1))
        return Encoding(found.tokens, place_lists(offsets, starts), place_lists(offsets, ends))

    def decode(self, tokens: pa.LargeListArray) -> pa.LargeBinaryArray:
        return self._library.decode(tokens)

    def reference(self) -> Tokenizer | None:
        return self._library

    @property
    def reference_name(self) -> str:
        return self._library.engine


def unigram_rules(proto: Any) -> UnigramRules:
    """What the kernel needs of a model: normal, user-defined (0.1 x (bytes - 1), so that they win) and no other pieces
    are searched for; an unknown character scores 10 less than the lowest normal piece."""
    pieces: dict[str, int] = {}
    scores: list[float] = []
    byte_ids, unknown = np.zeros(256, np.uint32), 0
    for id, piece in enumerate(proto.pieces):
        if piece.type in (Kind.NORMAL, Kind.USER_DEFINED):
            pieces[piece.piece] = id
            own = 0.1 * (len(piece.piece.encode()) - 1)
            scores.append(piece.score if piece.type == Kind.NORMAL else own)
        elif piece.type == Kind.BYTE:
            byte_ids[int(piece.piece[3:5], 16)] = id
        elif piece.type == Kind.UNKNOWN:
            unknown = id
    normal = [piece.score for piece in proto.pieces if piece.type == Kind.NORMAL]
    if not normal:
        raise ValueError("the model has no normal piece, whose lowest score decides on unknown characters")
    has_bytes = any(piece.type == Kind.BYTE for piece in proto.pieces)
    escapes = proto.normalizer_spec.escape_whitespaces
    if escapes and SPACE_MARK not in pieces:
        raise ValueError(f"{SPACE_MARK}, the mark for spaces, is no piece of its own")
    return UnigramRules(
        pieces,
        np.array(scores, np.float32),
        float(np.float32(min(normal)) - np.float32(UNKNOWN_PENALTY)),
        unknown,
        byte_ids if has_bytes else None,
        proto.normalizer_spec.add_dummy_prefix,
        escapes,
    )


def open_model(path: str | Path) -> Tokenizer:
    """The tokenizer of a ``.model``. Raises InputError for a broken file."""
    path = Path(path)
    proto = read_proto(path)
    library = Library(path, proto)
    try:
        return Fast(library, proto)
    except ValueError as error:
        library.why_slow = str(error)
        return library
