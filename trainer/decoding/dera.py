"""Decoding-time realignment (DeRa, arXiv 2402.02992): how far a model was aligned, chosen when it is asked.

Each token is drawn from softmax(lam h + (1 - lam) h_ref), h the logits of the aligned model, h_ref of its reference.
0 is the reference, 1 the model. Of one token this is exactly what training with beta / lam gives, where the model is
the optimum for beta. **Over sequences it only approximates that**: token by token it ignores how much reward may still
be had after each choice, and the further lam is from 0 and 1, the further it is off. Every result says so.

Letters: B rows, T tokens of a row, V vocabulary.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch

from jacorpus.errors import InputError, RecipeError
from trainer.cache import Cache
from trainer.generate import ROWS, Decoder, padded
from trainer.model import Model
from trainer.sampling import Sampling, choose, uniform_numbers

APPROXIMATES = (
    "logits are mixed token by token, which equals training with beta / lambda for one token alone; "
    "over a sequence it only approximates it"
)
Reference = Model | Callable[[], AbstractContextManager[object]]
"""Another model, or what makes the model its own reference for as long as it is entered, as an adapter that is off."""


@dataclass(frozen=True)
class Realigned:
    """Answers at one lambda. rows: ids of each prompt's answer, the id that ended it included.

    kl: mean over drawn tokens of KL(mixed || reference), nats, before temperature and what follows it. note: what the
    answers are not.
    """

    lam: float
    rows: tuple[tuple[int, ...], ...]
    kl: float
    note: str = APPROXIMATES


def mixed(logits_BV: torch.Tensor, reference_BV: torch.Tensor, lam: float) -> torch.Tensor:
    """Logits [B, V] between the reference's (lam 0) and the model's (1), or beyond."""
    return lam * logits_BV + (1 - lam) * reference_BV


@torch.no_grad()
def dera_generate(
    model: Model,
    reference: Reference,
    prompts: Sequence[Sequence[int]],
    sampling: Sampling,
    lam: float,
    rows: int = ROWS,
) -> Realigned:
    """Answers to prompts of ids, ``rows`` side by side, at one lambda; it only approximates (see above).

    A row draws with the same numbers as in ``trainer.generate``. Raises RecipeError for an empty prompt or two models
    of different vocabularies, InputError for logits that are not finite.
    """
    if empty := [row for row, prompt in enumerate(prompts) if not len(prompt)]:
        raise RecipeError(
            f"prompt {empty[0]} is empty, and a model never learned how a text begins; give it some words"
        )
    if isinstance(reference, Model) and reference.config.vocab_size != model.config.vocab_size:
        sizes = f"{model.config.vocab_size:,} and {reference.config.vocab_size:,}"
        raise RecipeError(f"model and reference have vocabularies of {sizes} ids; mix models of one tokenizer")
    answers: list[list[int]] = [[] for _ in prompts]
    distance = 0.0
    for first in range(0, len(prompts), rows):
        for row, token, kl in _group(model, reference, prompts[first : first + rows], sampling, lam, first):
            answers[row].append(token)
            distance += kl
    return Realigned(lam, tuple(map(tuple, answers)), distance / max(1, sum(map(len, answers))))


def sweep(
    model: Model,
    reference: Reference,
    prompts: Sequence[Sequence[int]],
    sampling: Sampling,
    lams: Sequence[float],
    rows: int = ROWS,
) -> list[Realigned]:
    """``dera_generate`` for each lambda, with the same random numbers: what alignment buys, before any is trained."""
    return [dera_generate(model, reference, prompts, sampling, lam, rows) for lam in lams]


class _Side:
    """A model, its cache and its way to be the one it is."""

    def __init__(
        self, model: Model, enter: Callable[[], AbstractContextManager[object]], rows: int, capacity: int
    ) -> None:
        self.model, self.enter = model, enter
        dtype = model.compute_dtype or model.embed.weight.dtype
        self.cache = Cache(model.config, rows, capacity, model.embed.weight.device, dtype)
        self.decoder = Decoder(model, self.cache)

    def prefill(self, tokens_BT: torch.Tensor, document_BT: torch.Tensor | None) -> torch.Tensor:
        with self.enter():
            return self.model.prefill(tokens_BT, document_BT, self.cache)

    def step(self, tokens_B: torch.Tensor) -> torch.Tensor:
        with self.enter():
            return self.decoder.step(tokens_B)


def _group(
    model: Model, reference: Reference, prompts: Sequence[Sequence[int]], sampling: Sampling, lam: float, first: int
) -> Iterator[tuple[int, int, float]]:
    """(row, id, KL of the distribution it comes from to the reference's) as they are drawn."""
    device = model.embed.weight.device
    tokens_BT, document_BT = padded(prompts, device)
    capacity = tokens_BT.shape[1] + sampling.max_tokens
    other, enter = (reference, nullcontext) if isinstance(reference, Model) else (model, reference)
    sides = _Side(model, nullcontext, len(prompts), capacity), _Side(other, enter, len(prompts), capacity)
    numbers = [uniform_numbers(sampling.seed, first + i, sampling.max_tokens) for i in range(len(prompts))]
    uniform_NB = torch.stack(numbers, 1).to(device)
    seen_BV = torch.zeros(len(prompts), model.config.vocab_size, dtype=torch.bool, device=device)
    for i, prompt in enumerate(prompts):
        seen_BV[i, torch.as_tensor(prompt, dtype=torch.int64, device=device)] = True
    found = [side.prefill(tokens_BT, document_BT) for side in sides]
    if not all(bool(torch.isfinite(logits).all()) for logits in found):
        raise InputError("the logits of model or reference are not finite: its training diverged, or it is damaged")
    going = set(range(len(prompts)))
    for number in range(sampling.max_tokens):
        logits_BV = mixed(found[0], found[1], lam)
        logp_BV = logits_BV.log_softmax(-1)
        kl_B = (logp_BV.exp() * (logp_BV - found[1].log_softmax(-1))).sum(-1)
        tokens_B = choose(logits_BV, uniform_NB[number], sampling, seen_BV)
        for i, (token, kl) in enumerate(zip(tokens_B.tolist(), kl_B.tolist(), strict=True)):
            if i in going:
                yield first + i, token, kl
                if token in sampling.stop_ids:
                    going.discard(i)
        if not going or number + 1 == sampling.max_tokens:
            return
        seen_BV.scatter_(1, tokens_B[:, None], True)
        found = [side.step(tokens_B) for side in sides]
