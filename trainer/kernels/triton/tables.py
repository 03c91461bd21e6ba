"""Launch configurations by (kernel, device, shape): a committed table in the place of autotuning.

A search at run time would make the first steps slow and the choice, hence the order of sums, depend on timings. An
entry of shape () serves all shapes of its device; the device "any" serves all GPUs that have no entry of their own.
The figures for Hopper (sm90) follow from what ptxas reports of registers and spills at P 128, N 64 in bfloat16;
``benchmarks/gpu_kernels.py`` measures whether they are good.
"""

import functools
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Launch:
    """block: tokens (vocabulary entries for softmax_ce) a step. part: for ssd_states and ssd_dstates, elements of a
    head a program; for conv_silu_bwd, blocks a program. warps and stages: Triton's num_warps and num_stages."""

    block: int
    part: int = 0
    warps: int = 4
    stages: int = 1


SSD_BLOCK = 64
"""Tokens of a chunk of ssd, the same on every device: where sums are cut does not depend on the kind of GPU. 64 rows
are one matrix instruction of four warps on Hopper; of eight warps, half would repeat the others' work. 128 would halve
the bytes of states but takes twice the registers."""

_TABLE: dict[tuple[str, str, tuple[int, ...]], Launch] = {
    # ssd: shapes are (P, N). Products with the 0/1 matrix of documents are float32 and eat registers: eight warps.
    ("ssd_decay", "any", ()): Launch(SSD_BLOCK, part=32, warps=8),
    ("ssd_ddecay", "any", ()): Launch(SSD_BLOCK, part=16, warps=8),
    # The two recurrences over chunks: many small programs, deep pipelines, since each step waits for the one before.
    ("ssd_states", "any", ()): Launch(SSD_BLOCK, part=32, stages=2),
    ("ssd_states", "sm90", ()): Launch(SSD_BLOCK, part=64, stages=3),
    ("ssd_dstates", "any", ()): Launch(SSD_BLOCK, part=32, stages=2),
    ("ssd_dstates", "sm90", ()): Launch(SSD_BLOCK, part=64, stages=3),
    # 65 KB at two stages, 255 registers, 104 bytes spilled: two programs a multiprocessor. With 8 warps none is
    # spilled, but C S is done twice.
    ("ssd_scan", "any", ()): Launch(SSD_BLOCK, warps=4, stages=1),
    ("ssd_scan", "sm90", ()): Launch(SSD_BLOCK, warps=4, stages=2),
    ("ssd_scan", "sm90", (128, 128)): Launch(SSD_BLOCK, warps=8, stages=2),
    # 28 KB, 255 registers, 312 bytes spilled (parts of 64: 680; two stages: 504; one pass over a head: 1,100 and more).
    ("ssd_grad", "any", ()): Launch(SSD_BLOCK, part=32, warps=4, stages=1),
    ("ssd_grad", "sm90", ()): Launch(SSD_BLOCK, part=32, warps=4, stages=1),
    ("conv_silu", "any", ()): Launch(32, warps=8),
    ("conv_silu_bwd", "any", ()): Launch(16, part=16, warps=8),
    ("softmax_ce", "any", ()): Launch(4096, warps=8),
    # The interpreter pays for each operation, not for each number: few large steps.
    ("conv_silu", "interpreter", ()): Launch(64),
    ("conv_silu_bwd", "interpreter", ()): Launch(64, part=2),
    ("softmax_ce", "interpreter", ()): Launch(64),
}

PROGRAMS = 512
"""Programs that fill a large GPU: about four for each of an H200's 132 multiprocessors."""


@functools.cache
def _kind(device: torch.device) -> str:
    if device.type != "cuda":
        return "interpreter"
    major, minor = torch.cuda.get_device_capability(device)
    return f"sm{major}{minor}"


def launch(kernel: str, device: torch.device, *shape: int) -> Launch:
    """The configuration of a kernel on a device for a shape."""
    kind = _kind(device)
    for key in ((kernel, kind, shape), (kernel, kind, ()), (kernel, "any", ())):
        if key in _TABLE:
            return _TABLE[key]
    raise KeyError(kernel)


def heads_a_program(heads: int, blocks: int) -> int:
    """Heads that one program goes through, so that B and C are read once for them, yet enough programs run.

    Depends on the shape alone: the same shape sums in the same order on every machine. blocks: rows times chunks.
    """
    while heads > 1 and blocks < PROGRAMS:
        heads, blocks = (heads + 1) // 2, blocks * 2
    return heads
