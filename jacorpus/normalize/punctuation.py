"""Japanese punctuation by vote, after Swallow (swallow-llm/swallow-corpus 2d03507, kutoten.py).

In each text ， is counted against 、 and ． against 。, only directly after kana, kanji or a closing bracket, a run
of marks once. Where the Western mark has more, it becomes the Japanese one everywhere, except after a
full-width digit or letter (３．１４) and at the very start. Run it before anything that makes ， and ． ASCII.

Deviations, both slips of a regular expression there: ideographs of plane 2 vote (Swallow writes them as
surrogates, which never match in Python), and a mark after ``^`` is replaced (its class repeats the ``^``).
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import pyarrow as pa

from jacorpus.stage import Applied


@dataclass(frozen=True)
class Punctuation:
    """Replace ，． by 、。 where the text prefers them. Column replaced: how many marks."""

    phase: ClassVar[Literal["measure"]] = "measure"

    def columns(self) -> dict[str, pa.DataType]:
        return {"replaced": pa.int32()}

    def apply(self, batch: pa.RecordBatch) -> Applied:
        from jacorpus.kernels.punctuation import vote_punctuation

        texts, replaced = vote_punctuation(batch.column("text"))
        batch = batch.set_column(batch.schema.get_field_index("text"), batch.schema.field("text"), texts)
        return Applied(batch, {"replaced": replaced})
