"""A tiny model with a tokenizer, in a folder as a training run leaves it."""

import io
from functools import cache
from pathlib import Path

import sentencepiece
import torch

from tests.small import prose
from tests.tokenizer_lab.test_encode import shard_folder
from tokenizer_lab.corpus import open_corpus
from tokenizer_lab.encode import encode_corpus
from tokenizer_lab.tokens import Tokens, open_tokens
from trainer.config import LayerConfig, ModelConfig
from trainer.model import Model
from trainer.opened import save_model

PAIR = (LayerConfig("mamba", 48), LayerConfig("window", 48, heads=2, kv_heads=1, window=6))


def tiny(vocab_size: int, layers: tuple[LayerConfig, ...] = PAIR) -> ModelConfig:
    """Every kind of state, little of it."""
    sizes = {"head_dim": 16, "mamba_heads": 2, "mamba_head_dim": 16, "d_state": 8, "dt_rank": 8}
    return ModelConfig(vocab_size, 32, layers, **sizes)


def random_model(vocab_size: int, seed: int = 0, layers: tuple[LayerConfig, ...] = PAIR, scale: float = 8.0) -> Model:
    """Far from uniform: the start's embedding is made larger, so that logits differ."""
    model = Model(tiny(vocab_size, layers)).init(seed)
    with torch.no_grad():
        model.embed.weight.mul_(scale)
    return model.requires_grad_(False)


@cache
def piece_model() -> bytes:
    """A SentencePiece model of 400 ids: a first space that is no text, bytes for rare characters, </s> as id 2."""
    made = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([prose(i) for i in range(40)]),
        model_writer=made,
        vocab_size=400,
        byte_fallback=True,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    return made.getvalue()


def token_folder(where: Path, documents: int = 60) -> Tokens:
    """Token shards of two domains; every third document is of split valid."""
    where.mkdir(parents=True, exist_ok=True)
    (where / "pieces.model").write_bytes(piece_model())
    domains = {"novels": 0, "web": 10_000}
    texts = {name: [prose(first + i, 1 + i % 4) for i in range(documents)] for name, first in domains.items()}
    corpus = open_corpus([str(shard_folder(where / "corpus", texts))])
    encode_corpus(corpus, str(where / "pieces.model"), where / "tokens")
    return open_tokens(where / "tokens")


def run_folder(out: Path, tokens: Tokens, step: int = 7) -> Path:
    """A run's folder with random weights."""
    entry = tokens.manifest["tokenizer"]
    save_model(out, random_model(entry["vocab_size"]), entry, entry["eos_id"], step, tokens.folder)
    return out
