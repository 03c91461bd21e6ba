"""Pruning leaves, classes of characters, scripts and the effect on text."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jacorpus.errors import RecipeError
from tests.strategies import japanese_text
from tokenizer_lab.extension.effect import gone
from tokenizer_lab.extension.growth import barriers_between, class_changes, classes, prune
from tokenizer_lab.extension.options import Extending
from tokenizer_lab.extension.scripts import SPACE, class_of, holds_target, target_ranges
from tokenizer_lab.tokenizer import token_lists

ONES = np.ones(4, np.int64)


def _prune(parts: list[list[int]], usage: list[int], keep: int, **more: object) -> list[int]:
    stay = prune(np.array(parts), np.array(usage), np.ones(len(usage), np.int64), 10, keep, **more)  # type: ignore[arg-type]
    return np.flatnonzero(stay).tolist()


def test_leaves_go_first_and_give_their_use_back() -> None:
    # 10 = (0, 1), 11 = (10, 2) rarely used, 12 = (3, 4), 13 = (12, 10)
    parts = [[0, 1], [10, 2], [3, 4], [12, 10]]
    assert _prune(parts, [0, 5, 1, 9], 3) == [0, 2, 3]  # 11 is the least used leaf; 10 and 12 are needed by 13
    assert _prune(parts, [0, 5, 1, 9], 2) == [0, 2]  # then 13, though used most: 10 and 12 are no leaves before it
    assert _prune(parts, [0, 5, 1, 9], 1) == [0]  # 10 got 5 and 9 back, 12 only 9 and its own 1
    assert _prune(parts, [0, 5, 1, 9], 0) == []
    assert _prune(parts, [0, 5, 1, 9], 9) == [0, 1, 2, 3]


def test_free_candidates_and_those_that_must_go() -> None:
    parts = [[-1, -1], [10, 0]]  # a character and a token made of it
    assert _prune(parts, [1, 50], 1) == [0]
    assert _prune(parts, [1, 50], 1, free=1) == [1]
    assert _prune(parts, [7, 3], 9, never=np.array([False, True])) == [0]


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_parts_of_what_stays_stay(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 12))
    parts = [[data.draw(st.integers(0, 9 + k)) for _ in range(2)] for k in range(count)]
    usage = data.draw(st.lists(st.integers(0, 9), min_size=count, max_size=count))
    keep = data.draw(st.integers(0, count))
    stay = set(_prune(parts, usage, keep))
    assert len(stay) == keep
    assert all(part < 10 or part - 10 in stay for k in stay for part in parts[k])


def test_scripts_are_named() -> None:
    ranges = target_ranges(("hiragana", "katakana"))
    assert ranges[0].tolist() == [0x3040, 0x30FF]
    assert holds_target("abあ", ranges)
    assert not holds_target("漢字", ranges)
    assert holds_target("x", target_ranges(()))
    with pytest.raises(RecipeError, match="did you mean `hiragana`"):
        Extending(1, scripts=("hiragna",))


def test_classes_cut_but_for_spaces_before() -> None:
    table = [b"a", "日本".encode(), "。".encode(), "\u2581".encode(), b""]
    first, last = classes(table, join_marks=False)
    cut = barriers_between(np.array([1, 2, 0, 3, 1, -1, 0], np.int32), first, last)
    assert cut.tolist() == [1, -1, 2, -1, 0, -1, 3, 1, -1, 0]
    assert class_of(" ") == SPACE == class_of("\u2581")


@settings(max_examples=100, deadline=None)
@given(st.lists(japanese_text, min_size=1, max_size=4), st.booleans())
def test_class_changes_are_places_between_characters(texts: list[str], join_marks: bool) -> None:
    places = class_changes(pa.array(texts, pa.large_string()), join_marks)
    expected, at = set(), 0
    whole = "".join(texts)
    for one, other in zip(whole, whole[1:] + " ", strict=False):
        at += len(one.encode())
        if at < len(whole.encode()) and class_of(one, join_marks) not in (SPACE, class_of(other, join_marks)):
            expected.add(at)
    ends = np.cumsum([len(text.encode()) for text in texts]).tolist()
    assert places.tolist() == sorted(expected | set(ends))


def test_gone_counts_tokens_and_documents() -> None:
    lengths = np.array([1, 1, 2, 4], np.int64)

    def lists(*documents: list[int]) -> pa.LargeListArray:
        ids = np.array([id for document in documents for id in document], np.uint32)
        return token_lists(np.cumsum([0, *map(len, documents)]), ids)

    before = lists([0, 1, 2], [0, 0], [], [2, 2])
    assert gone(before, before, lengths) == (0, 0)
    assert gone(before, lists([2, 2], [0, 0], [], [3]), lengths) == (2, 4)
    assert gone(lists([0, 1]), lists([1, 0]), lengths) == (1, 2)
