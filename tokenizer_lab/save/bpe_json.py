"""A BPE model as a Hugging Face ``tokenizer.json``.

The text is cut by ``Split`` with the pattern; byte-level pieces are then written in the byte alphabet, character
pieces as they are, with ``<0xXX>`` for the bytes. Special tokens and reserved slots are added tokens, so that the
library finds them in a text (as its users expect) unless ``encode_special_tokens`` is set. Unused ids stand in the
vocabulary and in no merge, so that nothing gives them.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

from tokenizer_lab.formats.huggingface_library import byte_alphabet
from tokenizer_lab.kernels.patterns import PATTERNS
from tokenizer_lab.save.whole import write_whole
from tokenizer_lab.tokenizer import Kind
from tokenizer_lab.training.bpe_model import BpeModel

_FLAGS = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
_BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False}


def save_json(model: BpeModel, path: Path) -> Path:
    """Write the file; returns the path. Lists of merges, as tokenizers 0.20 and later have them."""
    names = _names(model)
    split = {"type": "Split", "pattern": {"Regex": expression(model.pattern)}, "behavior": "Isolated", "invert": False}
    byte_level = model.algorithm == "byte-bpe"
    fallback = {"type": "Sequence", "decoders": [{"type": "ByteFallback"}, {"type": "Fuse"}]}
    content = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {"id": id, "content": names[id], **_FLAGS} for id in np.flatnonzero(model.kinds == Kind.CONTROL).tolist()
        ],
        "normalizer": None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [split, _BYTE_LEVEL]} if byte_level else split,
        "post_processor": None,
        "decoder": _BYTE_LEVEL if byte_level else fallback,
        "model": _model(model, names),
    }
    return write_whole(path, json.dumps(content, ensure_ascii=False, indent=1).encode() + b"\n")


def expression(pattern: str) -> str:
    """The pattern (name or expression) for Oniguruma, which takes ``{1,3}+`` for a repeat; the match is the same."""
    return PATTERNS.get(pattern, pattern).replace("{1,3}+", "{1,3}")


def _names(model: BpeModel) -> list[str]:
    letters = {byte: letter for letter, byte in byte_alphabet().items()}
    names = []
    for token, kind in zip(model.tokens, model.kinds.tolist(), strict=True):
        if kind in (Kind.CONTROL, Kind.UNUSED):
            names.append(token.decode())
        elif kind == Kind.BYTE:
            names.append(f"<0x{token[0]:02X}>")
        else:
            names.append("".join(letters[b] for b in token) if model.algorithm == "byte-bpe" else token.decode())
    return names


def _model(model: BpeModel, names: list[str]) -> dict[str, Any]:
    return {
        "type": "BPE",
        "dropout": None,
        "unk_token": None,
        "continuing_subword_prefix": None,
        "end_of_word_suffix": None,
        "fuse_unk": False,
        "byte_fallback": model.algorithm == "bpe",
        "ignore_merges": False,
        "vocab": {name: id for id, name in enumerate(names)},
        "merges": [[names[left], names[right]] for left, right in model.merges.tolist()],
    }
