"""Pseudo-words equal those of a regular expression over classes."""

import pyarrow as pa
from hypothesis import given, settings

from jacorpus.kernels.pseudo_words import PseudoWords, pseudo_words, pseudo_words_naive
from tests.strategies import japanese_texts


def naive(texts: list[str]) -> list[tuple[list[int], list[int], list[int]]]:
    documents = []
    for text in texts:
        words = pseudo_words_naive(text)
        numbers: dict[str, int] = {}
        counted = [numbers.setdefault(word, len(numbers)) for word, _ in words]
        documents.append((counted, [len(word) for word, _ in words], [kind for _, kind in words]))
    return documents


def unpacked(found: PseudoWords) -> list[tuple[list[int], list[int], list[int]]]:
    arrays = (found.numbers, found.chars, found.kinds)
    spans = list(zip(found.offsets[:-1], found.offsets[1:], strict=True))
    return [(*(array[start:stop].tolist() for array in arrays),) for start, stop in spans]  # type: ignore[misc]


@given(japanese_texts)
@settings(max_examples=200, deadline=None)
def test_equals_the_naive_twin(texts: list[str | None]) -> None:
    array = pa.array(texts, pa.large_string())
    expected = naive([text or "" for text in texts])
    assert unpacked(pseudo_words(array)) == expected
    assert unpacked(pseudo_words(array[1:])) == expected[1:]


def test_cuts() -> None:
    words = [word for word, _ in pseudo_words_naive("東京特許許可局のカタカナー・ﾊﾝｶｸを、ABC 2024年だったのdata。。")]
    assert words == [
        *("東京", "特許", "許可", "局", "の", "カタカナー", "・", "ﾊﾝｶｸ", "を", "、", "ABC"),
        *("2024", "年", "だっ", "たの", "data", "。", "。"),
    ]
