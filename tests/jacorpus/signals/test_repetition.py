import pyarrow as pa
import pytest

from jacorpus.signals.repetition import Repetition
from jacorpus.stage import Signal

EVERYTHING = Repetition(top=(2,), dup_types=(5, 2), top_cover=(2, 3), dup_cover=(5,), hojichar=True)


def measure(stage, texts):
    return stage.measure(pa.record_batch({"text": pa.array(texts, pa.large_string())}))


@pytest.mark.parametrize("stage", [Repetition(), EVERYTHING, Repetition((), ())])
def test_columns_are_those_declared(stage):
    columns = measure(stage, ["あ", None])
    assert isinstance(stage, Signal)
    assert {name: pa.array(column).type for name, column in columns.items()} == stage.columns()


def test_values():
    columns = measure(EVERYTHING, ["いろはにほへといろはにほへ"])  # 13 characters, the first 6 come again
    assert {name: column[0] for name, column in columns.items()} == {
        "top_2_ratio": 2 / 12,
        "dup_5_type_ratio": 2 / 7,
        "dup_2_type_ratio": 5 / 7,
        "top_2_cover_ratio": 4 / 13,
        "top_3_cover_ratio": 6 / 13,
        "dup_5_cover_ratio": 5 / 13,
        "char_repetition_ratio": 4 / 9,
    }


def test_texts_shorter_than_the_ngram_are_zeros():
    columns = measure(EVERYTHING, ["", None, "あ"])
    assert all(column.tolist() == [0, 0, 0] for column in columns.values())


def test_other_n_are_refused():
    with pytest.raises(ValueError, match="dup_cover"):
        Repetition(dup_cover=(33,))
