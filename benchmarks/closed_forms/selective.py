"""Rho-1's selective loss: a chain read through noise, and how much of the chain a table of pairs of ids learns.

A Markov chain of order 1 over 64 ids; a share of the ids that are seen is replaced by others, drawn evenly. The model
is a softmax table, a row of logits for each id before, and is trained by ``LanguageModeling`` as any model. The
reference is the table of counts of a clean text. Measured on the chain itself, in expectation. A token is clean where
neither it nor the one before was replaced: .36 of all.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.closed_forms import Check
from benchmarks.closed_forms.worlds import normal, uniform
from trainer.batch import TokenBatch
from trainer.objective import LanguageModeling, Reference

IDS, NOISE, SHARPNESS = 64, 0.4, 2.5
STEPS, TOKENS, RATE = 300, 4096, 0.05
"""Tokens: of a step, in one row; no token is seen twice."""


class Table(nn.Module):
    """A model whose logits depend on one id alone."""

    def __init__(self, logit_KK: Tensor) -> None:
        super().__init__()
        self.logit_KK = nn.Parameter(logit_KK)

    def loss(self, batch: TokenBatch) -> tuple[Tensor, Tensor]:
        """(loss, lse) of each token, [B, T]."""
        log_KK = self.logit_KK.log_softmax(1)
        return -log_KK[batch.tokens_BT, batch.targets_BT], self.logit_KK.logsumexp(1)[batch.tokens_BT]


class Nothing:
    """A reference that knows nothing: what is left is the model's own loss."""

    def loss(self, batch: TokenBatch) -> tuple[Tensor, Tensor]:
        """Zeros."""
        zero_BT = torch.zeros(batch.tokens_BT.shape, dtype=torch.float64)
        return zero_BT, zero_BT


@dataclass(frozen=True)
class Ended:
    """nll: nats a token of the clean chain. share: of the tokens chosen, how many are clean. off: by how many tokens
    any step's count differs from the share asked for. logit_KK: the table."""

    nll: float
    share: float
    off: int
    logit_KK: Tensor


@cache
def chain() -> Tensor:
    """[K, K], the id after each id."""
    return (SHARPNESS * normal((IDS, IDS), "rho-1 chain")).softmax(1)


@cache
def stationary() -> Tensor:
    """[K], how often the chain is where."""
    return torch.linalg.matrix_power(chain(), 1000)[0]


def nll(log_KK: Tensor) -> float:
    """Of the clean chain under a table, in expectation."""
    return -float((stationary()[:, None] * chain() * log_KK).sum())


def walked(count: int, name: str) -> Tensor:
    """int64 [count], ids of the chain."""
    edges, numbers = chain().cumsum(1).numpy(), uniform(count, name).numpy()
    place, found = 0, []
    for number in numbers:
        place = min(int(edges[place].searchsorted(number)), IDS - 1)
        found.append(place)
    return torch.tensor(found)


@cache
def text() -> tuple[Tensor, Tensor]:
    """(ids as seen, which of them are the chain's), [STEPS * TOKENS + 1]."""
    count = STEPS * TOKENS + 1
    kept = uniform(count, "rho-1 kept") >= NOISE
    other = (uniform(count, "rho-1 noise") * IDS).long()
    return torch.where(kept, walked(count, "rho-1 text"), other), kept


@cache
def reference() -> Table:
    """Of the counts of a clean text, a tenth added to each."""
    ids = walked(100_000, "rho-1 reference")
    count = torch.bincount(ids[:-1] * IDS + ids[1:], minlength=IDS * IDS).view(IDS, IDS).double()
    return Table((count + 0.1).log()).requires_grad_(False)


def batch(step: int) -> tuple[TokenBatch, Tensor]:
    """(what a step reads, [1, T] where it is clean)."""
    ids, kept = (each[step * TOKENS : (step + 1) * TOKENS + 1][None] for each in text())
    zero = torch.zeros(1, TOKENS, dtype=torch.int32)
    read = TokenBatch(ids[:, :-1], ids[:, 1:], torch.ones(1, TOKENS), zero, torch.zeros(1, dtype=torch.int32))
    return read, kept[:, :-1] & kept[:, 1:]


def trained(ratio: float | None, against: Reference | None) -> Ended:
    """A table trained on the noisy text from nothing, with Adam. ratio None: on all tokens, as pretraining does."""
    model: Any = Table(torch.zeros(IDS, IDS, dtype=torch.float64))
    objective = LanguageModeling(model, 1, reference=against, ratio=ratio)
    optimizer = torch.optim.Adam(model.parameters(), RATE)
    clean, chosen, off = 0, 0, 0
    for step in range(STEPS):
        read, clean_BT = batch(step)
        counted_BT = objective.counted(read, model.loss(read)[0].detach(), objective.places(read))
        clean += int(((counted_BT > 0) & clean_BT).sum())
        chosen += int((counted_BT > 0).sum())
        off = max(off, abs(int((counted_BT > 0).sum()) - round((ratio or 1) * TOKENS)))
        optimizer.zero_grad()
        (objective(read).total / TOKENS).backward()
        optimizer.step()
    table = model.logit_KK.detach()
    return Ended(nll(table.log_softmax(1)), clean / chosen, off, table)


@cache
def ended(ratio: float | None, kind: str = "reference") -> Ended:
    """``trained``, each once. kind: reference or nothing."""
    return trained(ratio, None if ratio is None else reference() if kind == "reference" else Nothing())


def best_of_all() -> float:
    """What a table reaches that has learned the noisy text's own law: no training on all tokens does better."""
    even = torch.full((IDS,), 1 / IDS, dtype=torch.float64)
    seen_K = (1 - NOISE) * stationary() + NOISE * even
    share_K = ((1 - NOISE) * stationary() / seen_K)[:, None]  # that the id before is the chain's
    after_KK = share_K * chain() + (1 - share_K) * stationary()
    return nll(((1 - NOISE) * after_KK + NOISE * even).log())


def gain() -> Check:
    """What choosing saves on the clean chain."""
    full, some, few, blind = ended(None), ended(0.6), ended(0.4), ended(0.4, "nothing")
    return Check(
        *("Rho-1, 40 % noise: clean nll over that of all tokens, k .4", "2404.07965", few.nll - full.nll, -0.3),
        *("chosen by the model's loss alone", blind.nll - full.nll, 0.5),
        {
            "nll": {"all": full.nll, "k .6": some.nll, "k .4": few.nll, "loss alone, k .4": blind.nll},
            "nll of the reference": nll(reference().logit_KK.log_softmax(1)),
            "nll of the chain, and of the noisy text's law": [nll(chain().log()), best_of_all()],
        },
    )


def share() -> Check:
    """Whether what is chosen is clean."""
    full, some, few, blind = ended(None), ended(0.6), ended(0.4), ended(0.4, "nothing")
    return Check(
        *("Rho-1, 40 % noise: share of the chosen that is noisy, k .4", "2404.07965", 1 - few.share, 0.35),
        *("chosen by the model's loss alone", 1 - blind.share, 0.64),
        {"clean": {"all": full.share, "k .6": some.share, "k .4": few.share, "loss alone, k .4": blind.share}},
    )


def count() -> Check:
    """As many as asked for, at every step; with ratio 1 the trained table is plain language modeling's, bit by bit."""
    full, whole = ended(None), ended(1.0)
    off = max(ended(ratio).off for ratio in (0.4, 0.6, 1.0))
    differ = int((full.logit_KK != whole.logit_KK).sum())
    read, _ = batch(0)
    excess_BT = Table(full.logit_KK).loss(read)[0].detach() - reference().loss(read)[0]
    above = int((excess_BT > 0).sum())  # a threshold in place of a share: no k moves it
    return Check(
        *("Rho-1: tokens chosen beside k; logits that k 1 changes", "2404.07965", float(off + differ), 0.0),
        *("every token of an excess over 0, k .6", float(abs(above - round(0.6 * TOKENS))), 100.0),
        {"tokens of a step": TOKENS, "ratios": [0.4, 0.6, 1.0], "steps": STEPS},
    )


CHECKS = (gain, share, count)
