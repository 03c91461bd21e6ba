"""Which ids stay, how often each is drawn, and that a row's draws are its own."""

import pytest
import torch

from jacorpus.errors import RecipeError
from trainer.sampling import Sampling, choose, kept, uniform_numbers

LOGITS = torch.log(torch.tensor([[0.05, 0.4, 0.2, 0.3, 0.05]]))


def left(options: Sampling) -> set[int]:
    p, ids = kept(LOGITS, options)
    return set(ids[p > 0].tolist())


@pytest.mark.parametrize(
    ("options", "ids"),
    [
        ({}, {0, 1, 2, 3, 4}),
        ({"top_k": 2}, {1, 3}),
        ({"top_k": 99}, {0, 1, 2, 3, 4}),
        ({"top_p": 0.35}, {1}),
        ({"top_p": 0.41}, {1, 3}),
        ({"top_p": 0.75}, {1, 2, 3}),
        ({"min_p": 0.6}, {1, 3}),
        ({"min_p": 1.0}, {1}),
        ({"top_k": 3, "top_p": 0.7}, {1, 3}),  # 0.4 + 0.3 of the 0.9 that top_k left
        ({"top_k": 3, "min_p": 0.6, "top_p": 0.99}, {1, 3}),
        ({"temperature": 0.1, "top_p": 0.9}, {1}),
    ],
)
def test_the_ids_that_stay(options, ids):
    assert left(Sampling(**options)) == ids


def test_shares_follow_the_probabilities():
    u = (torch.arange(10_000, dtype=torch.float64) + 0.5) / 10_000
    drawn = choose(LOGITS.expand(10_000, 5), u, Sampling(top_k=3))
    shares = torch.bincount(drawn, minlength=5) / 10_000
    assert torch.allclose(shares, torch.tensor([0, 4 / 9, 2 / 9, 3 / 9, 0]), atol=2e-4)


def test_the_ends_of_the_uniform_numbers_stay_inside():
    u = torch.tensor([0.0, 1 - 2**-53], dtype=torch.float64)
    assert choose(LOGITS.expand(2, 5), u, Sampling(top_p=0.75)).tolist() == [1, 2]


def test_greedy_takes_the_lowest_of_equals():
    logits = torch.tensor([[1.0, 3.0, 3.0]])
    assert choose(logits, torch.tensor([0.99], dtype=torch.float64), Sampling(temperature=0)).tolist() == [1]


def test_the_repetition_penalty_lowers_both_signs():
    logits = torch.tensor([[2.0, 1.5, -1.0]])
    seen = torch.tensor([[True, False, True]])
    greedy = Sampling(temperature=0, repetition_penalty=2.0)
    u = torch.zeros(1, dtype=torch.float64)
    assert choose(logits, u, greedy, seen).tolist() == [1]
    cold = choose(torch.tensor([[-1.0, -1.5]]), u, greedy, torch.tensor([[True, False]]))
    assert cold.tolist() == [1]


def test_a_row_draws_the_same_whatever_is_drawn_beside_it():
    first = uniform_numbers(3, 5, 10)
    assert torch.equal(first[:4], uniform_numbers(3, 5, 4))
    assert not torch.equal(first, uniform_numbers(3, 6, 10))
    assert not torch.equal(first, uniform_numbers(4, 5, 10))


@pytest.mark.parametrize(
    "wrong", [{"max_tokens": 0}, {"temperature": -1}, {"top_p": 0}, {"min_p": 2}, {"repetition_penalty": 0}]
)
def test_wrong_options_are_named(wrong):
    with pytest.raises(RecipeError, match=next(iter(wrong))):
        Sampling(**wrong)
