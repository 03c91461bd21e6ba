"""How much of each benchmark item stands in each document, by character n-grams of the folded texts.

An item of at least n folded characters is its set of distinct n-grams; its coverage by a document is the
share of them found there. A shorter item matches whole or not at all: the hash of its first m characters
leads to it, the hash of all of them decides. Items under m folded characters are left out.

Legend: N documents, I items, G distinct n-grams of all items.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numba import njit

from jacorpus.kernels.buffers import text_buffers
from jacorpus.kernels.fold import fold_codes, fold_into, fold_tables, fold_text_naive

_BASE = np.uint64(0x9E3779B97F4A7C15)
_BLOCK = 1024
_BITS_PER_GRAM = 32  # of the bitmap: 3 % of other n-grams pass it and are searched for


@dataclass(frozen=True)
class ContaminationIndex:
    """What is looked up. keys_* sorted uint64; first_*/items_*: the items of key k are items[first[k]:first[k+1]]."""

    n: int
    m: int
    grams: np.ndarray  # int32 [I]: distinct n-grams of each item, 1 for a short one, 0 for one left out
    lengths: np.ndarray  # int64 [I] folded characters
    whole: np.ndarray  # uint64 [I] hash of all characters
    long_keys: np.ndarray
    long_first: np.ndarray
    long_items: np.ndarray
    short_keys: np.ndarray
    short_first: np.ndarray
    short_items: np.ndarray
    long_bits: np.ndarray  # uint8 bitmap over the top bits of a mixed hash
    short_bits: np.ndarray


def contamination_naive(
    texts: list[str | None], items: list[str], n: int, m: int, bar: float
) -> list[tuple[float, int, int, int]]:
    """(coverage, item or -1, items at or over bar, folded characters matched) of each text."""
    folded_items = [fold_text_naive(item) for item in items]
    grams = [{f[i : i + n] for i in range(len(f) - n + 1)} if len(f) >= n else {f} for f in folded_items]
    rows = []
    for text in texts:
        folded = fold_text_naive(text or "")
        best, which, hits, matched = 0.0, -1, 0, set[int]()
        for number, (item, wanted) in enumerate(zip(folded_items, grams, strict=True)):
            if len(item) < m:
                continue
            found = {gram for gram in wanted if gram in folded}
            for gram in found:
                for i in range(len(folded) - len(gram) + 1):
                    if folded.startswith(gram, i):
                        matched.update(range(i, i + len(gram)))
            coverage = len(found) / len(wanted)
            hits += coverage >= bar
            if coverage > best:
                best, which = coverage, number
        rows.append((best, which, hits, len(matched)))
    return rows


@njit(cache=True, nogil=True)
def _mix(h):  # type: ignore[no-untyped-def]
    h ^= h >> np.uint64(32)
    h *= np.uint64(0xD6E8FEB86659FD93)
    return h ^ (h >> np.uint64(32))


@njit(cache=True, nogil=True)
def _hash(codes, start, length, base):  # type: ignore[no-untyped-def]
    h = np.uint64(0)
    for i in range(start, start + length):
        h = h * base + np.uint64(codes[i])
    return _mix(h)


@njit(cache=True, nogil=True)
def _gram_pairs(offsets, codes, n, m, base, keys, items):  # type: ignore[no-untyped-def]
    """Fills (n-gram hash, item) of long items from the front, (m-gram hash, item) of short ones from the back."""
    front, back = 0, keys.size
    for item in range(offsets.size - 1):
        length = offsets[item + 1] - offsets[item]
        if length < m:
            continue
        if length >= n:
            for i in range(offsets[item], offsets[item + 1] - n + 1):
                keys[front], items[front] = _hash(codes, i, n, base), item
                front += 1
        else:
            back -= 1
            keys[back], items[back] = _hash(codes, offsets[item], m, base), item
    return front, back


def _grouped(keys: np.ndarray, items: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(sorted distinct keys, first, items) without repeated pairs."""
    order = np.lexsort((items, keys))
    keys, items = keys[order], items[order]
    fresh = np.ones(len(keys), bool)
    fresh[1:] = (keys[1:] != keys[:-1]) | (items[1:] != items[:-1])
    keys, items = keys[fresh], items[fresh]
    distinct, first = np.unique(keys, return_index=True)
    return distinct, np.append(first, len(keys)).astype(np.int64), items


def _bitmap(keys: np.ndarray) -> np.ndarray:
    """uint8 flags: bit (top bits of the key) set for each key."""
    bits = max(10, int(len(keys) * _BITS_PER_GRAM - 1).bit_length()) if len(keys) else 10
    table = np.zeros(1 << (bits - 3), np.uint8)
    place = (keys >> np.uint64(64 - bits)).astype(np.int64)
    np.bitwise_or.at(table, place >> 3, (1 << (place & 7)).astype(np.uint8))
    return table


def build_index(items: list[str], n: int, m: int) -> ContaminationIndex:
    """Index over items (unfolded). n: characters of an n-gram; m: of the shortest folded item admitted."""
    if n < 1 or m < 1:
        raise ValueError(f"n = {n} and the shortest item's {m} characters must be positive")
    offsets, codes = fold_codes(pa.array(items, pa.large_string()))
    keys, owners = np.empty(len(codes) + len(items), np.uint64), np.empty(len(codes) + len(items), np.int64)
    front, back = _gram_pairs(offsets, codes, n, m, _BASE, keys, owners)
    long = _grouped(keys[:front], owners[:front])
    short = _grouped(keys[back:], owners[back:])
    grams = np.bincount(long[2], minlength=len(items)).astype(np.int32)
    grams[short[2]] = 1
    lengths = np.diff(offsets)
    whole = np.array([_hash(codes, a, size, _BASE) for a, size in zip(offsets, lengths, strict=False)], np.uint64)
    return ContaminationIndex(n, m, grams, lengths, whole, *long, *short, _bitmap(long[0]), _bitmap(short[0]))


@njit(cache=True, nogil=True)
def _find(h, keys):  # type: ignore[no-untyped-def]
    """Place of h among sorted keys, or -1."""
    low, high = 0, keys.size
    while low < high:
        middle = (low + high) >> 1
        if keys[middle] < h:
            low = middle + 1
        else:
            high = middle
    return low if low < keys.size and keys[low] == h else -1


@njit(cache=True, nogil=True)
def _hits(codes, count, n, base, keys, bits, places, slots):  # type: ignore[no-untyped-def]
    """Number of n-grams of codes[:count] that are keys; places and slots: where each starts, which key it is.

    Hashes come a block at a time and the bitmap is read in a loop of its own, so that its cache misses overlap.
    """
    shift = np.uint64(64)
    size = bits.size << 3
    while size > 1:
        size >>= 1
        shift -= np.uint64(1)
    top = np.uint64(1)
    for _ in range(n):
        top *= base
    h = np.uint64(0)
    for i in range(min(n - 1, count)):
        h = h * base + np.uint64(codes[i])
    hashes, likely = np.empty(_BLOCK, np.uint64), np.empty(_BLOCK + 1, np.int64)
    found = 0
    for first in range(n - 1, count, _BLOCK):
        last = min(first + _BLOCK, count)
        for i in range(first, last):
            h = h * base + np.uint64(codes[i])
            if i >= n:
                h -= top * np.uint64(codes[i - n])
            hashes[i - first] = _mix(h)
        passed = 0
        for k in range(last - first):
            place = hashes[k] >> shift
            likely[passed] = k
            passed += int((bits[place >> np.uint64(3)] >> np.uint8(place & np.uint64(7))) & 1)
        for k in likely[:passed]:
            slot = _find(hashes[k], keys)
            if slot >= 0:
                places[found], slots[found] = first + k - n + 1, slot
                found += 1
    return found


@njit(cache=True, nogil=True)
def _tally(slots, found, first, items, tally, touched, count):  # type: ignore[no-untyped-def]
    """Adds one to tally[item] for each distinct slot's items; count of touched items so far, with the new ones."""
    distinct = np.sort(slots[:found])
    for k in range(found):
        slot = distinct[k]
        if k > 0 and distinct[k - 1] == slot:
            continue
        for at in range(first[slot], first[slot + 1]):
            if tally[items[at]] == 0:
                touched[count] = items[at]
                count += 1
            tally[items[at]] += 1
    return count


@njit(cache=True, nogil=True)
def _short(codes, count, hits, base, short, lengths, whole, tally, touched, held):  # type: ignore[no-untyped-def]
    """Counts short items that stand whole where their first characters do; ends: the furthest end at each place."""
    places, slots, found, ends = hits
    _, first, items, _ = short
    for k in range(found):
        ends[k] = places[k]
        for at in range(first[slots[k]], first[slots[k] + 1]):
            item = items[at]
            length = lengths[item]
            if places[k] + length > count or _hash(codes, places[k], length, base) != whole[item]:
                continue
            ends[k] = max(ends[k], places[k] + length)
            if tally[item] == 0:
                tally[item] = 1
                touched[held] = item
                held += 1
    return held


@njit(cache=True, nogil=True)
def _cover(covered, places, ends, found):  # type: ignore[no-untyped-def]
    """Adds the borders of the spans [place, end) to covered; its running sum is over 0 inside them."""
    for k in range(found):
        covered[places[k]] += 1
        covered[ends[k]] -= 1


@njit(cache=True, nogil=True)
def _measure(
    offsets, data, table, joined, n, m, base, bar, grams, lengths, whole, long, short, best, which, hits, matched
):  # type: ignore[no-untyped-def]
    long_keys, long_first, long_items, long_bits = long
    short_keys, short_bits = short[0], short[3]
    longest = 1
    for document in range(offsets.size - 1):
        longest = max(longest, offsets[document + 1] - offsets[document] + 1)
    codes = np.empty(longest, np.uint32)
    places, slots, ends = np.empty(longest, np.int64), np.empty(longest, np.int64), np.empty(longest, np.int64)
    covered = np.zeros(longest, np.int32)
    tally, touched = np.zeros(grams.size, np.int32), np.empty(grams.size, np.int64)
    for document in range(offsets.size - 1):
        count = fold_into(data, offsets[document], offsets[document + 1], table, joined, codes)
        found = _hits(codes, count, n, base, long_keys, long_bits, places, slots)
        held = _tally(slots, found, long_first, long_items, tally, touched, 0)
        ends[:found] = places[:found] + n
        _cover(covered, places, ends, found)
        anything = found
        if short_keys.size:
            found = _hits(codes, count, m, base, short_keys, short_bits, places, slots)
            found_short = (places, slots, found, ends)
            held = _short(codes, count, found_short, base, short, lengths, whole, tally, touched, held)
            _cover(covered, places, ends, found)
            anything += found
        if anything:
            depth = 0
            for i in range(count + 1):
                depth += covered[i]
                matched[document] += depth > 0
                covered[i] = 0
        for k in range(held):
            item = touched[k]
            share = tally[item] / grams[item]
            tally[item] = 0
            hits[document] += share >= bar
            if share > best[document] or (share == best[document] and item < which[document]):
                best[document], which[document] = share, item


def contamination(
    texts: pa.Array, index: ContaminationIndex, bar: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Each document against all items: N rows of

    float64 coverage, the largest over items; int64 that item (the first of equals), -1 where nothing was found;
    int32 items with coverage >= bar; int32 folded characters inside what was found.
    """
    offsets, data = text_buffers(texts)
    count = len(offsets) - 1
    best, which = np.zeros(count), np.full(count, -1, np.int64)
    hits, matched = np.zeros(count, np.int32), np.zeros(count, np.int32)
    long = (index.long_keys, index.long_first, index.long_items, index.long_bits)
    short = (index.short_keys, index.short_first, index.short_items, index.short_bits)
    tables = (*fold_tables(), index.n, index.m, _BASE, bar, index.grams, index.lengths, index.whole, long, short)
    _measure(offsets, data, *tables, best, which, hits, matched)
    return best, which, hits, matched
