"""Names are counted with what was kept of them."""

from jacorpus.report import names
from jacorpus.report.names import Named, count_names


def parts(finished):
    return [finished.out / "signals/part-00000.arrow"], [finished.out / "audit/part-00000.arrow"]


def test_counts_agree_with_the_rows(finished):
    counts = count_names(*parts(finished))
    assert set(counts) == {"language.lang", "extract.charset", "benchmarks.benchmark"}
    langs = counts["language.lang"]
    assert set(langs) == {"ja", "en", "zh", "ko", ""}
    assert langs["zh"].kept == 0 < langs["ja"].kept < langs["ja"].documents
    whole = sum(langs.values(), Named())
    assert whole == sum(counts["extract.charset"].values(), Named())
    assert whole.documents == 576


def test_columns_of_too_many_names_are_left_out(finished, monkeypatch):
    monkeypatch.setattr(names, "MOST", 3)
    assert set(count_names(*parts(finished))) == {"extract.charset", "benchmarks.benchmark"}
