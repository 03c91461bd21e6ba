"""Negative log-likelihoods of given tokens under a model.

Long sequences are cut into windows. A window has at most ``context`` tokens of input; each but the first starts
``overlap`` tokens before the first one it scores, so that no token is predicted from less, and every token is scored
once. overlap 0 is how the data feed cuts documents at the end of a row.

Letters: B rows, T tokens of a row, S scored tokens, D d_model, V vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from jacorpus.errors import RecipeError
from trainer.generate import even_length
from trainer.model import Model

BATCH_TOKENS = 8192
LOGITS_BYTES = 64 << 20


@dataclass(frozen=True)
class Span:
    """Ids, of which those from place ``first`` (1 or more) on are scored, each given all before it."""

    ids: np.ndarray
    first: int = 1


@dataclass(frozen=True)
class Scores:
    """Of the scored ids, in order. nats: float64, negative log-likelihood. hits: bool, whether it was the likeliest;
    None where that was not looked for."""

    nats: np.ndarray
    hits: np.ndarray | None


@dataclass(frozen=True)
class Windows:
    """How long inputs may get, and how much of a window is context alone; see the module."""

    context: int = 2048
    overlap: int | None = None  # None: half of the context

    def __post_init__(self) -> None:
        if self.context < 1:
            raise RecipeError(f"context must be 1 token or more, got {self.context}")
        if self.overlap is not None and not 0 <= self.overlap < self.context:
            raise RecipeError(f"overlap must be 0 or more and below the context {self.context}, got {self.overlap}")

    def cut(self, length: int, first: int) -> list[tuple[int, int, int]]:
        """(start, stop, first scored) of each window over ids [0, length); inputs are ids [start, stop - 1)."""
        overlap = self.context // 2 if self.overlap is None else self.overlap
        found = []
        while first < length:
            # What fits as a whole sees all there is; the last window reaches back as far as it can.
            start = max(0, min(first - max(1, overlap), length - self.context - 1))
            stop = min(start + self.context + 1, length)
            found.append((start, stop, first))
            first = stop
        return found


@torch.no_grad()
def score(
    model: Model, spans: Sequence[Span], windows: Windows | None = None, batch_tokens: int = BATCH_TOKENS
) -> list[Scores]:
    """Scores of each span. batch_tokens: tokens of a batch, padding included; a longer window goes alone."""
    windows = windows or Windows()
    cuts = [(number, *cut) for number, span in enumerate(spans) for cut in windows.cut(len(span.ids), span.first)]
    cuts.sort(key=lambda cut: (cut[1] - cut[2], cut[0]))
    sizes = [max(0, len(span.ids) - span.first) for span in spans]
    found = [(np.zeros(size), np.zeros(size, bool)) for size in sizes]
    at = 0
    while at < len(cuts):
        rows = max(1, batch_tokens // (cuts[at][2] - cuts[at][1] - 1))
        _batch(model, spans, cuts[at : at + rows], found)
        at += rows
    return [Scores(nats, hits) for nats, hits in found]


def _batch(
    model: Model,
    spans: Sequence[Span],
    cuts: list[tuple[int, int, int, int]],
    found: list[tuple[np.ndarray, np.ndarray]],
) -> None:
    """Score windows (span, start, stop, first) side by side, the longest first, and put the scores in their places."""
    device = model.embed.weight.device
    longest = even_length(cuts[0][2] - cuts[0][1] - 1, device)
    ids = np.zeros((len(cuts), longest + 1), np.int64)
    scored = np.zeros((len(cuts), longest), bool)
    for row, (number, start, stop, first) in enumerate(cuts):
        ids[row, : stop - start] = spans[number].ids[start:stop]
        scored[row, first - start - 1 : stop - start - 1] = True
    ids_BT = torch.from_numpy(ids).to(device)
    hidden_BTD = model(ids_BT[:, :-1])  # padding comes after all that counts: causal layers never see it
    scored_BT = torch.from_numpy(scored).to(device)
    nats, hits = _likelihoods(model, hidden_BTD[scored_BT], ids_BT[:, 1:][scored_BT])
    at = 0
    for number, _, stop, first in cuts:
        place, count = first - spans[number].first, stop - first
        found[number][0][place : place + count] = nats[at : at + count]
        found[number][1][place : place + count] = hits[at : at + count]
        at += count


def _likelihoods(model: Model, hidden_SD: torch.Tensor, targets_S: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    nats, hits = [], []
    chunk = max(1, LOGITS_BYTES // (4 * model.config.vocab_size))
    for h, targets in zip(hidden_SD.split(chunk), targets_S.split(chunk), strict=True):
        logits = model.logits(h)
        nats.append(logits.logsumexp(-1) - logits.gather(1, targets[:, None])[:, 0])
        hits.append(logits.argmax(-1) == targets)
    return torch.cat(nats).double().cpu().numpy(), torch.cat(hits).cpu().numpy()
