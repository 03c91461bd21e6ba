"""The made-up documents hold one right answer at the depth that was asked for, and the check finds who can see it."""

import numpy as np
import pytest
import torch

from jacorpus.errors import RecipeError
from tests.trainer.opened_model import random_model, tiny
from trainer.config import LayerConfig
from trainer.evaluate.needle import KEY, QUERY, VALUE, Alphabet, needle_documents, retrieval
from trainer.model import Model

ALPHABET = Alphabet(64, keys=8, values=8, pairs=3)


@pytest.mark.parametrize("depth", [None, 0.0, 0.3, 1.0])
@pytest.mark.parametrize("length", [ALPHABET.shortest, 16, 60])
def test_the_answer_is_the_value_of_the_key_that_is_asked(depth, length):
    made = needle_documents(ALPHABET, length, 50, depth)
    assert made.shape == (50, length)
    for row in made:
        assert row[-3] == QUERY
        places = np.flatnonzero(row[:-3] == KEY)
        assert len(places) == 3
        assert (row[places + 2] == VALUE).all()
        held = dict(zip(row[places + 1].tolist(), row[places + 3].tolist(), strict=True))
        assert len(held) == 3
        assert held[int(row[-2])] == row[-1]
        asked = int(places[row[places + 1] == row[-2]][0])
        if depth == 0.0:
            assert asked == 0
        if depth == 1.0:
            assert asked == length - 3 - 4
        rest = np.delete(row[:-3], (places[:, None] + np.arange(4)).ravel())
        assert (rest >= 3 + 16).all()


def test_documents_follow_from_the_seed():
    one = needle_documents(ALPHABET, 40, 5, 0.5, seed=1)
    assert np.array_equal(one, needle_documents(ALPHABET, 40, 5, 0.5, seed=1))
    assert not np.array_equal(one, needle_documents(ALPHABET, 40, 5, 0.5, seed=2))


def test_an_untrained_model_finds_nothing():
    found = retrieval(random_model(64), ALPHABET, [20, 40], [0.0, 1.0], count=32)
    assert [(each.length, each.depth) for each in found] == [(20, 0.0), (20, 1.0), (40, 0.0), (40, 1.0)]
    assert all(each.accuracy < 0.3 and each.chance == 1 / 8 for each in found)


def test_a_window_finds_what_lies_within_its_reach():
    """One key, so that the last VALUE is the answer: learned in seconds, and only as far as the window goes."""
    alphabet = Alphabet(16, keys=1, values=4, pairs=1)
    layer = LayerConfig("window", 32, heads=2, kv_heads=1, window=8)
    torch.manual_seed(0)
    model = Model(tiny(16, (layer, layer))).init(0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    length = 40
    for step in range(60):
        ids = torch.from_numpy(needle_documents(alphabet, length, 16, 0.9 + 0.1 * (step % 2), seed=step))
        loss = torch.nn.functional.cross_entropy(model.logits(model(ids[:, :-1])[:, -1]), ids[:, -1])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    far, near = retrieval(model, alphabet, [length], [0.0, 1.0], count=64, seed=10_000)
    assert near.accuracy > 0.95
    assert far.accuracy < 0.6  # 36 tokens back, the reach of two layers is 16


def test_what_does_not_fit_is_named():
    with pytest.raises(RecipeError, match="need 15 tokens"):
        needle_documents(ALPHABET, 14, 1)
    with pytest.raises(RecipeError, match="no filler"):
        Alphabet(19, keys=8, values=8)
    with pytest.raises(RecipeError, match="pairs must be"):
        Alphabet(64, keys=2, pairs=3)
