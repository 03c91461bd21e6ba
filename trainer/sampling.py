"""How the next token is drawn from logits.

The steps, in this order:

1. repetition penalty r (Keskar et al. 2019, section 4.1): of every id that the prompt or the answer holds already, a
   logit above 0 is divided by r, one below 0 multiplied by r. 1 changes nothing.
2. temperature t: logits are divided by t. 0 takes the most likely id (the lowest of equals), and no more is done.
3. top_k: the k most likely ids stay. 0 keeps all.
4. top_p (Holtzman et al. 2020): of what is left, the fewest ids whose probabilities reach p together.
5. min_p (Nguyen et al. 2024): ids with at least min_p times the probability of the most likely one.

What stays is drawn from by one uniform number a token. The numbers of a row come from a generator of (seed, row), so
that neither the other rows of a batch nor their number change what a row draws.

Letters: B rows, V vocabulary.
"""

import hashlib
from dataclasses import dataclass

import torch

from jacorpus.errors import RecipeError


@dataclass(frozen=True)
class Sampling:
    """Options of a generation. stop: strings that end an answer and are not part of it. stop_ids: ids that do, beside
    the model's end of text."""

    max_tokens: int = 128
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    seed: int = 0
    stop: tuple[str, ...] = ()
    stop_ids: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        for name, right, wanted in (
            ("max_tokens", self.max_tokens >= 1, "1 or more"),
            ("temperature", self.temperature >= 0, "0 (greedy) or more"),
            ("top_k", self.top_k >= 0, "0 (all ids) or more"),
            ("top_p", 0 < self.top_p <= 1, "above 0, at most 1"),
            ("min_p", 0 <= self.min_p <= 1, "between 0 and 1"),
            ("repetition_penalty", self.repetition_penalty > 0, "above 0; 1 for none"),
        ):
            if not right:
                raise RecipeError(f"{name} must be {wanted}, got {getattr(self, name)}")


def uniform_numbers(seed: int, row: int, count: int) -> torch.Tensor:
    """float64 [count] in [0, 1): what row ``row`` draws with, whatever else is generated."""
    digest = hashlib.sha256(f"{seed} {row}".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)
    return torch.rand(count, dtype=torch.float64, generator=generator)


def choose(
    logits_BV: torch.Tensor, uniform_B: torch.Tensor, options: Sampling, seen_BV: torch.Tensor | None = None
) -> torch.Tensor:
    """Ids int64 [B]. uniform_B: float64 in [0, 1). seen_BV: bool, ids that the repetition penalty is for."""
    if seen_BV is not None and options.repetition_penalty != 1:
        r = options.repetition_penalty
        logits_BV = torch.where(seen_BV, torch.where(logits_BV > 0, logits_BV / r, logits_BV * r), logits_BV)
    if options.temperature == 0:
        return logits_BV.argmax(-1)
    p, ids = kept(logits_BV, options)
    total = p.cumsum(-1)
    place = torch.searchsorted(total, uniform_B[:, None] * total[:, -1:], right=True)
    last = (p > 0).sum(-1, keepdim=True) - 1  # rounding must not lead to an id that was taken out
    return ids.gather(1, place.minimum(last))[:, 0]


def kept(logits_BV: torch.Tensor, options: Sampling) -> tuple[torch.Tensor, torch.Tensor]:
    """(float64 [B, V] not summing to 1, ids [B, V]), most likely first: 0 for ids that steps 3-5 take out."""
    p, ids = (logits_BV.double() / options.temperature).softmax(-1).sort(dim=-1, descending=True, stable=True)
    if options.top_k:
        p[:, options.top_k :] = 0
    stays = p >= options.min_p * p[:, :1]
    if options.top_p < 1:
        total = p.cumsum(-1)
        stays &= total - p < options.top_p * total[:, -1:]
    return torch.where(stays, p, 0), ids
