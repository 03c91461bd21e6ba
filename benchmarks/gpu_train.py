"""Training and decoding of the 1B layout on a GPU: ``python -m benchmarks.gpu_train``.

The shape is PLaMo 2's 1B (1,291,441,920 weights), compute in bfloat16 over float32 weights, layers compiled, AdamW,
z-loss, packed rows of random tokens with a document boundary every 700 or so. A row of the result is one layout and
length: the median step of the last ten of twenty, tokens a second and the share of the device's bf16 peak (MFU counts
products and attention, forward and backward, nothing computed again).

- hybrid      [mamba, window 2048] * 8, 8 rows of 4,096
- attention   [window 2048] * 16 of the same width: what the recurrence costs
- hybrid_32k, full_32k   one row of 32,768: windows against full attention, layers computed again for the gradient
- decode      batch 1 by a captured graph, beside the bytes of the weights at the speed of a copy

Without a GPU nothing is measured and nothing written. torch, triton, numpy and pyarrow are enough.
"""

import statistics
import sys
import time
from typing import Any

import torch

from trainer.batch import TokenBatch
from trainer.cache import Cache
from trainer.config import LayerConfig, ModelConfig
from trainer.distributed import deterministic
from trainer.flops import flops_per_token, mfu, peak_flops
from trainer.model import Model
from trainer.objective import LanguageModeling
from trainer.optim import OptimConfig, Optimizer, grad_norm
from trainer.spikes import SpikeGuard

VOCABULARY, WIDTH, FEED_FORWARD, HEADS = 100_000, 2048, 8192, 16
STEPS, MEASURED = 20, 10
DECODED = 200


def layout(*mixers: str) -> ModelConfig:
    """Sixteen layers of the 1B's sizes with these mixers in turns."""
    layers = []
    for number in range(16):
        mixer = mixers[number % len(mixers)]
        attention = {} if mixer == "mamba" else {"heads": HEADS, "kv_heads": 1}
        window = {"window": 2048} if mixer == "window" else {}
        layers.append(LayerConfig(mixer, FEED_FORWARD, **attention, **window))  # type: ignore[arg-type]
    return ModelConfig(VOCABULARY, WIDTH, tuple(layers), 128, 32, 128, 64, 4, 128)


def packed(rows: int, tokens: int, seed: int) -> TokenBatch:
    """Random ids in documents of 1 to 1,400 tokens."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(0, VOCABULARY, (rows, tokens + 1), generator=generator)
    ends = torch.rand(rows, tokens, generator=generator) < 1 / 700
    document = torch.zeros(rows, tokens, dtype=torch.int32)
    document[:, 1:] = ends[:, :-1].cumsum(1)
    domain = torch.zeros(rows, dtype=torch.int32)
    return TokenBatch(ids[:, :-1].contiguous(), ids[:, 1:].contiguous(), 1 - ends.float(), document, domain)


def training(config: ModelConfig, rows: int, tokens: int, again: bool) -> dict[str, Any]:
    """Median time of a step. again: layers are computed again for the gradient."""
    model = Model(config).init(0).cuda()
    model.compute_dtype, model.checkpointing = torch.bfloat16, again
    for layer in model.layers:
        layer.compile(dynamic=False)
    objective = LanguageModeling(model, 1, z_loss=1e-5).cuda()
    optimizer = Optimizer(objective.named_parameters(), OptimConfig())
    guard, times = SpikeGuard(torch.device("cuda")), []
    parameters = list(objective.parameters())
    torch.cuda.reset_peak_memory_stats()
    for step in range(STEPS):
        batch = packed(rows, tokens, step).pinned()
        torch.cuda.synchronize()
        start = time.perf_counter()
        sums = objective(batch.to("cuda"))
        weight = sums.by_domain[1].sum()
        (sums.total / weight).backward()
        norm = grad_norm(parameters)
        optimizer.step(4e-4, guard.judge(sums.total / weight, norm), (1 / (norm + 1e-6)).clamp(max=1.0))
        for parameter in parameters:
            parameter.grad = None
        torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    speed = rows * tokens / statistics.median(times[-MEASURED:])
    return {
        "rows": rows,
        "tokens": tokens,
        "parameters": config.parameters(),
        "tokens_per_s": speed,
        "mfu": mfu(speed, flops_per_token(config, tokens), peak_flops(torch.cuda.get_device_name())),
        "peak_gb": torch.cuda.max_memory_allocated() / 1e9,
        "first_step_s": times[0],
    }


@torch.no_grad()
def decoding(config: ModelConfig) -> dict[str, Any]:
    """Tokens a second at batch 1, and what the bytes of the weights alone would allow."""
    model = Model(config).init(0).cuda().requires_grad_(False)
    for name, parameter in model.named_parameters():
        if parameter.ndim == 2 and not name.endswith(("q_weight", "k_weight")):
            parameter.data = parameter.data.bfloat16()
    model.compute_dtype = torch.bfloat16
    cache = Cache(config, 1, 4096, "cuda", torch.bfloat16)
    tokens_B = torch.zeros(1, dtype=torch.int64, device="cuda")
    for _ in range(3):
        model.step(tokens_B, cache)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        logits = model.step(tokens_B, cache)
        tokens_B.copy_(logits.argmax(-1))
    torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(DECODED):
        graph.replay()
    torch.cuda.synchronize()
    speed = DECODED / (time.perf_counter() - start)
    from benchmarks.gpu_kernels import copy_speed

    read = sum(p.numel() * p.element_size() for p in model.parameters())
    floor = copy_speed() / read
    return {"tokens_per_s": speed, "weight_bytes": read, "floor_tokens_per_s": floor, "of_floor": speed / floor}


def main() -> int:
    """Measure, print and save."""
    if not torch.cuda.is_available():
        print("no GPU: nothing measured")
        return 0
    from benchmarks.record import save

    deterministic(torch.device("cuda"))
    hybrid, full = layout("mamba", "window"), layout("mamba", "full")
    cases = {
        "hybrid": lambda: training(hybrid, 8, 4096, False),
        "attention": lambda: training(layout("window"), 8, 4096, False),
        "hybrid_32k": lambda: training(hybrid, 1, 32_768, True),
        "full_32k": lambda: training(full, 1, 32_768, True),
        "decode": lambda: decoding(hybrid),
    }
    rows = []
    for name in sys.argv[1:] or cases:
        found = cases[name]()
        rows.append({"case": name, **found})
        print(name, {key: round(value, 4) if isinstance(value, float) else value for key, value in found.items()})
        torch.cuda.empty_cache()
    for row in rows:
        row["device"] = torch.cuda.get_device_name()
    save("gpu_train", rows, ["torch", "triton"])
    return 0


if __name__ == "__main__":
    sys.exit(main())
