"""Cuts of training lie between characters, where pattern, digits and MeCab say."""

from itertools import pairwise

import pyarrow as pa
import pytest

from jacorpus.errors import InputError
from jacorpus.kernels.buffers import text_buffers
from tokenizer_lab.training.cuts import cuts
from tokenizer_lab.training.settings import Training


def pre_tokens(texts: list[str], training: Training) -> list[str]:
    """The documents cut apart, at their ends too."""
    array = pa.array(["落とす", *texts], pa.large_string()).slice(1)
    offsets, data = text_buffers(array)
    places = sorted({*offsets.tolist(), *cuts(array, training).tolist()})
    raw = data.tobytes()
    return [raw[a:b].decode() for a, b in pairwise(places)]


TEXT = "私は2024年に\u3000東京タワーへ行った。 ok"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"pattern": "none"}, [TEXT]),
        (
            {"pattern": "ja", "digits": "uncut"},
            ["私", "は", "2024", "年", "に", "\u3000", "東京", "タワー", "へ", "行", "った", "。", " ok"],
        ),
        ({}, ["私は", "202", "4", "年に", "\u3000東京タワーへ行った", "。", " ok"]),
        (
            {"pattern": "ja"},
            ["私", "は", "202", "4", "年", "に", "\u3000", "東京", "タワー", "へ", "行", "った", "。", " ok"],
        ),
        ({"pattern": "[^。]*。?"}, ["私は2024年に\u3000東京タワーへ行った。", " ok"]),
    ],
)
def test_patterns_and_digits(options: dict, expected: list[str]) -> None:
    assert pre_tokens([TEXT], Training(**options)) == expected


def test_words_of_mecab_and_the_lines_around_them() -> None:
    texts = ["東京タワーへ行った。\n\n  次の日、 雨\t", "", "先生"]
    found = pre_tokens(texts, Training(pattern="none", words="mecab"))
    assert "".join(found) == "".join(texts)
    assert found[:5] == ["東京", "タワー", "へ", "行っ", "た"]
    assert " 雨" in found
    assert found[-1] == "先生"


def test_an_unknown_pattern() -> None:
    with pytest.raises(InputError, match="pattern"):
        cuts(pa.array(["a"], pa.large_string()), Training(pattern="jaa"))
