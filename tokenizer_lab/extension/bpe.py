"""New pieces for a SentencePiece BPE model (Llama 2): training goes on where it ended.

The new language's text is segmented with the base model itself; characters it lacks count as one symbol each, as they
do inside the library. Neighbors are then joined as in training, and what comes out is appended: new ids after the
old, new scores below all old ones in the order of the merges, so that every old merge comes first. A character is a
piece without a merge. Each costs its bytes where it is missing (byte fallback), so characters compete with merges
by the tokens they save.

Legend: V old pieces, C characters the base lacks, K new pieces.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from jacorpus.errors import InputError
from tokenizer_lab.extension.growth import Candidates, barriers_between, classes, grow, prune
from tokenizer_lab.extension.options import Extending, NewTokens
from tokenizer_lab.extension.scripts import holds_target
from tokenizer_lab.kernels.bpe_continue import BARRIER
from tokenizer_lab.tokenizer import Kind

CHUNK_BYTES = 1 << 20
SPACE_MARK = "\u2581"
Progress = Callable[[int], None]


def lines_of(texts: pa.LargeStringArray) -> Iterator[list[str]]:
    """The lines of documents without empty ones, about 1 MB at a time."""
    chunk: list[str] = []
    size = 0
    for text in texts.to_pylist():
        for line in text.split("\n"):
            if line:
                chunk.append(line)
                size += len(line)
        if size > CHUNK_BYTES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def parse_model(data: bytes) -> Any:
    """The protobuf message of a .model file."""
    from sentencepiece import sentencepiece_model_pb2 as pb

    model = pb.ModelProto()  # type: ignore[attr-defined]
    model.ParseFromString(data)
    return model


def processor(data: bytes) -> Any:
    import sentencepiece

    return sentencepiece.SentencePieceProcessor(model_proto=data)


def plain_copy(base: bytes, more: list[bytes], normalize: bool = True) -> bytes:
    """The base model without a dummy prefix, with further pieces of lowest score; of text as it is if not normalize."""
    model = parse_model(base)
    model.normalizer_spec.add_dummy_prefix = False
    if not normalize:
        model.normalizer_spec.remove_extra_whitespaces = False
        model.normalizer_spec.precompiled_charsmap = b""
        model.normalizer_spec.escape_whitespaces = False
    append(model, more)
    data: bytes = model.SerializeToString()
    return data


def append(model: Any, tokens: list[bytes]) -> None:
    """Pieces after the old ones, each with a score below all before it (as float32 holds it)."""
    lowest = np.float32(min((p.score for p in model.pieces if p.type == Kind.NORMAL), default=0.0))
    step = max(np.float32(1), np.spacing(np.abs(lowest)) * 2)
    for k, token in enumerate(tokens, 1):
        model.pieces.add(piece=token.decode(), score=float(np.float32(lowest - np.float32(k) * step)), type=Kind.NORMAL)
    model.trainer_spec.vocab_size = len(model.pieces)


def missing_characters(base: bytes, texts: pa.LargeStringArray) -> list[str]:
    """Characters of the text, as normalized, that are no piece of the base; by code point, without NUL."""
    known = {p.piece for p in parse_model(base).pieces}
    found: set[str] = set()
    normalizer = processor(plain_copy(base, []))
    has_map = bool(parse_model(base).normalizer_spec.precompiled_charsmap)
    for lines in lines_of(texts):
        text = "\n".join(lines)
        found.update(text)
        if has_map:
            found.update(normalizer.normalize(text))
    return sorted(c for c in found - known if c not in "\0\n " and not 0xD800 <= ord(c) < 0xE000)


def _segmented(
    base: bytes, chars: list[str], texts: pa.LargeStringArray, join_marks: bool, progress: Progress | None
) -> tuple[np.ndarray, list[bytes]]:
    """(symbols int32 with barriers, bytes of each): ids of the base and, from V on, of the characters it lacks."""
    data = plain_copy(base, [c.encode() for c in chars])
    model, pieces = processor(data), parse_model(data).pieces
    table = [p.piece.encode() if p.type in (Kind.NORMAL, Kind.USER_DEFINED) else b"" for p in pieces]
    merging = np.array([p.type == Kind.NORMAL for p in pieces])
    first, last = classes(table, join_marks)
    parts = []
    for lines in lines_of(texts):
        lists = model.encode(lines, out_type=int, num_threads=1)
        flat = np.fromiter((id for ids in lists for id in (*ids, BARRIER)), np.int32)
        flat[(flat >= 0) & ~merging[flat]] = BARRIER
        parts.append(barriers_between(flat, first, last))
        if progress:
            progress(sum(len(line.encode()) for line in lines))
    return np.concatenate(parts), table


def unreachable_pieces(data: bytes, first: int) -> list[int]:
    """Ids from ``first`` on whose own text does not come out as that one id."""
    model = parse_model(data)
    library = processor(plain_copy(data, [], normalize=False))
    texts = [p.piece for p in model.pieces[first:]]
    lists = library.encode(texts, out_type=int, num_threads=1) if texts else []
    return [first + k for k, ids in enumerate(lists) if ids != [first + k]]


def new_pieces(
    base: bytes, texts: pa.LargeStringArray, options: Extending, progress: Progress | None = None
) -> NewTokens:
    """The new pieces for a model of V pieces, by id: characters first, then merges in their order.

    Raises InputError where the text holds no character of the target scripts.
    """
    chars = missing_characters(base, texts)
    symbols, table = _segmented(base, chars, texts, options.join_marks, progress)
    old = len(table) - len(chars)
    wanted = options.vocab_size - old
    ranges = options.ranges()
    made = grow(symbols, table, ranges, options.max_chars, wanted, options.min_count)
    alone = np.array([holds_target(c, ranges) for c in chars], bool) & (made.known[old:] > 0)
    byte_cost = np.array([len(c.encode()) - 1 for c in chars], np.int64)
    if not made.pieces and not alone.any():
        raise InputError("the new text holds nothing to learn: no character of the scripts asked for comes twice")
    known = {token for token in table[:old] if token}
    first_use: dict[bytes, int] = {}
    for k, piece in enumerate(made.pieces):
        first_use.setdefault(piece, k)
    taken = np.array([piece in known or first_use[piece] != k for k, piece in enumerate(made.pieces)], bool)
    never = np.concatenate([~alone, taken])
    tokens = _chosen(made, chars, byte_cost, never, old, wanted)
    return reachable(base, NewTokens(tokens, candidates=int((~never).sum())), options.allow_unreachable)


def _chosen(
    made: Candidates, chars: list[str], cost: np.ndarray, never: np.ndarray, old: int, wanted: int
) -> list[bytes]:
    """Characters and merges pruned as one list. never: characters of no target script, merges whose string is known.

    A merge needs no character piece, for the library starts from characters anyway; so characters are leaves always.
    """
    parts = np.concatenate([np.full((len(chars), 2), -1, np.int64), made.parts])
    usage = np.concatenate([made.known[old:], made.usage])
    weight = np.concatenate([cost, np.ones(len(made.pieces), np.int64)])
    stay = prune(parts, usage, weight, old, wanted, never, free=len(chars)) & ~never
    tokens = [*(c.encode() for c in chars), *made.pieces]
    return [tokens[k] for k in np.flatnonzero(stay)]


def reachable(base: bytes, new: NewTokens, allowed: bool) -> NewTokens:
    """Without the tokens that their own text does not give, unless they are allowed; both times listed."""
    model = parse_model(base)
    first = len(model.pieces)
    append(model, new.tokens)
    lost = {new.tokens[id - first] for id in unreachable_pieces(model.SerializeToString(), first)}
    kept = new.tokens if allowed else [token for token in new.tokens if token not in lost]
    return NewTokens(kept, new.candidates, unreachable=sorted(lost))


def write(base: bytes, new: NewTokens, out: Path) -> Path:
    """tokenizer.model in ``out``: the base's message with the new pieces behind the old."""
    model = parse_model(base)
    append(model, new.tokens)
    path = out / "tokenizer.model"
    path.write_bytes(model.SerializeToString())
    return path
