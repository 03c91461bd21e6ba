"""What indentation and program text cost: tokens of leading white space a line, and characters per token of code.

A short program of our own in three manners of indentation: four spaces, two spaces, tabs. Tokens are counted that
cover a byte of a line's leading white space; the line end before it does not count by itself.
"""

import re

import pyarrow as pa

from tokenizer_lab.comparison.metric import Figure, Single
from tokenizer_lab.metrics.spaces import covering
from tokenizer_lab.tokenizer import Tokenizer, list_buffers

TITLE = "Code"
FORMULA = "tokens of leading white space / indented lines; characters per token of a short program"
TRAP = "One short program in one language; code in the corpora is part of their compression."
MATERIAL = "tokenizer"

PROGRAM = '''def count_words(paths, least=2):
    """Count words of all files, rare ones left out."""
    counts = {}
    for path in paths:
        with open(path, encoding="utf-8") as stream:
            for number, line in enumerate(stream):
                if line.startswith("#"):
                    continue
                for word in line.lower().split():
                    counts[word] = counts.get(word, 0) + 1
                    if counts[word] == 1:
                        print(f"{path}:{number + 1}: {word!r}")
    # 少ない単語を除く
    return {word: n for word, n in counts.items() if n >= least}
'''
MANNERS = {"4 spaces": "    ", "2 spaces": "  ", "tabs": "\t"}


def measure(tokenizer: Tokenizer) -> list[Figure]:
    figures: list[Figure] = []
    for name, step in MANNERS.items():
        program = indented(step)
        spans = [m.span(1) for m in re.finditer(rb"(?m)^([ \t]+)", program.encode())]
        counts = covering(tokenizer, pa.array([program] * len(spans), pa.large_string()), spans)
        figures.append(Single(f"tokens a line, {name}", sum(counts) / len(counts)))
    _, ids = list_buffers(tokenizer.encode(pa.array([PROGRAM], pa.large_string())))
    return [*figures, Single("characters per token", len(PROGRAM) / max(len(ids), 1))]


def indented(step: str) -> str:
    """The program with each level of four spaces as ``step``."""
    return re.sub(r"(?m)^(?: {4})+", lambda found: step * (len(found[0]) // 4), PROGRAM)
