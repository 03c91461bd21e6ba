"""The trainer's Triton kernels on a GPU beside mamba_ssm, fla and torch: ``python -m benchmarks.gpu_kernels``.

Shapes of the 1B layout (32 heads of 128, d_state 64, 100,000 words) in bfloat16, at 8 rows of 4,096 and at one row of
32,768 tokens. A row of the result is one operation, side and pass: the median over 0.2 s or more of calls, caches
flushed before each (``triton.testing.do_bench``), after a call that compiles. ``of_floor`` puts the time over the bytes
that the pass can't avoid (inputs and results once), moved at the speed of a plain copy measured in the same run.

- ssd        mamba_ssm: ``mamba_chunk_scan_combined`` with chunks of 256, as it comes and deterministic. fla:
             ``chunk_simple_gla`` with q = C and k = B copied for all heads, v = delta x, and torch for softplus, D
             and gate, compiled
- conv_silu  ours alone, and with z, whose gradient shares a tensor with that of x. causal_conv1d (its channel-first
             view of x, copied as its callers do); torch's conv1d and SiLU, compiled
- softmax    torch's cross_entropy over the same float32 logits

Rivals that can't be imported are left out by name. Without a GPU nothing is measured and nothing written.
"""

import os
import sys
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F

from benchmarks.record import save

HEADS, HEAD_DIM, STATE, VOCABULARY = 32, 128, 64, 100_000
WIDTH = HEADS * HEAD_DIM
SHAPES = ((8, 4096), (1, 32_768))
LOGITS = 2048
Call = Callable[..., Any]


def copy_speed() -> float:
    """Bytes a second of a copy of 1 GB, read and write counted."""
    from triton.testing import do_bench

    source = torch.empty(1 << 30, dtype=torch.uint8, device="cuda")
    target = torch.empty_like(source)
    return 2 * source.numel() / (do_bench(lambda: target.copy_(source), rep=200, return_mode="median") / 1e3)


def passes(call: Call, given: tuple[torch.Tensor, ...]) -> dict[str, float]:
    """Milliseconds of the forward pass, and of forward and backward together."""
    from triton.testing import do_bench

    leaves = [value.detach().requires_grad_() for value in given]
    found = call(*leaves)
    grads = [torch.randn_like(value) for value in (found if isinstance(found, tuple) else (found,))]

    def both() -> None:
        found = call(*leaves)
        torch.autograd.backward(found if isinstance(found, tuple) else (found,), grads)

    with torch.no_grad():
        forward = do_bench(lambda: call(*leaves), rep=200, return_mode="median")
    return {
        "forward": forward,
        "forward and backward": do_bench(both, rep=400, grad_to_none=leaves, return_mode="median"),
    }


def ssd_inputs(rows: int, tokens: int) -> tuple[torch.Tensor, ...]:
    """x, dt, a, b, c, d, z, dt_bias as a mixer has them: x of its own, z the first half of the projection."""
    torch.manual_seed(0)
    half = {"device": "cuda", "dtype": torch.bfloat16}
    zx = torch.randn(rows, tokens, HEADS, 2 * HEAD_DIM, **half)  # type: ignore[call-overload]
    x = torch.randn(rows, tokens, HEADS, HEAD_DIM, **half)  # type: ignore[call-overload]
    b, c = (torch.randn(rows, tokens, STATE, **half) for _ in range(2))  # type: ignore[call-overload]
    dt = torch.randn(rows, tokens, HEADS, **half)  # type: ignore[call-overload]
    heads = torch.arange(1.0, HEADS + 1, device="cuda")
    return x, dt, -heads, b, c, torch.ones_like(heads), zx[..., :HEAD_DIM], torch.full_like(heads, -4.6)


def ssd_sides(rows: int, tokens: int) -> dict[str, Call]:
    """Ours and the rivals that can be imported, all of ``ssd_inputs``."""
    from trainer.kernels.triton.ssd import ssd

    start = torch.zeros(rows, tokens, dtype=torch.bool, device="cuda")
    start[:, 0] = True

    def ours(x, dt, a, b, c, d, z, bias):  # type: ignore[no-untyped-def]
        return ssd(x, dt, a, b, c, d, z, bias, start)[0]

    sides: dict[str, Call] = {"ours": ours}
    try:
        from mamba_ssm.ops.triton.ssd_combined import mamba_chunk_scan_combined

        def mamba(x, dt, a, b, c, d, z, bias):  # type: ignore[no-untyped-def]
            return mamba_chunk_scan_combined(
                x, dt, a, b.unsqueeze(2), c.unsqueeze(2), 256, D=d, z=z, dt_bias=bias, dt_softplus=True
            )

        sides["mamba_ssm"] = mamba
    except ImportError as missing:
        print(f"mamba_ssm: left out ({missing})", file=sys.stderr)
    try:
        from fla.ops.simple_gla import chunk_simple_gla

        before = torch.compile(lambda x, dt, a, bias: _steps(x, dt, a, bias))
        after = torch.compile(lambda o, x, d, z: (o + d[:, None] * x) * F.silu(z))

        def gla(x, dt, a, b, c, d, z, bias):  # type: ignore[no-untyped-def]
            v, log_decay = before(x, dt, a, bias)
            q, k = (part.unsqueeze(2).expand(-1, -1, HEADS, -1).contiguous() for part in (c, b))
            return after(chunk_simple_gla(q, k, v, g=log_decay, scale=1.0)[0], x, d, z).to(x.dtype)

        sides["fla simple_gla"] = gla
    except ImportError as missing:
        print(f"fla: left out ({missing})", file=sys.stderr)
    return sides


def _steps(x: torch.Tensor, dt: torch.Tensor, a: torch.Tensor, bias: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    delta = F.softplus(dt.float() + bias)
    return (x * delta[..., None]).to(x.dtype), delta * a


def conv_sides(rows: int, tokens: int) -> dict[str, Call]:
    """Of (zx, w): x after convolution and SiLU."""
    from trainer.kernels.triton.conv_silu import conv_silu, conv_silu_gate

    start = torch.zeros(rows, tokens, dtype=torch.bool, device="cuda")

    def sliced(zx: torch.Tensor, w: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return conv_silu(zx, w, start, None)[0], zx[..., :HEAD_DIM]

    def plain(zx: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        x = zx[..., HEAD_DIM:].flatten(2).transpose(1, 2)
        y = F.conv1d(F.pad(x, (3, 0)), w.to(x.dtype), groups=WIDTH)
        return F.silu(y).transpose(1, 2).unflatten(2, (HEADS, HEAD_DIM))

    sides: dict[str, Call] = {
        "ours": lambda zx, w: conv_silu(zx, w, start, None)[0],
        "ours, z too": lambda zx, w: conv_silu_gate(zx, w, start, None)[:2],
        "ours, z as a slice, compiled": torch.compile(sliced),
        "torch, compiled": torch.compile(plain),
    }
    try:
        from causal_conv1d import causal_conv1d_fn

        def rival(zx: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
            x = zx[..., HEAD_DIM:].flatten(2).transpose(1, 2)
            y = causal_conv1d_fn(x, w[:, 0].to(x.dtype), activation="silu")
            return y.transpose(1, 2).unflatten(2, (HEADS, HEAD_DIM))

        sides["causal_conv1d"] = rival
    except ImportError as missing:
        print(f"causal_conv1d: left out ({missing})", file=sys.stderr)
    return sides


def softmax_sides() -> dict[str, Call]:
    """Of logits: the loss of each token."""
    from trainer.kernels.triton.linear_ce import softmax_ce

    targets = torch.randint(VOCABULARY, (LOGITS,), device="cuda")
    return {
        "ours": lambda logits: softmax_ce(logits, targets)[0],
        "torch": lambda logits: F.cross_entropy(logits, targets, reduction="none"),
    }


def measured(
    operation: str, shape: str, tokens: int, sides: dict[str, Call], given: tuple[torch.Tensor, ...], floors: Any
) -> list[dict[str, Any]]:
    """Rows of one operation. floors: seconds a token of each pass, from bytes that can't be avoided."""
    rows = []
    for side, call in sides.items():
        torch.cuda.reset_peak_memory_stats()
        for name, milliseconds in passes(call, given).items():
            nanoseconds = milliseconds * 1e6 / tokens
            row = {"operation": operation, "shape": shape, "side": side, "pass": name, "ns_per_token": nanoseconds}
            row["of_floor"] = nanoseconds / (floors[name] * 1e9)
            row["peak_gb"] = torch.cuda.max_memory_allocated() / 1e9
            rows.append({key: round(value, 3) if isinstance(value, float) else value for key, value in row.items()})
            print(rows[-1])
    return rows


def main() -> int:
    """Measure and save; 0 also where there is no GPU."""
    if not torch.cuda.is_available():
        print("no GPU: nothing measured")
        return 0
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    speed = copy_speed()
    rows: list[dict[str, Any]] = [
        {"operation": "copy", "gb_per_second": round(speed / 1e9), "gpu": torch.cuda.get_device_name()}
    ]
    for batch, tokens in SHAPES:
        shape, count = f"{batch} x {tokens}", batch * tokens
        small = 2 * 2 * STATE + 2 * HEADS
        floors = {
            "forward": (3 * 2 * WIDTH + small) / speed,
            "forward and backward": (8 * 2 * WIDTH + 3 * small) / speed,
        }
        sides = ssd_sides(batch, tokens)
        rows += measured("ssd", shape, count, sides, ssd_inputs(batch, tokens), floors)
        if "mamba_ssm" in sides:
            torch.use_deterministic_algorithms(True)
            fixed = {"mamba_ssm, deterministic": sides["mamba_ssm"]}
            rows += measured("ssd", shape, count, fixed, ssd_inputs(batch, tokens), floors)
            torch.use_deterministic_algorithms(False)
        floors = {"forward": 2 * 2 * WIDTH / speed, "forward and backward": 6 * 2 * WIDTH / speed}
        zx = torch.randn(batch, tokens, HEADS, 2 * HEAD_DIM, device="cuda", dtype=torch.bfloat16)
        w = torch.randn(WIDTH, 1, 4, device="cuda")
        rows += measured("conv_silu", shape, count, conv_sides(batch, tokens), (zx, w), floors)
    floors = {"forward": 4 * VOCABULARY / speed, "forward and backward": 3 * 4 * VOCABULARY / speed}
    logits = torch.randn(LOGITS, VOCABULARY, device="cuda")
    rows += measured("softmax", f"{LOGITS} x {VOCABULARY}", LOGITS, softmax_sides(), (logits,), floors)
    save("gpu_kernels", rows, ("torch", "triton"))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
