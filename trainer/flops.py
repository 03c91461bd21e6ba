"""How much arithmetic a token costs, and what share of the device's peak a run reaches (MFU).

Two counts, which differ in the backward pass of attention and SSD:

- ``work``: what the kernels do. Their backward forms the scores anew, so it costs 2.5 times the forward.
- ``model_flops``: what the mathematics asks for, backward twice the forward, nothing done again (PaLM, appendix B).
  The recurrence of Mamba is left out: how much it costs depends on the chunk a kernel cuts, and it is below 1 %.
  MFU is tokens/s times this, over the peak.

A row counts as one document of T tokens; packed short documents need less in attention. A multiplication and an
addition are two operations. The vocabulary's head is a GEMM, the embedding a look-up.

Letters: T tokens of a row, D d_model, H query heads, K key/value heads, P head size, M Mamba heads, C = M*P,
N d_state, R dt rank, F feed-forward, V vocabulary, W window.
"""

from dataclasses import dataclass

from trainer.config import LayerConfig, ModelConfig

CHUNK = 256
"""Tokens of an SSD chunk: what PLaMo 2 and the Triton kernel use."""

# Dense bf16 peaks in FLOP/s from the makers' data sheets, without sparsity. All words of a name must be in the device's
# name; the first match counts.
PEAKS: tuple[tuple[str, float], ...] = (
    ("B200", 2250e12),
    ("H200", 989e12),
    ("GH200", 989e12),
    ("H100 PCIe", 756e12),
    ("H100 NVL", 835e12),
    ("H100", 989e12),
    ("H800", 989e12),
    ("A100", 312e12),
    ("A800", 312e12),
    ("L40S", 362e12),
    ("L4", 121e12),
    ("RTX 4090", 165e12),
    ("RTX 3090", 71e12),
)


@dataclass(frozen=True)
class Flops:
    """Operations of the forward pass of one token, on average over a row of T tokens."""

    gemm: float
    attention: float
    ssd: float

    @property
    def work(self) -> "Flops":
        """Forward and backward as the kernels do it."""
        return Flops(3 * self.gemm, 3.5 * self.attention, 3.5 * self.ssd)

    @property
    def model_flops(self) -> float:
        """Forward and backward as MFU counts them."""
        return 3 * (self.gemm + self.attention)

    @property
    def total(self) -> float:
        return self.gemm + self.attention + self.ssd


def flops_per_token(config: ModelConfig, T: int) -> Flops:
    """What a token costs in rows of T tokens: forward; see ``work`` and ``model_flops`` for training."""
    gemm = sum(_gemm(config, layer) for layer in config.layers) + config.vocab_size * config.d_model
    keys = sum(
        layer.heads * keys_seen(T, layer.window if layer.mixer == "window" else None)
        for layer in config.layers
        if layer.mixer != "mamba"
    )
    mamba = sum(layer.mixer == "mamba" for layer in config.layers)
    return Flops(2.0 * gemm, 4.0 * config.head_dim * keys, mamba * _ssd(config, T))


def keys_seen(T: int, window: int | None = None) -> float:
    """Keys a query sees on average: itself and what lies before it, at most ``window`` of these.

    >>> keys_seen(4), keys_seen(4, 1)
    (2.5, 1.75)
    """
    most = min(T, T if window is None else window + 1)
    return (most * (most + 1) / 2 + (T - most) * most) / T


def _gemm(config: ModelConfig, layer: LayerConfig) -> int:
    """Weights of a layer that every token is multiplied with."""
    mlp = (3 if config.mlp == "swiglu" else 2) * config.d_model * layer.d_ff
    if layer.mixer == "mamba":
        low_rank = 2 * config.d_state + config.dt_rank
        into_dt = config.mamba_heads * config.dt_rank
        return mlp + config.d_inner * (3 * config.d_model + low_rank) + into_dt
    return mlp + 2 * (layer.heads + layer.kv_heads) * config.head_dim * config.d_model


def _ssd(config: ModelConfig, T: int) -> float:
    """Within a chunk half a square of scores, one for all heads, each head's mix of values; the state in and out."""
    chunk = min(CHUNK, T)
    inside = (chunk + 1) * (config.d_state + config.d_inner)
    return inside + 4.0 * config.d_inner * config.d_state


def peak_flops(device: str | None, precision: str = "bf16") -> float | None:
    """The peak of a device in FLOP/s, by the name torch.cuda gives it.

    None for a CPU, a device not listed, and precisions other than bf16: no MFU is better than a wrong one.

    >>> peak_flops("NVIDIA H100 80GB HBM3"), peak_flops("cpu")
    (989000000000000.0, None)
    """
    words = set((device or "").replace("-", " ").lower().split())
    if precision != "bf16":
        return None
    return next((peak for name, peak in PEAKS if set(name.lower().split()) <= words), None)


def mfu(tokens_per_s: float, flops: Flops, peak: float | None, devices: int = 1) -> float | None:
    """Share of the peak of all devices that went into the model's own arithmetic; None without a peak."""
    return None if peak is None else tokens_per_s * flops.model_flops / (peak * devices)
