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
from tokenizer_lab.kernels.trie import WORDS, build_trie

MARK = "▁"
NOT_EVEN_THE_ROOT = -1  # as the parent of the root: no node is its own child
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
    """Rules made ready for the fast path.

    codes: uint16 [0x110000], as in a trie. slots: int32 [4 M], a trie's base and check, then the 64 bits of the score
    of the entry that ends there, -inf where none does. ids: uint32 [M], of these entries. byte_ids: uint32 [256], or
    [0] without byte fallback.
    """

    codes: np.ndarray
    slots: np.ndarray
    ids: np.ndarray
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
    slots = trie.slots.reshape(-1, WORDS).copy()
    slots[0, 1] = NOT_EVEN_THE_ROOT
    values = slots[:, 2].copy()
    scores = np.where(values < 0, -np.inf, rules.scores.astype(np.float64)[values])
    slots[:, 2:] = scores.view(np.int32).reshape(-1, 2)
    byte_ids = np.zeros(0, np.uint32) if rules.byte_ids is None else rules.byte_ids.astype(np.uint32)
    settings = (mark if needed else -1, rules.prefix, rules.unknown_id, rules.unknown_score)
    return UnigramTable(codes, slots.reshape(-1), values.astype(np.uint32), byte_ids, settings, rules.split)


@nb.njit(cache=True, nogil=True)
def _characters(data, start, stop, codes, mark, prefix, code, place):
    """Fills the code of each character of [start, stop) and where it begins, the prefix first, a 0 behind the last;
    returns their number."""
    n = np.uint64(0)
    i, end = np.uint64(start), np.uint64(stop)
    while i < end:
        lead = np.uint32(data[i])
        point, width = lead, np.uint64(1)
        if lead >= 0xF0:
            point, width = (lead & 7) << 6 | (np.uint32(data[i + 1]) & 63), np.uint64(4)
            point = (point << 6 | (np.uint32(data[i + 2]) & 63)) << 6 | (np.uint32(data[i + 3]) & 63)
        elif lead >= 0xE0:
            point = ((lead & 15) << 6 | (np.uint32(data[i + 1]) & 63)) << 6 | (np.uint32(data[i + 2]) & 63)
            width = np.uint64(3)
        elif lead >= 0xC0:
            point, width = (lead & 31) << 6 | (np.uint32(data[i + 1]) & 63), np.uint64(2)
        here = codes[np.uint64(point)]
        if n == 0 and (prefix == 1 or (prefix == 2 and np.int64(here) != mark)):
            code[n], place[n] = mark, i
            n += np.uint64(1)
        code[n], place[n] = here, i
        n += np.uint64(1)
        i += width
    code[n], place[n] = 0, end
    return n


@nb.njit(cache=True, nogil=True)
def _choose(slots, scores, code, n, stop_at, unknown_score, best, back, taken):
    """Fills, for each end, where its last piece starts and the slot of its entry (0: unknown).

    stop_at: code before which text is cut, -1 for none. A code 0 or a node without children leads to a slot that is
    no child of the node, so neither needs a test of its own.
    """
    for i in range(np.uint64(1), n + np.uint64(1)):
        best[i] = -np.inf
    best[np.uint64(0)] = 0.0
    for i in range(np.uint64(0), n):
        c = np.uint64(code[i])
        here = best[i]
        if np.int64(c) == stop_at and i > 0:
            here = 0.0
        node, j = np.uint64(0), np.uint64(i)
        alone = -np.inf
        child = c
        while np.uint64(slots[child << np.uint64(2) | np.uint64(1)]) == node:
            node = child
            score = scores[node << np.uint64(1) | np.uint64(1)]
            if j == i:
                alone = score
            j += np.uint64(1)
            if here + score > best[j]:
                best[j], back[j], taken[j] = here + score, i, node
            c = np.uint64(code[j])
            if np.int64(c) == stop_at:
                break
            child = np.uint64(slots[node << np.uint64(2)]) ^ c
        j = np.uint64(i) + np.uint64(1)
        if alone == -np.inf and here + unknown_score > best[j]:
            best[j], back[j], taken[j] = here + unknown_score, i, 0


@nb.njit(cache=True, nogil=True)
def _turned(n, back, taken):
    """From the end to the beginning: ``back`` and ``taken`` at a start then tell where its piece ends, and its slot."""
    j = n
    start, slot = np.uint64(back[j]), taken[j]
    while j > 0:
        next_start, next_slot = np.uint64(back[start]), taken[start]
        back[start], taken[start] = j, slot
        j, start, slot = start, next_start, next_slot


@nb.njit(cache=True, nogil=True)
def _unigram_huggingface(offsets, data, codes, slots, scores, entry_ids, byte_ids, settings, split, ids, sizes):
    sized = len(sizes) > 0
    mark, prefix, unknown_id, unknown_score = settings
    found = np.zeros(len(offsets), np.int64)
    longest = 0
    for d in range(len(offsets) - 1):
        longest = max(longest, offsets[d + 1] - offsets[d])
    room = longest + 2
    code, place, best = np.empty(room, np.uint16), np.empty(room, np.int64), np.empty(room, np.float64)
    back, taken = np.zeros(room, np.uint32), np.zeros(room, np.uint32)
    stop_at = np.int64(mark) if split else np.int64(-1)
    t = np.uint64(0)
    for d in range(len(offsets) - 1):
        n = _characters(data, offsets[d], offsets[d + 1], codes, mark, prefix, code, place)
        if n > 0:
            _choose(slots, scores, code, n, stop_at, unknown_score, best, back, taken)
            _turned(n, back, taken)
        i = np.uint64(0)
        fused = False
        while i < n:
            end, slot = np.uint64(back[i]), np.uint64(taken[i])
            at, width = np.uint64(place[i]), place[end] - place[i]
            if slot > 0:
                ids[t] = entry_ids[slot]
            elif len(byte_ids):
                for k in range(at, np.uint64(place[end])):
                    ids[t] = byte_ids[data[k]]
                    if sized:
                        sizes[t] = 1
                    t += np.uint64(1)
                i = end
                continue
            elif fused:
                t -= np.uint64(1)
                width += np.int64(sizes[t]) if sized else 0
            else:
                ids[t] = unknown_id
            if sized:
                sizes[t] = width
            t += np.uint64(1)
            fused = slot == 0 and np.int64(code[end]) != stop_at
            i = end
        found[d + 1] = t
    return found


def unigram_huggingface(
    array: pa.Array, table: UnigramTable, sized: bool = True
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(offsets int64 [N+1], ids uint32 [T], bytes of each token int32 [T]) of a string array; a prefix has no bytes.

    sized: False leaves the third empty.
    """
    offsets, data = text_buffers(array)
    room = int(offsets[-1] - offsets[0]) + len(array)
    ids, sizes = np.empty(room, np.uint32), np.empty(room if sized else 0, np.int32)
    tables = (table.codes, table.slots, table.slots.view(np.float64), table.ids, table.byte_ids)
    found = _unigram_huggingface(offsets, data, *tables, table.settings, table.split, ids, sizes)
    return found, ids[: found[-1]], sizes[: found[-1]]  # no copy: what lies behind was never touched
