"""A byte-level BPE model as a tiktoken rank file: lines of base64 and rank, the rank being the id.

The format holds neither the pattern nor the special tokens. Both are written to ``tokenizer.tiktoken.json`` beside it
(keys ``pattern``, a name or an expression, and ``specials``, name -> id), where ``open_tokenizer`` finds them. In
tiktoken itself: ``Encoding(name, pat_str=..., mergeable_ranks=load_tiktoken_bpe(path), special_tokens=...)``.
"""

import base64
import json
from pathlib import Path

import numpy as np

from tokenizer_lab.save.whole import write_whole
from tokenizer_lab.tokenizer import Kind
from tokenizer_lab.training.bpe_model import BpeModel


def beside(path: Path) -> Path:
    """The file with the pattern and the special tokens of a rank file."""
    return path.with_name(path.name + ".json")


def save_ranks(model: BpeModel, path: Path) -> Path:
    """Write both files; returns the path of the ranks. The model must be byte-level."""
    if model.algorithm != "byte-bpe":
        raise ValueError(f"{model.algorithm} has no ranks of bytes")
    specials = {"pattern": model.pattern, "specials": model.specials()}
    write_whole(beside(path), json.dumps(specials, ensure_ascii=False, indent=1).encode() + b"\n")
    lines = [
        base64.b64encode(model.tokens[id]) + b" %d\n" % id for id in np.flatnonzero(model.kinds == Kind.NORMAL).tolist()
    ]
    return write_whole(path, b"".join(lines))
