"""The comparison of ids must see a difference wherever it lies."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from jacorpus.errors import InputError
from tokenizer_lab.corpus import open_corpus
from tokenizer_lab.tokenizer import Encoding, Tokenizer, Vocabulary, token_lists
from tokenizer_lab.verify import differing, verify


class Letters(Tokenizer):
    """One id a character; ``wrong`` gives another id to one of them."""

    name, format, algorithm, traits = "letters", "test", "char", {}
    identity = (b"letters",)
    vocabulary = Vocabulary((b"a",), (b"a",), np.ones(1, np.uint8))
    reference_name = "the right one"  # type: ignore[assignment]

    def __init__(self, wrong: str = "") -> None:
        self.wrong = wrong

    def encode(self, texts: pa.Array, special_text: Any = "text") -> pa.LargeListArray:
        rows = [[ord(c) + (c == self.wrong) for c in text or ""] for text in texts.to_pylist()]
        offsets = np.cumsum([0, *map(len, rows)])
        return token_lists(offsets, np.array([i for row in rows for i in row], np.uint32))

    def encode_with_offsets(self, texts: pa.Array) -> Encoding:
        raise NotImplementedError

    def decode(self, tokens: pa.LargeListArray) -> pa.LargeBinaryArray:
        raise NotImplementedError

    def reference(self) -> Tokenizer | None:
        return Letters() if self.wrong else None


def corpus(tmp_path: Path, texts: list[str]) -> list:
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), "utf-8")
    return open_corpus([f"x={path}"])


def test_lines_and_documents_are_counted_apart(tmp_path: Path) -> None:
    outcome = verify(Letters("z"), corpus(tmp_path, ["ab\nzz\n", "abc", "z" * 20_001, "a\nb"]), lambda a, b, text: "z")
    found = outcome.domains["x"]
    assert (found.documents, found.documents_differ, found.lines, found.lines_differ) == (4, 2, 7, 2)
    assert found.long_lines_differ == 1
    assert [d.unit for d in outcome.differences] == ["line", "line", "document", "document"]
    assert outcome.differences[0].text == "zz"
    assert outcome.differences[0].why == "z"
    assert not outcome.as_json()["equal"]


def test_equal_and_nothing_to_compare(tmp_path: Path) -> None:
    domains = corpus(tmp_path, ["ab", "c"])
    assert verify(Letters("z"), domains).as_json()["equal"]
    outcome = verify(Letters(), domains)
    assert not outcome.compared
    assert outcome.domains["x"].documents == 2


@pytest.mark.parametrize("texts", [[], ["", ""]])
def test_nothing_to_read_is_no_proof(tmp_path: Path, texts: list[str]) -> None:
    with pytest.raises(InputError, match="nothing to read in x"):
        verify(Letters("z"), corpus(tmp_path, texts))


def test_rows_of_unlike_lengths() -> None:
    def lists(*rows: list[int]) -> pa.LargeListArray:
        return pa.array(rows, pa.large_list(pa.uint32()))

    assert differing(lists([1], [2, 3], []), lists([1], [2], [])).tolist() == [1]
    assert differing(lists([1], [2, 3]).slice(1), lists([9], [2, 3]).slice(1)).tolist() == []
    assert differing(lists([1, 2], [3]), lists([1], [2, 3])).tolist() == [0, 1]
    assert differing(lists([1, 2], [3]), lists([1, 2], [4])).tolist() == [1]
