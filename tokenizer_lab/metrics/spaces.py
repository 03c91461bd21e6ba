"""How white space is cut: tokens for a run of 1 to 24 spaces, a tab, an ideographic space, line ends.

Each run stands between two letters; a token counts where it covers a byte of the run, so one that joins the last space
with the letter behind it counts too. 0 means that no token covers it: the tokenizer drops or changes it.
"""

import numpy as np
import pyarrow as pa

from tokenizer_lab.comparison.metric import Figure, Single
from tokenizer_lab.tokenizer import Tokenizer, list_buffers

TITLE = "Spaces"
FORMULA = "tokens that cover a run of white space between two letters"
TRAP = "A low number may mean that spaces are squeezed away: see the round trip."
MATERIAL = "tokenizer"

RUNS = {
    **{f"{n} spaces" if n > 1 else "1 space": " " * n for n in (1, 2, 3, 4, 8, 12, 16, 24)},
    "tab": "\t",
    "2 tabs": "\t\t",
    "U+3000": "\u3000",
    "newline": "\n",
    "2 newlines": "\n\n",
    "CR LF": "\r\n",
}


def measure(tokenizer: Tokenizer) -> list[Figure]:
    texts = pa.array([f"a{run}b" for run in RUNS.values()], pa.large_string())
    spans = [(1, 1 + len(run.encode())) for run in RUNS.values()]
    counts = covering(tokenizer, texts, spans)
    return [Single(name, count, "count") for name, count in zip(RUNS, counts, strict=True)]


def covering(tokenizer: Tokenizer, texts: pa.Array, spans: list[tuple[int, int]]) -> list[int]:
    """For each text, tokens that cover at least one byte of its span."""
    placed = tokenizer.encode_with_offsets(texts)
    offsets, starts = list_buffers(placed.starts)
    _, ends = list_buffers(placed.ends)
    found = []
    for i, (first, last) in enumerate(spans):
        own = slice(offsets[i], offsets[i + 1])
        found.append(int(np.count_nonzero((starts[own] < last) & (ends[own] > first))))
    return found
