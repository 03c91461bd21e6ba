"""Differences between the forms of a Unigram model: ties and drift are told apart, faults are not explained away."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tokenizer_lab.save.unigram import save_unigram
from tokenizer_lab.tokenizer import Tokenizer, open_tokenizer, token_lists
from tokenizer_lab.training.settings import Training
from tokenizer_lab.training.unigram_differences import FormReport, unigram_differences
from tokenizer_lab.training.unigram_model import assemble, needed_characters

TRAINING = Training()


class Fixed:
    """Answers every text with the pieces of a list."""

    engine = "fixed"

    def __init__(self, exact: Tokenizer, answers: dict[str, list[str]]) -> None:
        self.vocabulary = exact.vocabulary
        names = {piece.decode(): id for id, piece in enumerate(self.vocabulary.pieces)}
        self.answers = {text: [names[piece] for piece in pieces] for text, pieces in answers.items()}
        self.exact = exact

    def encode(self, texts: pa.Array) -> pa.LargeListArray:
        exact = self.exact.encode(texts)
        rows = [self.answers.get(t, e) for t, e in zip(texts.to_pylist(), exact.to_pylist(), strict=True)]
        return token_lists(np.cumsum([0, *map(len, rows)]), np.array([id for row in rows for id in row], np.uint32))


@pytest.fixture(scope="module")
def forms(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tokenizer]:
    pieces = dict.fromkeys([*needed_characters(TRAINING), *"あいうえお"], -9.0)
    pieces |= {"ああ": -10.0, "いう": -11.0, "えお": -11.0, "うえ": -11.002}
    files = save_unigram(assemble(pieces.items(), TRAINING), tmp_path_factory.mktemp("forms"))
    return {name: open_tokenizer(path) for name, path in files.items()}


def report(forms: dict[str, Tokenizer], answers: dict[str, list[str]], *texts: str) -> FormReport:
    both = {"huggingface": Fixed(forms["plamo2"], answers), "plamo2": forms["plamo2"]}
    return unigram_differences(both, pa.array(texts, pa.large_string()))[0]  # type: ignore[arg-type]


def test_equal(forms: dict[str, Tokenizer]) -> None:
    found = report(forms, {}, "あああ\nい", "")
    assert (found.lines.texts, found.documents.texts, found.lines.differ) == (3, 2, 0)
    assert found.sentence() == "huggingface v plamo2: 0 of 3 lines differ, and no document"


def test_a_tie(forms: dict[str, Tokenizer]) -> None:
    found = report(forms, {"あああ": ["あ", "ああ"]}, "あああ\nい")
    assert (found.lines.ties, found.lines.differ, found.documents.differ) == (1, 1, 0)
    assert "'ああ|あ' (-19.0000) there, 'あ|ああ' (-19.0000) here" in found.sentence()


def test_drift(forms: dict[str, Tokenizer]) -> None:
    found = report(forms, {"いうえ": ["い", "うえ"]}, "いうえ")
    assert (found.lines.drifts, found.lines.differ, found.worst_ticks) == (1, 1, 20)
    assert found.documents.drifts == 1


@pytest.mark.parametrize("answer", [["い", "う", "え"], ["い"], ["い", "う", "お"], []])
def test_a_fault_is_not_explained_away(forms: dict[str, Tokenizer], answer: list[str]) -> None:
    found = report(forms, {"いうえ": answer}, "いうえ")
    assert (found.lines.unexplained, found.lines.differ) == (1, 1)


def test_the_real_forms_differ_by_ties_alone(forms: dict[str, Tokenizer]) -> None:
    texts = pa.array(["あああああ", "いうえ", "ああ日本\nあああ", "<s>\u2581\x00"], pa.large_string())
    for found in unigram_differences(forms, texts):
        assert found.documents.unexplained == found.lines.unexplained == 0
        assert found.lines.differ == found.lines.ties == 2


def test_real_text(real_data: Path, tmp_path: Path) -> None:
    from tokenizer_lab.corpus import draw, open_corpus
    from tokenizer_lab.training.unigram import train

    texts = draw(open_corpus([str(real_data / "qa" / "squad_ja.jsonl.zst")]), 500_000).texts
    files = save_unigram(train(texts, Training(vocab_size=3000)), tmp_path)
    for found in unigram_differences({name: open_tokenizer(path) for name, path in files.items()}, texts):
        assert found.lines.tokens > 100_000
        assert found.lines.unexplained == found.documents.unexplained == 0
