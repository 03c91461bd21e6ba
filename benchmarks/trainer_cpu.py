"""Training on a CPU beside `transformers`, one thread: ``OMP_NUM_THREADS=1 python -m benchmarks.trainer_cpu``.

A step is forward, backward and fused AdamW on rows of 512 random tokens, 4 rows or 1; models of 9 to 10 million
parameters with a vocabulary of 8,192 and a tied head. Rivals run as torch code, which is what a CPU gets without their
CUDA kernels:

- Bamba      Mamba 2 and attention in turns, a gated MLP in each layer, as ours: 8 layers, width 256, F 768
- Mamba2     Mamba 2 alone, 17 layers, width 256

Both with scaled_dot_product_attention, without checkpointing or a cache, in float32 and under bf16 autocast; ours in
float32 and with compute_dtype bfloat16. Measured in two ways:

- as they come  each in a process of its own, as its user gets it: the rivals' loss, chunk size and allocator are their
                defaults; ours keeps freed memory (``trainer.memory``), as ``jacorpus train`` does. Ours also compiled
- tuned         in one process: the rivals at the fastest of the chunk sizes 32, 64, 128 and 256, their loss without the
                float32 copy of all logits, and all sides keep freed memory. More than a user of theirs would do

SSD beside its naive twin: forward and backward, 512 tokens, one row, the shapes of the model above.
"""

import contextlib
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import torch

from benchmarks.beside import compared, facts, here, in_turns
from benchmarks.record import save
from trainer.batch import TokenBatch
from trainer.kernels.ssd import ssd, ssd_naive
from trainer.layouts import model_from_table
from trainer.memory import keep_freed_memory
from trainer.model import Model

VOCAB, TOKENS = 8192, 512
OURS = {"layout": "plamo2", "layers": 8, "d_model": 256, "head_dim": 64, "d_ff": 768, "window": 128}
CHUNKS = (32, 64, 128, 256)
DEFAULT_CHUNK = 256
ROUNDS = 5


def rows_of_ids(rows: int) -> torch.Tensor:
    """[rows, TOKENS + 1]."""
    return torch.randint(0, VOCAB, (rows, TOKENS + 1), generator=torch.Generator().manual_seed(0))


def ours(rows: int, kind: torch.dtype | None, compiled: bool = False) -> tuple[Callable[[], None], int]:
    """(a step, parameters)."""
    model = Model(model_from_table(OURS, VOCAB)).init(0)
    model.compute_dtype = kind
    if compiled:
        for layer in model.layers:
            layer.compile(dynamic=False)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3, fused=True)
    ids = rows_of_ids(rows)
    batch = TokenBatch(
        ids[:, :-1].contiguous(),
        ids[:, 1:].contiguous(),
        torch.ones(rows, TOKENS),
        torch.zeros(rows, TOKENS, dtype=torch.int32),
        torch.zeros(rows, dtype=torch.int32),
    )

    def step() -> None:
        loss, _ = model.loss(batch)
        loss.mean().backward()
        optimizer.step()
        optimizer.zero_grad()

    return step, model.config.parameters()


def bamba(chunk: int) -> Any:
    """Ours' shape, as near as it goes."""
    from transformers import BambaConfig, BambaForCausalLM

    torch.manual_seed(0)
    sizes = {"hidden_size": 256, "intermediate_size": 768, "num_hidden_layers": 8, "attn_layer_indices": [1, 3, 5, 7]}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 1}
    mamba = {"mamba_n_heads": 8, "mamba_d_head": 64, "mamba_n_groups": 1, "mamba_d_state": 64, "mamba_expand": 2}
    more = {"vocab_size": VOCAB, "tie_word_embeddings": True, "mamba_chunk_size": chunk, "use_cache": False}
    return BambaForCausalLM(BambaConfig(**sizes, **heads, **mamba, **more, attn_implementation="sdpa"))


def mamba2(chunk: int) -> Any:
    """Mamba 2 alone, as many parameters."""
    from transformers import Mamba2Config, Mamba2ForCausalLM

    torch.manual_seed(0)
    sizes = {"hidden_size": 256, "num_hidden_layers": 17, "num_heads": 8, "head_dim": 64, "expand": 2, "n_groups": 1}
    more = {"state_size": 64, "vocab_size": VOCAB, "tie_word_embeddings": True, "chunk_size": chunk, "use_cache": False}
    return Mamba2ForCausalLM(Mamba2Config(**sizes, **more))


def theirs(
    make: Callable[[int], Any], rows: int, bf16: bool, chunk: int, own_loss: bool = False
) -> tuple[Callable[[], None], int]:
    """(a step, parameters). own_loss: theirs; else taken outside, without the float32 copy of all logits it makes."""
    model = make(chunk).train()
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3, fused=True)
    ids = rows_of_ids(rows)
    context = torch.autocast("cpu", torch.bfloat16) if bf16 else contextlib.nullcontext()

    def step() -> None:
        with context:
            if own_loss:
                loss = model(input_ids=ids[:, :-1], labels=ids[:, :-1]).loss
            else:
                logits = model(input_ids=ids[:, :-1]).logits
                loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten())
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step, sum(weight.numel() for weight in model.parameters())


def fastest_chunk(make: Callable[[int], Any], bf16: bool) -> int:
    """Of CHUNKS, on 4 rows."""
    calls = {chunk: here(theirs(make, 4, bf16, chunk)[0]) for chunk in CHUNKS}
    return min(calls, key=lambda chunk: calls[chunk]()["cpu_s"])


def training() -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Rows on tokens per CPU second."""
    calls, parameters, chunks = {}, {}, {}
    for kind in ("fp32", "bf16"):
        for name, make in (("Bamba", bamba), ("Mamba2", mamba2)):
            chunks[f"{name} {kind}"] = fastest_chunk(make, kind == "bf16")
        for rows in (4, 1):
            step, parameters["ours"] = ours(rows, torch.bfloat16 if kind == "bf16" else None)
            calls[f"ours, {kind}, {rows} rows"] = here(step)
            for name, make in (("Bamba", bamba), ("Mamba2", mamba2)):
                step, parameters[name] = theirs(make, rows, kind == "bf16", chunks[f"{name} {kind}"])
                calls[f"{name}, {kind}, {rows} rows"] = here(step)
    answers = in_turns(calls, ROUNDS)
    speed = {name: int(name.split()[-2]) * TOKENS / answer["cpu_s"] for name, answer in answers.items()}
    made = []
    for kind in ("fp32", "bf16"):
        for rows in (4, 1):
            mine = f"ours, {kind}, {rows} rows"
            for rival in ("Bamba", "Mamba2"):
                other = f"{rival}, {kind}, {rows} rows"
                turns = zip(answers[mine]["all_cpu_s"], answers[other]["all_cpu_s"], strict=True)
                ratios = sorted(round(b / a, 2) for a, b in turns)
                what = f"training step, {kind}, {rows} rows of {TOKENS}, rival tuned"
                numbers = speed[mine], f"transformers {rival}", speed[other]
                more = {"unit": "tokens per CPU s", "ratio_of_each_round": ratios}
                made.append(compared(what, ">= 1.5x", *numbers, least=1.5, **more))
    best = max(speed[f"ours, bf16, {rows} rows"] for rows in (4, 1))
    made.append(compared("training step, bf16, tokens per CPU s", ">= 1,400", best, least=1400))
    return made, [{"parameters": parameters, "chunks of rivals": chunks}, *facts(answers)]


def recurrence() -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Row on ssd beside its twin."""
    heads, size, n = 8, 64, 64
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator).requires_grad_()

    x, dt, b, c, z = (draw(1, TOKENS, *rest) for rest in ((heads, size), (heads,), (n,), (n,), (heads, size)))
    a, d, bias = -torch.arange(1.0, heads + 1), torch.ones(heads), torch.full((heads,), -4.0)
    start = torch.zeros(1, TOKENS, dtype=torch.bool)
    start[:, 0] = True

    def run(operation: Any) -> Callable[[], None]:
        def call() -> None:
            y, _ = operation(x, dt, a, b, c, d, z, bias, start)
            torch.autograd.grad(y.sum(), (x, dt, b, c, z))

        return call

    answers = in_turns({"ssd": here(run(ssd)), "ssd, naive": here(run(ssd_naive))}, ROUNDS)
    speeds = [TOKENS / answers[name]["cpu_s"] for name in ("ssd", "ssd, naive")]
    row = compared(f"ssd, {TOKENS} tokens, 1 row", ">= 2.5x", speeds[0], "naive twin", speeds[1], least=2.5)
    return {**row, "unit": "tokens per CPU s"}, facts(answers)


def one(name: str, kind: str) -> None:
    """Print the CPU seconds of a step of one side as it comes, of 4 rows: the median of five after two that warm up."""
    bf16 = kind == "bf16"
    if name.startswith("ours"):
        keep_freed_memory()
        step, _ = ours(4, torch.bfloat16 if bf16 else None, compiled=name == "ours, compiled")
    else:
        step, _ = theirs({"Bamba": bamba, "Mamba2": mamba2}[name], 4, bf16, DEFAULT_CHUNK, own_loss=True)
    times = []
    for _ in range(7):
        start = time.process_time()
        step()
        times.append(time.process_time() - start)
    print(json.dumps({"cpu_s": statistics.median(times[2:])}))


def as_they_come() -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Rows on tokens per CPU second, each side in its own process, in turns."""

    def process(name: str, kind: str) -> Callable[[], dict[str, Any]]:
        command = [sys.executable, "-m", "benchmarks.trainer_cpu", name, kind]
        return lambda: json.loads(subprocess.run(command, check=True, capture_output=True).stdout.splitlines()[-1])

    sides = ("ours", "ours, compiled", "Bamba", "Mamba2")
    calls = {f"{name}, {kind}, as it comes": process(name, kind) for kind in ("fp32", "bf16") for name in sides}
    answers = in_turns(calls, 3)
    speed = {name: 4 * TOKENS / answer["cpu_s"] for name, answer in answers.items()}
    made = []
    for kind in ("fp32", "bf16"):
        for mine in sides[:2]:
            for rival in sides[2:]:
                what = f"training step, {kind}, 4 rows of {TOKENS}{mine.removeprefix('ours')}"
                numbers = speed[f"{mine}, {kind}, as it comes"], speed[f"{rival}, {kind}, as it comes"]
                row = compared(what, ">= 1.5x", numbers[0], f"transformers {rival}", numbers[1], least=1.5)
                made.append({**row, "unit": "tokens per CPU s"})
    return made, facts(answers)


def main() -> None:
    """Measure, print and save."""
    torch.set_num_threads(1)
    if len(sys.argv) == 3:
        one(*sys.argv[1:])
        return
    first, first_facts = as_they_come()
    keep_freed_memory()
    rows, told = training()
    row, more = recurrence()
    save("trainer_cpu", [*first, *rows, row, *told, *more, *first_facts], ["torch", "transformers"])


if __name__ == "__main__":
    main()
