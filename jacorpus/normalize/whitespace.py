"""Line breaks, controls, invisible characters and blank lines; the rules stand in ``kernels/whitespace.py``.

Indentation and spaces inside lines stay, C1 controls too: ``normalize.mojibake`` reads those.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import pyarrow as pa

from jacorpus.stage import Applied


@dataclass(frozen=True)
class Whitespace:
    """Clean white space. blank_lines: how many blank lines may follow one another."""

    blank_lines: int = 1
    phase: ClassVar[Literal["measure"]] = "measure"

    def columns(self) -> dict[str, pa.DataType]:
        return {}

    def apply(self, batch: pa.RecordBatch) -> Applied:
        from jacorpus.kernels.whitespace import clean_whitespace

        texts = clean_whitespace(batch.column("text"), self.blank_lines)
        return Applied(batch.set_column(batch.schema.get_field_index("text"), batch.schema.field("text"), texts))
