"""A Unigram model as a SentencePiece ``.model``.

No charsmap, no dummy prefix, no squeezed spaces, and spaces are not escaped to U+2581: the pieces hold literal spaces,
as the other forms do, and U+2581 in a text stays what it is. Field names are those of sentencepiece_model.proto
(google/sentencepiece). SentencePiece's own trainer always escapes; a program that expects U+2581 in the pieces has to
honor ``escape_whitespaces = false``.
"""

from pathlib import Path
from typing import Any

from tokenizer_lab.save.whole import write_whole
from tokenizer_lab.training.unigram_model import UnigramModel

_UNIGRAM = 1
_NAMED = {"bos": "<s>", "eos": "</s>", "pad": "<pad>"}


def save_model(model: UnigramModel, path: Path) -> Path:
    """Write the model; returns the path. Scores are float32 of the ticks / 10,000."""
    from sentencepiece import sentencepiece_model_pb2 as messages

    proto = messages.ModelProto()  # type: ignore[attr-defined]
    for piece, kind, score in zip(model.pieces, model.kinds.tolist(), model.scores.tolist(), strict=True):
        proto.pieces.add(piece=piece, score=score, type=kind)
    _describe(proto.trainer_spec, model)
    normalizer = proto.normalizer_spec
    normalizer.name = "identity"
    normalizer.add_dummy_prefix = False
    normalizer.remove_extra_whitespaces = False
    normalizer.escape_whitespaces = False
    return write_whole(path, proto.SerializeToString(deterministic=True))


def _describe(spec: Any, model: UnigramModel) -> None:
    spec.model_type = _UNIGRAM
    spec.vocab_size = len(model)
    spec.byte_fallback = True
    spec.unk_id = 0
    spec.unk_piece = model.pieces[0]
    for role, name in _NAMED.items():
        setattr(spec, f"{role}_id", model.pieces.index(name) if name in model.pieces else -1)
