"""A BPE model over characters as a SentencePiece ``.model``.

The format has no pattern: SentencePiece joins whatever neighbors make a piece, across the cuts of the pattern too, and
by the score of the whole, whichever its parts. So its ids can differ from the other form's; training counts where.
As in the Unigram form, nothing is normalized and spaces are literal. Scores fall by 1 a merge; characters come last.
"""

from pathlib import Path

import numpy as np

from tokenizer_lab.save.whole import write_whole
from tokenizer_lab.tokenizer import Kind
from tokenizer_lab.training.bpe_model import BpeModel

_BPE = 2


def save_model(model: BpeModel, path: Path) -> Path:
    """Write the file; returns the path. The first special token is the unknown one (which bytes make needless)."""
    from sentencepiece import sentencepiece_model_pb2 as messages

    proto = messages.ModelProto()  # type: ignore[attr-defined]
    first, merges = model.first_merged, len(model.merges)
    for id, (token, kind) in enumerate(zip(model.tokens, model.kinds.tolist(), strict=True)):
        name = f"<0x{token[0]:02X}>" if kind == Kind.BYTE else token.decode()
        score = 0.0
        if kind == Kind.NORMAL:
            score = float(first - id) if id >= first else float(-merges - (id - model.byte_ids.stop))
        proto.pieces.add(piece=name, score=score, type=Kind.UNKNOWN if id == 0 else kind)
    spec = proto.trainer_spec
    spec.model_type, spec.vocab_size, spec.byte_fallback = _BPE, len(model), True
    spec.unk_id, spec.unk_piece = 0, model.tokens[0].decode()
    controls = {model.tokens[id].decode(): id for id in np.flatnonzero(model.kinds == Kind.CONTROL).tolist()}
    spec.bos_id, spec.eos_id, spec.pad_id = (controls.get(name, -1) for name in ("<s>", "</s>", "<pad>"))
    normalizer = proto.normalizer_spec
    normalizer.name = "identity"
    normalizer.add_dummy_prefix = False
    normalizer.remove_extra_whitespaces = False
    normalizer.escape_whitespaces = False
    return write_whole(path, proto.SerializeToString(deterministic=True))
