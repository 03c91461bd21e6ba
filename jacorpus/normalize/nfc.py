"""Unicode NFC: joins kana and combining dakuten, and unifies CJK compatibility ideographs (U+F900-FAFF).

The safest normalization: its result is canonically equivalent to the text. Width is left alone.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import pyarrow as pa

from jacorpus.stage import Applied


@dataclass(frozen=True)
class Nfc:
    """Bring text into form NFC, with the Unicode version of the interpreter."""

    phase: ClassVar[Literal["measure"]] = "measure"

    def columns(self) -> dict[str, pa.DataType]:
        return {}

    def apply(self, batch: pa.RecordBatch) -> Applied:
        from jacorpus.kernels.nfkc import normal_form

        texts = normal_form(batch.column("text"), "NFC")
        return Applied(batch.set_column(batch.schema.get_field_index("text"), batch.schema.field("text"), texts))
