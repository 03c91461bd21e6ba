"""The baseline is a probability, learned from the targets of training, and beats counting single tokens."""

import itertools
import math

import numpy as np
import pytest

from jacorpus.errors import InputError
from tests.tokenizer_lab.test_encode import shard_folder
from tests.trainer.opened_model import random_model
from tokenizer_lab.corpus import open_corpus
from tokenizer_lab.encode import encode_corpus
from trainer.evaluate import bigram
from trainer.evaluate.bigram import Bigram
from trainer.evaluate.bits_per_byte import ModelScorer, measure, token_documents
from trainer.evaluate.scoring import Span


def pairs_of(tokens, eos):
    found = {}
    for name in tokens.domains:
        for document in token_documents(tokens, name, "train"):
            ids = [*document.ids.tolist(), *([] if eos is None else [eos])]
            for pair in itertools.pairwise(ids):
                found[pair] = found.get(pair, 0) + 1
    return found


@pytest.mark.parametrize("eos", [2, None])
def test_counts_are_the_pairs_within_documents(small_tokens, eos, monkeypatch):
    monkeypatch.setattr(bigram, "_CHUNK", 500)
    model = Bigram.train(small_tokens, eos)
    found = dict(zip(model.keys.tolist(), model.counts.tolist(), strict=True))
    v = small_tokens.vocab_size
    assert found == {a * v + b: n for (a, b), n in pairs_of(small_tokens, eos).items()}


def test_probabilities_sum_to_one_after_every_id(small_tokens):
    model = Bigram.train(small_tokens, small_tokens.eos_id)
    ids = np.arange(small_tokens.vocab_size)
    for before in ids[::7]:
        p = model.probabilities(np.full_like(ids, before), ids)
        assert p.min() > 0
        assert p.sum() == pytest.approx(1)


def test_the_formula_by_hand():
    """c(0,1) = 3, c(0,2) = 1, c(1,2) = 2 over V = 4."""
    model = Bigram(np.array([1, 2, 6]), np.array([3, 1, 2]), 4)
    d = 1 / 3  # one pair once, one twice
    d1 = 1 / 3  # m(1) = 1, m(2) = 2
    p1 = [(max(m - d1, 0) + d1 * 2 / 4) / 3 for m in (0, 1, 2, 0)]
    np.testing.assert_allclose(model.p1, p1)
    wanted = [(3 - d) / 4 + d * 2 / 4 * p1[1], d * 2 / 4 * p1[3], p1[2]]
    np.testing.assert_allclose(model.probabilities(np.array([0, 0, 3]), np.array([1, 3, 2])), wanted)


def test_scores_follow_the_spans(small_tokens):
    model = Bigram.train(small_tokens, 2)
    ids = np.array([5, 9, 30, 2])
    whole = model.score([Span(ids)])[0].nats
    np.testing.assert_allclose(whole, -np.log(model.probabilities(ids[:-1], ids[1:])))
    np.testing.assert_allclose(model.score([Span(ids, 2)])[0].nats, whole[1:])
    assert len(model.score([Span(ids[:1])])[0].nats) == 0


def test_it_lies_between_an_untrained_model_and_nothing(small_tokens):
    eos, v = small_tokens.eos_id, small_tokens.vocab_size
    scorers = {"model": ModelScorer(random_model(v, scale=0)), "bigram": Bigram.train(small_tokens, eos)}
    found = measure(token_documents(small_tokens, small_tokens.domains[0]), scorers, eos, v)
    assert 0 < found["bigram"].bits_per_byte < 0.6 * found["model"].bits_per_byte
    assert found["bigram"].loss < math.log(v)


def test_a_part_of_the_tokens_is_whole_documents(small_tokens):
    some = Bigram.train(small_tokens, 2, most_tokens=small_tokens.manifest["domains"]["web"]["train"]["tokens"])
    whole = Bigram.train(small_tokens, 2)
    assert 0.3 * whole.counts.sum() < some.counts.sum() < 0.6 * whole.counts.sum()


def test_nothing_to_count(tmp_path):
    corpus = open_corpus([str(shard_folder(tmp_path / "corpus", {"web": ["短い。"]}))])  # the first is valid
    tokens = encode_corpus(corpus, "byte", tmp_path / "tokens")
    with pytest.raises(InputError, match="no document of split train"):
        Bigram.train(tokens, None)
