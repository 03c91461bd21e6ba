"""What an extension does to text: how much of the old language is cut anew, and what the new one gains.

Legend: N documents, T tokens.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jacorpus.errors import InputError
from tokenizer_lab.corpus import Domain, draw
from tokenizer_lab.tokenizer import Tokenizer, list_buffers

CHUNK_ROWS = 128


@dataclass
class Effect:
    """Sums over one domain. tokens before and after; documents whose ids changed; tokens of the base that are gone
    (no token of the same id ends at the same byte afterwards). held_out: nothing was learned from these documents."""

    domain: str
    held_out: bool = True
    documents: int = 0
    bytes: int = 0
    chars: int = 0
    tokens_before: int = 0
    tokens_after: int = 0
    documents_changed: int = 0
    tokens_gone: int = 0

    def as_json(self) -> dict[str, Any]:
        """The sums and the ratios people ask for."""
        before, after = max(self.tokens_before, 1), max(self.tokens_after, 1)
        return asdict(self) | {
            "share_documents_changed": round(self.documents_changed / max(self.documents, 1), 6),
            "share_tokens_gone": round(self.tokens_gone / before, 6),
            "chars_per_token_before": round(self.chars / before, 4),
            "chars_per_token_after": round(self.chars / after, 4),
            "tokens_ratio": round(self.tokens_after / before, 6),
        }


def _ends(offsets: np.ndarray, ids: np.ndarray, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(document int64 [T], byte of it int64 [T]) where each token ends."""
    ends = np.cumsum(lengths[ids])
    before = np.concatenate([np.zeros(1, np.int64), ends])[offsets[:-1]]
    sizes = np.diff(offsets)
    return np.repeat(np.arange(len(sizes)), sizes), ends - np.repeat(before, sizes)


def gone(base: pa.LargeListArray, extended: pa.LargeListArray, lengths: np.ndarray) -> tuple[int, int]:
    """(documents whose ids differ, tokens of the base that no token of the same id and end stands for any more)."""
    sides = [list_buffers(base), list_buffers(extended)]
    ends = [_ends(offsets, ids, lengths) for offsets, ids in sides]
    reach = 1 + max(int(place.max(initial=0)) for _, place in ends)
    before, after = (
        (document * reach + place) * len(lengths) + ids.astype(np.int64)
        for (document, place), (_, ids) in zip(ends, sides, strict=True)
    )
    lost, added = ~np.isin(before, after), ~np.isin(after, before)
    return len(np.union1d(ends[0][0][lost], ends[1][0][added])), int(lost.sum())


def measure(
    base: Tokenizer, extended: Tokenizer, domain: Domain, learned_from: bool, budget_bytes: int, seed: int
) -> Effect:
    """Both tokenizers over documents of a domain, drawn by hash up to a budget.

    learned_from: take split ``valid``; where the domain is so small that it holds none, all of it, and say so.
    """
    try:
        drawn = draw([domain], budget_bytes, seed, split="valid" if learned_from else None)
        held_out = True
    except InputError:
        drawn, held_out = draw([domain], budget_bytes, seed, split=None), False
    return measure_texts(base, extended, domain.name, drawn.texts, held_out)


def measure_texts(
    base: Tokenizer, extended: Tokenizer, name: str, documents: pa.LargeStringArray, held_out: bool = True
) -> Effect:
    """Both tokenizers over documents."""
    effect = Effect(name, held_out)
    # Tokens of no bytes (unknown, control) count as one, so that no two tokens of a document end at one place.
    lengths = extended.vocabulary.lengths.copy()
    lengths[: base.vocab_size] = base.vocabulary.lengths
    lengths = np.maximum(lengths, 1)
    for start in range(0, len(documents), CHUNK_ROWS):
        texts = documents.slice(start, CHUNK_ROWS)
        before, after = base.encode(texts), extended.encode(texts)
        changed, tokens = gone(before, after, lengths)
        effect.documents += len(texts)
        effect.bytes += int(pc.sum(pc.binary_length(texts)).as_py() or 0)
        effect.chars += int(pc.sum(pc.utf8_length(texts)).as_py() or 0)
        effect.tokens_before += len(list_buffers(before)[1])
        effect.tokens_after += len(list_buffers(after)[1])
        effect.documents_changed += changed
        effect.tokens_gone += tokens
    return effect
