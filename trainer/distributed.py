"""One process or many: the group, the wrapping of a model, sums over ranks.

Started by ``torchrun --nproc-per-node N -m cli.main train pretrain ...``, which sets RANK, WORLD_SIZE and LOCAL_RANK;
without these there is one rank. A global batch is cut into equal runs of rows, rank 0's first, so that batches are the
same for any number of ranks.
"""

import os
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import nn

from jacorpus.errors import RecipeError


@dataclass(frozen=True)
class World:
    """This process among all. device: where it computes."""

    rank: int
    size: int
    device: torch.device

    @property
    def first(self) -> bool:
        """Whether this rank writes files and draws progress."""
        return self.rank == 0

    def rows(self, rows: int) -> range:
        """The rows of a batch that are this rank's. Raises RecipeError where they can't be cut evenly."""
        if rows % self.size:
            raise RecipeError(
                f"a batch of {rows} rows can't be cut over {self.size} ranks evenly; "
                f"choose batch_tokens so that its rows are a multiple of {self.size}, or another number of ranks"
            )
        share = rows // self.size
        return range(self.rank * share, (self.rank + 1) * share)

    def sum(self, tensor: torch.Tensor) -> torch.Tensor:
        """The sum over ranks, in place, on the device."""
        if self.size > 1:
            dist.all_reduce(tensor)
        return tensor

    def barrier(self) -> None:
        """Wait for all ranks."""
        if self.size > 1:
            dist.barrier()


def start(device: str = "auto") -> World:
    """Join the group that torchrun made, or be alone. device: auto, cpu, cuda or cuda:N.

    Raises RecipeError for a device that is not there.
    """
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise RecipeError(f'device = "{device}", and torch sees no GPU here; write auto or cpu')
    rank, size, local = (int(os.environ.get(name, default)) for name, default in _FROM_TORCHRUN)
    kind = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    found = torch.device(f"cuda:{local}" if kind == "cuda" else kind)
    if found.type == "cuda":
        torch.cuda.set_device(found)
    if size > 1 and not dist.is_initialized():
        dist.init_process_group("cpu:gloo,cuda:nccl" if found.type == "cuda" else "gloo")
    return World(rank, size, found)


_FROM_TORCHRUN = (("RANK", "0"), ("WORLD_SIZE", "1"), ("LOCAL_RANK", "0"))


def stop(world: World) -> None:
    """Leave the group."""
    if world.size > 1 and dist.is_initialized():
        dist.destroy_process_group()


def spread(objective: nn.Module, layers: list[nn.Module], parallel: str, world: World) -> nn.Module:
    """The objective (a model and its loss, as one module) over the ranks: ``ddp`` holds it whole on each, ``fsdp``
    (FSDP2) cuts each layer's weights, gradients and optimizer state over all. Alone, unchanged."""
    if world.size == 1:
        return objective
    if parallel == "fsdp":
        from torch.distributed.fsdp import fully_shard

        for layer in layers:
            fully_shard(layer)
        fully_shard(objective)
        return objective
    from torch.nn.parallel import DistributedDataParallel

    devices = [world.device.index] if world.device.type == "cuda" else None
    return DistributedDataParallel(objective, device_ids=devices, gradient_as_bucket_view=True)


def accumulate(module: Any, last: bool) -> None:
    """Tell a spread objective whether this backward pass is the step's last, when gradients go over the wire."""
    if hasattr(module, "set_requires_gradient_sync"):
        module.set_requires_gradient_sync(last)
    elif hasattr(module, "require_backward_grad_sync"):
        module.require_backward_grad_sync = last


def deterministic(device: torch.device) -> None:
    """Have torch choose algorithms whose results don't change from run to run; one that has none is an error."""
    if device.type == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        import torch._inductor.config as inductor

        if hasattr(inductor, "deterministic"):  # FlexAttention's gradient is deterministic only with it
            inductor.deterministic = True
    torch.use_deterministic_algorithms(True)
