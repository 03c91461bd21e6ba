"""The best of n draws by a reward, and the laws of what comes of choosing among draws.

With F the distribution of the reward of one draw, the best of n is an answer of reward r with probability
F(r)^n - F(r-)^n; its KL from one draw is at most log n - (n - 1) / n. Unlike it, accepting draws at random by their
reward (statistical rejection sampling, arXiv 2309.06657) gives exactly rho exp(r / beta).

Letters: K possible answers.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from jacorpus.errors import JacorpusError, RecipeError
from trainer.generate import ROWS, generate
from trainer.model import Model
from trainer.sampling import Sampling

Reward = Callable[[Sequence[int], Sequence[Sequence[int]]], Sequence[float]]
"""(number of each answer's prompt, ids of each answer) -> reward of each answer."""


@dataclass(frozen=True)
class Best:
    """ids: the answer kept, the id that ended it included; the first of equals. rewards: of all n, as drawn."""

    ids: tuple[int, ...]
    reward: float
    rewards: tuple[float, ...]


def best_of(
    model: Model, prompts: Sequence[Sequence[int]], sampling: Sampling, n: int, reward: Reward, rows: int = ROWS
) -> list[Best]:
    """Draw n answers to each prompt of ids and keep the one of highest reward.

    Raises RecipeError for n below 1 or an empty prompt, JacorpusError for a reward that is no finite number or for
    another number of rewards than answers.
    """
    if n < 1:
        raise RecipeError(f"best of n needs n of 1 or more, got {n}")
    places = [place for place in range(len(prompts)) for _ in range(n)]
    answers: list[list[int]] = [[] for _ in places]
    for row, token in generate(model, [prompts[place] for place in places], sampling, rows=rows):
        answers[row].append(token)
    rewards = [float(value) for value in reward(places, answers)]
    if len(rewards) != len(answers):
        raise JacorpusError(
            f"the reward gave {len(rewards)} numbers for {len(answers)} answers; it has to give one each"
        )
    for row, value in enumerate(rewards):
        if not math.isfinite(value):
            where = f"draw {row % n} of prompt {places[row]}"
            raise JacorpusError(f"the reward of {where} is {value}; a reward has to be a finite number")
    found = []
    for first in range(0, len(answers), n):
        group = rewards[first : first + n]
        best = max(range(n), key=group.__getitem__)
        found.append(Best(tuple(answers[first + best]), group[best], tuple(group)))
    return found


def best_of_law(p_K: Tensor, reward_K: Tensor, n: int) -> Tensor:
    """[K], probability of each answer to be the best of n draws from p; equals share theirs as p does."""
    below_K = ((reward_K[None] < reward_K[:, None]) * p_K).sum(1)
    equal_K = ((reward_K[None] == reward_K[:, None]) * p_K).sum(1)
    return ((below_K + equal_K) ** n - below_K**n) * p_K / equal_K.clamp(min=torch.finfo(p_K.dtype).tiny)


def best_of_kl(n: int) -> float:
    """The most that KL(best of n || one draw) can be, in nats: what rewards without equals come near to."""
    return math.log(n) - (n - 1) / n


def acceptance(reward: Tensor, largest: float, beta: float) -> Tensor:
    """Probability to keep a draw in statistical rejection sampling: exp((reward - largest) / beta), at most 1.

    With ``largest`` no less than any reward, what is kept of draws from rho has the law rho exp(r / beta).
    """
    return ((reward - largest) / beta).clamp(max=0).exp()
