"""Adapters of low rank: LoRA (arXiv 2106.09685) and DoRA (2402.09353) on projections of a model.

    LoRA   W + (alpha / rank) B A               B = 0 at the start: the model is what it was
    DoRA   m V / |V|,  V = W + (alpha / rank) B A,  |V| over the inputs, one m an output row, m = |W| at the start

An adapted projection keeps its weight under its own name and gets lora_A, lora_B (and magnitude) beside it, so the
weights of a plain model go in and out as before. Only adapters are trained. A tied head is the embedding and no target;
kernels read what lies outside projections (convolution, decay, norms) as it is, so those are none either.

Letters: O outputs, I inputs, R rank.
"""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from jacorpus.errors import RecipeError, nearest
from trainer.model import Linear, Model

TARGETS = (
    *("qkv_proj", "o_proj", "in_proj", "bcdt_proj", "dt_proj", "out_proj"),
    *("gate_up_proj", "down_proj"),
)
PARTS = ("lora_A", "lora_B", "magnitude")
DEFAULT = ("qkv_proj", "o_proj", "in_proj", "out_proj", "gate_up_proj", "down_proj")


@dataclass(frozen=True)
class LoraConfig:
    """rank; alpha: of the scale alpha / rank; dora; targets: names of projections; seed: of A's draw."""

    rank: int = 16
    alpha: float = 32.0
    dora: bool = False
    targets: tuple[str, ...] = DEFAULT
    seed: int = 0

    def __post_init__(self) -> None:
        given = (type(self.rank), type(self.alpha))
        if given[0] is not int or given[1] not in (int, float) or self.rank < 1 or self.alpha <= 0:
            raise RecipeError(f"lora: rank must be 1 or more and alpha over 0, got {self.rank!r} and {self.alpha!r}")
        for name in self.targets:
            if name in ("embed", "head"):
                raise RecipeError(f"lora: {name} is no target: a tied head is the embedding; name projections")
            if name not in TARGETS:
                raise RecipeError(
                    f"lora: `{name}` is no projection that is called as one{nearest(name, TARGETS)}; kernels read "
                    f"other weights as they are, and an adapter there would do nothing"
                )


def config_from_table(table: Mapping[str, Any], seed: int = 0) -> LoraConfig:
    """A recipe's ``lora = {rank, alpha, dora, targets}``. Raises RecipeError naming the key."""
    known = [field.name for field in fields(LoraConfig)]
    for key in table:
        if key not in known:
            raise RecipeError(f"lora: unknown key `{key}`{nearest(key, known)}")
    given = {"seed": seed, **table}
    return LoraConfig(**{**given, "targets": tuple(given.get("targets", DEFAULT))})


class LoraLinear(Linear):
    """A projection with an adapter beside its weight. enabled: whether it counts."""

    lora_A: nn.Parameter
    lora_B: nn.Parameter
    magnitude: nn.Parameter
    scale: float
    enabled: bool

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = super().forward(x)
        if not self.enabled:
            return y
        y = y + self.scale * F.linear(F.linear(x, self.lora_A.to(x.dtype)), self.lora_B.to(x.dtype))
        if hasattr(self, "magnitude"):
            with torch.no_grad():  # a constant, the paper's section 4.3
                norm_O = self.delta().add(self.weight).norm(dim=1)
            y = y * (self.magnitude / norm_O).to(x.dtype)
        return y

    def delta(self) -> torch.Tensor:
        """[O, I], in the weight's type: what the adapter adds before any magnitude."""
        return (self.scale * (self.lora_B @ self.lora_A)).to(self.weight.dtype)

    def merged(self) -> torch.Tensor:
        """[O, I]: the one weight that does the same."""
        found = self.weight + self.delta()
        if hasattr(self, "magnitude"):
            found = found * (self.magnitude / found.norm(dim=1))[:, None]
        return found.detach()


def add_lora(model: Model, config: LoraConfig) -> list[str]:
    """Put adapters on the projections a configuration names and freeze all else. Returns their names. Raises
    RecipeError where the model has none of them, or has adapters already."""
    if has_adapter(model):
        raise RecipeError("the model has an adapter already; merge it first")
    model.requires_grad_(False)
    found = []
    for name, module in model.named_modules():
        if type(module) is Linear and name.rpartition(".")[2] in config.targets:
            adapt(module, name, config)
            found.append(name)
    if not found:
        raise RecipeError(f"lora: the model has none of {', '.join(config.targets)}")
    return found


def adapt(module: Linear, name: str, config: LoraConfig) -> None:
    """Put one adapter on a projection, without effect as yet. name: its key in the draw of A."""
    weight = module.weight
    digest = hashlib.sha256(f"{config.seed} {name}".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)
    bound = weight.shape[1] ** -0.5  # kaiming uniform with a = sqrt(5), as PEFT has it
    a = (2 * torch.rand(config.rank, weight.shape[1], generator=generator) - 1) * bound
    module.__class__ = LoraLinear
    module.lora_A = nn.Parameter(a.to(weight))
    module.lora_B = nn.Parameter(torch.zeros(weight.shape[0], config.rank).to(weight))
    module.scale, module.enabled = config.alpha / config.rank, True  # type: ignore[assignment]
    if config.dora:
        module.magnitude = nn.Parameter(weight.detach().norm(dim=1))


def adapters(model: nn.Module) -> Iterator[tuple[str, LoraLinear]]:
    """(name, projection) of all adapted ones."""
    return ((name, module) for name, module in model.named_modules() if isinstance(module, LoraLinear))


def has_adapter(model: nn.Module) -> bool:
    """Whether any projection is adapted."""
    return any(True for _ in adapters(model))


@contextmanager
def disabled(model: nn.Module) -> Iterator[None]:
    """The model without its adapters: the reference of preference losses, without a second model."""
    found = [module for _, module in adapters(model) if module.enabled]
    for module in found:
        module.enabled = False
    try:
        yield
    finally:
        for module in found:
            module.enabled = True


def plain(model: nn.Module) -> dict[str, torch.Tensor]:
    """The weights without adapters, by the names of a plain model."""
    own = [f"{name}.{part}" for name, _ in adapters(model) for part in PARTS]
    return {name: tensor for name, tensor in model.state_dict().items() if name not in set(own)}


def merged(model: nn.Module) -> dict[str, torch.Tensor]:
    """Weights of a plain model that does the same, by its names."""
    return {**plain(model), **{f"{name}.weight": module.merged() for name, module in adapters(model)}}


def merge_adapter(model: nn.Module) -> None:
    """Put the adapters into the weights and take them off."""
    for _, module in list(adapters(model)):
        with torch.no_grad():
            module.weight.copy_(module.merged())
        for part in (*PARTS, "scale", "enabled"):
            if hasattr(module, part):
                delattr(module, part)
        module.__class__ = Linear  # type: ignore[assignment]
