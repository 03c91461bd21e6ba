"""What a trained BPE model holds: whole characters, special tokens first, nothing learned across a cut."""

import re
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jacorpus.errors import InputError, RecipeError
from tests.strategies import japanese_text
from tests.tokenizer_lab.training.test_unigram import documents
from tokenizer_lab.tokenizer import Kind
from tokenizer_lab.training.bpe import train
from tokenizer_lab.training.bpe_model import BpeModel
from tokenizer_lab.training.settings import Training

SMALL = Training(algorithm="byte-bpe", vocab_size=520, coverage=1.0, pattern="none", digits="uncut")
BYTES = replace(SMALL, whole_characters=False)
CHARACTERS = replace(SMALL, algorithm="bpe", vocab_size=440)


def array(texts: list[str]) -> pa.Array:
    return pa.array(texts, pa.large_string())


def learned(model: BpeModel) -> list[bytes]:
    return [t for t, k in zip(model.tokens, model.kinds, strict=True) if k == Kind.NORMAL]


def is_whole(token: bytes) -> bool:
    """Whether a token is characters, or the beginning of one."""
    try:
        token.decode()
        return True
    except UnicodeDecodeError as error:
        return error.start == 0 and error.reason == "unexpected end of data"


def largest(texts: list[str], settings_: Training) -> BpeModel:
    """The model of all ids that the text gives; the refusal of more says how many."""
    with pytest.raises(InputError, match="set vocab_size to at most") as refused:
        train(array(texts), replace(settings_, vocab_size=1_000_000))
    size = int(re.search(r"to at most ([\d,]+)", str(refused.value))[1].replace(",", ""))
    return train(array(texts), replace(settings_, vocab_size=size))


def same(a: BpeModel, b: BpeModel) -> bool:
    return a.tokens == b.tokens and np.array_equal(a.merges, b.merges) and np.array_equal(a.kinds, b.kinds)


def test_layout_of_bytes() -> None:
    model = train(array(documents()), SMALL)
    assert len(model) == len(set(model.tokens)) == 520
    assert model.tokens[:5] == tuple(name.encode() for name in SMALL.specials)
    assert [model.tokens[id] for id in model.byte_ids] == [bytes([value]) for value in range(256)]
    for m, (left, right) in enumerate(model.merges.tolist()):
        assert model.tokens[model.first_merged + m] == model.tokens[left] + model.tokens[right]
        assert max(left, right) < model.first_merged + m


def test_layout_of_characters() -> None:
    model = train(array(documents()), CHARACTERS)
    assert (model.kinds == Kind.BYTE).sum() == 256
    characters = {c for text in documents() for c in text}
    pieces = {token.decode() for token in learned(model)}
    assert characters <= pieces
    assert all(left >= model.byte_ids.stop for left in model.merges.ravel())


@pytest.mark.parametrize("settings_", [SMALL, BYTES, CHARACTERS], ids=["whole", "bytes", "characters"])
def test_order_and_batches_do_not_matter(settings_: Training, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = documents()
    first = train(array(texts), settings_)
    monkeypatch.setattr("tokenizer_lab.training.bpe.BATCH_BYTES", 100)
    assert same(first, train(array(texts[::-1]), settings_))


def test_whole_characters() -> None:
    texts = documents()
    assert all(is_whole(token) for token in learned(train(array(texts), SMALL))[256:])
    assert not all(is_whole(token) for token in learned(train(array(texts), BYTES))[256:])


@settings(max_examples=40, deadline=None)
@given(st.lists(japanese_text.filter(bool), min_size=1, max_size=4))
def test_whole_characters_of_any_text(texts) -> None:
    model = largest(texts * 2, SMALL)
    assert all(is_whole(token) for token in learned(model)[256:])
    assert len(set(model.tokens)) == len(model)


def test_names_of_special_tokens_are_never_learned() -> None:
    texts = ["<s>", "<|im_end|>", "<0x41>", "<|unused_0|>", "<|reserved_0|>"] * 50 + documents()
    for algorithm in ("byte-bpe", "bpe"):
        wanted = Training(
            algorithm=algorithm, vocab_size=600, pattern="none", digits="uncut", coverage=1.0, reserved=2, multiple=64
        )
        model = train(array(texts), wanted)
        assert len(model) == 640
        names = {*wanted.specials, "<0x41>", "<|unused_0|>", "<|reserved_0|>"}
        assert not names & {token.decode(errors="replace") for token in learned(model)}
        assert model.tokens[5:7] == (b"<|reserved_0|>", b"<|reserved_1|>")
        assert model.tokens[-1] == b"<|unused_39|>"


@pytest.mark.parametrize("settings_", [SMALL, BYTES, CHARACTERS], ids=["whole", "bytes", "characters"])
def test_longest_piece(settings_: Training) -> None:
    model = largest(["あいうえおかきくけこabcdefg"] * 9, replace(settings_, max_piece_chars=3))
    assert max(len(token.decode(errors="ignore")) for token in learned(model)) == 3


def test_words_of_mecab_are_not_crossed() -> None:
    plain = CHARACTERS
    tokens = {token.decode() for token in learned(largest(["東京都に住んでいる。"] * 20, plain))}
    assert any("に住" in token for token in tokens)
    tokens = {
        token.decode() for token in learned(largest(["東京都に住んでいる。"] * 20, replace(plain, words="mecab")))
    }
    assert "東京" in tokens
    assert not any("に住" in token for token in tokens)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"vocab_size": 200}, "256 bytes need 261"),
        ({"vocab_size": 300}, "leaves room for 39; raise vocab_size or lower coverage"),
        ({"specials": ("<unk>", "x")}, "at least two characters"),
        ({"specials": ("<unk>", "<|reserved_0|>"), "reserved": 1}, "call it otherwise"),
        ({"pattern": "gpt2", "digits": "single"}, "leaves numbers uncut"),
        ({"vocab_size": 100_000}, "set vocab_size to at most"),
    ],
)
def test_settings_that_can_not_be_met(change: dict, words: str) -> None:
    with pytest.raises((RecipeError, InputError), match=words):
        train(array(documents()), replace(SMALL, **change))


def test_an_empty_text() -> None:
    with pytest.raises(InputError, match="empty"):
        train(array(["", ""]), SMALL)
