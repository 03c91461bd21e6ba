"""The double array finds what a dictionary finds."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.strategies import japanese_text
from tokenizer_lab.kernels.trie import WORDS, build_trie, prefixes, prefixes_naive

words = st.lists(st.one_of(st.text("あいう漢字ab ▁", min_size=1, max_size=6), japanese_text.filter(len)), unique=True)


def built(entries):
    return build_trie(list(entries), np.array(list(entries.values()), np.int32), np.zeros(len(entries), np.float32))


@settings(max_examples=150, deadline=None)
@given(words, st.lists(st.text("あいう漢字ab ▁", max_size=12), max_size=10))
def test_equals_the_dictionary(keys, texts):
    entries = {key: 7 * i for i, key in enumerate(keys)}
    trie = built(entries)
    for text in [*keys, *texts, *(a + b for a, b in zip(keys, texts, strict=False))]:
        assert prefixes(trie, text) == prefixes_naive(entries, text)


def test_many_children_and_long_chains():
    entries = {"▁" + chr(0x4E00 + i): i for i in range(3000)} | {"a" * n: 3000 + n for n in range(1, 60)}
    entries |= {chr(0x4E00 + i): 9000 + i for i in range(3000)} | {
        "𠮷" + chr(0x3041 + i): 20_000 + i for i in range(80)
    }
    trie = built(entries)
    assert all(prefixes(trie, text) == prefixes_naive(entries, text) for text in [*entries, "a" * 70, "▁a", "𠮷𠮷"])
    assert len(trie.slots) // WORDS < 2.5 * len(entries)


def test_weights_are_the_bits_of_a_float():
    trie = build_trie(["あ"], np.array([5], np.int32), np.array([-1.5], np.float32))
    slot = int(trie.codes[ord("あ")])
    assert trie.slots.view(np.float32)[WORDS * slot + 3] == -1.5


@pytest.mark.parametrize("keys", [["a", "a"], ["a", ""]], ids=["repeated", "empty"])
def test_wrong_entries_are_refused(keys):
    with pytest.raises(ValueError, match="different and not empty"):
        build_trie(keys, np.arange(2, dtype=np.int32), np.zeros(2, np.int32))


def test_no_entry_at_all():
    assert prefixes(build_trie([], np.zeros(0, np.int32), np.zeros(0, np.int32)), "あ") == []
