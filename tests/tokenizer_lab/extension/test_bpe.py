"""A SentencePiece BPE model extended: old pieces untouched, other text as before, every new piece reached."""

from itertools import chain

import pytest
import sentencepiece
from hypothesis import given, settings
from hypothesis import strategies as st

from jacorpus.errors import InputError
from tests.strategies import japanese_text
from tests.tokenizer_lab.extension import bases
from tokenizer_lab.extension import bpe
from tokenizer_lab.extension.options import Extending, NewTokens
from tokenizer_lab.extension.scripts import holds_target, target_ranges

SIZE = 470


@pytest.fixture(scope="module", params=["identity", "nmt_nfkc"])
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, bytes, NewTokens]:
    base = bases.sentencepiece_model("bpe", normalizer=request.param)
    new = bpe.new_pieces(base, bases.column(bases.japanese()), Extending(SIZE))
    path = bpe.write(base, new, tmp_path_factory.mktemp("bpe"))
    return base, path.read_bytes(), new


def _open(data: bytes) -> sentencepiece.SentencePieceProcessor:
    return sentencepiece.SentencePieceProcessor(model_proto=data)


def test_old_pieces_are_the_same_bytes(made: tuple[bytes, bytes, NewTokens]) -> None:
    base, extended, new = made
    old, both = bpe.parse_model(base), bpe.parse_model(extended)
    assert [p.SerializeToString() for p in both.pieces[: len(old.pieces)]] == [
        p.SerializeToString() for p in old.pieces
    ]
    assert both.normalizer_spec == old.normalizer_spec
    assert len(both.pieces) == both.trainer_spec.vocab_size == SIZE == _open(extended).vocab_size()
    scores = [p.score for p in both.pieces if p.type == 1]
    assert max(scores[-len(new.tokens) :]) < min(scores[: -len(new.tokens)])
    assert scores[-len(new.tokens) :] == sorted(set(scores[-len(new.tokens) :]), reverse=True)


def test_every_new_piece_is_reached_and_holds_a_target(made: tuple[bytes, bytes, NewTokens]) -> None:
    base, extended, new = made
    first = len(bpe.parse_model(base).pieces)
    assert not new.unreachable
    assert bpe.unreachable_pieces(extended, first) == []
    ranges = target_ranges(Extending(SIZE).scripts)
    assert all(holds_target(token.decode(), ranges) for token in new.tokens)
    assert "日本語" in {token.decode() for token in new.tokens}
    assert not any("。" in token.decode()[1:-1] for token in new.tokens)  # marks stay apart from letters


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
    spelled = before.normalize(text)
    if any(token.decode() in spelled for token in new.tokens):
        assert before.decode(before.encode(text)) == after.decode(after.encode(text))
    else:
        assert before.encode(text) == after.encode(text)


def test_a_piece_appended_without_its_parts_is_unreachable() -> None:
    base = bases.sentencepiece_model("bpe")
    first = len(bpe.parse_model(base).pieces)
    pieces = ["図", "図書館の本"]
    lists = bpe.reachable(base, NewTokens([p.encode() for p in pieces], 2), allowed=False)
    assert [t.decode() for t in lists.tokens] == ["図"]
    assert [t.decode() for t in lists.unreachable] == ["図書館の本"]
    kept = bpe.reachable(base, NewTokens([p.encode() for p in pieces], 2), allowed=True)
    assert len(kept.tokens) == 2
    assert kept.unreachable == lists.unreachable
    assert first > 0


def test_same_text_in_any_order_of_chunks_gives_the_same_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    base = bases.sentencepiece_model("bpe")
    texts = bases.column(bases.japanese())
    whole = bpe.new_pieces(base, texts, Extending(SIZE))
    monkeypatch.setattr(bpe, "CHUNK_BYTES", 100)
    assert bpe.new_pieces(base, texts, Extending(SIZE)) == whole
    assert sorted(chain(whole.tokens)) == sorted(set(whole.tokens))


def test_nothing_to_learn_is_said() -> None:
    with pytest.raises(InputError, match="nothing to learn"):
        bpe.new_pieces(bases.sentencepiece_model("bpe"), bases.column(("only the old language",)), Extending(SIZE))


def test_joined_marks_are_an_option() -> None:
    base = bases.sentencepiece_model("bpe")
    new = bpe.new_pieces(base, bases.column(bases.japanese()), Extending(600, join_marks=True))
    assert any(len(t) > 3 and t.decode().endswith("。") for t in new.tokens)
