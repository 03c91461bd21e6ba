"""The best of n: its law, the law of accepted draws, and that a model's best answer is kept."""

import math

import pytest

from benchmarks.closed_forms import decoding
from jacorpus.errors import JacorpusError, RecipeError
from tests.trainer.losses.closed_form import held, near
from tests.trainer.opened_model import random_model
from trainer.decoding.best_of import best_of, best_of_kl
from trainer.sampling import Sampling

PROMPTS = [[7], [3, 9, 1, 40]]
OPTIONS = Sampling(max_tokens=6, seed=2)


def test_the_law_of_the_best() -> None:
    check = held(decoding.best_of_n())
    assert check.more["worst TV of draws"] <= 0.01
    for n, nats in (("2", 0.1916), ("4", 0.6324), ("16", 1.8035)):
        assert check.more["by n"][n]["KL"] == near(nats)
        assert check.more["by n"][n]["KL"] < check.more["by n"][n]["at most"]
    assert best_of_kl(1) == 0


def test_accepted_draws_have_the_closed_form() -> None:
    held(decoding.rejection())


def test_the_answer_of_highest_reward_is_kept() -> None:
    seen = {}

    def reward(places, answers):
        seen["places"], seen["answers"] = list(places), [tuple(ids) for ids in answers]
        return [sum(ids) % 17 for ids in answers]

    found = best_of(random_model(50), PROMPTS, OPTIONS, 4, reward)
    assert seen["places"] == [0] * 4 + [1] * 4
    assert len(set(seen["answers"])) == 8
    for place, best in enumerate(found):
        group = seen["answers"][4 * place : 4 * place + 4]
        assert best.rewards == tuple(sum(ids) % 17 for ids in group)
        assert best.reward == max(best.rewards)
        assert best.ids == group[best.rewards.index(best.reward)]


@pytest.mark.parametrize(
    ("reward", "words"),
    [
        (lambda places, answers: [0.0] * 3 + [math.nan] + [0.0] * 2, "draw 0 of prompt 1 is nan"),
        (lambda places, answers: [0.0], "1 numbers for 6 answers"),
    ],
)
def test_a_broken_reward_is_named(reward, words) -> None:
    with pytest.raises(JacorpusError, match=words):
        best_of(random_model(50), PROMPTS, OPTIONS, 3, reward)


def test_no_draws_are_refused() -> None:
    with pytest.raises(RecipeError, match="n of 1 or more, got 0"):
        best_of(random_model(50), PROMPTS, OPTIONS, 0, lambda places, answers: [])
