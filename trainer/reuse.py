"""Grow a trained model without changing what it computes: wider by cloning channels, deeper by stacking layers.

Widening by a factor f repeats channels and heads f times and divides the matrices that read them by f, so that sums
stay; a tied head is also a reader, and its division goes into the final norm's scale. Head sizes, d_state and window
stay. Deepening appends copies of the layers whose branches are switched off: by post-norm deltas of minus the offset,
exactly 0 in float32, or by zero output matrices where there are no norms after the branches. (PLaMo 2's 8B began as
copies of smaller weights, arXiv 2509.04897; which operator it used is not told there.)

Letters: D d_model, H query heads, K key/value heads, P head size, M Mamba heads, N d_state, R dt rank, F feed-forward.
"""

from dataclasses import replace

import torch

from jacorpus.errors import RecipeError
from trainer.config import POST_MIXER_OFFSET, POST_MLP_OFFSET, LayerConfig, ModelConfig
from trainer.model import Model


def widen(model: Model, factor: int, noise: float = 0.0, seed: int = 0) -> Model:
    """A model ``factor`` times as wide with the same logits (within 1e-5 in float32).

    noise: each matrix element is multiplied by 1 + noise * a normal number, so that clones can part in training; with
    0 they get equal gradients and stay equal. Raises RecipeError for a factor under 1.
    """
    if factor < 1:
        raise RecipeError(f"a model can be widened by 1, 2, 3, ..., not by {factor}")
    config = _wider(model.config, factor)
    state = {name: _cloned(name, weight.detach(), model.config, factor) for name, weight in model.named_parameters()}
    if noise:
        generator = torch.Generator().manual_seed(seed)
        for name, weight in state.items():
            if weight.ndim == 2:
                state[name] = weight * (1 + noise * torch.randn(weight.shape, generator=generator)).to(weight)
    return _loaded(config, state, model)


def _wider(config: ModelConfig, factor: int) -> ModelConfig:
    layers = tuple(
        replace(la, heads=la.heads * factor, kv_heads=la.kv_heads * factor, d_ff=la.d_ff * factor)
        for la in config.layers
    )
    return replace(
        config,
        d_model=config.d_model * factor,
        mamba_heads=config.mamba_heads * factor,
        dt_rank=config.dt_rank * _rank_factor(config, factor),
        layers=layers,
    )


def _rank_factor(config: ModelConfig, factor: int) -> int:
    """R follows D as in PLaMo 2, max(64, D / 16), where it did before and a whole number of clones gets there."""
    if config.dt_rank != max(64, config.d_model // 16):
        return factor
    wanted = max(64, config.d_model * factor // 16)
    return wanted // config.dt_rank if wanted % config.dt_rank == 0 else factor


def _cloned(name: str, weight: torch.Tensor, config: ModelConfig, factor: int) -> torch.Tensor:
    """One tensor, wider. The layer's own sizes give where q, k, v and gate, up part."""
    parts, last = name.split("."), name.removesuffix(".weight").rpartition(".")[2]
    rank = _rank_factor(config, factor)
    if name in ("embed.weight", "head.weight"):
        return weight.repeat(1, factor) / (factor if name == "head.weight" else 1)
    if name == "final_norm.weight":
        scale = (1 + weight).repeat(factor)
        return (scale / factor if config.tied else scale) - 1
    layer = config.layers[int(parts[1])]
    if last in ("q_norm_weight", "k_norm_weight", "B_norm_weight", "C_norm_weight"):
        return weight.clone()
    if last == "dt_norm_weight":
        return weight.repeat(rank)
    if last in ("q_weight", "k_weight"):
        return weight.repeat(factor, 1)
    if weight.ndim != 2:
        return weight.repeat(factor, *[1] * (weight.ndim - 1))
    if last == "bcdt_proj":
        bc, dt = weight.split((2 * config.d_state, config.dt_rank))
        return torch.cat((bc, dt.repeat(rank, 1))).repeat(1, factor) / factor
    if last == "dt_proj":
        return weight.repeat(factor, rank) / rank
    blocks = weight.split(_row_blocks(last, layer, config, len(weight)))
    return torch.cat([block.repeat(factor, factor) for block in blocks]) / factor


def _row_blocks(last: str, layer: LayerConfig, config: ModelConfig, rows: int) -> list[int]:
    """Rows that are repeated as one: heads of q, of k, of v; gate, up."""
    if last == "qkv_proj":
        return [heads * config.head_dim for heads in (layer.heads, layer.kv_heads, layer.kv_heads)]
    return [layer.d_ff] * 2 if last == "gate_up_proj" and config.mlp == "swiglu" else [rows]


def deepen(model: Model, layers: int) -> Model:
    """A model of ``layers`` layers with the same logits: layer i beyond the old ones is a copy of layer i mod L whose
    branches add exactly 0. Patterns hold on where L is a multiple of theirs. Raises RecipeError for fewer layers."""
    old = len(model.config.layers)
    if layers < old:
        raise RecipeError(f"the model has {old} layers and can't be deepened to {layers}")
    config = replace(model.config, layers=tuple(model.config.layers[i % old] for i in range(layers)))
    state = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    for i in range(old, layers):
        start = f"layers.{i % old}."
        for name in [name for name in state if name.startswith(start)]:
            rest = name.removeprefix(start)
            state[f"layers.{i}.{rest}"] = _silent(rest, state[name], model.config.post_norm)
    return _loaded(config, state, model)


def _silent(rest: str, weight: torch.Tensor, post_norm: bool) -> torch.Tensor:
    """A copy of a layer's tensor; of those that end a branch, one that lets nothing through."""
    if post_norm:
        offsets = {"post_mixer_norm.weight": POST_MIXER_OFFSET, "post_mlp_norm.weight": POST_MLP_OFFSET}
        return torch.full_like(weight, -offsets[rest]) if rest in offsets else weight.clone()
    ends = rest in ("mixer.o_proj.weight", "mixer.out_proj.weight", "mlp.down_proj.weight")
    return torch.zeros_like(weight) if ends else weight.clone()


def _loaded(config: ModelConfig, state: dict[str, torch.Tensor], like: Model) -> Model:
    with torch.device("meta"):
        model = Model(config)
    model.load_state_dict(state, assign=True)
    model.compute_dtype, model.checkpointing = like.compute_dtype, like.checkpointing
    return model.train(like.training)
