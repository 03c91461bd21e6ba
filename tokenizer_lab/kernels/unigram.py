"""Unigram as SentencePiece reads it: sums in float32, from the beginning of the text to its end.

Candidates are all pieces that start at a character and, where none of them is that character alone, the character as
unknown. The way of highest score wins; of equal ones the one found first, whose last piece starts earliest. An unknown
character leaves as the tokens of its bytes, or a run of them as one unknown id.

Source: read in google/sentencepiece 0.2.3, ``Model::EncodeOptimized`` of ``unigram_model.cc``. Its sum is a float32
that is taken back to zero, with all sums that a piece has reached beyond it, where it passes +-100,000: so is ours,
and ids agree on texts of any length. (0.2.0 formed candidates in float64 and had no such reset.)

A space stands for the mark U+2581, and the mark is put before a text that is not empty (``prefix``).

Between two characters that stand side by side in no piece every way has a cut. So a text falls apart into stretches,
half of them one character, most of the others seen before: tokenizer_lab.kernels.unigram_memory keeps those.

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
from tokenizer_lab.kernels.unigram_memory import MOST, SLACK, TOKENS, bit_of, memory, pairs_inside, recall, remember

MARK = "▁"
RESET = 100_000.0
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
    """Rules made ready for the fast path: codes uint16 [0x110000] and slots int32 as in a trie, byte_ids uint32 [256]
    or [0], pairs as in unigram_memory, the code of the mark or 0. safe: sums below it stay below RESET in a stretch."""

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
        trie.slots,
        pairs_inside(list(rules.pieces), trie.codes),
        np.zeros(0, np.uint32) if rules.byte_ids is None else rules.byte_ids.astype(np.uint32),
        rules.unknown_id,
        _F(rules.unknown_score),
        mark if rules.prefix else 0,
        max(map(len, rules.pieces), default=1),
        _F(RESET - (MOST + 1) * most),
    )


@njit(cache=True, nogil=True, forceinline=True)
def _characters(data, start, stop, codes, pairs, n, code, place, joined):
    """Fills the code of each character of [start, stop) from the n-th on, where it begins, and whether it may stand
    in a piece with the one before; returns their number."""
    i, n = np.uint64(start), np.uint64(n)
    begin, end = np.uint64(start), np.uint64(stop)
    last = np.uint64(code[0]) if n else np.uint64(0)
    while i < end:
        lead = np.uint32(data[i])
        place[n] = i - begin
        if lead < 0x80:
            point = lead
            i += np.uint64(1)
        elif lead >= 0xE0 and lead < 0xF0:
            one, two = np.uint32(data[i + np.uint64(1)]), np.uint32(data[i + np.uint64(2)])
            point = (
                (lead & np.uint32(15)) << np.uint32(12) | (one & np.uint32(63)) << np.uint32(6) | two & np.uint32(63)
            )
            i += np.uint64(3)
        elif lead < 0xE0:
            point = (lead & np.uint32(31)) << np.uint32(6) | np.uint32(data[i + np.uint64(1)]) & np.uint32(63)
            i += np.uint64(2)
        else:
            point = (lead & np.uint32(7)) << np.uint32(6) | np.uint32(data[i + np.uint64(1)]) & np.uint32(63)
            point = point << np.uint32(6) | np.uint32(data[i + np.uint64(2)]) & np.uint32(63)
            point = point << np.uint32(6) | np.uint32(data[i + np.uint64(3)]) & np.uint32(63)
            i += np.uint64(4)
        c = np.uint64(codes[point])
        code[n] = c
        bit = bit_of(last, c)
        joined[n] = (pairs[bit >> np.uint64(3)] >> (bit & np.uint64(7))) & np.uint64(c != 0)
        last = c
        n += np.uint64(1)
    return np.int64(n)


@njit(cache=True, nogil=True, forceinline=True)
def _choose(slots, weights, code, start, n, longest, unknown_score, best, back, taken):
    """Fills, for each end start + 1 to n, the characters of its last piece and its id (-1: unknown), from the sum
    best[start]. No piece goes over n."""
    for i in range(start + 1, n + 1):
        best[i] = -np.inf
    reset = _F(RESET)
    for i in range(start, n):
        here = best[i]
        if here < -reset or here > reset:
            for k in range(i, min(n, i + longest) + 1):
                best[k] -= here
            here = _F(0)
        c = np.uint32(code[i])
        first = i + 1
        alone = False
        if c != 0 and slots[np.uint64(4) * c + np.uint64(1)] == 0:
            node = c
            at = np.uint64(4) * np.uint64(node)
            if slots[at + np.uint64(2)] >= 0:
                alone = True
                score = here + weights[at + np.uint64(3)]
                if score > best[first]:
                    best[first], back[first], taken[first] = score, 1, slots[at + np.uint64(2)]
            j = first
            base = np.uint32(slots[at])
            while True:  # neither leaf nor end needs a test: no slot there names this node
                child = base ^ np.uint32(code[j])
                at = np.uint64(4) * np.uint64(child)
                if np.uint32(slots[at + np.uint64(1)]) != node:
                    break
                node = child
                j += 1
                id = slots[at + np.uint64(2)]
                if id >= 0:
                    score = here + weights[at + np.uint64(3)]
                    if score > best[j]:
                        best[j], back[j], taken[j] = score, j - i, id
                base = np.uint32(slots[at])
        if not alone:
            score = here + unknown_score
            if score > best[first]:
                best[first], back[first], taken[first] = score, 1, -1


@njit(cache=True, nogil=True, forceinline=True)
def _put(ids, sizes, sized, t, id, size):
    """Writes one token; returns where the next one goes."""
    ids[t] = id
    if sized:
        sizes[t] = size
    return t + 1


@njit(cache=True, nogil=True, forceinline=True)
def _put_unknown(data, at, size, byte_ids, unknown_id, fused, ids, sizes, sized, t):
    """Writes an unknown character of ``size`` bytes at byte ``at``; returns where the next token goes."""
    if len(byte_ids):
        for k in range(at, at + size):
            t = _put(ids, sizes, sized, t, byte_ids[data[k]], 1)
    elif not fused:
        t = _put(ids, sizes, sized, t, unknown_id, size)
    elif sized:
        sizes[t - 1] += size
    return t


@njit(cache=True, nogil=True, forceinline=True)
def _turned(start, n, back, taken):
    """Turns the way that ends at n round: at the start of each token its length and id."""
    j = n
    length, id = back[j], taken[j]
    while j > start:
        i = j - length
        length_before, id_before = back[i], taken[i]
        back[i], taken[i] = length, id
        j, length, id = i, length_before, id_before


@njit(cache=True, nogil=True)
def _unigram(offsets, data, codes, pairs, slots, weights, byte_ids, settings, known, known32, known_f, ids, sizes):
    """Writes ids and, where ``sizes`` has room, the bytes of each; returns where each document's tokens end."""
    prefix, unknown_id, unknown_score, longest, safe = settings
    slack = np.float64(RESET) - safe
    found = np.zeros(len(offsets), np.int64)
    most = 0
    for d in range(len(offsets) - 1):
        most = max(most, offsets[d + 1] - offsets[d])
    most += 2 * MOST
    code, joined, place = np.empty(most, np.uint16), np.empty(most, np.uint8), np.empty(most, np.uint32)
    best, back, taken = np.empty(most, np.float32), np.empty(most, np.int32), np.empty(most, np.int32)
    p_data, p_codes, p_slots, p_weights = pointer(data), pointer(codes), pointer(slots), pointer(weights)
    p_code, p_best, p_place, p_joined = pointer(code), pointer(best), pointer(place), pointer(joined)
    p_back, p_taken, p_ids, p_sizes = pointer(back), pointer(taken), pointer(ids), pointer(sizes)
    p_pairs, p_code8 = pointer(pairs), pointer(code.view(np.uint8))
    p_known, p_known32, p_known_f = pointer(known), pointer(known32), pointer(known_f)
    sums = np.empty(2 * MOST + 2, np.float64)
    p_sums = pointer(sums)
    sized = len(sizes) > 0
    reset = _F(RESET)
    t = 0
    for d in range(len(offsets) - 1):
        start, stop = offsets[d], offsets[d + 1]
        if start == stop:
            found[d + 1] = t
            continue
        before = 0
        if prefix:
            code[0], place[0], before = prefix, 0, 1
        n = _characters(p_data, start, stop, p_codes, p_pairs, before, p_code, p_place, p_joined)
        code[n], place[n], joined[n] = 0, stop - start, 0
        here, fused, i = _F(0), False, np.int64(0)
        while i < n:
            j = i + 1
            while p_joined[j]:
                j += 1
            if here < -reset or here > reset:
                here = _F(0)
            if j == i + 1:
                at = np.uint64(4) * np.uint64(p_code[i])
                id = p_slots[at + np.uint64(2)]
                if p_slots[at + np.uint64(1)] == 0 and id >= 0:
                    here += p_weights[at + np.uint64(3)]
                    t = _put(p_ids, p_sizes, sized, t, id, p_place[j] - p_place[i])
                    fused = False
                else:
                    here += unknown_score
                    size = np.int64(p_place[j]) - np.int64(p_place[i])
                    at_byte = start + np.int64(p_place[i])
                    t = _put_unknown(p_data, at_byte, size, byte_ids, unknown_id, fused, p_ids, p_sizes, sized, t)
                    fused = True
                i = j
                continue
            stretch = j - i
            if stretch <= MOST and p_data[start + np.int64(p_place[i])] < THREE_BYTES:
                entry = recall(p_code8, i, stretch, p_known)
                if entry < 0:
                    entry = -1 - entry
                    remember(
                        p_slots, p_weights, p_code8, p_code, i, stretch, unknown_score, slack,
                        p_sums, p_back, p_taken, p_known, p_known32, p_known_f, entry,
                    )  # fmt: skip
                limit = min(safe, p_known_f[16 * entry + 6])
                if here < limit and here > -limit:
                    shape = np.uint32(p_known32[16 * entry + 7])
                    count = int(shape & np.uint32(7))
                    for k in range(TOKENS):
                        p_ids[t + k] = p_known32[16 * entry + 8 + k]
                        here += p_known_f[16 * entry + 8 + TOKENS + k]
                    if sized:
                        for k in range(count):
                            shape >>= np.uint32(4)
                            after = i + np.int64(shape & np.uint32(15))
                            p_sizes[t + k] = p_place[after] - p_place[i]
                            i = after
                    t += count
                    fused = False
                    i = j
                    continue
            p_best[i] = here
            _choose(p_slots, p_weights, p_code, i, j, longest, unknown_score, p_best, p_back, p_taken)
            here = p_best[j]
            _turned(i, j, p_back, p_taken)
            while i < j:
                id, end = p_taken[i], i + p_back[i]
                size = np.int64(p_place[end]) - np.int64(p_place[i])
                if id >= 0:
                    t = _put(p_ids, p_sizes, sized, t, id, size)
                else:
                    at_byte = start + np.int64(p_place[i])
                    t = _put_unknown(p_data, at_byte, size, byte_ids, unknown_id, fused, p_ids, p_sizes, sized, t)
                fused = id < 0
                i = end
        found[d + 1] = t
    best[0], back[0], taken[0], sums[0] = 0, 0, 0, 0  # named here so that they live until here: pointers keep nothing
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
    return found, ids[: found[-1]].copy(), sizes[: found[-1]].copy()
