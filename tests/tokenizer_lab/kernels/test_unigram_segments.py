"""Distinct segments and character counts equal their readable twins."""

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from jacorpus.kernels.buffers import text_buffers
from tests.strategies import japanese_texts
from tokenizer_lab.kernels.unigram_segments import (
    LONGEST,
    POINTS,
    Segments,
    character_counts,
    character_counts_naive,
    segments,
    segments_naive,
)


def as_dict(made: Segments) -> dict[tuple[int, ...], int]:
    spans = zip(made.starts[:-1].tolist(), made.starts[1:].tolist(), made.weights.tolist(), strict=True)
    return {tuple(made.codes[start : stop - 1].tolist()): weight for start, stop, weight in spans}


def coded(texts: pa.Array, missing: str = "") -> np.ndarray:
    code_of = np.zeros(POINTS, np.uint16)
    points = sorted(character_counts_naive(texts))
    code_of[points] = np.arange(1, len(points) + 1)
    code_of[[ord(character) for character in missing]] = 0
    return code_of


def character_ends(texts: pa.Array) -> list[int]:
    """Every place behind a character, in the data of ``text_buffers``."""
    offsets, _ = text_buffers(texts)
    ends = []
    for text, place in zip(texts.to_pylist(), offsets.tolist(), strict=False):
        for character in text or "":
            place += len(character.encode())
            ends.append(place)
    return ends


@settings(max_examples=80, deadline=None)
@given(japanese_texts, st.integers(0, 3), st.data())
def test_equal_to_the_twins(texts: list[str | None], skip: int, data: st.DataObject) -> None:
    array = pa.array(texts, pa.large_string()).slice(skip)
    counts = character_counts(array)
    assert {point: int(counts[point]) for point in np.flatnonzero(counts)} == dict(character_counts_naive(array))
    places = character_ends(array)
    chosen = data.draw(st.lists(st.sampled_from(places), max_size=8)) if places else []
    ends = np.unique(np.array(chosen, np.int64))
    code_of = coded(array, "本、a")
    made = segments(array, ends, code_of)
    assert as_dict(made) == segments_naive(array, ends, code_of)
    assert len(as_dict(made)) == len(made.weights)
    assert made.characters + made.uncoded == int(counts.sum())


def test_spaces_lead_words_and_line_feeds_stand_alone() -> None:
    array = pa.array(["ab  cd e\n\n  f \ng"], pa.large_string())
    code_of = coded(array)
    names = {int(code_of[point]): chr(point) for point in np.flatnonzero(code_of)}
    made = {"".join(names[code] for code in segment): weight for segment, weight in as_dict(
        segments(array, np.zeros(0, np.int64), code_of)).items()}  # fmt: skip
    assert made == {"ab": 1, " ": 3, " cd": 1, " e": 1, "\n": 3, " f": 1, "g": 1}


def test_many_segments_outgrow_the_first_table() -> None:
    words = [f"{i}-{i % 7}" for i in range(20_000)] * 2
    array = pa.array(["\n".join(words)], pa.large_string())
    made = segments(array, np.zeros(0, np.int64), coded(array))
    assert len(made.weights) == 20_001
    assert sorted(set(made.weights.tolist())) == [2, len(words) - 1]


def test_a_text_without_line_ends_is_cut_into_parts() -> None:
    array = pa.array(["あ" * (2 * LONGEST) + "い", "う" * (LONGEST + 1)], pa.large_string())
    code_of = coded(array)
    made = segments(array, np.zeros(0, np.int64), code_of)
    assert sorted(map(len, as_dict(made))) == [1, 1, LONGEST, LONGEST]
    assert as_dict(made) == segments_naive(array, np.zeros(0, np.int64), code_of)


def test_nothing() -> None:
    made = segments(pa.array([], pa.large_string()), np.zeros(0, np.int64), np.zeros(POINTS, np.uint16))
    assert (len(made.codes), len(made.weights), made.characters) == (0, 0, 0)
