"""Which Unigram ``tokenizer.json`` files our kernel reads exactly as the library does.

Known ways to write spaces: not at all (no normalizer, no pre-tokenizer); a normalizer that puts U+2581 before the
text and for each space (as conversions of SentencePiece models have it); the pre-tokenizer Metaspace. A charsmap
(``Precompiled``) is none of them: the library applies it to grapheme clusters, SentencePiece to the longest match.
"""

from typing import Any

import numpy as np

from tokenizer_lab.formats.huggingface_library import parts_of, pieces_of
from tokenizer_lab.kernels.unigram_huggingface import (
    ALWAYS,
    MARK,
    NO_PREFIX,
    UNLESS_MARKED,
    UnigramRules,
    UnigramTable,
    unigram_table,
)

_START_OF_TEXT = r"(?<!\n)^"
UNKNOWN_PENALTY = 10.0
_MOST = 10.0
"""A lowest score over this could make a run of unknown characters score better than an entry of the same string."""


def unigram_chain(content: dict[str, Any]) -> UnigramTable | str:
    """The kernel's table, or one sentence on why the library has to encode."""
    model, pieces = content["model"], pieces_of(content)
    spaces = _spaces(content)
    if isinstance(spaces, str):
        return spaces
    if model.get("unk_id") is None:
        return "the model names no unknown token"
    scores = np.array([entry[1] for entry in model["vocab"]], np.float64)
    if not np.isfinite(scores).all() or scores.min() > _MOST:
        return "scores are not log probabilities"
    ids = {piece: id for id, piece in pieces.items()}
    names = [ids.get(f"<0x{byte:02X}>", -1) for byte in range(256)]
    if model.get("byte_fallback") and min(names) < 0:
        return "byte fallback is on and some of the 256 byte tokens are missing"
    hidden = {token["content"] for token in content.get("added_tokens") or [] if token["special"]}
    matched = {piece: id for piece, id in ids.items() if piece and piece not in hidden}
    byte_ids = np.array(names, np.int64).astype(np.uint32) if model.get("byte_fallback") else None
    unknown_score = float(scores.min()) - UNKNOWN_PENALTY
    try:
        return unigram_table(UnigramRules(matched, scores, unknown_score, model["unk_id"], byte_ids, *spaces))
    except ValueError as error:
        return str(error)


def _spaces(content: dict[str, Any]) -> tuple[int, bool, bool] | str:
    """(prefix, spaces, split) of UnigramRules, or why not."""
    normalizer, cutter = parts_of(content.get("normalizer")), parts_of(content.get("pre_tokenizer"))
    kinds = [step["type"] for step in (*normalizer, *cutter)]
    if len(cutter) == 1 and cutter[0]["type"] == "Metaspace" and not normalizer:
        step = cutter[0]
        scheme = step.get("prepend_scheme", "always" if step.get("add_prefix_space", True) else "never")
        if step["replacement"] != MARK:
            return f"Metaspace writes spaces as {step['replacement']!r}"
        return (NO_PREFIX if scheme == "never" else UNLESS_MARKED), True, bool(step.get("split", True))
    if cutter:
        return f"the chain {', '.join(kinds)} is none that our kernel knows"
    marks = [_marks(step) for step in normalizer]
    if marks not in ([], ["prefix"], ["spaces"], ["prefix", "spaces"]):
        return f"the chain {', '.join(kinds)} is none that our kernel knows"
    return (ALWAYS if "prefix" in marks else NO_PREFIX), "spaces" in marks, False


def _marks(step: dict[str, Any]) -> str:
    """What a normalizer does with U+2581: ``prefix``, ``spaces``, or nothing known."""
    if step["type"] == "Prepend" and step["prepend"] == MARK:
        return "prefix"
    if step["type"] != "Replace" or step["content"] != MARK:
        return ""
    if step["pattern"].get("Regex") == _START_OF_TEXT:
        return "prefix"
    return "spaces" if " " in step["pattern"].values() else ""
