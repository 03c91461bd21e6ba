"""Main text of web pages with resiliparse: about a tenth of trafilatura's time at nearly its quality."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import pyarrow as pa

from jacorpus.extract.page import COLUMNS, Extracted, Limits, apply_pages
from jacorpus.stage import Applied


@dataclass(frozen=True)
class Fast:
    """Decode and extract pages; rows with text pass through.

    seconds: CPU seconds a page may take (0: no limit). max_bytes: largest body. budget: largest share of
    replacement characters.
    """

    seconds: float = 10.0
    max_bytes: int = 10_000_000
    budget: float = 0.02

    phase: ClassVar[Literal["measure"]] = "measure"
    label: ClassVar[str] = "extract"

    def columns(self) -> Mapping[str, pa.DataType]:
        return COLUMNS

    def apply(self, batch: pa.RecordBatch) -> Applied:
        return apply_pages(batch, extract, Limits(self.seconds, self.max_bytes, self.budget))


def extract(html: str) -> Extracted:
    """Main text of one page."""
    from resiliparse.extract.html2text import extract_plain_text
    from resiliparse.parse.html import HTMLTree

    tree = HTMLTree.parse(html)
    return Extracted(extract_plain_text(tree, main_content=True, alt_texts=False, skip_elements=["rt", "rp"]))
