"""The figure is the one its rule gives by hand, for every kind of source."""

import math

import numpy as np
import pytest
import torch

from jacorpus.errors import InputError
from tests.small import prose
from tests.tokenizer_lab.test_encode import jsonl
from tests.trainer.opened_model import random_model
from tokenizer_lab.corpus import open_corpus
from tokenizer_lab.tokenizer import open_tokenizer
from trainer.evaluate.bits_per_byte import (
    Document,
    ModelScorer,
    evaluate_tokens,
    measure,
    text_documents,
    together,
    token_documents,
)
from trainer.evaluate.scoring import Scores, Windows


class Halves:
    """Every token has probability 1/2."""

    def score(self, spans):
        return [Scores(np.full(len(span.ids) - 1, math.log(2)), None) for span in spans]


def test_the_rule_by_hand():
    documents = [Document(np.array([5, 6, 7]), 9), Document(np.array([5]), 3), Document(np.array([], np.int64), 2)]
    found = measure(documents, {"half": Halves()}, 2, 16)["half"]
    assert (found.documents, found.tokens) == (2, 4)  # 6, 7, end; end
    assert found.bits_per_byte == pytest.approx((2 * 4 + 4) / 12)
    assert found.loss == pytest.approx(math.log(2))
    assert found.accuracy is None
    without = measure(documents, {"half": Halves()}, None, 16)["half"]
    assert without.bits_per_byte == pytest.approx((2 * 4 + 2) / 12)


def test_a_uniform_model_costs_log2_v_a_token(small_tokens):
    model = random_model(small_tokens.vocab_size, scale=0)
    eos, name = small_tokens.eos_id, small_tokens.domains[0]
    found = evaluate_tokens(model, small_tokens, eos)[name]
    documents = list(token_documents(small_tokens, name))
    tokens = sum(len(document.ids) + 1 for document in documents)
    text = sum(document.text_bytes for document in documents)
    assert found.bits_per_byte == pytest.approx(tokens * math.log2(small_tokens.vocab_size) / text, rel=1e-6)
    assert found.loss == pytest.approx(math.log(small_tokens.vocab_size), rel=1e-6)
    assert found.documents == len(documents) == small_tokens.manifest["domains"][name]["valid"]["documents"]


def test_token_shards_and_their_text_give_the_same(small_tokens):
    """The domains of a corpus run, read as text with the model's tokenizer."""
    folder = small_tokens.folder.parent / "corpus"
    model, tokenizer = random_model(small_tokens.vocab_size), small_tokens.tokenizer()
    by_tokens = evaluate_tokens(model, small_tokens, small_tokens.eos_id)
    scorers = {"model": ModelScorer(model)}
    for domain in open_corpus([str(folder)]):
        texts = text_documents(domain, tokenizer, "valid", 10_000_000)
        found = measure(texts, scorers, small_tokens.eos_id, tokenizer.vocab_size)["model"]
        assert found.bits_per_byte == pytest.approx(by_tokens[domain.name].bits_per_byte, rel=1e-6)
        assert found.documents == by_tokens[domain.name].documents


def test_a_model_of_bytes_needs_no_shards(tmp_path):
    texts = [prose(i, 2) for i in range(5)]
    domain = open_corpus([str(jsonl(tmp_path / "a.jsonl", texts))])[0]
    found = measure(
        text_documents(domain, open_tokenizer("byte"), None, 1_000_000),
        {"model": ModelScorer(random_model(256), Windows(64))},
        None,
        256,
    )["model"]
    assert found.tokens == sum(len(text.encode()) - 1 for text in texts)
    assert int(found.text_bytes.sum()) == sum(len(text.encode()) for text in texts)


def test_a_budget_takes_the_first_documents(small_tokens):
    name = small_tokens.domains[0]
    whole = list(token_documents(small_tokens, name))
    some = list(token_documents(small_tokens, name, budget_bytes=sum(d.text_bytes for d in whole[:3]) + 1))
    assert len(some) == 3
    assert len(list(token_documents(small_tokens, name, budget_bytes=1))) == 1


def test_together_weighs_bytes_and_the_interval_holds_the_value(small_tokens):
    parts = evaluate_tokens(random_model(small_tokens.vocab_size), small_tokens, small_tokens.eos_id)
    whole = together(parts.values())
    sizes = [part.text_bytes.sum() for part in parts.values()]
    mean = np.average([part.bits_per_byte for part in parts.values()], weights=sizes)
    assert whole.bits_per_byte == pytest.approx(mean)
    for part in parts.values():
        assert part.interval.low < part.bits_per_byte < part.interval.high
        assert part.to_dict()["accuracy"] == part.accuracy


def test_a_difference_is_formed_document_by_document():
    """Documents of very different difficulty, and a scorer a little better on each: apart, though intervals overlap."""
    hard = np.random.default_rng(0).uniform(1, 9, 50)

    class Scorer:
        def __init__(self, factor):
            self.factor = factor

        def score(self, spans):
            return [Scores(np.full(len(span.ids) - 1, self.factor * hard[i]), None) for i, span in enumerate(spans)]

    documents = [Document(np.arange(5), 12)] * 50
    found = measure(documents, {"a": Scorer(0.95), "b": Scorer(1.0)}, 2, 16)
    apart = found["a"].less(found["b"])
    assert apart.high < 0
    assert found["a"].interval.high > found["b"].interval.low
    assert apart.value == pytest.approx(found["a"].bits_per_byte - found["b"].bits_per_byte)


def test_nothing_to_measure_on():
    with pytest.raises(InputError, match="no document"):
        measure([], {"half": Halves()}, 2, 16)


def test_the_targets_are_those_of_training(small_tokens):
    """A row of the feed that holds one whole document has the same loss."""
    from trainer.batch import TokenBatch

    model, eos = random_model(small_tokens.vocab_size).double(), small_tokens.eos_id
    document = next(token_documents(small_tokens, small_tokens.domains[0]))
    ids = torch.from_numpy(np.append(document.ids, eos).astype(np.int64))[None]
    zeros = torch.zeros(1, ids.shape[1] - 1)
    batch = TokenBatch(ids[:, :-1], ids[:, 1:], zeros + 1, zeros.int(), zeros[0].int())
    loss, _ = model.loss(batch)
    found = measure([document], {"model": ModelScorer(model)}, eos, small_tokens.vocab_size)["model"]
    assert found.nats[0] == pytest.approx(float(loss.sum()), rel=1e-12)
