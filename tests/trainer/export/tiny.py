"""Tiny random models for export tests: every weight is moved off its start, so that a wrong place or offset shows."""

from typing import Any

import torch

from trainer.cache import Cache
from trainer.config import LayerConfig, ModelConfig, RopeScaling
from trainer.model import Model

V = 96
LLAMA3 = RopeScaling(factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=64)


def layer(mixer: str, window: int | None = None, **change: Any) -> LayerConfig:
    sizes = {"d_ff": 80, "heads": 4, "kv_heads": 2} if mixer != "mamba" else {"d_ff": 80}
    return LayerConfig(mixer, window=window, **{**sizes, **change})  # type: ignore[arg-type]


def plamo2(window: int = 40, **change: Any) -> ModelConfig:
    layers = (layer("mamba"), layer("window", window)) * 2
    sizes = {"vocab_size": V, "d_model": 64, "head_dim": 16, "mamba_heads": 8, "mamba_head_dim": 16, "d_state": 16}
    return ModelConfig(**{"layers": layers, "dt_rank": 64, **sizes, **change})


def plamo3(window: int = 40, **change: Any) -> ModelConfig:
    pair = layer("window", window), layer("full", rope_base=150_000.0)
    return plamo2(**{"layers": pair * 2, "qk_norm": "shared", **change})


def llama(**change: Any) -> ModelConfig:
    layers = (layer("full", rope_base=50_000.0),) * 3
    return plamo2(**{"layers": layers, "qk_norm": "none", "post_norm": False, **change})


def qwen3(**change: Any) -> ModelConfig:
    return llama(**{"qk_norm": "shared", **change})


def odd(**change: Any) -> ModelConfig:
    """What no other family holds."""
    layers = (
        layer("mamba", d_ff=48),
        layer("window", 9),
        layer("full", rope_base=0.0),
        layer("window", 30, kv_heads=4),
    )
    return plamo2(
        **{"layers": layers, "mlp": "gelu", "rope_scaling": LLAMA3, "mamba_head_dim": 8, "dt_rank": 20, **change}
    )


@torch.no_grad()
def model_of(config: ModelConfig, seed: int = 0) -> Model:
    """Random, with norms, A_log, D and biases away from where they start, and logits of size 1."""
    model = Model(config).init(seed).eval()
    generator = torch.Generator().manual_seed(seed)
    for name, weight in model.named_parameters():
        spread = 0.2 if weight.ndim == 1 or "q_weight" in name or "k_weight" in name else 0.1
        weight += spread * torch.randn(weight.shape, generator=generator)
    return model


def prompt(tokens: int, rows: int = 2, seed: int = 1) -> torch.Tensor:
    return torch.randint(0, V, (rows, tokens), generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def logits_of(model: Model, tokens_BT: torch.Tensor) -> torch.Tensor:
    return model.logits(model(tokens_BT))


@torch.no_grad()
def greedy(model: Model, tokens_BT: torch.Tensor, count: int) -> torch.Tensor:
    """``count`` tokens of our own decoding, [B, count]."""
    cache = Cache(model.config, len(tokens_BT), tokens_BT.shape[1] + count, "cpu", torch.float32)
    logits, found = model.prefill(tokens_BT, None, cache), []
    for _ in range(count):
        found.append(logits.argmax(-1))
        logits = model.step(found[-1], cache)
    return torch.stack(found, 1)
