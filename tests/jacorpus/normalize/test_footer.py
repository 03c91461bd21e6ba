"""The footer cut, on the borders of its rule."""

import pytest

from jacorpus.normalize.footer import Footer
from tests.jacorpus.normalize.documents import apply_texts, document_batch


@pytest.fixture
def words(tmp_path):
    path = tmp_path / "footer.txt"
    path.write_text("Copyright\n最近の記事\n記事\n", encoding="utf-8")
    return str(path)


@pytest.mark.parametrize(
    ("text", "cut"),
    [
        ("本文\n最近の記事\nもっと", "本文"),
        ("本文\n記事について長い行が続くと割合は小さい\n", "本文\n記事について長い行が続くと割合は小さい\n"),
        ("記事", ""),
        ("", ""),
        ("\n\n", "\n\n"),
        ("本文\n\nCopyright\n", "本文\n"),
        ("記事\n" + "あ\n" * 9 + "い", "記事\n" + "あ\n" * 9 + "い"),  # the eleventh line from the end
        ("序\n記事\n" + "あ\n" * 8 + "い", "序"),  # the tenth
        ("記事1234567", "記事1234567"),
        ("記事1234", ""),
        ("記事" * 3 + "0" * 14, "記事" * 3 + "0" * 14),  # exactly 30 %
    ],
)
def test_cuts(words, text, cut):
    assert apply_texts(Footer(words), [text]) == [cut]


def test_says_how_much_went(words):
    applied = Footer(words).apply(document_batch(["本文\n記事", "本文"]))
    assert applied.columns["cut_chars"].tolist() == [3, 0]


def test_an_empty_or_missing_list_is_an_error(tmp_path):
    (tmp_path / "empty").write_text("\n")
    with pytest.raises(ValueError, match="empty"):
        Footer(str(tmp_path / "empty")).apply(document_batch(["a"]))
    with pytest.raises(OSError):
        Footer(str(tmp_path / "none")).apply(document_batch(["a"]))
