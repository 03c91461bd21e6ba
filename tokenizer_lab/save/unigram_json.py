"""A Unigram model as a Hugging Face ``tokenizer.json``.

No normalizer, no pre-tokenizer, no post-processor. Special tokens and reserved slots are added tokens, so that the
library finds them in a text (as its users expect) unless ``encode_special_tokens`` is set.
"""

import json
from pathlib import Path

import numpy as np

from tokenizer_lab.save.whole import write_whole
from tokenizer_lab.tokenizer import Kind
from tokenizer_lab.training.unigram_model import UnigramModel

_FLAGS = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}


def save_json(model: UnigramModel, path: Path) -> Path:
    """Write the file; returns the path."""
    added = np.flatnonzero((model.kinds == Kind.CONTROL) | (model.kinds == Kind.UNKNOWN)).tolist()
    content = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": id, "content": model.pieces[id], **_FLAGS} for id in added],
        "normalizer": None,
        "pre_tokenizer": None,
        "post_processor": None,
        "decoder": {"type": "Sequence", "decoders": [{"type": "ByteFallback"}, {"type": "Fuse"}]},
        "model": {
            "type": "Unigram",
            "unk_id": 0,
            "vocab": [[piece, score] for piece, score in zip(model.pieces, model.scores.tolist(), strict=True)],
            "byte_fallback": True,
        },
    }
    return write_whole(path, json.dumps(content, ensure_ascii=False, indent=1).encode() + b"\n")
