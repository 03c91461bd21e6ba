"""Cut a page's footer by keywords, after Swallow (swallow-llm/swallow-corpus 2d03507, footer.py).

Among the last lines of a text, the first one of which keywords make up more than a share of the characters is
cut, with all after it. Longer keywords are taken out of the line first, so that none is counted inside another.
Deviation: keywords of one length are taken in code point order (Swallow takes them in the order of a set).
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa

from jacorpus.stage import Applied


@cache
def read_keywords(path: str) -> tuple[str, ...]:
    """Keywords of a UTF-8 file, one a line, longest first. OSError where it can't be read, ValueError if empty."""
    lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
    words = sorted({line for line in lines if line}, key=lambda word: (-len(word), word))
    if not words:
        raise ValueError(f"keyword list {path} is empty: normalize.footer needs one keyword a line")
    return tuple(words)


def keyword_share(line: str, keywords: tuple[str, ...]) -> float:
    """Share of a line's characters that keywords cover; 0 for an empty line."""
    left = line
    for word in keywords:
        left = left.replace(word, "")
    return (len(line) - len(left)) / len(line) if line else 0.0


@dataclass(frozen=True)
class Footer:
    """Cut the footer. Column cut_chars: how many characters went.

    keywords: path of the list. lines: how many last lines are looked at. share: more than this is a footer.
    """

    keywords: str
    lines: int = 10
    share: float = 0.3
    phase: ClassVar[Literal["measure"]] = "measure"

    def columns(self) -> dict[str, pa.DataType]:
        return {"cut_chars": pa.int32()}

    def kept_length(self, text: str) -> int:
        """Characters before the footer."""
        words = read_keywords(self.keywords)
        last = text.rsplit("\n", self.lines)[-self.lines :]
        at = len(text) - sum(map(len, last)) - (len(last) - 1)
        for line in last:
            if keyword_share(line, words) > self.share:
                return max(0, at - 1)  # the LF before it goes as well
            at += len(line) + 1
        return len(text)

    def apply(self, batch: pa.RecordBatch) -> Applied:
        texts = batch.column("text").to_pylist()
        kept = [self.kept_length(text) for text in texts]
        cut = np.array([len(text) - stop for text, stop in zip(texts, kept, strict=True)], np.int32)
        if not cut.any():
            return Applied(batch, {"cut_chars": cut})
        shorter = pa.array([text[:stop] for text, stop in zip(texts, kept, strict=True)], pa.large_string())
        batch = batch.set_column(batch.schema.get_field_index("text"), batch.schema.field("text"), shorter)
        return Applied(batch, {"cut_chars": cut})
