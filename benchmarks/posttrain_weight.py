"""What post-training weighs: ``OMP_NUM_THREADS=1 python -m benchmarks.posttrain_weight``.

- memory of sequence log-probs with their gradient, over that of all logits of the batch in float32, from the peak
  resident size of processes of their own; the rival takes log_softmax of all logits, as a plain implementation does
- seconds of importing the trainer beyond torch, medians
- lines of code: neither blank, nor comment, nor docstring
"""

import ast
import io
import statistics
import subprocess
import sys
import tokenize
from pathlib import Path
from typing import Any

from benchmarks.record import ROOT, save

TOKENS, WIDTH, VOCABULARY = 8192, 64, 50_000

MEMORY = """
import resource, sys, torch
import torch.nn.functional as F
from trainer.kernels.linear_ce import linear_ce
torch.manual_seed(0); torch.set_num_threads(1)
tokens, width, vocabulary = {sizes}
x = torch.randn(tokens, width, requires_grad=True)
w = (torch.randn(vocabulary, width) * .02).requires_grad_(True)
y = torch.randint(0, vocabulary, (tokens,))
warm = linear_ce(x[:8], w, y[:8])[0].sum(); warm.backward(); x.grad = w.grad = None
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
if sys.argv[1] == "ours":
    logps = -linear_ce(x, w, y)[0]
else:
    logps = (x @ w.T).log_softmax(-1).gather(1, y[:, None])[:, 0]
logps.view(8, -1).sum(1).square().sum().backward()
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024, float(w.grad.norm()))
"""

IMPORT = """
import time, torch
begun = time.perf_counter()
import trainer.pretrain, trainer.posttrain.recipe
print(time.perf_counter() - begun)
"""

PARTS = (
    *("trainer/posttrain", "trainer/losses", "trainer/rewards", "trainer/decoding"),
    *("trainer/lora.py", "trainer/adapter_files.py", "trainer/merge.py", "trainer/merge_methods.py"),
    *("trainer/prune.py", "trainer/importance.py", "trainer/distill.py", "trainer/quantize.py", "trainer/spectral.py"),
)


def main() -> int:
    """Measure and save."""
    logits = 4 * TOKENS * VOCABULARY
    measured = {who: _memory(who) for who in ("ours", "plain")}
    (ours, norm), (plain, other) = measured["ours"], measured["plain"]
    if abs(norm - other) > 1e-3 * other:
        print(f"the gradients differ: {norm} and {other}", file=sys.stderr)
        return 1
    seconds = statistics.median(float(_run(IMPORT)) for _ in range(5))
    code = {part: sum(map(code_lines, _files(part))) for part in PARTS}
    rows: list[dict[str, Any]] = [
        _row(
            "memory of log-probs and gradient over all logits'", "<= 1/8", ours / logits, "log_softmax", plain / logits
        ),
        _row("seconds of importing the trainer beyond torch", "<= 1", seconds, None, None),
        _row("lines of post-training code", "<= 5,000", sum(code.values()), None, None),
    ]
    rows[0]["met"], rows[1]["met"], rows[2]["met"] = ours <= logits / 8, seconds <= 1, sum(code.values()) <= 5000
    save("posttrain_weight", [*rows, {"lines": code}], ["torch"])
    for row in rows:
        print(row)
    return 0


def _row(what: str, bar: str, ours: float, rival: str | None, theirs: float | None) -> dict[str, Any]:
    ratio = theirs / ours if theirs is not None else None
    return {"what": what, "bar": bar, "ours": ours, "rival": rival, "theirs": theirs, "ratio": ratio}


def _memory(who: str) -> tuple[float, float]:
    answer = _run(MEMORY.format(sizes=(TOKENS, WIDTH, VOCABULARY)), who).split()
    return float(answer[0]), float(answer[1])


def _run(code: str, *words: str) -> str:
    answer = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=True, cwd=ROOT)
    return answer.stdout


def _files(part: str) -> list[Path]:
    path = ROOT / part
    return sorted(path.rglob("*.py")) if path.is_dir() else [path]


def code_lines(path: Path) -> int:
    """Lines that hold code: no blank line, comment or docstring."""
    text = path.read_text("utf-8")
    strings = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            strings |= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    skipped = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER)
    held = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in skipped:
            held |= set(range(token.start[0], token.end[0] + 1))
    return len(held - strings)


if __name__ == "__main__":
    sys.exit(main())
