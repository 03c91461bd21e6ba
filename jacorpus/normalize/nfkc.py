"""Unicode NFKC, whole. An option, not the default: ``normalize.width`` is the gentler one.

It also turns … into ..., x² into x2, ～ into ~ and a lone ゛ into a space and U+3099, so ellipsis signals and
formulas suffer; the punctuation vote has to run before it.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import pyarrow as pa

from jacorpus.stage import Applied


@dataclass(frozen=True)
class Nfkc:
    """Bring text into form NFKC, with the Unicode version of the interpreter."""

    phase: ClassVar[Literal["measure"]] = "measure"

    def columns(self) -> dict[str, pa.DataType]:
        return {}

    def apply(self, batch: pa.RecordBatch) -> Applied:
        from jacorpus.kernels.nfkc import normal_form

        texts = normal_form(batch.column("text"), "NFKC")
        return Applied(batch.set_column(batch.schema.get_field_index("text"), batch.schema.field("text"), texts))
