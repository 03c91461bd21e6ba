"""A language model small enough for numpy, to judge embeddings with: log-bilinear (Mnih and Hinton 2007).

The next token's logits are ``b + E_out (sum over the last C tokens of E_in[token] M_c)``. Trained by Adam over windows
in a drawn order; documents are separate (id 0 stands before the first). It has no hidden layer: what it says of
ways to fill new rows is a hint for large models, not a proof.

Legend: V ids, D columns, C tokens of context, B batch, T tokens.
"""

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
from safetensors.numpy import load_file, save_file

from tokenizer_lab.tokenizer import Tokenizer, list_buffers

CONTEXT, WIDTH, BATCH, BEFORE = 4, 48, 512, 0
NAMES = ("model.embed_tokens.weight", "lm_head.weight", "lm_head.bias", "model.mix.weight")


@dataclass
class Model:
    """e_in, e_out: float32 [V, D]. bias: float32 [V]. mix: float32 [C, D, D]."""

    e_in: np.ndarray
    e_out: np.ndarray
    bias: np.ndarray
    mix: np.ndarray

    def arrays(self) -> list[np.ndarray]:
        """All of it, in the order of NAMES."""
        return [self.e_in, self.e_out, self.bias, self.mix]

    def save(self, folder: Path) -> Path:
        """model.safetensors in a folder."""
        folder.mkdir(parents=True, exist_ok=True)
        save_file(dict(zip(NAMES, self.arrays(), strict=True)), folder / "model.safetensors")
        return folder


def fresh(vocab_size: int, seed: int) -> Model:
    """Small random rows; each place of the context begins as a fading copy."""
    rng = np.random.default_rng(seed)
    rows = [rng.normal(0, 0.1, (vocab_size, WIDTH)).astype(np.float32) for _ in range(2)]
    mix = np.stack([np.eye(WIDTH) / (c + 1) for c in range(CONTEXT)]).astype(np.float32)
    return Model(rows[0], rows[1], np.zeros(vocab_size, np.float32), mix)


def load(folder: Path) -> Model:
    """What ``save`` wrote."""
    found = load_file(folder / "model.safetensors")
    return Model(*(found[name] for name in NAMES))


def windows(tokenizer: Tokenizer, texts: pa.LargeStringArray) -> tuple[np.ndarray, np.ndarray]:
    """(contexts int64 [T, C], latest first, targets int64 [T]) of documents."""
    offsets, ids = list_buffers(tokenizer.encode(texts))
    contexts, targets = [], []
    for start, stop in pairwise(offsets):
        padded = np.concatenate([np.full(CONTEXT, BEFORE), ids[start:stop]]).astype(np.int64)
        size = stop - start
        contexts.append(np.stack([padded[CONTEXT - 1 - c : CONTEXT - 1 - c + size] for c in range(CONTEXT)], axis=1))
        targets.append(padded[CONTEXT:])
    return np.concatenate(contexts), np.concatenate(targets)


def _forward(model: Model, contexts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(hidden [B, D], probabilities [B, V])."""
    hidden = sum(model.e_in[contexts[:, c]] @ model.mix[c] for c in range(CONTEXT))
    logits = hidden @ model.e_out.T + model.bias
    logits -= logits.max(axis=1, keepdims=True)
    np.exp(logits, out=logits)
    logits /= logits.sum(axis=1, keepdims=True)
    return hidden, logits


def _gradients(model: Model, contexts: np.ndarray, targets: np.ndarray) -> list[np.ndarray]:
    hidden, error = _forward(model, contexts)
    error[np.arange(len(targets)), targets] -= 1
    error /= len(targets)
    back = error @ model.e_out
    e_in, mix = np.zeros_like(model.e_in), np.empty_like(model.mix)
    for c in range(CONTEXT):
        mix[c] = model.e_in[contexts[:, c]].T @ back
        np.add.at(e_in, contexts[:, c], back @ model.mix[c].T)
    return [e_in, error.T @ hidden, error.sum(axis=0), mix]


def train(model: Model, contexts: np.ndarray, targets: np.ndarray, seed: int, rate: float = 3e-3) -> Model:
    """One pass over all windows, Adam, the rate falling to a tenth. Changes and gives back the model."""
    order = np.random.default_rng(seed).permutation(len(targets))
    state = [(np.zeros_like(a), np.zeros_like(a)) for a in model.arrays()]
    steps = len(order) // BATCH
    for step in range(steps):
        rows = order[step * BATCH : (step + 1) * BATCH]
        now = rate * (1 - 0.9 * step / steps)
        correct = (1 - 0.999 ** (step + 1)) ** 0.5 / (1 - 0.9 ** (step + 1))
        for array, gradient, (first, second) in zip(
            model.arrays(), _gradients(model, contexts[rows], targets[rows]), state, strict=True
        ):
            first += 0.1 * (gradient - first)
            second += 0.001 * (gradient * gradient - second)
            array -= np.float32(now * correct) * first / (np.sqrt(second) + 1e-8)
    return model


def bits_per_byte(model: Model, tokenizer: Tokenizer, texts: pa.LargeStringArray) -> float:
    """Cost of the texts in bits, over their UTF-8 bytes."""
    contexts, targets = windows(tokenizer, texts)
    nats = 0.0
    for start in range(0, len(targets), BATCH):
        part = slice(start, start + BATCH)
        _, chances = _forward(model, contexts[part])
        nats -= float(np.log(chances[np.arange(len(targets[part])), targets[part]] + 1e-30).sum(dtype=np.float64))
    return nats / np.log(2) / sum(len(text.encode()) for text in texts.to_pylist())
