"""Each metric on texts small enough to count by hand."""

import math

import numpy as np
import pyarrow as pa
import pytest

from tests.tokenizer_lab.words_tokenizer import Words, encoded, texts_of, units_of
from tokenizer_lab.comparison.encoded import Encoded, Speed, Texts, Units
from tokenizer_lab.comparison.metric import Figure, Ratio, metrics, pooled
from tokenizer_lab.metrics import (
    boundaries,
    code,
    compression,
    digits,
    embedding_cost,
    fallback,
    fertility,
    parity,
    renyi,
    round_trip,
    single_token_retention,
    spaces,
    speed,
    utilization,
)
from tokenizer_lab.tokenizer import open_tokenizer


def values(figures: list[Figure]) -> dict[str, float | None]:
    return {figure.title: pooled(figure) for figure in figures}


def test_every_metric_is_found_and_says_what_it_is() -> None:
    assert {"compression", "boundaries", "renyi", "digits", "speed"} <= set(metrics())
    for name, metric in metrics().items():
        assert metric.TITLE, name
        assert metric.FORMULA, name
        assert metric.TRAP, name
        assert metric.MATERIAL in ("text", "gold", "pair", "tokenizer"), name
        assert len(metric.__doc__ or "") > 100, name


def test_compression_pools_and_does_not_average_ratios() -> None:
    figures = values(compression.measure(encoded(Words("日本", "a"), texts_of("日本日本", "a", ""))))
    assert figures == {"characters per token": 5 / 3, "bytes per token": 13 / 3}


def test_fertility_counts_tokens_of_whole_texts() -> None:
    texts = texts_of("日本語学", units={"word": units_of(["日本", "語", "学"])})
    assert values(fertility.measure(encoded(Words("日本語", "学"), texts))) == {"tokens per word": 2 / 3}


def test_words_that_are_one_token() -> None:
    texts = texts_of("日本語日本", units={"word": units_of(["日本", "語", "日本"])})
    tokenizer = Words("日本語", "日本", prefix=True)
    figures = values(single_token_retention.measure(encoded(tokenizer, texts)))
    assert figures == {
        "STRR (types)": 1 / 2,
        "words in text": 1 / 3,
    }  # 語 is three bytes; the first 日本 is inside a token


def test_words_behind_a_space_may_be_one_token() -> None:
    units = Units(np.array([0, 2]), np.array([0, 2]), np.array([1, 3]))
    texts = texts_of("a b", units={"word": units})
    assert values(single_token_retention.measure(encoded(Words("a", " b", "b"), texts)))["words in text"] == 1.0


def test_boundaries_count_interior_cuts_and_no_prefix() -> None:
    texts = texts_of("日本語学", "学", units={"word": units_of(["日本", "語学"], ["学"])})
    figures = values(boundaries.measure(encoded(Words("日", "本", "語学", "学", prefix=True), texts)))
    assert figures == {"P, word": 1 / 2, "R, word": 1.0, "F1, word": 2 / 3}


def test_a_cut_inside_a_character_is_wrong() -> None:
    texts = texts_of("日本", units={"word": units_of(["日", "本"])})
    assert values(boundaries.measure(encoded(Words("日"), texts)))["P, word"] == 1 / 3


def test_a_space_belongs_to_either_word() -> None:
    units = Units(np.array([0, 2]), np.array([0, 2]), np.array([1, 3]))
    for words in (("a", " b"), ("a ", "b"), ("a", " ", "b")):
        figures = values(boundaries.measure(encoded(Words(*words), texts_of("a b", units={"word": units}))))
        assert figures == {"P, word": 1.0, "R, word": 1.0, "F1, word": 1.0}


def test_parity() -> None:
    one, two = texts_of("日本", "日"), texts_of("a", "a")
    tokenizer = Words("日", "a")
    figures = parity.measure(encoded(tokenizer, one), encoded(tokenizer, two))
    assert values(figures) == {"tokens over tokens": (1 + 3 + 1) / 2}


def test_renyi_of_even_use_is_one_and_matches_the_formula() -> None:
    even = values(renyi.measure(encoded(Words("a", "b"), texts_of("ab"))))
    assert even["over used ids"] == pytest.approx(1.0)
    figures = values(renyi.measure(encoded(Words("a", "b"), texts_of("aaab", "b"))))
    expected = math.log(0.6**2.5 + 0.4**2.5) / (1 - 2.5)
    assert figures["over V"] == pytest.approx(expected / math.log(260))
    assert figures["over used ids"] == pytest.approx(expected / math.log(2))


def test_renyi_draws_center_on_the_figure() -> None:
    words = [chr(0x4E00 + i) for i in range(1500)]
    random = np.random.Generator(np.random.PCG64(0))
    texts = texts_of(*("".join(words[min(int(x), 1499)] for x in random.pareto(0.5, 40)) for _ in range(80)))
    figure = renyi.measure(encoded(Words(*words), texts))[0]
    assert figure.draws.mean() == pytest.approx(figure.value, rel=0.1)
    assert 0 < figure.draws.std() < 0.2 * figure.value


def test_utilization() -> None:
    figures = values(utilization.measure(encoded(Words("a", "b"), texts_of("a" * 100, "b"))))
    assert figures == {"ids used": 2 / 260, "seen 100 times": 1 / 260}


def test_fallback_counts_characters_written_as_bytes() -> None:
    figures = values(fallback.measure(encoded(Words("日"), texts_of("日本\n"))))
    assert figures["byte tokens"] == 4 / 5
    assert figures["characters as bytes"] == 2 / 3
    assert figures["broken tokens"] == 3 / 5
    assert figures["characters cut"] == 1 / 3
    assert figures["unknown tokens"] == 0


def test_merged_unknown_runs_show_by_characters() -> None:
    figures = values(fallback.measure(encoded(Words("日", fallback=False), texts_of("日", "本語学日"))))
    assert figures["unknown tokens"] == 1 / 3
    assert figures["unknown characters"] == 3 / 5


@pytest.mark.parametrize(
    ("text", "back", "unknown", "name"),
    [
        ("a", " a", False, "prefix"),
        ("\ufeffa", "a", False, "BOM"),
        ("a\r\nb", "a b", False, "newline"),
        ("a  b", "a b", False, "space"),
        ("ｱ①", "ア1", False, "normalizer"),
        ("a鷗", "a?", True, "unknown"),
        ("a鷗", "a", False, "other"),
    ],
)
def test_what_a_round_trip_lost(text: str, back: str, unknown: bool, name: str) -> None:
    assert round_trip.classify(text, back, unknown) == name


def test_round_trip_of_unknown_text() -> None:
    figures = round_trip.measure(encoded(Words("日", fallback=False), texts_of("日", "本")))
    assert pooled(figures[0]) == 0.5
    assert figures[1].value == "unknown 1"


def test_embedding_cost() -> None:
    tokenizer = Words("日本")
    figures = values(embedding_cost.measure(encoded(tokenizer, texts_of("日本"))))
    assert figures["embedding parameters"] == 2 * 259 * 2048
    assert figures["MFLOPs of logits per byte"] == pytest.approx(2 * 259 * 2048 / 6 / 1e6)


def test_numbers_in_threes_are_aligned() -> None:
    class Threes(Words):
        """Digits in groups of three from the left."""

        def _cut(self, data: bytes) -> list[tuple[int, int, int]]:
            found, at = [], 0
            while at < len(data):
                size = 1
                while data[at : at + 1].isdigit() and size < 3 and data[at + size : at + size + 1].isdigit():
                    size += 1
                found.append((2, at, at + size))
                at += size
            return found

    figures = values(digits.measure(Threes()))
    assert [figures[str(n)] for n in (1, 3, 4, 6, 12)] == [1, 1, 2, 2, 4]
    assert figures["aligned to thousands"] == pytest.approx(3 / 9)  # 6, 9 and 12 digits of 4 to 12
    assert figures["single digits"] == 0
    assert values(digits.measure(open_tokenizer("char")))["single digits"] == 1


@pytest.mark.parametrize(
    ("number", "kanji"),
    [(0, "〇"), (10, "十"), (1234, "千二百三十四"), (20_305, "二万三百五"), (100_010_000, "一億一万")],
)
def test_numbers_in_kanji(number: int, kanji: str) -> None:
    assert digits.in_kanji(number) == kanji


def test_spaces() -> None:
    figures = values(spaces.measure(Words("    ", "b")))
    assert (figures["1 space"], figures["4 spaces"], figures["8 spaces"], figures["24 spaces"]) == (1, 1, 2, 6)
    assert (figures["U+3000"], figures["CR LF"]) == (3, 2)


def test_code_counts_indentation_alone() -> None:
    figures = values(code.measure(Words("    ")))
    assert figures["tokens a line, 4 spaces"] == pytest.approx(figures["tokens a line, tabs"])
    assert figures["tokens a line, 2 spaces"] > 0
    assert "\t" in code.indented("\t")


def test_speed_is_per_cpu_second() -> None:
    texts = Texts("t", pa.array(["a"], pa.large_string()))
    made = Encoded(Words("a"), texts, Words("a").encode(texts.texts), Speed(3_000_000, 2.0, 5, 1))
    assert values(speed.measure(made)) == {"MB per CPU second": 1.5, "lines compared": 5, "lines with other ids": 1}
    assert speed.measure(encoded(Words("a"), texts)) == []


def test_a_ratio_over_nothing_is_not_told() -> None:
    assert pooled(Ratio("r", np.zeros(2), np.zeros(2))) is None
