"""A SentencePiece Unigram model extended: old scores held, new ones between the old lowest and highest."""

import math

import pytest
import sentencepiece
from hypothesis import given, settings
from hypothesis import strategies as st

from jacorpus.errors import InputError
from tests.strategies import japanese_text
from tests.tokenizer_lab.extension import bases
from tokenizer_lab.extension import unigram
from tokenizer_lab.extension.bpe import parse_model, unreachable_pieces
from tokenizer_lab.extension.options import Extending, NewTokens

MORE = 90


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, bytes, NewTokens]:
    base = bases.sentencepiece_model("unigram")
    size = len(parse_model(base).pieces) + MORE
    new = unigram.new_pieces(base, bases.column(bases.japanese()), Extending(size))
    return base, unigram.write(base, new, tmp_path_factory.mktemp("unigram")).read_bytes(), new


def _open(data: bytes) -> sentencepiece.SentencePieceProcessor:
    return sentencepiece.SentencePieceProcessor(model_proto=data)


def test_old_pieces_are_the_same_bytes(made: tuple[bytes, bytes, NewTokens]) -> None:
    old, both = (list(parse_model(data).pieces) for data in made[:2])
    assert [p.SerializeToString() for p in both[: len(old)]] == [p.SerializeToString() for p in old]
    normal = [p.score for p in old if p.type == 1]
    assert len(both) - len(old) == len(made[2].tokens) <= MORE
    assert all(min(normal) <= p.score <= max(normal) for p in both[len(old) :])


def test_every_new_piece_is_reached(made: tuple[bytes, bytes, NewTokens]) -> None:
    base, extended, new = made
    assert unreachable_pieces(extended, len(parse_model(base).pieces)) == []
    assert not new.unreachable
    assert any("図書館" in token.decode() for token in new.tokens)


def test_new_language_gets_shorter_old_stays(made: tuple[bytes, bytes, NewTokens]) -> None:
    before, after = _open(made[0]), _open(made[1])
    count = [sum(len(p.encode(text)) for text in bases.japanese()) for p in (before, after)]
    assert count[1] * 1.6 < count[0]
    plain = [text for text in bases.english() if text.isascii()]
    assert before.encode(plain) == after.encode(plain)


@settings(max_examples=300, deadline=None)
@given(text=st.one_of(japanese_text, st.text(st.sampled_from(bases.ALPHABET), max_size=30)))
def test_text_without_a_new_piece_keeps_its_ids(made: tuple[bytes, bytes, NewTokens], text: str) -> None:
    base, extended, new = made
    before, after = _open(base), _open(extended)
    if not any(token.decode() in before.normalize(text) for token in new.tokens):
        assert before.encode(text) == after.encode(text)


def test_best_split_is_the_best_of_all() -> None:
    scores = {"a": -1.0, "b": -2.0, "ab": -2.5, "bc": -9.0, "c": -3.0, "abc": -1.0}
    assert unigram.best_split("abc", scores, -20.0) == -5.5
    assert unigram.best_split("ax", scores, -20.0) == -21.0
    assert unigram.best_split("a", scores, -20.0) == -20.0
    assert unigram.best_split("", scores, -20.0) == -20.0
    assert not math.isinf(unigram.best_split("xyz", {}, -1.0))


def test_nothing_to_learn_is_said() -> None:
    base = bases.sentencepiece_model("unigram")
    with pytest.raises(InputError, match="nothing to learn"):
        unigram.new_pieces(base, bases.column(("only the old language",)), Extending(1000))
