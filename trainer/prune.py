"""Make a trained model smaller: leave out the units that do least (trainer/importance.py), keep all else as it is.

    ffn      feed-forward units, the same share in each layer; a layer keeps its own best
    heads    attention heads: whole groups of one key/value head; within the group where there is one alone
    mamba    Mamba heads
    hidden   channels of d_model, the same ones everywhere
    layers   whole blocks of the layers' pattern, so that the alternation stays

A unit whose output is 0 can go without any change (to 1e-12 in float64). For channels, RMS norms divide by the root of
a mean over fewer channels; their scales take that back: times sqrt(D / D' * share of the squares that stay), D' the
channels left. Exact but for the norms' eps. Distillation (trainer/distill.py) brings back what pruning lost; beyond
half of a model, prune and distill twice.

Source: arXiv 2407.14679; Mamba heads: arXiv 2504.11409. The scales of norms are ours.

Letters: D d_model, H query heads, K key/value heads, P head size, M Mamba heads, F feed-forward.
"""

import math
from dataclasses import dataclass, fields, replace

import torch

from jacorpus.errors import RecipeError
from trainer.config import POST_MIXER_OFFSET, POST_MLP_OFFSET, PRE_OFFSET, LayerConfig, ModelConfig
from trainer.importance import Importance, period_of
from trainer.model import Model

OFFSETS = {"post_mixer_norm": POST_MIXER_OFFSET, "post_mlp_norm": POST_MLP_OFFSET}
ROUND = 8
"""Widths that are multiples of it stay so."""


@dataclass(frozen=True)
class Shares:
    """What stays of each kind, in (0, 1]; at least one unit always."""

    ffn: float = 1.0
    heads: float = 1.0
    mamba: float = 1.0
    hidden: float = 1.0
    layers: float = 1.0

    def __post_init__(self) -> None:
        shares = {field.name: getattr(self, field.name) for field in fields(self)}
        for name, share in shares.items():
            if not 0 < share <= 1:
                raise RecipeError(f"the share of {name} that stays must be over 0 and at most 1, got {share}")
        if all(share == 1 for share in shares.values()):
            raise RecipeError(f"nothing would be pruned; give a share under 1 to one of {', '.join(shares)}")


@dataclass(frozen=True)
class _Kept:
    """Places of a layer's units that stay, ascending. q, kv: attention's heads. m: Mamba's."""

    ffn: torch.Tensor
    q: torch.Tensor
    kv: torch.Tensor
    m: torch.Tensor


def prune(model: Model, importance: Importance, shares: Shares) -> Model:
    """A smaller model, its weights slices of the model's. Raises RecipeError where nothing of a kind can go."""
    config = model.config
    places = _layers(config, importance, shares.layers)
    hidden = _best(importance.hidden, _size(config.d_model, shares.hidden))
    kept = {i: _kept(config, i, importance, shares) for i in places}
    layers = tuple(_smaller(config.layers[i], kept[i]) for i in places)
    mamba_heads = _size(config.mamba_heads, shares.mamba) if config.has_mamba else config.mamba_heads
    small = replace(config, d_model=len(hidden), mamba_heads=mamba_heads, layers=layers)
    if small == config:
        raise RecipeError("nothing would be pruned: the shares leave every width and layer; give smaller ones")
    old = {name: weight.detach() for name, weight in model.named_parameters()}
    with torch.device("meta"):
        made = Model(small)
    state = {}
    for name, _ in made.named_parameters():
        was, layer = name, None
        if name.startswith("layers."):
            _, number, rest = name.split(".", 2)
            layer = places[int(number)]
            was = f"layers.{layer}.{rest}"
        if "norm.weight" in name and len(hidden) < config.d_model:
            state[name] = _norm(was.removesuffix(".weight"), old[was], hidden, importance)
        else:
            rows, columns = _axes(was, config, layer, kept.get(layer) if layer is not None else None, hidden)
            weight = old[was] if rows is None else old[was][rows.to(old[was].device)]
            state[name] = (weight if columns is None else weight[:, columns.to(weight.device)]).clone()
    made.load_state_dict(state, assign=True)
    made.compute_dtype = model.compute_dtype
    made.requires_grad_(any(weight.requires_grad for weight in model.parameters()))
    return made.train(model.training)


def _size(size: int, share: float) -> int:
    """How many stay of ``size``."""
    step = ROUND if size % ROUND == 0 and size > ROUND else 1
    return max(step, round(share * size / step) * step)


def _best(scores: torch.Tensor, count: int) -> torch.Tensor:
    """Places of the highest scores, ascending; of equal ones the first."""
    return scores.cpu().sort(descending=True, stable=True).indices[:count].sort().values


def _layers(config: ModelConfig, importance: Importance, share: float) -> list[int]:
    """Numbers of the layers that stay."""
    period = period_of(config)
    blocks = len(config.layers) // period
    if share < 1 and blocks == 1:
        raise RecipeError(
            f"the {period} layers ({', '.join(layer.mixer for layer in config.layers)}) repeat no shorter pattern, so "
            f"none can go; leave the share of layers at 1"
        )
    chosen = _best(torch.tensor(importance.blocks), max(1, round(share * blocks))).tolist()
    return [block * period + i for block in chosen for i in range(period)]


def _kept(config: ModelConfig, i: int, importance: Importance, shares: Shares) -> _Kept:
    layer, none = config.layers[i], torch.empty(0, dtype=torch.int64)
    ffn = _best(importance.ffn[i], _size(layer.d_ff, shares.ffn))
    if layer.mixer == "mamba":
        return _Kept(ffn, none, none, _best(importance.heads[i], _size(config.mamba_heads, shares.mamba)))
    if layer.kv_heads == 1:
        q = _best(importance.heads[i], max(1, round(shares.heads * layer.heads)))
        return _Kept(ffn, q, torch.zeros(1, dtype=torch.int64), none)
    of_group = layer.heads // layer.kv_heads
    groups = importance.heads[i].unflatten(0, (layer.kv_heads, of_group)).sum(1)
    kv = _best(groups, max(1, round(shares.heads * layer.kv_heads)))
    return _Kept(ffn, _spread(kv, of_group), kv, none)


def _smaller(layer: LayerConfig, kept: _Kept) -> LayerConfig:
    if layer.mixer == "mamba":
        return replace(layer, d_ff=len(kept.ffn))
    return replace(layer, d_ff=len(kept.ffn), heads=len(kept.q), kv_heads=len(kept.kv))


def _spread(units: torch.Tensor, size: int) -> torch.Tensor:
    """Places of the elements of units of ``size`` elements each."""
    return (units[:, None] * size + torch.arange(size)).flatten()


_Axes = tuple[torch.Tensor | None, torch.Tensor | None]


def _axes(name: str, config: ModelConfig, number: int | None, kept: _Kept | None, hidden: torch.Tensor) -> _Axes:
    """(rows, columns) of a tensor that stay; None for all."""
    last = name.removesuffix(".weight").rpartition(".")[2]
    if last in ("embed", "head"):
        return None, hidden
    if last.endswith("_norm"):
        return hidden, None
    assert number is not None
    assert kept is not None
    layer, p, mp = config.layers[number], config.head_dim, config.mamba_head_dim
    if last == "qkv_proj":
        k = layer.heads * p + _spread(kept.kv, p)
        return torch.cat((_spread(kept.q, p), k, k + layer.kv_heads * p)), hidden
    gated = config.mlp == "swiglu"
    found: dict[str, _Axes] = {
        "gate_up_proj": (torch.cat((kept.ffn, layer.d_ff + kept.ffn)) if gated else kept.ffn, hidden),
        "down_proj": (hidden, kept.ffn),
        "o_proj": (hidden, _spread(kept.q, p)),
        "q_weight": (kept.q, None),
        "k_weight": (kept.kv, None),
        "in_proj": (_spread(kept.m, 2 * mp), hidden),  # in each head z, then x
        "conv_weight": (_spread(kept.m, mp), None),
        "bcdt_proj": (None, _spread(kept.m, mp)),
        "dt_proj": (kept.m, None),
        "out_proj": (hidden, _spread(kept.m, mp)),
        **dict.fromkeys(("A_log", "D", "dt_bias"), (kept.m, None)),
    }
    return found.get(last, (None, None))


def _norm(name: str, weight: torch.Tensor, hidden: torch.Tensor, importance: Importance) -> torch.Tensor:
    """A norm's deltas over fewer channels, its scale as large as it was for what is left."""
    offset = OFFSETS.get(name.rpartition(".")[2], PRE_OFFSET)
    energy = importance.energy[name].cpu()
    share = float(energy[hidden].sum() / energy.sum().clamp(min=1e-300))
    scale = math.sqrt(len(weight) / len(hidden) * share)
    return (offset + weight[hidden.to(weight.device)]) * scale - offset
