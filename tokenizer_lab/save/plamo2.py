"""A Unigram model as PLaMo-2's ``tokenizer.jsonl``, which llama.cpp reads into a GGUF ``plamo2`` vocabulary.

Line n is id n: ``[token, score, type]``. The form has no unused ids: padding is CONTROL, whose score keeps it out of
text. llama.cpp's converter takes id 4 for the end of a turn (ggml-org/llama.cpp#14560).
"""

import json
from pathlib import Path

from tokenizer_lab.save.whole import write_whole
from tokenizer_lab.tokenizer import Kind
from tokenizer_lab.training.unigram_model import UnigramModel

_TYPES = {Kind.NORMAL: "NORMAL", Kind.UNKNOWN: "UNKNOWN", Kind.BYTE: "BYTE"}
_LINE_ENDS = {"\x85": "\\u0085", "\u2028": "\\u2028", "\u2029": "\\u2029"}  # some readers cut lines there


def save_jsonl(model: UnigramModel, path: Path) -> Path:
    """Write the file; returns the path."""
    lines = []
    for piece, kind, score in zip(model.pieces, model.kinds.tolist(), model.scores.tolist(), strict=True):
        line = json.dumps([piece, score, _TYPES.get(Kind(kind), "CONTROL")], ensure_ascii=False)
        for character, escaped in _LINE_ENDS.items():
            line = line.replace(character, escaped)
        lines.append(line + "\n")
    return write_whole(path, "".join(lines).encode())
