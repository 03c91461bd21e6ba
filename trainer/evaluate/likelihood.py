"""Log-likelihoods of a question's choices, as lm-eval has them: of the tokens that the choice adds to the prompt's."""

from collections.abc import Sequence

import numpy as np

from trainer.evaluate.scoring import BATCH_TOKENS, Span, Windows, score
from trainer.generate import encode
from trainer.opened import Opened

Pair = tuple[list[int], list[int]]
"""Ids of a prompt, and of what follows."""


def token_pairs(opened: Opened, prompt: str, choices: Sequence[str]) -> list[Pair]:
    """The tokens of prompt and choice together, cut where those of the prompt alone end."""
    before, *whole = encode(opened.need_tokenizer(), [prompt, *(prompt + choice for choice in choices)])
    return [(before, ids[len(before) :]) for ids in whole]


def log_likelihoods(
    opened: Opened, pairs: Sequence[Pair], windows: Windows | None = None, batch_tokens: int = BATCH_TOKENS
) -> list[float]:
    """In nats, of each continuation. A prompt longer than the context loses its beginning."""
    windows = windows or Windows()
    spans = []
    for before, after in pairs:
        cut = max(0, len(before) + len(after) - windows.context - 1) if len(after) <= windows.context else 0
        spans.append(Span(np.array([*before, *after][cut:], np.int64), len(before) - cut))
    return [-float(each.nats.sum()) for each in score(opened.model, spans, windows, batch_tokens)]
