"""The shape of a model: one list of layers, each ``mamba``, ``window`` or ``full``, and what they share. Read first.

Samba, PLaMo 2 and 3, attention-only models and the step from window to full attention are lists, not branches:

    [mamba, window] * 8                PLaMo 2, Samba (with this mixer)
    [mamba, full] * 8                  the same after the transition to full attention, the same tensors
    ([window] * 7 + [full]) * 4        PLaMo 3
    [full] * 32                        Llama, Qwen 3

``trainer.layouts`` makes such lists from a recipe's [model] table.
Source of PLaMo 2: vLLM plamo2.py, mlx-lm plamo2.py, config of mlx-community/plamo-2-1b.

Letters: D d_model, H query heads, K key/value heads, P head size, M Mamba heads, C = M*P, N d_state, R dt rank,
F feed-forward, V vocabulary.
"""

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal

from jacorpus.errors import RecipeError, nearest

Mixer = Literal["mamba", "window", "full"]
QKNorm = Literal["per_head", "shared", "none"]
MIXERS = ("mamba", "window", "full")

PRE_OFFSET = 1.0
POST_MIXER_OFFSET = 1 / 5
POST_MLP_OFFSET = 1 / 5**1.5
"""What is added to a norm's stored weight. With all at 1, says PLaMo 2's source, training was worse."""


@dataclass(frozen=True)
class LayerConfig:
    """One layer. d_ff: F. heads, kv_heads, window, rope_base: attention only; a query sees itself and ``window`` keys
    before it; rope_base 0 turns no head."""

    mixer: Mixer
    d_ff: int
    heads: int = 0
    kv_heads: int = 0
    window: int | None = None
    rope_base: float = 10_000.0

    def __post_init__(self) -> None:
        if self.mixer not in MIXERS:
            raise RecipeError(f"layer `{self.mixer}` is unknown{nearest(str(self.mixer), MIXERS)}")
        if self.mixer == "window" and (self.window is None or self.window < 1):
            raise RecipeError("a window layer needs `window`, the number of keys seen back, over 0")
        if self.mixer != "mamba" and (self.heads < 1 or self.kv_heads < 1 or self.heads % self.kv_heads):
            raise RecipeError(f"heads ({self.heads}) must be a multiple of kv_heads ({self.kv_heads}), both over 0")
        if self.mixer == "full" and self.window is not None:
            raise RecipeError("a full layer has no window; write `window` layers, or leave `window` out")
        if self.rope_base < 0:
            raise RecipeError(f"rope_base {self.rope_base} must be over 0, or 0 for no rotation")


@dataclass(frozen=True)
class RopeScaling:
    """Llama 3.1's change of RoPE frequencies for long contexts (``rope_type`` llama3)."""

    factor: float
    low_freq_factor: float
    high_freq_factor: float
    original_max_position_embeddings: int


@dataclass(frozen=True)
class ModelConfig:
    """A model, whole. Two equal configurations have the same tensors.

    head_dim: P of attention. qk_norm: RMS norm of q and k: with a weight for each head (PLaMo 2), one shared by all
    heads (PLaMo 3, Qwen 3), or none (Llama). post_norm: norms after mixer and MLP too. tied: the head is the embedding.
    mlp: ``swiglu`` (gated) or ``gelu`` (not gated).
    """

    vocab_size: int
    d_model: int
    layers: tuple[LayerConfig, ...]
    head_dim: int
    mamba_heads: int = 0
    mamba_head_dim: int = 0
    d_state: int = 64
    d_conv: int = 4
    dt_rank: int = 0
    qk_norm: QKNorm = "per_head"
    post_norm: bool = True
    tied: bool = True
    mlp: Literal["swiglu", "gelu"] = "swiglu"
    norm_eps: float = 1e-6
    rope_scaling: RopeScaling | None = None

    def __post_init__(self) -> None:
        if not self.layers:
            raise RecipeError("a model needs at least one layer")
        for name in ("vocab_size", "d_model", "head_dim"):
            if getattr(self, name) < 1:
                raise RecipeError(f"[model] {name} must be over 0, got {getattr(self, name)}")
        if self.has_mamba and min(self.mamba_heads, self.mamba_head_dim, self.d_state, self.dt_rank) < 1:
            raise RecipeError("mamba layers need mamba_heads, mamba_head_dim, d_state and dt_rank over 0")
        if self.d_conv < 2:
            raise RecipeError(f"[model] d_conv must be 2 or more, got {self.d_conv}")
        turned = any(layer.mixer != "mamba" and layer.rope_base for layer in self.layers)
        if turned and self.head_dim % 2:
            raise RecipeError(f"[model] head_dim must be even for RoPE, got {self.head_dim}")

    @property
    def has_mamba(self) -> bool:
        return any(layer.mixer == "mamba" for layer in self.layers)

    @property
    def d_inner(self) -> int:
        """C: width of a Mamba mixer."""
        return self.mamba_heads * self.mamba_head_dim

    def layer_parameters(self, layer: LayerConfig) -> int:
        """Number of weights in a layer."""
        d, width = self.d_model, self.d_inner
        norms = (4 if self.post_norm else 2) * d
        mlp = (3 if self.mlp == "swiglu" else 2) * d * layer.d_ff
        if layer.mixer == "mamba":
            small = self.d_conv * width + 3 * self.mamba_heads + self.dt_rank + 2 * self.d_state
            project = 3 * d * width + (2 * self.d_state + self.dt_rank) * width + self.mamba_heads * self.dt_rank
            return norms + mlp + project + small
        p, heads, kv = self.head_dim, layer.heads, layer.kv_heads
        norm = {"per_head": (heads + kv) * p, "shared": 2 * p, "none": 0}[self.qk_norm]
        return norms + mlp + (2 * heads + 2 * kv) * p * d + norm

    def parameters(self) -> int:
        """Number of weights; a tied head counts once."""
        embedding = self.vocab_size * self.d_model * (1 if self.tied else 2)
        return embedding + self.d_model + sum(map(self.layer_parameters, self.layers))

    def to_dict(self) -> dict[str, Any]:
        """Plain data, as written beside a checkpoint."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, table: dict[str, Any]) -> "ModelConfig":
        """The configuration that ``to_dict`` gave. Raises RecipeError for unknown keys."""
        table = dict(table)
        layers = tuple(_strict(LayerConfig, layer, "layer") for layer in table.pop("layers", ()))
        scaling = table.pop("rope_scaling", None)
        table["rope_scaling"] = _strict(RopeScaling, scaling, "rope_scaling") if scaling else None
        return _strict(cls, {**table, "layers": layers}, "model")


def _strict(kind: Any, table: dict[str, Any], what: str) -> Any:
    known = {field.name for field in dataclasses.fields(kind)}
    for key in table:
        if key not in known:
            raise RecipeError(f"unknown key `{key}` in the {what} configuration{nearest(key, known)}")
    return kind(**table)
