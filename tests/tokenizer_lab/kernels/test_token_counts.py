"""The count model: its twin, probabilities that sum to 1, and a source whose entropy is known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenizer_lab.kernels.token_counts import CountsNaive, contexts_naive, token_counts

TOKENS = (b"a", b"bc", b"", b"def", "日".encode(), "日本".encode(), b"\xe6")
rows = st.lists(st.lists(st.integers(0, len(TOKENS) - 1), max_size=12), max_size=6)


def flat(lists):
    offsets = np.cumsum([0, *map(len, lists)]).astype(np.int64)
    return offsets, np.array([i for row in lists for i in row], np.uint32)


@settings(max_examples=150, deadline=None)
@given(rows, rows, st.integers(0, 9))
def test_equals_its_twin(train, held, context_bytes):
    naive = CountsNaive(list(TOKENS), context_bytes)
    naive.add(train)
    fast = token_counts(*flat(train), TOKENS, context_bytes)
    np.testing.assert_allclose(fast.bits(*flat(held)), naive.bits(held), rtol=1e-12)


@settings(max_examples=40, deadline=None)
@given(rows, st.lists(st.integers(0, len(TOKENS) - 1), max_size=6))
def test_probabilities_sum_to_one(train, before):
    model = token_counts(*flat(train), TOKENS, 6)
    last = [model.bits(*flat([[*before, w]]))[len(before)] for w in range(len(TOKENS))]
    end = model.bits(*flat([before]))[-1]
    assert sum(2.0 ** -np.array([*last, end])) == pytest.approx(1.0, abs=1e-9)


def test_context_is_equal_in_bytes():
    """Six bytes back: two kanji as one token, as two, or one of them and the tail of a longer token."""
    tokens = ["日".encode(), "本日".encode(), "日本日".encode()]
    assert contexts_naive([0, 0, 0], 3, tokens, 6)[-1] == (0, 0)
    assert contexts_naive([2, 0], 2, tokens, 6)[-1] == (0, ("tail", "日".encode()))
    assert contexts_naive([2], 1, tokens, 6)[-1] == (("tail", "本日".encode()),)
    assert contexts_naive([2], 1, tokens, 9)[-1] == (2, "beginning")


def test_finds_the_entropy_of_a_known_source():
    """A chain over 16 bytes: from each, three others with shares 1/2, 1/4, 1/4: 1.5 bits an event."""
    random = np.random.Generator(np.random.PCG64(0))
    targets = np.array([random.permutation(16)[:3] for _ in range(16)])
    state, ids = 0, []
    for choice in random.choice(3, 60_000, p=[0.5, 0.25, 0.25]):
        state = int(targets[state, choice])
        ids.append(state)
    tokens = tuple(bytes([65 + i]) for i in range(16))
    train, held = ids[:50_000], ids[50_000:]
    model = token_counts(*flat([train]), tokens, 2)
    assert model.bits(*flat([held])).mean() == pytest.approx(1.5, rel=0.02)


def test_counting_goes_on_where_tables_grow():
    """More events than the first tables hold; counted in two parts they give the same model."""
    random = np.random.Generator(np.random.PCG64(1))
    lists = [random.integers(0, len(TOKENS), 20_000).tolist() for _ in range(2)]
    whole = token_counts(*flat(lists), TOKENS)
    parts = token_counts(*flat(lists[:1]), TOKENS)
    parts.add(*flat(lists[1:]))
    held = flat([random.integers(0, len(TOKENS), 500).tolist()])
    assert len(whole._pairs) > 1 << 16
    np.testing.assert_array_equal(whole.bits(*held), parts.bits(*held))
