"""Bits per byte: the rules that make tokenizers comparable."""

import json
import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from jacorpus.errors import InputError
from tests.tokenizer_lab.words_tokenizer import Words
from tokenizer_lab.comparison.judge import Options, judge
from tokenizer_lab.comparison.language_model import flops_per_token, train_counts
from tokenizer_lab.corpus import open_corpus
from tokenizer_lab.tokenizer import list_buffers, open_tokenizer

SHARES = 1 / np.arange(1, 41) / (1 / np.arange(1, 41)).sum()
ENTROPY = float(-(SHARES * np.log2(SHARES)).sum()) / 4
"""Bits a letter of the source: words of four letters drawn by Zipf's law, one after the other."""


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> str:
    """2,000 documents of 100 words."""
    random = np.random.Generator(np.random.PCG64(3))
    words = sorted({"".join(random.choice(list("abcdefgh"), 4)) for _ in range(60)})[:40]
    rows = [json.dumps({"text": "".join(words[i] for i in random.choice(40, 100, p=SHARES))}) for _ in range(2000)]
    path = tmp_path_factory.mktemp("judge") / "words.jsonl"
    path.write_text("\n".join(rows), "utf-8")
    return str(path)


@pytest.fixture(scope="module")
def judged(corpus: str):
    tokenizers = {
        "byte": open_tokenizer("byte"),
        "pairs": Words(*(a + b for a in "abcdefgh" for b in "abcdefgh"), name="pairs"),
        "lossy": Words("a", name="lossy", fallback=False),
    }
    return judge(tokenizers, open_corpus([f"words={corpus}"]), Options(200_000, 50_000))


def test_no_tokenizer_goes_below_the_entropy_of_the_source(judged) -> None:
    """Counting over 12 bytes with little text stays above it by a fifth."""
    for name in ("byte", "pairs"):
        assert ENTROPY < judged.mean("equal text", name, "words") < 1.25 * ENTROPY


def test_what_loses_text_is_not_judged(judged) -> None:
    assert list(judged.skipped) == ["lossy"]
    assert "byte for byte" in judged.skipped["lossy"]
    assert judged.mean("equal text", "lossy", "words") is None


def test_equal_text_is_equal_and_equal_compute_costs_the_same(judged) -> None:
    assert judged.bytes_seen["equal text", "byte"] == judged.bytes_seen["equal text", "pairs"]
    assert len(judged.bits["equal text", "byte", "words"]) == 3
    share = flops_per_token(256) / flops_per_token(len(Words().vocabulary) + 64)
    ratio = np.mean(judged.bytes_seen["equal compute", "byte"]) / np.mean(judged.bytes_seen["equal compute", "pairs"])
    assert ratio == pytest.approx(1 / share / 2, rel=0.02)  # a pair is two bytes and costs a little more


def test_a_difference_within_the_seeds_is_none(judged) -> None:
    judged.bits["equal text", "x", "words"] = [1.0, 1.1, 1.2]
    judged.bits["equal text", "y", "words"] = [1.05, 1.08, 1.21]
    judged.bits["equal text", "z", "words"] = [1.1, 1.2, 1.301]
    assert not judged.differs("equal text", "x", "y", "words")
    assert judged.differs("equal text", "x", "z", "words")


def test_a_training_function_may_be_passed_in(corpus: str) -> None:
    calls = []

    class Uniform:
        def __init__(self, size: int) -> None:
            self.size = size

        def bits(self, tokens: pa.LargeListArray) -> np.ndarray:
            return (np.diff(list_buffers(tokens)[0]) + 1) * math.log2(self.size + 1)

    def train(tokenizer, tokens, seed):
        calls.append((len(tokens), seed))
        return Uniform(tokenizer.vocab_size)

    done = []
    outcome = judge(
        {"byte": open_tokenizer("byte")}, open_corpus([corpus]), Options(60_000, 50_000), train, done.append
    )
    name = next(iter(outcome.held))
    documents, size = outcome.held[name]
    assert outcome.mean("equal text", "byte", name) == pytest.approx((size + documents) / size * math.log2(257))
    assert {seed for _, seed in calls} == {0, 1, 2}
    assert sum(done) == 6


def test_too_few_seeds_and_no_held_out_text(tmp_path: Path, corpus: str) -> None:
    with pytest.raises(InputError, match="at least 3"):
        judge({}, open_corpus([corpus]), Options(seeds=2))
    (tmp_path / "one.jsonl").write_text('{"text": "a"}', "utf-8")
    with pytest.raises(InputError, match="has none"):
        judge({}, open_corpus([str(tmp_path / "one.jsonl")]))


def test_bits_of_a_document_hold_its_end() -> None:
    tokenizer = open_tokenizer("byte")
    model = train_counts(tokenizer, tokenizer.encode(pa.array(["ab", "ab"], pa.large_string())), 0)
    bits = model.bits(tokenizer.encode(pa.array(["ab", "", "ab"], pa.large_string())))
    assert bits[0] == pytest.approx(bits[2])
    assert bits[1] > 0
