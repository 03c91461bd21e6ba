"""The libraries' own trainers, on our cuts, their result in our tables."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from jacorpus.errors import InputError, RecipeError
from tests.tokenizer_lab.training.test_unigram import documents
from tokenizer_lab.tokenizer import Kind
from tokenizer_lab.training import bpe
from tokenizer_lab.training.bpe_model import BpeModel
from tokenizer_lab.training.libraries import CUT, cut_lines, train
from tokenizer_lab.training.settings import Training
from tokenizer_lab.training.unigram_model import UnigramModel

TEXTS = pa.array(documents(), pa.large_string())
UNIGRAM = Training(vocab_size=420, pattern="none", digits="uncut", coverage=1.0)
BPE = replace(UNIGRAM, algorithm="bpe", vocab_size=440)
BYTES = replace(UNIGRAM, algorithm="byte-bpe", vocab_size=420, whole_characters=False)


def test_lines_with_cuts() -> None:
    texts = pa.array(["東京タワー123\n\nabc <s>", None, ""], pa.large_string())
    lines = list(cut_lines(texts, Training(pattern="ja", digits="single")))
    assert lines[:3] == [CUT.join(["東京", "タワー", "1", "2", "3"]), "", CUT.join(["abc", " <", "s", ">"])]


@pytest.mark.parametrize("trainer", ["sentencepiece", "huggingface"])
def test_unigram(trainer: str) -> None:
    model = train(TEXTS, replace(UNIGRAM, trainer=trainer))
    assert isinstance(model, UnigramModel)
    assert abs(len(model) - 420) <= 2
    normal = model.normal()
    assert all(character in normal for piece in normal for character in piece)
    assert any(len(piece) > 2 for piece in normal)
    assert model.pieces[:5] == UNIGRAM.specials


@pytest.mark.parametrize(
    ("trainer", "settings"), [("sentencepiece", BPE), ("huggingface", BPE), ("huggingface", BYTES)]
)
def test_bpe(trainer: str, settings: Training) -> None:
    model = train(TEXTS, replace(settings, trainer=trainer))
    assert isinstance(model, BpeModel)
    assert len(model) == settings.vocab_size
    assert len(set(zip(model.tokens, model.kinds.tolist(), strict=True))) == len(model)
    for m, (left, right) in enumerate(model.merges.tolist()):
        assert model.tokens[model.first_merged + m] == model.tokens[left] + model.tokens[right]
    mine = bpe.train(TEXTS, settings)
    shared = len(set(model.tokens) & set(mine.tokens))
    assert shared > 0.8 * len(model)  # ties are broken otherwise


@pytest.mark.parametrize("trainer", ["sentencepiece", "huggingface"])
def test_no_piece_crosses_a_cut(trainer: str) -> None:
    crossing = "学校で".encode()
    assert crossing in train(TEXTS, replace(BPE, trainer=trainer)).tokens
    model = train(TEXTS, replace(BPE, trainer=trainer, pattern="ja", digits="three", vocab_size=365))
    assert len(model.merges) > 10
    assert not any(crossing in token for token in model.tokens)


def test_names_of_special_tokens_are_never_learned_by_sentencepiece() -> None:
    texts = pa.array(["<s>", "<0x41>", "<|im_end|>"] * 200 + documents(), pa.large_string())
    model = train(texts, replace(BPE, trainer="sentencepiece"))
    normal = {t.decode() for t, k in zip(model.tokens, model.kinds, strict=True) if k == Kind.NORMAL}
    assert not normal & {"<s>", "<0x41>", "<|im_end|>"}


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (replace(BYTES, trainer="sentencepiece"), "no byte-level BPE"),
        (replace(BYTES, trainer="huggingface", whole_characters=True), "whole_characters = false"),
        (replace(BPE, trainer="huggingface", words="mecab"), "no words of MeCab"),
        (replace(BPE, trainer="sentencepiece", vocab_size=100_000), "too small|could not train"),
        (replace(BPE, trainer="huggingface", vocab_size=100_000), "too small"),
        (replace(UNIGRAM, trainer="sentencepiece", vocab_size=100_000), "could not train"),
    ],
)
def test_what_can_not_be_trained(settings: Training, words: str) -> None:
    with pytest.raises((RecipeError, InputError), match=words):
        train(TEXTS, settings)


def test_equal_text_gives_equal_models() -> None:
    one, two = (train(TEXTS, replace(BPE, trainer="sentencepiece")) for _ in range(2))
    assert one.tokens == two.tokens
    assert np.array_equal(one.merges, two.merges)
