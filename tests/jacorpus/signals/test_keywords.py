"""The stage around the keyword kernel: columns, ratio, files."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from jacorpus.signals.keywords import Keywords


def batch(texts: list[str]) -> pa.RecordBatch:
    return pa.record_batch({"text": pa.array(texts, pa.large_string())})


def test_columns_of_each_list(tmp_path: Path) -> None:
    (tmp_path / "ads").write_text("\ufeff送料無料\r\n\nお買い得\n", "utf-8")
    (tmp_path / "bad").write_text("アス\n", "utf-8")
    stage = Keywords({"ads": str(tmp_path / "ads"), "bad": str(tmp_path / "bad")})
    measured = stage.measure(batch(["送料無料!送料無料、アスパラ", "abc", "アス"]))
    assert list(measured) == list(stage.columns())
    assert measured["ads_hits"].tolist() == [2, 0, 0]
    assert measured["ads_types"].tolist() == [1, 0, 0]
    assert measured["ads_ratio"].tolist() == [8 / 13, 0, 0]
    assert measured["bad_hits"].tolist() == [0, 0, 1]
    assert measured["ads_hits"].dtype == np.int32
    loose = Keywords({"bad": str(tmp_path / "bad")}, whole_katakana=False)
    assert loose.measure(batch(["アスパラ"]))["bad_hits"].tolist() == [1]


def test_a_hit_without_japanese_stays_finite(tmp_path: Path) -> None:
    (tmp_path / "bad").write_text("spam", "utf-8")
    assert Keywords({"bad": str(tmp_path / "bad")}).measure(batch(["spam"]))["bad_ratio"].tolist() == [4.0]


def test_no_list_measures_nothing() -> None:
    assert Keywords().measure(batch(["あ"])) == {} == Keywords().columns()


def test_errors_name_the_list(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\n", "utf-8")
    with pytest.raises(ValueError, match="empty"):
        Keywords({"bad": str(tmp_path / "empty")}).measure(batch(["あ"]))
    with pytest.raises(OSError, match="absent"):
        Keywords({"bad": str(tmp_path / "absent")}).measure(batch(["あ"]))
