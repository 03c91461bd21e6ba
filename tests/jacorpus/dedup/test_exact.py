"""Equal texts."""

from pathlib import Path

import pytest
from hypothesis import given, settings

from jacorpus.dedup.exact import Exact
from tests.jacorpus.dedup.texts import all_edges, documents, signed
from tests.strategies import japanese_texts

TEXTS = ["同じ文", "別の文", "同じ文", "", "同じ 文", "", "同じ文", " ", "ＡＢ", "AB"]


@pytest.mark.parametrize("partitions", [1, 3, 50])
@pytest.mark.parametrize("cuts", [(), (1, 4), (2, 2, 9)])
def test_edges_go_from_the_first_document(tmp_path: Path, partitions: int, cuts: tuple[int, ...]) -> None:
    stage = Exact()
    parts = signed(stage, documents(TEXTS), tmp_path, cuts)
    assert all_edges(stage, parts, partitions) == {(0, 2): 1, (0, 6): 1}


def test_normalize_compares_the_canonical_form(tmp_path: Path) -> None:
    stage = Exact(normalize=True)
    parts = signed(stage, documents(TEXTS), tmp_path)
    assert set(all_edges(stage, parts, 2)) == {(0, 2), (0, 4), (0, 6), (8, 9)}


@settings(max_examples=40, deadline=None)
@given(japanese_texts)
def test_finds_what_a_dictionary_finds(tmp_path_factory, texts: list[str | None]) -> None:
    stage = Exact()
    parts = signed(stage, documents(texts), tmp_path_factory.mktemp("signatures"))
    first: dict[str, int] = {}
    expected = set()
    for row, text in enumerate(texts):
        if text and first.setdefault(text, row) != row:
            expected.add((first[text], row))
    assert set(all_edges(stage, parts, 2)) == expected


def test_partitions_keep_the_bound() -> None:
    stage = Exact(partition_bytes=1 << 20)
    assert stage.partitions(10) == 1
    assert stage.partitions(1 << 20) == 112
    assert "112 join tasks" in stage.estimate(1 << 20)


def test_no_documents(tmp_path: Path) -> None:
    stage = Exact()
    assert all_edges(stage, signed(stage, documents([]), tmp_path), 2) == {}
    assert all_edges(stage, [], 1) == {}
