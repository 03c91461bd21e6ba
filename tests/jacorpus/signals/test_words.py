"""Word signals on sentences small enough to count by hand, against plain Python, and on very long text."""

import pyarrow as pa
import pytest
from hypothesis import given, settings

from jacorpus.kernels.word_ngrams import word_repetition_naive
from jacorpus.signals.words import PIECE_CHARS, SYMBOLS, Words, pieces, segment
from tests.strategies import japanese_texts


def batch(texts: list[str]) -> pa.RecordBatch:
    ids = [row.to_bytes(16, "big") for row in range(len(texts))]
    return pa.record_batch({"id": pa.array(ids, pa.binary(16)), "text": pa.array(texts, pa.large_string())})


def measure(text: str) -> dict[str, float]:
    return {name: values[0] for name, values in Words().measure(batch([text])).items()}


def test_words_and_parts_of_speech() -> None:
    surfaces, classes = segment("お寿司が\u3000 食べたい。\nABC")
    assert surfaces == ["お", "寿司", "が", "\u3000", "食べ", "たい", "。", "ABC"]
    assert classes == ["接頭辞", "名詞", "助詞", "空白", "動詞", "助動詞", "補助記号", "名詞"]


def test_counted_by_hand() -> None:
    found = measure("お寿司が\u3000 食べたい。\nABC#")
    assert found["words"] == 8  # お 寿司 が 食べ たい 。 ABC #
    assert found["plain_words"] == 6
    assert found["word_mean_chars"] == (1 + 2 + 1 + 2 + 2 + 3) / 6
    assert found["newline_per_word"] == found["symbol_word_ratio"] == 1 / 8
    assert found["alpha_word_ratio"] == 6 / 8
    assert found["stopword_types"] == 1
    assert found["noun_ratio"] == 2 / 7  # the space counts, the two symbols do not
    assert found["top_2_word_cover_ratio"] == len("お 寿司") / 16


def test_an_empty_document_is_all_zeros() -> None:
    assert set(measure("").values()) == {0.0}


def test_nul_hides_nothing() -> None:
    assert segment("猫\0犬")[0] == ["猫", "犬"]


@given(japanese_texts)
@settings(max_examples=60, deadline=None)
def test_equals_plain_python(texts: list[str | None]) -> None:
    texts = [text or "" for text in texts]
    measured = Words().measure(batch(texts))
    for row, text in enumerate(texts):
        everything, classes = segment(text)
        words = [word for word in everything if word.strip()]
        top, dup, _ = word_repetition_naive([words], 10)
        repeated = word_repetition_naive([everything], 7)[2][0][7]
        nouns = [kind for kind in classes if kind != "補助記号"]
        expected = {
            "words": len(words),
            "plain_words": sum(any(char not in SYMBOLS for char in word) for word in words),
            "alpha_word_ratio": sum(any(char.isalpha() for char in word) for word in words) / max(len(words), 1),
            "stopword_types": len(set(words) & set(Words().stopwords)),
            "noun_ratio": nouns.count("名詞") / max(len(nouns), 1),
            "word_repetition_ratio": repeated / max(len(everything) - 6, 1),
            **{f"top_{n}_word_cover_ratio": top[0][n] / max(len(text), 1) for n in (2, 3, 4)},
            **{f"dup_{n}_word_cover_ratio": dup[0][n] / max(len(text), 1) for n in range(5, 11)},
        }
        assert {name: measured[name][row] for name in expected} == expected


def test_columns_are_those_promised() -> None:
    measured = Words().measure(batch(["猫がいる。", "犬もいる。"]))
    assert {name: pa.array(values).type for name, values in measured.items()} == dict(Words().columns())
    assert Words.costly


def test_a_document_does_not_depend_on_its_batch() -> None:
    texts = ["猫がいる。" * 5, "", "ABC　def", "お寿司が食べたい。"]
    together = Words().measure(batch(texts))
    for row, text in enumerate(texts):
        assert {name: values[row] for name, values in together.items()} == measure(text)


@pytest.mark.parametrize(("text", "parts"), [("", [""]), ("あ\nいう\nえお", ["あ\n", "いう\n", "えお"])])
def test_pieces_end_behind_a_line(text: str, parts: list[str]) -> None:
    assert list(pieces(text, 4)) == parts
    assert list(pieces("あ。いうえおか", 4)) == ["あ。", "いうえお", "か"]


def test_long_text_without_a_break_does_not_crash() -> None:
    text = "東京特許許可局" * (PIECE_CHARS * 3 // 7)
    assert "".join(segment(text)[0]) == text
