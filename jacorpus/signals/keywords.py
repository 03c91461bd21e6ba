"""Words from the user's lists (adult, discrimination, advertisements, ...): hits, distinct words, share of the text.

Lists are given by path and never ship with this package. HojiChar and llm-jp bound the hits, Uzushio the distinct
words, Swallow the share of the Japanese characters (arXiv:2404.17733; no code is published for it).
How words are matched is said in ``jacorpus/kernels/keywords.py``. A keyword is found inside longer words unless it
is of katakana alone, so the lists have to be Japanese: "class" holds many an English bad word.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import pyarrow as pa

from jacorpus.stage import Column

if TYPE_CHECKING:
    from jacorpus.kernels.keywords import WordTable


@dataclass(frozen=True)
class Keywords:
    """Hits of each list NAME: ``NAME_hits``, ``NAME_types`` (distinct words), ``NAME_ratio``.

    lists: name -> path of a UTF-8 file, one word a line. whole_katakana: a word of katakana alone counts only
    where it is a whole run of katakana (アス is not in アスパラガス); True as in llm-jp, HojiChar's default is False.
    NAME_ratio = characters hit / japanese_chars (at least 1, so that it stays finite).

    Raises OSError for a missing list, ValueError for an empty one.
    """

    lists: dict[str, str] = field(default_factory=dict)
    whole_katakana: bool = True

    costly: ClassVar[bool] = False

    def columns(self) -> Mapping[str, pa.DataType]:
        kinds = {"hits": pa.int32(), "types": pa.int32(), "ratio": pa.float64()}
        return {f"{name}_{kind}": dtype for name in self.lists for kind, dtype in kinds.items()}

    def measure(self, batch: pa.RecordBatch) -> dict[str, Column]:
        from jacorpus.kernels.keywords import japanese_chars, keyword_hits

        text = batch.column("text")
        japanese = np.maximum(japanese_chars(text), 1) if self.lists else np.ones(0)
        columns: dict[str, Column] = {}
        for name, path in self.lists.items():
            hits, types, chars = keyword_hits(text, _table(path, self.whole_katakana))
            columns |= {f"{name}_hits": hits, f"{name}_types": types, f"{name}_ratio": chars / japanese}
        return columns


@cache
def _table(path: str, whole_katakana: bool) -> "WordTable":
    from jacorpus.kernels.keywords import word_table

    try:
        return word_table(Path(path).read_text("utf-8-sig").splitlines(), whole_katakana)
    except ValueError as error:
        raise ValueError(f"word list {path}: {error}") from error
