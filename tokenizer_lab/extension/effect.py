"""What an extension does to text: how much of the old language is cut anew, and what the new one gains.

Legend: N documents, T tokens.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tokenizer_lab.corpus import Domain
from tokenizer_lab.tokenizer import Tokenizer, list_buffers


@dataclass
class Effect:
    """Sums over one domain. tokens before and after; documents whose ids changed; tokens of the base that are gone
    (no token of the same id ends at the same byte afterwards)."""

    domain: str
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


def _marks(offsets: np.ndarray, ids: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """int64 [T]: one number for (document, byte where the token ends, id), so that equal ones are equal tokens."""
    ends = np.cumsum(lengths[ids])
    before = np.concatenate([np.zeros(1, np.int64), ends])[offsets[:-1]]
    place = ends - np.repeat(before, np.diff(offsets))
    document = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    return (document * (int(place.max(initial=0)) + 1) + place) * len(lengths) + ids


def measure(base: Tokenizer, extended: Tokenizer, domain: Domain, split: str | None) -> Effect:
    """Both tokenizers over a domain's documents of a split (None: all of them)."""
    effect = Effect(domain.name)
    for texts in _texts(domain, split):
        (offsets, ids), (new_offsets, new_ids) = (list_buffers(t.encode(texts)) for t in (base, extended))
        effect.documents += len(texts)
        effect.bytes += int(pc.sum(pc.binary_length(texts)).as_py() or 0)
        effect.chars += int(pc.sum(pc.utf8_length(texts)).as_py() or 0)
        effect.tokens_before += len(ids)
        effect.tokens_after += len(new_ids)
        lengths = _widths(base, extended)
        if len(ids) == len(new_ids) and bool((ids == new_ids).all()) and bool((offsets == new_offsets).all()):
            continue
        # The same numbering for both sides: the larger table, and the ends over the same documents.
        both = [_marks(o, i.astype(np.int64), lengths) for o, i in ((offsets, ids), (new_offsets, new_ids))]
        effect.tokens_gone += len(ids) - len(np.intersect1d(*both, assume_unique=True))
        same = np.array(
            [
                np.array_equal(ids[offsets[d] : offsets[d + 1]], new_ids[new_offsets[d] : new_offsets[d + 1]])
                for d in range(len(texts))
            ],
            bool,
        )
        effect.documents_changed += int((~same).sum())
    return effect


def _texts(domain: Domain, split: str | None) -> Iterator[pa.LargeStringArray]:
    for batch in domain.documents(split):
        yield batch["text"]


def _widths(base: Tokenizer, extended: Tokenizer) -> np.ndarray:
    """int64 [V + K]: bytes of each token; tokens of no bytes (unknown, control) count as one."""
    lengths = extended.vocabulary.lengths.copy()
    lengths[: base.vocab_size] = base.vocabulary.lengths
    return np.maximum(lengths, 1)
