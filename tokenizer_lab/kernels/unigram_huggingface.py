"""Unigram as Hugging Face ``tokenizers`` reads it: sums in float64, from the beginning of the text to its end.

Candidates are all entries of the table that start at a character and, where none of them is that character alone, the
character as unknown. The way of highest score wins; of equal ones the one found first, whose last piece starts
earliest. An unknown character leaves as the tokens of its bytes, or a run of them as one unknown id. Source: read in
huggingface/tokenizers ``models/unigram/model.rs`` and ``pre_tokenizers/metaspace.rs``.

The mark U+2581 for spaces: the files put it in by a normalizer or by Metaspace. Here spaces get the mark's code, the
mark before the text is a character without bytes, and a text cut at marks is summed anew from each of them.

Legend: N documents, S bytes of UTF-8, T tokens.
"""

from dataclasses import dataclass

import numba as nb
import numpy as np
import pyarrow as pa

from jacorpus.kernels.buffers import text_buffers
from tokenizer_lab.kernels.trie import build_trie

MARK = "▁"
NO_PREFIX, ALWAYS, UNLESS_MARKED = range(3)
"""Whether a mark is put before a text: never, before every text, before one that does not begin with a mark."""


@dataclass(frozen=True)
class UnigramRules:
    """pieces: entry -> id of all that text is searched for. scores: float64 [V] by id. unknown_score: of a character.

    byte_ids: uint32 [256] or None: unknown characters as bytes, or as runs of unknown_id. prefix: NO_PREFIX, ALWAYS
    or UNLESS_MARKED. spaces: whether a space is a mark. split: whether text is cut before each mark.
    """

    pieces: dict[str, int]
    scores: np.ndarray
    unknown_score: float
    unknown_id: int
    byte_ids: np.ndarray | None
    prefix: int
    spaces: bool
    split: bool


def unigram_huggingface_naive(array: pa.Array, rules: UnigramRules) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """``unigram_huggingface``, a candidate at a time."""
    offsets: list[int] = [0]
    tokens: list[tuple[int, int]] = []
    for text in array.to_pylist():
        characters = [(MARK if rules.spaces and c == " " else c, c.encode()) for c in text or ""]
        marked = bool(characters) and characters[0][0] == MARK
        if characters and (rules.prefix == ALWAYS or (rules.prefix == UNLESS_MARKED and not marked)):
            characters.insert(0, (MARK, b""))
        cuts = [i for i, (c, _) in enumerate(characters) if i and rules.split and c == MARK]
        for start, end in zip([0, *cuts], [*cuts, len(characters)], strict=True):
            tokens += _best_way(characters[start:end], rules)
        offsets.append(len(tokens))
    ids, sizes = zip(*tokens, strict=True) if tokens else ((), ())
    return np.array(offsets, np.int64), np.array(ids, np.uint32), np.array(sizes, np.int32)


def _best_way(characters: list[tuple[str, bytes]], rules: UnigramRules) -> list[tuple[int, int]]:
    """(id, bytes) of each token of one stretch."""
    text = "".join(c for c, _ in characters)
    longest = max(map(len, rules.pieces), default=0)
    best: list[tuple[float, int, int]] = [(0.0, 0, 0), *[(-np.inf, -1, -1)] * len(text)]  # score, start, id
    for i in range(len(text)):
        for j in range(i + 1, min(len(text), i + longest) + 1):
            id = rules.pieces.get(text[i:j], -1)
            if id >= 0 and (best[j][1] < 0 or best[i][0] + rules.scores[id] > best[j][0]):
                best[j] = (best[i][0] + float(rules.scores[id]), i, id)
        score = best[i][0] + rules.unknown_score
        if text[i] not in rules.pieces and (best[i + 1][1] < 0 or score > best[i + 1][0]):
            best[i + 1] = (score, i, -1)
    way: list[tuple[int, bytes]] = []
    j = len(text)
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
    """Rules made ready for the fast path: codes uint16 [0x110000] and slots int32 as in a trie, scores float64 [V],
    byte_ids uint32 [256] or [0]."""

    codes: np.ndarray
    slots: np.ndarray
    scores: np.ndarray
    byte_ids: np.ndarray
    settings: tuple[int, int, int, float]  # code of the mark or -1, prefix, id of the unknown, its score
    split: bool


def unigram_table(rules: UnigramRules) -> UnigramTable:
    """Table over the rules. Raises ValueError where a mark is put in that no entry holds."""
    ids = np.fromiter(rules.pieces.values(), np.int32, len(rules.pieces))
    trie = build_trie(list(rules.pieces), ids, np.zeros(len(ids), np.int32))
    codes, mark = trie.codes.copy(), int(trie.codes[ord(MARK)])
    needed = rules.spaces or rules.split or rules.prefix != NO_PREFIX
    if needed and MARK not in rules.pieces:
        raise ValueError("the mark for spaces is no entry of its own")
    if rules.spaces:
        codes[ord(" ")] = mark
    byte_ids = np.zeros(0, np.uint32) if rules.byte_ids is None else rules.byte_ids.astype(np.uint32)
    settings = (mark if needed else -1, rules.prefix, rules.unknown_id, rules.unknown_score)
    return UnigramTable(codes, trie.slots, rules.scores.astype(np.float64), byte_ids, settings, rules.split)


@nb.njit(cache=True, nogil=True)
def _characters(data, start, stop, codes, mark, prefix, code, size):
    """Fills the code and the bytes of each character of [start, stop), the prefix first; returns their number."""
    n = 0
    i = start
    while i < stop:
        lead = np.int64(data[i])
        point, width = lead, 1
        if lead >= 0xF0:
            point, width = (lead & 7) << 6 | (np.int64(data[i + 1]) & 63), 4
            point = (point << 6 | (np.int64(data[i + 2]) & 63)) << 6 | (np.int64(data[i + 3]) & 63)
        elif lead >= 0xE0:
            point, width = ((lead & 15) << 6 | (np.int64(data[i + 1]) & 63)) << 6 | (np.int64(data[i + 2]) & 63), 3
        elif lead >= 0xC0:
            point, width = (lead & 31) << 6 | (np.int64(data[i + 1]) & 63), 2
        if n == 0 and (prefix == 1 or (prefix == 2 and np.int64(codes[point]) != mark)):
            code[0], size[0] = mark, 0
            n = 1
        code[n], size[n] = codes[point], width
        n += 1
        i += width
    return n


@nb.njit(cache=True, nogil=True)
def _choose(slots, scores, code, n, stop_at, unknown_score, best, back, taken):
    """Fills, for each end, where its last piece starts and its id (-1: unknown). stop_at: code before which text is
    cut, -1 for none."""
    best[0] = 0.0
    for i in range(1, n + 1):
        back[i] = -1
    for i in range(n):
        if i > 0 and np.int64(code[i]) == stop_at:
            best[i] = 0.0
        here = best[i]
        alone = False
        node = np.int64(0)
        j = i
        while j < n:
            c = np.int64(code[j])
            base = np.int64(slots[4 * node])
            child = base ^ c
            if c == 0 or (node != 0 and base == 0) or slots[4 * child + 1] != node or (j > i and c == stop_at):
                break
            node = child
            j += 1
            id = slots[4 * node + 2]
            if id >= 0:
                alone = alone or j == i + 1
                score = here + scores[id]
                if back[j] < 0 or score > best[j]:
                    best[j], back[j], taken[j] = score, i, id
        if not alone:
            score = here + unknown_score
            if back[i + 1] < 0 or score > best[i + 1]:
                best[i + 1], back[i + 1], taken[i + 1] = score, i, -1


@nb.njit(cache=True, nogil=True)
def _turned(n, back, taken):
    """From the end to the beginning: ``back`` and ``taken`` at a start then tell where its piece ends, and its id."""
    j = np.int64(n)
    start, id = np.int64(back[j]), taken[j]
    while j > 0:
        next_start, next_id = np.int64(back[start]), taken[start]
        back[start], taken[start] = j, id
        j, start, id = start, next_start, next_id


@nb.njit(cache=True, nogil=True)
def _unigram_huggingface(offsets, data, codes, slots, scores, byte_ids, settings, split, ids, sizes):
    mark, prefix, unknown_id, unknown_score = settings
    found = np.zeros(len(offsets), np.int64)
    longest = 0
    for d in range(len(offsets) - 1):
        longest = max(longest, offsets[d + 1] - offsets[d])
    room = longest + 2
    code, size, best = np.empty(room, np.uint16), np.empty(room, np.uint8), np.empty(room, np.float64)
    back, taken = np.empty(room, np.int32), np.empty(room, np.int32)
    t = 0
    for d in range(len(offsets) - 1):
        n = _characters(data, offsets[d], offsets[d + 1], codes, mark, prefix, code, size)
        if n > 0:
            back[0] = 0
            _choose(slots, scores, code, n, mark if split else -1, unknown_score, best, back, taken)
            _turned(n, back, taken)
        at = offsets[d]
        i = np.int64(0)
        fused = False
        while i < n:
            end = np.int64(back[i])
            width = np.int64(0)
            for k in range(i, end):
                width += size[k]
            if taken[i] >= 0:
                ids[t], sizes[t] = taken[i], width
                t += 1
            elif len(byte_ids):
                for k in range(width):
                    ids[t], sizes[t] = byte_ids[data[at + k]], 1
                    t += 1
            elif fused:
                sizes[t - 1] += width
            else:
                ids[t], sizes[t] = unknown_id, width
                t += 1
            fused = taken[i] < 0 and not (split and end < n and np.int64(code[end]) == mark)
            at += width
            i = end
        found[d + 1] = t
    return found


def unigram_huggingface(array: pa.Array, table: UnigramTable) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(offsets int64 [N+1], ids uint32 [T], bytes of each token int32 [T]) of a string array; a prefix has no bytes."""
    offsets, data = text_buffers(array)
    room = int(offsets[-1] - offsets[0]) + len(array)
    ids, sizes = np.empty(room, np.uint32), np.empty(room, np.int32)
    found = _unigram_huggingface(
        offsets,
        data,
        table.codes,
        table.slots,
        table.scores,
        table.byte_ids,
        table.settings,
        table.split,
        ids,
        sizes,
    )
    return found, ids[: found[-1]].copy(), sizes[: found[-1]].copy()
