"""The decide phase: rules, then one keeper per cluster among the documents the rules keep.

Reads signals and clusters only, never text; ``what-if`` asks the same function about other rules. Arrays are
over all measured documents in manifest order: N rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import xxhash

from jacorpus.rule import Rule
from jacorpus.schema import CLUSTERS, ID
from jacorpus.shards import read_table

KEPT, BY_RULE, DUPLICATE, REMOVED = 0, 1, 2, 3
OLDER = -2  # in place of a kept row: a document of an older crawl

DECISION = pa.schema(
    [
        ("fate", pa.int8()),  # KEPT, BY_RULE, DUPLICATE or REMOVED
        ("rule", pa.int16()),  # index of the first rule that drops it; -1
        ("dedup", pa.int8()),  # index of the dedup stage that drops it; -1
        ("similarity", pa.float32()),
        ("cluster_id", ID),
        ("kept_id", ID),
        ("cluster_size", pa.int32()),
        ("split", pa.bool_()),  # True: valid
    ]
)
"""Rows of a part's decision file, row by row with its signals."""


@dataclass(frozen=True)
class SignalPart:
    """Signals of one measured part. first_row: number of its first document over all parts."""

    path: Path
    rows: int
    domain: str
    priority: int
    first_row: int

    def table(self) -> pa.Table:
        return read_table(self.path)


@dataclass(frozen=True)
class Older:
    """What older crawls keep of the clusters: the id for each clustered row as two words, [C] each."""

    high: np.ndarray
    low: np.ndarray
    snapshot: pa.Array  # string [C], null where no older crawl keeps a member

    def there(self) -> np.ndarray:
        """bool [C]."""
        return self.snapshot.is_valid().to_numpy(zero_copy_only=False)


@dataclass(frozen=True)
class Clusters:
    """One dedup stage's finding: documents with a duplicate, sorted by row. roots: row naming the cluster."""

    label: str
    rows: np.ndarray  # int64 [C]
    roots: np.ndarray  # int64 [C]
    sizes: np.ndarray  # int32 [C]
    similarity: np.ndarray  # float32 [C]
    older: Older | None = None

    @cached_property
    def numbers(self) -> np.ndarray:
        """int32 [C]: the cluster of each row, counted from 0 as they appear."""
        numbers: np.ndarray = pa.array(self.roots).dictionary_encode().indices.to_numpy()
        return numbers


@dataclass
class Members:
    """What choosing a keeper needs to know of clustered rows: [C] each, ids as two big-endian words."""

    high: np.ndarray
    low: np.ndarray
    bytes: np.ndarray
    priority: np.ndarray


@dataclass
class Decisions:
    """rule: int16 [N], first failing rule or -1. dedup: int8 [N], stage that dropped it or -1. kept_rows: per
    dedup stage int64 [C], the row kept for each clustered row, -1 where no member survived the rules, OLDER where
    an older crawl keeps one."""

    rule: np.ndarray
    removed: np.ndarray
    dedup: np.ndarray
    clusters: Sequence[Clusters]
    kept_rows: list[np.ndarray] = field(default_factory=list)
    members: list[Members] = field(default_factory=list)

    @property
    def kept(self) -> np.ndarray:
        """bool [N]."""
        return (self.rule < 0) & (self.dedup < 0) & ~self.removed


def number_parts(parts: Sequence[tuple[Path, int, str, int]]) -> list[SignalPart]:
    """SignalParts out of (path, rows, domain, priority) in manifest order."""
    found, first = [], 0
    for path, rows, domain, priority in parts:
        found.append(SignalPart(path, rows, domain, priority, first))
        first += rows
    return found


def first_failing(table: pa.Table, rules: Sequence[Rule], active: Sequence[bool], domain: str) -> np.ndarray:
    """int16 [rows]: index of the first rule that drops each document, -1 for none."""
    first = np.full(table.num_rows, -1, np.int16)
    for index in range(len(rules) - 1, -1, -1):
        rule = rules[index]
        if active[index] and rule.tier is None and (rule.domains is None or domain in rule.domains):
            first[rule.fails(signal_column(table, rule.signal))] = index
    return first


def failed_bits(table: pa.Table, rules: Sequence[Rule], active: Sequence[bool], domain: str) -> np.ndarray:
    """uint8 [rows, ceil(rules / 8)]: bit i (little endian) set where rule i fails, rules of other tiers included."""
    bits = np.zeros((table.num_rows, (len(rules) + 7) // 8), np.uint8)
    for index, rule in enumerate(rules):
        if active[index] and (rule.domains is None or domain in rule.domains):
            bits[:, index // 8] |= rule.fails(signal_column(table, rule.signal)).astype(np.uint8) << np.uint8(index % 8)
    return bits


def signal_column(table: pa.Table, name: str) -> pa.Array:
    """One signal as one array; no copy for a published part."""
    column = table[name]
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def decide(
    parts: Sequence[SignalPart],
    rules: Sequence[Rule],
    active: Sequence[bool],
    clusters: Sequence[Clusters],
    removed_ids: frozenset[bytes] = frozenset(),
    members: Sequence[Members] = (),
) -> Decisions:
    """The fate of every measured document. members: of the clusters, where an earlier decision read them."""
    total = sum(part.rows for part in parts)
    rule = np.full(total, -1, np.int16)
    removed = np.zeros(total, bool)
    for part in parts:
        table = part.table()
        span = slice(part.first_row, part.first_row + part.rows)
        rule[span] = first_failing(table, rules, active, part.domain)
        if removed_ids:
            wanted = pa.array(sorted(removed_ids), ID)
            import pyarrow.compute as pc

            removed[span] = pc.is_in(table["id"], wanted).to_numpy(zero_copy_only=False)
    made = Decisions(rule, removed, np.full(total, -1, np.int8), clusters)
    alive = (rule < 0) & ~removed
    for index, found in enumerate(clusters):
        own = members[index] if members else _members(parts, found.rows)
        kept = keepers(found, own, alive)
        if found.older is not None:  # what is published stays
            kept[found.older.there()] = OLDER
        lost = alive[found.rows] & (kept != found.rows)
        made.dedup[found.rows[lost]] = index
        alive[found.rows[lost]] = False
        made.kept_rows.append(kept)
        made.members.append(own)
    return made


def _members(parts: Sequence[SignalPart], rows: np.ndarray) -> Members:
    """Id, length and priority of these rows (sorted)."""
    high, low = np.zeros(len(rows), np.uint64), np.zeros(len(rows), np.uint64)
    sizes, priority = np.zeros(len(rows), np.int64), np.zeros(len(rows), np.int64)
    for part in parts:
        start, stop = np.searchsorted(rows, [part.first_row, part.first_row + part.rows])
        if start == stop:
            continue
        table = part.table()
        inside = pa.array(rows[start:stop] - part.first_row)
        ids = id_words(signal_column(table, "id").take(inside))
        high[start:stop], low[start:stop] = ids[:, 0], ids[:, 1]
        sizes[start:stop] = signal_column(table, "bytes").take(inside).to_numpy()
        priority[start:stop] = part.priority
    return Members(high, low, sizes, priority)


def keepers(found: Clusters, members: Members, alive: np.ndarray) -> np.ndarray:
    """int64 [C]: for each clustered row the row its cluster keeps, -1 where none is alive.

    Preference: alive, then priority (higher), then length in bytes (longer), then id (smaller).
    """
    cluster = found.numbers
    count = int(cluster.max(initial=-1)) + 1
    # Candidates are narrowed down key by key: a scatter each is a few times faster than one sort by all keys.
    left = np.flatnonzero(alive[found.rows])
    for key, better in (
        (members.priority, np.maximum),
        (members.bytes, np.maximum),
        (members.high, np.minimum),
        (members.low, np.minimum),
    ):
        values, where = key[left], cluster[left]
        limits = np.iinfo(key.dtype)
        best = np.full(count, limits.min if better is np.maximum else limits.max, key.dtype)
        better.at(best, where, values)
        left = left[values == best[where]]
    chosen = np.full(count, -1, np.int64)
    chosen[cluster[left]] = found.rows[left]
    return chosen[cluster]


def cluster_ids(found: Clusters, members: Members) -> tuple[np.ndarray, np.ndarray]:
    """(high, low) uint64 [C]: the smallest id of each row's cluster."""
    order = np.lexsort((members.low, members.high, found.roots))
    roots = found.roots[order]
    starts = np.flatnonzero(np.r_[True, roots[1:] != roots[:-1]]) if len(order) else np.zeros(0, np.int64)
    high, low = np.empty(len(order), np.uint64), np.empty(len(order), np.uint64)
    lengths = np.diff(np.r_[starts, len(order)])
    high[order] = np.repeat(members.high[order][starts], lengths)
    low[order] = np.repeat(members.low[order][starts], lengths)
    return high, low


def id_words(ids: pa.Array) -> np.ndarray:
    """uint64 [N, 2]: ids as two words whose order is the order of the bytes."""
    buffer = ids.buffers()[1]
    if buffer is None or not len(ids):
        return np.zeros((0, 2), np.uint64)
    words = np.frombuffer(buffer, ">u8")[2 * ids.offset : 2 * (ids.offset + len(ids))]
    return words.reshape(-1, 2).astype(np.uint64)


def id_array(high: np.ndarray, low: np.ndarray, valid: np.ndarray | None = None) -> pa.Array:
    """Ids out of their two words; null where not valid."""
    words = np.empty((len(high), 2), ">u8")
    words[:, 0], words[:, 1] = high, low
    if valid is None:
        return pa.Array.from_buffers(ID, len(high), [None, pa.py_buffer(words.tobytes())])
    words[~valid] = 0
    bits = np.packbits(valid, bitorder="little")
    return pa.Array.from_buffers(ID, len(high), [pa.py_buffer(bits), pa.py_buffer(words.tobytes())])


def _kept_words(found: Clusters, members: Members, kept: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(high, low, valid) of the id kept for each clustered row."""
    place = np.searchsorted(found.rows, np.maximum(kept, 0))
    place = np.minimum(place, max(len(found.rows) - 1, 0))
    high, low = members.high[place], members.low[place]
    if found.older is not None:
        there = kept == OLDER
        high, low = np.where(there, found.older.high, high), np.where(there, found.older.low, low)
    return high, low, kept != -1


def cluster_table(decisions: Decisions, index: int) -> pa.Table:
    """One dedup stage's clusters, schema CLUSTERS."""
    found, members, kept = decisions.clusters[index], decisions.members[index], decisions.kept_rows[index]
    high, low, valid = _kept_words(found, members, kept)
    arrays = [
        pa.array(found.rows.astype(np.uint64)),
        id_array(members.high, members.low),
        id_array(*cluster_ids(found, members)),
        pa.array(found.sizes.astype(np.uint32)),
        id_array(high, low, valid),
        pa.array(found.similarity.astype(np.float32)),
        pa.nulls(len(found.rows), pa.string()) if found.older is None else found.older.snapshot,
    ]
    return pa.Table.from_arrays(arrays, schema=CLUSTERS)


def decision_tables(parts: Sequence[SignalPart], decisions: Decisions, valid_ratio: float) -> list[pa.Table]:
    """One table a part, schema DECISION."""
    clustered = [
        (found, cluster_ids(found, members), _kept_words(found, members, kept))
        for found, members, kept in zip(decisions.clusters, decisions.members, decisions.kept_rows, strict=True)
    ]
    return [_decision_table(part, decisions, clustered, valid_ratio) for part in parts]


def _decision_table(part: SignalPart, decisions: Decisions, clustered: list, valid_ratio: float) -> pa.Table:
    span = slice(part.first_row, part.first_row + part.rows)
    rule, dedup, removed = decisions.rule[span], decisions.dedup[span], decisions.removed[span]
    fate = np.where(removed, REMOVED, np.where(rule >= 0, BY_RULE, np.where(dedup >= 0, DUPLICATE, KEPT)))
    own = id_words(signal_column(part.table(), "id"))
    home_high, home_low = own[:, 0].copy(), own[:, 1].copy()  # what the split hashes
    shown = [np.zeros(part.rows, np.uint64) for _ in range(4)]  # cluster id, kept id
    in_cluster, has_kept = np.zeros(part.rows, bool), np.zeros(part.rows, bool)
    similarity, size = np.zeros(part.rows, np.float32), np.ones(part.rows, np.int32)
    for index, (found, ids, kept) in enumerate(clustered):
        start, stop = np.searchsorted(found.rows, [part.first_row, part.first_row + part.rows])
        where = found.rows[start:stop] - part.first_row
        home_high[where], home_low[where] = ids[0][start:stop], ids[1][start:stop]
        size[where] = np.maximum(size[where], found.sizes[start:stop])
        # The audit names the cluster that dropped a document, else the first it is in.
        mine = (dedup[where] == index) | (~in_cluster[where] & (dedup[where] < 0))
        place, inside = where[mine], np.flatnonzero(mine) + start
        for target, values in zip(shown, (ids[0], ids[1], kept[0], kept[1]), strict=True):
            target[place] = values[inside]
        in_cluster[place], has_kept[place] = True, kept[2][inside]
        similarity[place] = found.similarity[inside]
    arrays = [
        pa.array(fate.astype(np.int8)),
        pa.array(rule),
        pa.array(dedup),
        pa.array(similarity),
        id_array(shown[0], shown[1], in_cluster),
        id_array(shown[2], shown[3], has_kept & (dedup >= 0)),
        pa.array(size),
        pa.array(_held_out(home_high, home_low, valid_ratio)),
    ]
    return pa.Table.from_arrays(arrays, schema=DECISION)


def _held_out(high: np.ndarray, low: np.ndarray, ratio: float) -> np.ndarray:
    """bool: whether a hash of the id falls in the held-out share.

    Hashed again because a cluster is named by its smallest id, which is no uniform number.
    """
    words = np.stack([high, low], axis=1).astype(">u8").tobytes()
    bound = int(ratio * (1 << 64))
    return np.fromiter(
        (xxhash.xxh3_64_intdigest(words[i : i + 16]) < bound for i in range(0, len(words), 16)), bool, len(high)
    )
