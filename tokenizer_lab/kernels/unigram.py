"""Unigram as SentencePiece reads it: sums in float32, from the beginning of the text to its end.

Candidates are all pieces that start at a character and, where none of them is that character alone, the character as
unknown. The way of highest score wins; of equal ones the one found first, whose last piece starts earliest. An unknown
character leaves as the tokens of its bytes, or a run of them as one unknown id.

Source: read in google/sentencepiece 0.2.3, ``Model::EncodeOptimized`` of ``unigram_model.cc``. Its sum is a float32
that is taken back to zero, with all sums that a piece has reached beyond it, where it passes +-100,000: so is ours,
and ids agree on texts of any length. (0.2.0 formed candidates in float64 and had no such reset.)

A space stands for the mark U+2581, and the mark is put before a text that is not empty (``prefix``).

Between two characters that stand side by side in no piece every way has a cut. So a text falls apart into stretches,
half of them one character, most of the others seen before: tokenizer_lab.kernels.unigram_memory keeps those. Texts of
kana and kanji fall apart into long stretches seldom seen before: a document of 2.5 bytes a character or more is solved
whole. Both give the same ids.

Legend: N documents, S bytes of UTF-8, T tokens, V ids.
"""

import threading
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from numba import njit

from jacorpus.kernels.buffers import text_buffers
from tokenizer_lab.kernels.pointers import pointer
from tokenizer_lab.kernels.trie import build_trie
from tokenizer_lab.kernels.unigram_memory import MOST, SLACK, TOKENS, memory, pairs_inside, recall, remember
from tokenizer_lab.kernels.unigram_way import RESET, characters, choose, dense, put, put_unknown, ready, turned, write

MARK = "▁"
THREE_BYTES = 0xE0
"""Stretches that begin with such a byte or a higher one, kana and kanji above all, are not kept: too few come again."""

_F = np.float32


@dataclass(frozen=True)
class UnigramRules:
    """pieces: all that text is searched for -> id. scores: float32, one a piece in that order.

    unknown_score: of an unknown character. byte_ids: uint32 [256], or None: runs of unknown_id.
    prefix: whether the mark is put before a text. spaces: whether a space is the mark.
    """

    pieces: dict[str, int]
    scores: np.ndarray
    unknown_score: float
    unknown_id: int
    byte_ids: np.ndarray | None
    prefix: bool
    spaces: bool


def unigram_naive(array: pa.Array, rules: UnigramRules) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """``unigram``, a candidate at a time."""
    scores = dict(zip(rules.pieces, rules.scores.tolist(), strict=True))
    longest = max(map(len, rules.pieces), default=1)
    offsets: list[int] = [0]
    tokens: list[tuple[int, int]] = []
    for text in array.to_pylist():
        characters = [(MARK if rules.spaces and c == " " else c, c.encode()) for c in text or ""]
        if characters and rules.prefix:
            characters.insert(0, (MARK, b""))
        tokens += _best_way(characters, rules, scores, longest)
        offsets.append(len(tokens))
    ids, sizes = zip(*tokens, strict=True) if tokens else ((), ())
    return np.array(offsets, np.int64), np.array(ids, np.uint32), np.array(sizes, np.int64)


def _best_way(
    characters: list[tuple[str, bytes]], rules: UnigramRules, scores: dict[str, float], longest: int
) -> list[tuple[int, int]]:
    """(id, bytes) of each token of one text."""
    text, n = "".join(c for c, _ in characters), len(characters)
    best: list[tuple[np.float32, int, int]] = [(_F(0), 0, 0), *[(_F(-np.inf), -1, -1)] * n]  # score, start, id
    for i in range(n):
        if abs(best[i][0]) > RESET:
            away = best[i][0]
            best[i:] = [(score - away if start >= 0 else score, start, id) for score, start, id in best[i:]]
        for j in range(i + 1, min(n, i + longest) + 1):
            id = rules.pieces.get(text[i:j], -1)
            if id >= 0 and (best[j][1] < 0 or best[i][0] + _F(scores[text[i:j]]) > best[j][0]):
                best[j] = (best[i][0] + _F(scores[text[i:j]]), i, id)
        score = best[i][0] + _F(rules.unknown_score)
        if text[i] not in rules.pieces and (best[i + 1][1] < 0 or score > best[i + 1][0]):
            best[i + 1] = (score, i, -1)
    way: list[tuple[int, bytes]] = []
    j = n
    while j:
        i, id = best[j][1:]
        way.append((id, b"".join(raw for _, raw in characters[i:j])))
        j = i
    found: list[tuple[int, int]] = []
    fused = False
    for id, raw in reversed(way):
        if id >= 0:
            found.append((id, len(raw)))
        elif rules.byte_ids is not None:
            found += [(int(rules.byte_ids[byte]), 1) for byte in raw]
        elif fused:
            found[-1] = (rules.unknown_id, found[-1][1] + len(raw))
        else:
            found.append((rules.unknown_id, len(raw)))
        fused = id < 0
    return found


@dataclass(frozen=True)
class UnigramTable:
    """Rules made ready for the fast path: codes uint16 [0x110000] as in a trie, slots int32 as in unigram_way, byte_ids
    uint32 [256] or [0], pairs as in unigram_memory, prefix the code of the mark or 0. safe: sums below it stay below
    RESET in a stretch."""

    codes: np.ndarray
    slots: np.ndarray
    pairs: np.ndarray
    byte_ids: np.ndarray
    unknown_id: int
    unknown_score: np.float32
    prefix: int
    longest: int
    safe: np.float32
    threads: threading.local = field(default_factory=threading.local, compare=False)


def unigram_table(rules: UnigramRules) -> UnigramTable:
    """Table over the rules. Raises ValueError where the mark is put in and is no piece of its own."""
    ids = np.fromiter(rules.pieces.values(), np.int32, len(rules.pieces))
    scores = np.asarray(rules.scores, np.float32)
    trie = build_trie(list(rules.pieces), ids, scores)
    if (rules.prefix or rules.spaces) and MARK not in rules.pieces:
        raise ValueError("the mark for spaces is no piece of its own")
    codes, mark = trie.codes.copy(), int(trie.codes[ord(MARK)])
    if rules.spaces:
        codes[ord(" ")] = mark
    most = max(abs(rules.unknown_score), float(np.abs(scores).max(initial=0.0)))
    return UnigramTable(
        codes,
        ready(trie.slots),
        pairs_inside(list(rules.pieces), trie.codes),
        np.zeros(0, np.uint32) if rules.byte_ids is None else rules.byte_ids.astype(np.uint32),
        rules.unknown_id,
        _F(rules.unknown_score),
        mark if rules.prefix else 0,
        max(map(len, rules.pieces), default=1),
        _F(RESET - (MOST + 1) * most),
    )


@njit(cache=True, nogil=True, forceinline=True)
def _put_known(entry, known32, known_f, here, i, place, ids, sizes, sized, t):
    """Writes the tokens of an entry; returns where the next one goes, and the sum with theirs.

    All its places are written and added, those it has no token for too: they are zeros, and written over.
    """
    shape = np.uint32(known32[16 * entry + 7])
    count = int(shape & np.uint32(7))
    for k in range(TOKENS):
        ids[t + np.uint64(k)] = known32[16 * entry + 8 + k]
        here += known_f[16 * entry + 8 + TOKENS + k]
    if sized:
        for k in range(count):
            shape >>= np.uint32(4)
            after = i + np.uint64(shape & np.uint32(15))
            sizes[t + np.uint64(k)] = place[after] - place[i]
            i = after
    return t + np.uint64(count), here


@njit(cache=True, nogil=True, forceinline=True)
def _put_single(data, begin, i, place, code, slots, weights, unknown, here, fused, ids, sizes, sized, t):
    """Writes character i, which no piece has together with another; returns as ``write`` does, and the sum."""
    at = np.uint64(4) * np.uint64(code[i])
    id, j = slots[at + np.uint64(2)], i + np.uint64(1)
    if slots[at + np.uint64(1)] == 0 and id >= 0:
        t = put(ids, sizes, sized, t, id, place[j] - place[i])
        return t, False, here + weights[at + np.uint64(3)]
    byte_ids, in_bytes, unknown_id, unknown_score = unknown
    start, stop = begin + np.uint64(place[i]), begin + np.uint64(place[j])
    t = put_unknown(data, start, stop, byte_ids, in_bytes, unknown_id, fused, ids, sizes, sized, t)
    return t, True, here + unknown_score


@njit(cache=True, nogil=True)
def _stretches(text, trie, unknown, bounds, work, pairs, code8, memory_of, ids, sizes, sized, t):
    """Writes the tokens of a document, a stretch at a time; returns where the next one goes."""
    data, begin, stop, codes, prefix = text
    slots, weights = trie
    byte_ids, in_bytes, unknown_id, unknown_score = unknown
    longest, safe = bounds
    code, place, joined, best, back, taken, sums = work
    n = characters(data, begin, stop, codes, prefix, code, place, True, pairs, joined)
    known, known32, known_f = memory_of
    reset, slack = _F(RESET), np.float64(RESET) - safe
    here, fused, i = _F(0), False, np.uint64(0)
    while i < n:
        j = i + np.uint64(1)
        while joined[j]:
            j += np.uint64(1)
        if here < -reset or here > reset:
            here = _F(0)
        if j == i + np.uint64(1):
            t, fused, here = _put_single(
                data, begin, i, place, code, slots, weights, unknown, here, fused, ids, sizes, sized, t
            )
            i = j
            continue
        size = np.int64(j - i)
        if size <= MOST and data[begin + np.uint64(place[i])] < THREE_BYTES:
            entry = recall(code8, np.int64(i), size, known)
            if entry < 0:
                entry = -1 - entry
                remember(
                    slots, weights, code8, code, np.int64(i), size, unknown_score, slack,
                    sums, back, taken, known, known32, known_f, entry,
                )  # fmt: skip
            limit = min(safe, known_f[16 * entry + 6])
            if here < limit and here > -limit:
                t, here = _put_known(entry, known32, known_f, here, i, place, ids, sizes, sized, t)
                fused, i = False, j
                continue
        best[i] = here
        choose(slots, weights, code, i, j, longest, unknown_score, best, back, taken)
        here = best[j]
        turned(i, j, back, taken)
        t, fused = write(
            data, begin, i, j, place, back, taken, slots, byte_ids, in_bytes, unknown_id, fused, ids, sizes, sized, t
        )
        i = j
    return t


@njit(cache=True, nogil=True, forceinline=True)
def _whole(text, trie, unknown, bounds, work, pairs, ids, sizes, sized, t):
    """``_stretches``, the document as one."""
    data, begin, stop, codes, prefix = text
    slots, weights = trie
    byte_ids, in_bytes, unknown_id, unknown_score = unknown
    code, place, joined, best, back, taken, _ = work
    n, first = characters(data, begin, stop, codes, prefix, code, place, False, pairs, joined), np.uint64(0)
    best[first] = 0
    choose(slots, weights, code, first, n, bounds[0], unknown_score, best, back, taken)
    turned(first, n, back, taken)
    return write(
        data, begin, first, n, place, back, taken, slots, byte_ids, in_bytes, unknown_id, False, ids, sizes, sized, t
    )[0]


@njit(cache=True, nogil=True)
def _unigram(offsets, data, codes, pairs, slots, weights, byte_ids, settings, known, known32, known_f, ids, sizes):
    """Writes ids and, where ``sizes`` has room, the bytes of each; returns where each document's tokens end."""
    prefix, unknown_id, unknown_score, longest, safe = settings
    found = np.zeros(len(offsets), np.int64)
    most = 0
    for d in range(len(offsets) - 1):
        most = max(most, offsets[d + 1] - offsets[d])
    most += 2 * MOST
    code, joined, place = np.empty(most, np.uint16), np.empty(most, np.uint8), np.empty(most, np.uint32)
    best, back, taken = np.empty(most, np.float32), np.zeros(most, np.uint32), np.zeros(most, np.uint32)
    sums = np.empty(2 * MOST + 2, np.float64)
    p_data, p_codes, p_slots, p_weights = pointer(data), pointer(codes), pointer(slots), pointer(weights)
    p_code, p_best, p_place, p_joined = pointer(code), pointer(best), pointer(place), pointer(joined)
    p_back, p_taken, p_ids, p_sizes = pointer(back), pointer(taken), pointer(ids), pointer(sizes)
    p_pairs, p_code8, p_sums = pointer(pairs), pointer(code.view(np.uint8)), pointer(sums)
    memory_of = pointer(known), pointer(known32), pointer(known_f)
    work = p_code, p_place, p_joined, p_best, p_back, p_taken, p_sums
    trie, bounds = (p_slots, p_weights), (np.uint64(longest), safe)
    sized, t = len(sizes) > 0, np.uint64(0)
    unknown = pointer(byte_ids), len(byte_ids) > 0, unknown_id, unknown_score
    for d in range(len(offsets) - 1):
        begin, stop = np.uint64(offsets[d]), np.uint64(offsets[d + 1])
        if begin < stop:
            text = p_data, begin, stop, p_codes, prefix
            if dense(p_data, begin, stop):
                t = _whole(text, trie, unknown, bounds, work, p_pairs, p_ids, p_sizes, sized, t)
            else:
                t = _stretches(text, trie, unknown, bounds, work, p_pairs, p_code8, memory_of, p_ids, p_sizes, sized, t)
        found[d + 1] = t
    # named here so that they live until here: pointers keep nothing
    code[0], joined[0], place[0], best[0], back[0], taken[0], sums[0] = 0, 0, 0, 0, 0, 0, 0
    return found


def unigram(array: pa.Array, table: UnigramTable, sized: bool = True) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(offsets int64 [N+1], ids uint32 [T], bytes of each token int32 [T]) of a string array; the prefix has no bytes.

    sized: without, the sizes are an empty array, and a little time is saved.
    """
    offsets, data = text_buffers(array)
    room = int(offsets[-1] - offsets[0]) + len(array) + SLACK
    ids, sizes = np.empty(room, np.uint32), np.empty(room if sized else 0, np.int32)
    settings = (table.prefix, table.unknown_id, table.unknown_score, table.longest, table.safe)
    weights = table.slots.view(np.float32)
    known = getattr(table.threads, "known", None)
    if known is None:
        known = table.threads.known = memory()
    found = _unigram(
        offsets, data, table.codes, table.pairs, table.slots, weights, table.byte_ids, settings,
        known, known.view(np.uint32), known.view(np.float32), ids, sizes,
    )  # fmt: skip
    return found, ids[: found[-1]], sizes[: found[-1]]  # no copy: what lies behind was never touched
