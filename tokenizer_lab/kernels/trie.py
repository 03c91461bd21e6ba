"""A table of strings that finds every entry a text begins with, a character a step.

Characters get codes by how often the entries use them, 1 for the most frequent, 0 for a character of no entry. Nodes
live in an XOR double array: the child of a node for code c is the slot ``base ^ c``, and is there if that slot's
``check`` names the node. The layout is that of a double array (Aoe 1989; the XOR form is darts-clone's), over
characters rather than bytes: a third of the steps on Japanese text.

A slot is four int32 side by side, one 16-byte read: base (0 = no children), check (slot of the parent, -1 = free),
value (-1 = no entry ends here), weight (32 bits of the caller's: a float32 or an int32). Slot 0 is the root, whose
base is 0: the first step is ``slot = code``.

Legend: K entries, M slots, C codes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numba as nb
import numpy as np

CODE_POINTS = 0x110000
MOST_CODES = 0xFFFF
WORDS = 4  # int32 of a slot: base, check, value, weight
_TRIES = 4096


@dataclass(frozen=True)
class Trie:
    """codes: uint16 [0x110000], code of each character. slots: int32 [4 M], see above. size: C + 1."""

    codes: np.ndarray
    slots: np.ndarray
    size: int


def prefixes_naive(entries: dict[str, int], text: str) -> list[tuple[int, int]]:
    """``prefixes`` of a dictionary from entry to value."""
    return [(n, entries[text[:n]]) for n in range(1, len(text) + 1) if text[:n] in entries]


def prefixes(trie: Trie, text: str) -> list[tuple[int, int]]:
    """(characters, value) of each entry that ``text`` begins with, shortest first: how a kernel walks the slots."""
    found = []
    node = 0
    for n, character in enumerate(text, 1):
        code = int(trie.codes[ord(character)])
        base = int(trie.slots[WORDS * node])
        if code == 0 or (base == 0 and node != 0) or trie.slots[WORDS * (base ^ code) + 1] != node:
            break
        node = base ^ code
        if trie.slots[WORDS * node + 2] >= 0:
            found.append((n, int(trie.slots[WORDS * node + 2])))
    return found


@nb.njit(cache=True)
def _nodes(starts, codes):
    """Nodes of entries sorted by their codes, level by level: (first child [n+1], code [n], entry that ends there).

    Entry k is codes[starts[k] : starts[k + 1]]. Children of a node are numbered one behind the other.
    """
    most = len(codes) + 1
    children = np.zeros(most + 1, np.int64)
    code_of, entry_of = np.zeros(most, np.int64), np.full(most, -1, np.int64)
    lows, highs, depths = np.zeros(most, np.int64), np.zeros(most, np.int64), np.zeros(most, np.int64)
    highs[0], made, node = len(starts) - 1, 1, 0
    while node < made:
        low, high, depth = lows[node], highs[node], depths[node]
        children[node] = made
        if low < high and starts[low + 1] - starts[low] == depth:
            entry_of[node] = low
            low += 1
        for k in range(low, high):
            code = codes[starts[k] + depth]
            if k == low or code_of[made - 1] != code:
                lows[made], depths[made], code_of[made] = k, depth + 1, code
                made += 1
            highs[made - 1] = k + 1
        node += 1
    children[made] = made
    return children[: made + 1], code_of[:made], entry_of[:made]


@nb.njit(cache=True)
def _base(taken, chain, codes):
    """A base under which all codes are free, 0 if none was found among the first free slots of the chain.

    Many children are tried in the newest block first, where there is room; single ones fill the holes of the oldest.
    """
    free = chain[0]
    for _ in range(_TRIES):
        if free == 0:
            return 0
        base = free ^ codes[0]
        fits = base != 0
        for k in range(1, len(codes)):
            fits = fits and not taken[base ^ codes[k]]
        if fits:
            return base
        free = chain[free]
    return 0


@nb.njit(cache=True)
def _bases(children, code_of, order, block):
    """(base of each node, slots in all). order: the nodes by falling number of children, the root first.

    Free slots are chained both ways; slot 0, the root, is the chain's end.
    """
    bases = np.zeros(len(code_of), np.int64)
    room = 0
    taken, ahead, behind = np.zeros(0, np.bool_), np.zeros(1, np.int64), np.zeros(1, np.int64)
    for node in order:
        first, last = children[node], children[node + 1]
        if first == last:
            continue
        base = 0
        if room and node:
            base = _base(taken, behind if last - first > 1 else ahead, code_of[first:last])
        if room == 0 or (node and base == 0):
            base = room  # a whole free block fits any node
            more = np.arange(room, room + block)
            taken = np.concatenate((taken, np.zeros(block, np.bool_)))
            old_ahead, old_behind = ahead[:room].copy(), behind[:room].copy()
            ahead, behind = np.concatenate((old_ahead, more + 1)), np.concatenate((old_behind, more - 1))
            if room:
                behind[room] = behind[0]
                ahead[behind[0]] = room
            else:
                taken[0] = True
            room += block
            ahead[room - 1], behind[0] = 0, room - 1
        bases[node] = base
        for child in range(first, last):
            slot = base ^ code_of[child]
            taken[slot] = True
            ahead[behind[slot]], behind[ahead[slot]] = ahead[slot], behind[slot]
    return bases, room


def _slots(children: np.ndarray, code_of: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """(slots int32 [M, 4] without values, slot of each node)."""
    counts = np.diff(children)
    order = np.argsort(-counts, kind="stable")
    order = np.concatenate([[0], order[order != 0]])
    block = max(256, 1 << (size - 1).bit_length())
    bases, room = _bases(children, code_of, order, block)
    parents = np.repeat(np.arange(len(counts)), counts)
    place = np.concatenate([[0], bases[parents] ^ code_of[1:]])
    slots = np.zeros((max(room, block), WORDS), np.int32)
    slots[:, 1:3] = -1
    slots[place, 0] = bases
    slots[place[1:], 1] = place[parents]
    return slots, place


def build_trie(entries: Sequence[str], values: np.ndarray, weights: np.ndarray) -> Trie:
    """The table of K different, not empty strings.

    values: int32 [K], from 0 on. weights: int32 [K], or float32 (kept as its bits).
    Raises ValueError for an empty or repeated entry, or over 65,535 different characters.
    """
    if len(set(entries)) != len(entries) or "" in entries:
        raise ValueError("entries must be different and not empty")
    lengths = np.fromiter(map(len, entries), np.int64, len(entries))
    points = np.frombuffer("".join(entries).encode("utf-32-le", "surrogatepass"), np.uint32)
    seen, counts = np.unique(points, return_counts=True)
    if len(seen) > MOST_CODES:
        raise ValueError(f"{len(seen)} different characters are more than {MOST_CODES}")
    codes = np.zeros(CODE_POINTS, np.uint16)
    codes[seen[np.argsort(-counts, kind="stable")]] = np.arange(1, len(seen) + 1)
    coded, starts = codes[points], np.concatenate([[0], np.cumsum(lengths)])
    keys = coded.astype(">u2").tobytes()
    order = sorted(range(len(entries)), key=lambda k: keys[2 * starts[k] : 2 * starts[k + 1]])
    sizes = lengths[order]
    ends = np.cumsum(sizes)
    places = np.repeat(starts[:-1][order] - (ends - sizes), sizes) + np.arange(len(coded))
    sorted_codes = coded[places].astype(np.int64)
    children, code_of, entry_of = _nodes(np.concatenate([[0], ends]), sorted_codes)
    slots, place = _slots(children, code_of, len(seen) + 1)
    ending = entry_of >= 0
    entry = np.array(order, np.int64)[entry_of[ending]]
    slots[place[ending], 2] = np.asarray(values, np.int32)[entry]
    slots[place[ending], 3] = np.ascontiguousarray(weights).view(np.int32)[entry]
    return Trie(codes, slots.reshape(-1), len(seen) + 1)
