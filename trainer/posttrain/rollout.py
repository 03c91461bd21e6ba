"""Answers drawn from a model in training, with the log-probability each token was really drawn with; kept on disk.

    draw           prompts of ids -> one Draw a prompt
    trainer_logps  the same log-probabilities by the pass that trains; may carry a gradient
    Rollouts       what a cycle drew, in OUT/rollouts/00000012.arrow: one row an answer

A ratio pi / pi_old is right only where both sides are of the distribution that tokens were drawn from: after
temperature, top-k, top-p and min-p. Log-probabilities of the plain softmax are too low for every token of a truncated
one, and ratios biased.

Letters: B rows, T tokens of a row, N trained tokens of a batch, V vocabulary, D width.
"""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch.utils.checkpoint import checkpoint

from jacorpus.errors import InputError, RecipeError
from jacorpus.shards import storage_errors
from tokenizer_lab.tokenizer import Tokenizer, token_lists
from trainer.batch import TokenBatch
from trainer.cache import Cache
from trainer.generate import ROWS, Decoder
from trainer.generate import padded as padded_prompts
from trainer.kernels.linear_ce import linear_ce
from trainer.model import Model
from trainer.sampling import Sampling, kept, uniform_numbers

CHUNK = 512
"""Tokens whose logits exist at once where a distribution is truncated."""

_FLOATS = pa.list_(pa.float32())
SCHEMA = pa.schema(
    {
        "cycle": pa.int32(),
        "step": pa.int32(),
        "prompt_id": pa.string(),
        "group": pa.int32(),
        "draw": pa.int32(),
        "prompt": pa.string(),
        "text": pa.string(),
        "end": pa.string(),
        "prompt_ids": pa.list_(pa.int32()),
        "ids": pa.list_(pa.int32()),
        "mask": pa.list_(pa.bool_()),
        "logp": _FLOATS,
        "trainer_logp": _FLOATS,
        "ref_logp": _FLOATS,
        "value": _FLOATS,
        "advantage": _FLOATS,
        "token_reward": _FLOATS,
        "reward": pa.float64(),
        "parts": pa.map_(pa.string(), pa.float64()),
    }
)
"""One row an answer. ids: the answer's, from its first token to its stop; mask: those the policy drew; the lists of
numbers have one for each of ids, 0 off the mask. logp: of the sampler; trainer_logp: of the pass that trains. end:
``eos`` or ``length``. parts: what each reward gave, unweighted."""


@dataclass(frozen=True)
class Draw:
    """One answer. ids: int64, its stop token included where it has one. logp: float32, of each under the distribution
    drawn from; at temperature 0, where that is certain, under the plain softmax. ended: False where it was cut."""

    ids: np.ndarray
    logp: np.ndarray
    ended: bool


def draw(
    model: Model, prompts: Sequence[Sequence[int]], keys: Sequence[str], sampling: Sampling, rows: int = ROWS
) -> list[Draw]:
    """One answer a prompt, in the order given. What a row draws depends on (sampling.seed, its key), its prompt and the
    model alone. rows: decoded side by side.

    Raises RecipeError for an empty prompt, and for options that make a token's distribution depend on more than the
    text before it (repetition_penalty, stop); InputError where the model's logits are not finite.
    """
    check(sampling)
    for number, prompt in enumerate(prompts):
        if not len(prompt):
            raise RecipeError(f"prompt {number} ({keys[number]}) is empty; an answer needs something to follow")
    order = sorted(
        range(len(prompts)), key=lambda number: -len(prompts[number])
    )  # the largest first: memory fails soon
    found: dict[int, Draw] = {}
    for first in range(0, len(order), rows):
        group = order[first : first + rows]
        found |= zip(group, _group(model, [prompts[n] for n in group], [keys[n] for n in group], sampling), strict=True)
    return [found[number] for number in range(len(prompts))]


def check(sampling: Sampling) -> None:
    """RecipeError for options of a generation that a rollout can't have."""
    if sampling.repetition_penalty != 1 or sampling.stop:
        raise RecipeError(
            "rollouts have no repetition_penalty and no stop strings; leave them out, or penalize by a reward"
        )


@torch.no_grad()
def _group(model: Model, prompts: list[Sequence[int]], keys: list[str], sampling: Sampling) -> list[Draw]:
    device = model.embed.weight.device
    tokens_BT, document_BT = padded_prompts(prompts, device)
    dtype = model.compute_dtype or model.embed.weight.dtype
    cache = Cache(model.config, len(prompts), tokens_BT.shape[1] + sampling.max_tokens, device, dtype)
    noise = [uniform_numbers(sampling.seed, _number(key), sampling.max_tokens) for key in keys]
    uniform_NB = torch.stack(noise, 1).to(device)
    stop = torch.tensor(sampling.stop_ids, dtype=torch.int64, device=device)
    going_B = torch.ones(len(prompts), dtype=torch.bool, device=device)
    length_B = torch.zeros(len(prompts), dtype=torch.int64, device=device)
    logits = model.prefill(tokens_BT, document_BT, cache)
    if not torch.isfinite(logits).all():
        raise InputError("the model's logits are not finite: its training diverged; lower lr, or its beta is too low")
    step, ids, logps = Decoder(model, cache).step, [], []
    for number in range(sampling.max_tokens):
        tokens_B, logp_B = _choose(logits, uniform_NB[number], sampling)
        ids.append(tokens_B)
        logps.append(logp_B)
        length_B += going_B
        going_B = going_B & ~torch.isin(tokens_B, stop)
        if number + 1 == sampling.max_tokens or not going_B.any():
            break
        logits = step(tokens_B)
    ids_BT, logp_BT = (torch.stack(found, 1).cpu().numpy() for found in (ids, logps))
    rows = zip(ids_BT, logp_BT, length_B.tolist(), going_B.tolist(), strict=True)
    return [Draw(i[:n].copy(), p[:n].astype(np.float32), not going) for i, p, n, going in rows]


def _number(key: str) -> int:
    """The number a row's generator is keyed by."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "little")


def _choose(logits_BV: torch.Tensor, uniform_B: torch.Tensor, sampling: Sampling) -> tuple[torch.Tensor, torch.Tensor]:
    """(ids [B], log-probability of each [B]); ids as trainer.sampling.choose gives them."""
    if sampling.temperature == 0:
        best = logits_BV.double().log_softmax(-1).max(-1)
        return logits_BV.argmax(-1), best.values
    p, ids = kept(logits_BV, sampling)
    total = p.cumsum(-1)
    place = torch.searchsorted(total, uniform_B[:, None] * total[:, -1:], right=True)
    place = place.minimum((p > 0).sum(-1, keepdim=True) - 1)  # rounding must not lead to an id that was taken out
    return ids.gather(1, place)[:, 0], (p.gather(1, place) / total[:, -1:]).log()[:, 0]


def trainer_logps(model: Model, batch: TokenBatch, sampling: Sampling) -> torch.Tensor:
    """[B, T], float32 or wider: the log-probability of each target under the distribution that ``sampling`` draws from;
    0 where the weight is 0. A target that the model of now would not draw any more counts as one that stays."""
    return logps_of(model(batch.tokens_BT, batch.documents()), model, batch, sampling)


def logps_of(hidden_BTD: torch.Tensor, model: Model, batch: TokenBatch, sampling: Sampling) -> torch.Tensor:
    """The same from the last hidden states."""
    trained_BT = batch.weight_BT > 0
    hidden_ND, targets_N = hidden_BTD[trained_BT], batch.targets_BT[trained_BT]
    temperature = sampling.temperature or 1.0
    if sampling.temperature == 0 or not (sampling.top_k or sampling.top_p < 1 or sampling.min_p):
        loss_N, _ = linear_ce(hidden_ND / temperature, model.head_weight, targets_N)
        logp_N = -loss_N
    else:
        pieces = zip(hidden_ND.split(CHUNK), targets_N.split(CHUNK), strict=True)
        found = [checkpoint(_truncated, h, model.head_weight, t, sampling, use_reentrant=False) for h, t in pieces]
        logp_N = torch.cat(found)
    found_BT = torch.zeros(trained_BT.shape, dtype=logp_N.dtype, device=logp_N.device)
    return found_BT.masked_scatter(trained_BT, logp_N)


def _truncated(
    hidden_ND: torch.Tensor, head_VD: torch.Tensor, targets_N: torch.Tensor, sampling: Sampling
) -> torch.Tensor:
    """[N]: log-probability under the truncated distribution; which ids stay has no gradient."""
    logits_NV = hidden_ND @ head_VD.to(hidden_ND.dtype).T
    logits_NV = logits_NV if logits_NV.dtype == torch.float64 else logits_NV.float()
    with torch.no_grad():
        p, ids = kept(logits_NV, sampling)
        stays_NV = torch.zeros_like(logits_NV, dtype=torch.bool).scatter(1, ids, p > 0)
        stays_NV.scatter_(1, targets_N[:, None], True)
    logp_NV = (logits_NV / sampling.temperature).masked_fill(~stays_NV, float("-inf")).log_softmax(-1)
    return logp_NV.gather(1, targets_N[:, None])[:, 0]


def answer_texts(tokenizer: Tokenizer, prompts: Sequence[Sequence[int]], answers: Sequence[Sequence[int]]) -> list[str]:
    """What answers say after their prompts; stop tokens are to be taken off before. Half a character is U+FFFD."""
    # A first space that is no text depends on what stands before; an id past the tokenizer's own has no text.
    known = tokenizer.vocab_size
    before = [list(prompt) for prompt in prompts]
    whole = [a + [int(i) for i in b if i < known] for a, b in zip(before, answers, strict=True)]
    cut = [len(text) for text in _decoded(tokenizer, before)]
    return [text[n:].decode("utf-8", "replace") for n, text in zip(cut, _decoded(tokenizer, whole), strict=True)]


def _decoded(tokenizer: Tokenizer, rows: list[list[int]]) -> list[bytes]:
    offsets = np.cumsum([0, *map(len, rows)]).astype(np.int64)
    flat = np.array([i for row in rows for i in row], np.uint32)
    return tokenizer.decode(token_lists(offsets, flat)).to_pylist()


@dataclass(frozen=True)
class Rollouts:
    """The folder of a stage's rollouts: a file a cycle, there whole or not at all."""

    folder: Path

    def path(self, cycle: int) -> Path:
        """Of a cycle's file."""
        return self.folder / f"{cycle:08d}.arrow"

    def has(self, cycle: int) -> bool:
        """Whether the cycle was drawn before."""
        return self.path(cycle).is_file()

    def write(self, cycle: int, rows: Sequence[dict[str, Any]]) -> None:
        """Keep a cycle, rows with the columns of SCHEMA, before anything is learned from it."""
        path = self.path(cycle)
        scratch = path.with_name(f".{path.name}.{os.getpid()}")
        with storage_errors(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            with pa.OSFile(str(scratch), "wb") as sink, pa.ipc.new_file(sink, SCHEMA) as writer:
                writer.write_table(pa.Table.from_pylist(list(rows), SCHEMA))
            scratch.replace(path)

    def read(self, cycle: int) -> list[dict[str, Any]]:
        """The rows of a cycle. Raises InputError for a file that is no such thing."""
        path = self.path(cycle)
        try:
            with pa.memory_map(str(path)) as source, pa.ipc.open_file(source) as reader:
                table = reader.read_all()
                if table.schema != SCHEMA:
                    raise ValueError("other columns")
                return table.to_pylist()
        except (OSError, ValueError, pa.ArrowInvalid) as error:
            raise InputError(f"{path} holds no rollouts ({error}); remove it, and the cycle is drawn again") from error
