"""The update of the weights: AdamW, or Muon on hidden matrices with AdamW elsewhere; and the norm of the gradient.

Whether a step is left out, and how much its gradient is clipped, are tensors on the device: nothing here waits for it.
A step left out changes no bit of weights, moments or step count, whatever its gradient holds (NaN too).

| tensor | weight decay | under Muon |
|---|---|---|
| projections (2-D) | yes | Muon |
| embedding, head | head only | AdamW |
| conv_weight [C,1,4] | no: four taps per channel are a filter, like a gain, and no matrix whose size drifts | AdamW |
| norms, q_weight, k_weight, A_log, D, dt_bias | no: decay would pull gains to 0 and decay rates to one value | AdamW |

Under FSDP2 weights are DTensors: AdamW works on each rank's shard; Muon needs whole matrices, so each rank gathers them
and does the same work, which keeps ranks equal without sending results back. Build the optimizer after ``fully_shard``.

Letters: n matrices of one shape [A, B].
"""

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from jacorpus.errors import InputError, RecipeError, nearest

KINDS = ("adamw", "muon")

NO_DECAY = frozenset({"A_log", "D", "dt_bias", "conv_weight", "q_weight", "k_weight"})
"""Last part of a name; further: norms, the embedding, everything 1-D."""

NEWTON_SCHULZ = 3.4445, -4.7750, 2.0315
"""Keller Jordan's quintic: steep at 0, so that five rounds bring singular values to about 0.7 - 1.2."""

STACK_ELEMENTS = 1 << 28
"""Most elements orthogonalized at a time, to bound the memory of a stack."""


@dataclass(frozen=True)
class OptimConfig:
    """betas, eps: AdamW's. weight_decay: share of the weight taken off per step, times the learning rate.

    momentum, nesterov, ns_steps: Muon's. muon_lr_scale: Muon's rate over AdamW's (0.02 beside 4e-4).
    Raises RecipeError for settings without a meaning.
    """

    kind: Literal["adamw", "muon"] = "adamw"
    betas: tuple[float, float] = (0.9, 0.95)
    eps: float = 1e-8
    weight_decay: float = 0.1
    momentum: float = 0.95
    nesterov: bool = True
    ns_steps: int = 5
    muon_lr_scale: float = 50.0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise RecipeError(f"[train] optimizer: there is no `{self.kind}`{nearest(self.kind, KINDS)}")
        for name, value in (("betas", self.betas[0]), ("betas", self.betas[1]), ("momentum", self.momentum)):
            if not 0 <= value < 1:
                raise RecipeError(f"[train] {name} must be from 0 to below 1, got {value}")
        if not self.eps > 0 or not self.muon_lr_scale > 0 or not self.weight_decay >= 0 or self.ns_steps < 1:
            raise RecipeError(f"[train] eps, rates and ns_steps must be over 0, weight_decay 0 or more: {self}")


def decays(name: str, parameter: Tensor) -> bool:
    """Whether weight decay applies (see the table above)."""
    *_, owner, last = ("", *name.split("."))
    gain = last in NO_DECAY or last.endswith("norm_weight") or owner.endswith("norm")
    return parameter.ndim > 1 and not gain and owner != "embed"


def orthogonalizes(name: str, parameter: Tensor) -> bool:
    """Whether Muon applies: hidden matrices."""
    return parameter.ndim == 2 and decays(name, parameter) and name.split(".")[-2:-1] != ["head"]


class Optimizer:
    """Updates parameters in place from their ``grad``. One without a gradient is left alone.

    One step count serves all parameters: they are always updated together.
    """

    def __init__(self, named_parameters: Iterable[tuple[str, Tensor]], config: OptimConfig) -> None:
        self.config = config
        self._parameters = {name: p for name, p in named_parameters if p.requires_grad}
        if not self._parameters:
            raise RecipeError("nothing to train: no parameter of the model takes a gradient")
        muon = config.kind == "muon"
        self._muon = [n for n, p in self._parameters.items() if muon and orthogonalizes(n, p)]
        self._adamw = [n for n in self._parameters if n not in set(self._muon)]
        self._decay = {n: config.weight_decay if decays(n, p) else 0.0 for n, p in self._parameters.items()}
        with torch.no_grad():
            self._step = torch.zeros((), device=next(iter(self._parameters.values())).device)
            self._moments = {
                "exp_avg": {n: self._zeros(n) for n in self._adamw},
                "exp_avg_sq": {n: self._zeros(n) for n in self._adamw},
                "momentum": {n: self._zeros(n) for n in self._muon},
            }

    def _zeros(self, name: str) -> Tensor:
        return torch.zeros_like(_local(self._parameters[name]), memory_format=torch.contiguous_format)

    @torch.no_grad()
    def step(self, lr: float, skip: Tensor, scale: Tensor) -> None:
        """One update with gradients times ``scale``, or none where ``skip``. Gradients are used up.

        skip: 0-d bool; scale: 0-d, over 0, as the clip factor is. Both on the parameters' device, equal on all ranks.
        """
        self._step.add_(~skip)
        self._step_adamw(lr, skip, scale)
        self._step_muon(lr, skip, scale)

    def _step_adamw(self, lr: float, skip: Tensor, scale: Tensor) -> None:
        beta1, beta2 = self.config.betas
        moments1, moments2 = self._moments["exp_avg"], self._moments["exp_avg_sq"]
        groups: dict[tuple[torch.dtype, float], list[tuple[Tensor, ...]]] = defaultdict(list)
        for name in self._adamw:
            parameter = self._parameters[name]
            if parameter.grad is not None and moments1[name].numel():  # a rank's shard of few rows may be empty
                row = _local(parameter), _local(parameter.grad).contiguous(), moments1[name], moments2[name]
                groups[parameter.dtype, self._decay[name]].append(row)
        divisor, left_out = scale.float().reciprocal(), skip.float()
        for (_, decay), rows in groups.items():
            parameters, grads, first, second = (list(column) for column in zip(*rows, strict=True))
            torch._fused_adamw_(
                parameters,
                grads,
                first,
                second,
                [],
                [self._step] * len(parameters),
                lr=lr,
                beta1=beta1,
                beta2=beta2,
                weight_decay=decay,
                eps=self.config.eps,
                amsgrad=False,
                maximize=False,
                grad_scale=divisor,
                found_inf=left_out,
            )

    def _step_muon(self, lr: float, skip: Tensor, scale: Tensor) -> None:
        """Equal shapes are stacked: few large products in place of many small ones.

        Decay is AdamW's, lr * weight_decay: the rate of an orthogonal update has another unit, and with it a matrix
        would decay fifty times as fast under Muon.
        """
        shapes: dict[tuple[int, int], list[str]] = defaultdict(list)
        for name in self._muon:
            if self._parameters[name].grad is not None:
                rows, columns = self._parameters[name].shape
                shapes[rows, columns].append(name)
        for (rows, columns), names in shapes.items():
            rate = lr * self.config.muon_lr_scale * math.sqrt(max(1.0, rows / columns))
            most = max(1, STACK_ELEMENTS // (rows * columns))
            for begin in range(0, len(names), most):
                stack = names[begin : begin + most]
                whole = torch.stack([self._direction(name, skip, scale) for name in stack])
                for name, update in zip(stack, orthogonal(whole, self.config.ns_steps), strict=True):
                    parameter = _local(self._parameters[name])
                    decayed = parameter * (1 - lr * self._decay[name])
                    new = decayed - rate * _shard_like(self._parameters[name], update)
                    parameter.copy_(torch.where(skip, parameter, new))

    def _direction(self, name: str, skip: Tensor, scale: Tensor) -> Tensor:
        """The matrix to orthogonalize, whole, after an update of its momentum; [A, B]."""
        parameter, momentum = self._parameters[name], self._moments["momentum"][name]
        grad = _local(parameter.grad) * scale
        new = momentum.lerp(grad, 1 - self.config.momentum)
        momentum.copy_(torch.where(skip, momentum, new))
        direction = grad.lerp(new, self.config.momentum) if self.config.nesterov else new
        return _as_sharded(parameter, direction).full_tensor() if _sharded(parameter) else direction

    def state_dict(self) -> dict[str, Any]:
        """{"step", "exp_avg", "exp_avg_sq", "momentum"}: tensors by parameter name, sharded as the parameters are.

        They are the optimizer's own: what is loaded into them in place is loaded.
        """
        wrapped = {
            kind: {n: _as_sharded(self._parameters[n], moment) for n, moment in moments.items()}
            for kind, moments in self._moments.items()
        }
        return {"step": self._step, **wrapped}

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what state_dict gave. Raises InputError where it is of other parameters or another kind."""
        for kind, moments in self._moments.items():
            given = state.get(kind, {})
            if given.keys() != moments.keys():
                name = min(given.keys() ^ moments.keys())
                where = "is not known here" if name in given else "is missing"
                raise InputError(
                    f"optimizer state: {kind} of {name} {where}; it was saved with another model, or with another "
                    "optimizer than [train] asks for: go on with the one it was saved with"
                )
            for name, moment in moments.items():
                moment.copy_(_local(given[name]))
        self._step.copy_(state["step"])


def adamw_naive(
    parameter: Tensor,
    grad: Tensor,
    exp_avg: Tensor,
    exp_avg_sq: Tensor,
    step: int,
    lr: float,
    config: OptimConfig,
    decay: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """New parameter and moments after update number ``step``, from 1 (arXiv 1711.05101, algorithm 2, without schedule).

    The readable twin of what ``Optimizer`` has torch do in one kernel.
    """
    beta1, beta2 = config.betas
    exp_avg = beta1 * exp_avg + (1 - beta1) * grad
    exp_avg_sq = beta2 * exp_avg_sq + (1 - beta2) * grad**2
    mean, square = exp_avg / (1 - beta1**step), exp_avg_sq / (1 - beta2**step)
    return parameter * (1 - lr * decay) - lr * mean / (square.sqrt() + config.eps), exp_avg, exp_avg_sq


def orthogonal(stack: Tensor, steps: int) -> Tensor:
    """Each matrix of [n, A, B] with its singular values brought near 1 by Newton-Schulz; same type.

    Products run in bf16 on a GPU: the values end in a band of +- 30 %, beside which its rounding is small.
    """
    a, b, c = NEWTON_SCHULZ
    x = stack.mT if stack.shape[1] > stack.shape[2] else stack
    x = x / (torch.linalg.vector_norm(x, dim=(1, 2), keepdim=True) + 1e-7)
    x = x.bfloat16() if x.is_cuda else x
    for _ in range(steps):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return (x.mT if stack.shape[1] > stack.shape[2] else x).to(stack.dtype)


@torch.no_grad()
def grad_norm(parameters: Iterable[Tensor]) -> Tensor:
    """The L2 norm of all gradients together; 0-d float32 on their device, equal on all ranks. No gradients: 0.

    Squares are summed in the order of the parameters, in float64, those of shards then over ranks.
    """
    given = [p for p in parameters if p.grad is not None]
    if not given:
        return torch.zeros(())
    squares: dict[Any, list[Tensor]] = defaultdict(list)
    for parameter in given:
        norm = torch.linalg.vector_norm(_local(parameter.grad)).double()
        squares[_mesh(parameter.grad)].append(norm**2)
    total = torch.zeros((), dtype=torch.float64, device=given[0].device)
    for mesh, terms in squares.items():
        part = torch.stack(terms).sum()
        if mesh is not None:
            device_mesh, placements = mesh
            for dim, placement in enumerate(placements):
                if placement.is_shard():
                    torch.distributed.all_reduce(part, group=device_mesh.get_group(dim))
        total += part
    return total.sqrt().float()


def _sharded(tensor: Tensor) -> bool:
    return hasattr(tensor, "placements")  # a DTensor, told without importing what only torchrun needs


def _mesh(tensor: Any) -> Any:
    """What gradients must share to be summed over ranks together: (mesh, placements), or None for plain tensors."""
    return (tensor.device_mesh, tuple(tensor.placements)) if _sharded(tensor) else None


def _local(tensor: Any) -> Tensor:
    """This rank's part, sharing memory."""
    return tensor.to_local() if _sharded(tensor) else tensor


def _as_sharded(like: Any, local: Tensor) -> Any:
    """``local`` as the DTensor of which it is this rank's part, where ``like`` is one."""
    if not _sharded(like):
        return local
    from torch.distributed.tensor import DTensor

    shape = {"shape": like.shape, "stride": like.stride()}
    return DTensor.from_local(local, like.device_mesh, like.placements, run_check=False, **shape)


def _shard_like(like: Any, whole: Tensor) -> Tensor:
    """This rank's part of a tensor that all ranks have whole."""
    if not _sharded(like):
        return whole
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(whole, like.device_mesh, like.placements, src_data_rank=None).to_local()
