from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from jacorpus.kernels.ngram_groups import bits_for, buckets, hash_ngrams, maybe_repeated, refine
from jacorpus.script import ngrams

PADDING = 12


def find(text, smallest, deepest):
    """(groups, members, largest, ids) of a text, through all four steps."""
    total = len(text) - smallest + 1
    codes = np.array([*map(ord, text), *range(1 << 31, (1 << 31) + PADDING)], np.uint32)
    hashes, counts = np.zeros(len(text), np.uint32), np.zeros(1 << bits_for(len(text)), np.int32)
    candidates, positions = np.zeros(len(text) + 1, np.int32), np.zeros(len(text) + 1, np.int32)
    stack, tallies = np.zeros((len(text) // 2 + 4, 3), np.int32), np.zeros((3, PADDING + 2), np.int64)
    ids = np.zeros((deepest + 1, len(text)), np.int32)
    hash_ngrams(codes, total, smallest, hashes)
    found = maybe_repeated(hashes, total, np.zeros(1 << bits_for(4 * total), np.uint8), candidates)
    top = buckets(hashes, candidates, found, counts, positions, stack)
    refine(codes, positions, stack, top, smallest, deepest, *tallies, np.zeros(0, np.int32), ids)
    return (*tallies, ids)


@settings(max_examples=60, deadline=None)
@given(st.text("あいう", min_size=3, max_size=300))
def test_groups_are_the_positions_that_share_an_ngram(text):
    groups, members, largest, ids = find(text, 3, 8)
    for n in range(3, 9):
        counts = Counter(ngrams(text, n))
        repeated = [count for count in counts.values() if count > 1]
        assert (groups[n], members[n], largest[n]) == (len(repeated), sum(repeated), max(repeated, default=1))
        named = {(gram, ids[n, i]) for i, gram in enumerate(ngrams(text, n)) if counts[gram] > 1}
        assert len(named) == len({group for _, group in named}) == len(repeated)
        assert (ids[n] > 0).sum() == sum(repeated)
