import pyarrow as pa
import pytest

from jacorpus.signals.lines import Lines
from jacorpus.stage import Signal

TEXT = "見出し\n\n\n- これは十文字を超える項目です。\n見出し\nつづく…\n"


def measure(text, split="lf"):
    columns = Lines(split).measure(pa.record_batch({"text": pa.array([text], pa.large_string())}))
    return {name: column[0] for name, column in columns.items()}


def test_columns_are_those_declared():
    columns = Lines().measure(pa.record_batch({"text": pa.array([TEXT, None], pa.large_string())}))
    assert isinstance(Lines(), Signal)
    assert {name: pa.array(column).type for name, column in columns.items()} == Lines().columns()


def test_blank_lines_count_as_equal_lines():
    assert measure(TEXT) == {
        "lines": 7,
        "blank_line_ratio": 3 / 7,
        "dup_line_ratio": 3 / 7,
        "dup_line_chars_ratio": 3 / 27,
        "dup_sentence_ratio": 1 / 4,
        "dup_sentence_chars_ratio": 3 / 27,
        "short_line_ratio": 6 / 7,
        "terminal_line_ratio": 1 / 4,
        "bullet_line_ratio": 1 / 7,
        "ellipsis_line_ratio": 1 / 6,
    }


def test_a_run_of_line_feeds_is_one_break():
    measured = measure(TEXT, "lf_run")
    assert measured["lines"] == 5
    assert measured["blank_line_ratio"] == 1 / 5
    assert measured["dup_line_ratio"] == 1 / 5


def test_empty_text_is_all_zeros():
    assert set(measure("").values()) == {0}


def test_other_splits_are_refused():
    with pytest.raises(ValueError, match="lf_run"):
        Lines("crlf")
