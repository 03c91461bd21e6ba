"""Main text of web pages with resiliparse: a tenth of trafilatura's time at somewhat less precision.

What resiliparse 2.0.1 does otherwise and is mended here: it drops a Japanese character that stands alone
between two tags and turns line breaks in Japanese paragraphs into spaces (``marks.py``), keeps ruby readings,
and drops every ``<ul>`` that is near the root of the page, which is where plain pages have theirs.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Literal

import pyarrow as pa

from jacorpus.extract.marks import deepen_lists, mark_lines, mark_links, read_marks, strip_marks
from jacorpus.extract.page import COLUMNS, Extracted, Limits, apply_pages
from jacorpus.stage import Applied

_SKIP = ("img,area,svg,object,video,audio,embed,figcaption,rt,rp",)
"""One selector for all: resiliparse asks each one of each element, and ten cost a tenth of the extraction."""


@dataclass(frozen=True)
class Fast:
    """Decode and extract pages; rows with text pass through.

    seconds: CPU seconds a page may take (0: no limit). max_bytes: largest body. budget: largest share of
    replacement characters. links: measure ``link_ratio`` (a twelfth of the time); NaN without.
    """

    seconds: float = 10.0
    max_bytes: int = 10_000_000
    budget: float = 0.02
    links: bool = True

    phase: ClassVar[Literal["measure"]] = "measure"
    label: ClassVar[str] = "extract"

    def columns(self) -> Mapping[str, pa.DataType]:
        return COLUMNS

    def apply(self, batch: pa.RecordBatch) -> Applied:
        return apply_pages(batch, partial(extract, links=self.links), Limits(self.seconds, self.max_bytes, self.budget))


def extract(html: str, links: bool = True) -> Extracted:
    """Main text of one page."""
    from resiliparse.extract.html2text import extract_plain_text
    from resiliparse.parse.html import HTMLTree

    tree = HTMLTree.parse(_marked(html, links))
    marked = extract_plain_text(
        tree, main_content=True, alt_texts=True, comments=False, post_meta=False, skip_elements=_SKIP
    )
    text, linked = read_marks(marked)
    title, _ = read_marks(" ".join((tree.title or "").split()))
    return Extracted(text, linked / len(text) if text and links else float("nan"), title)


def _marked(html: str, links: bool) -> str:
    """HTML with marks: out of one pass over its bytes, or step by step where that leaves it to these."""
    from jacorpus.kernels.html_marks import mark_html

    if (marked := mark_html(html, links)) is not None:
        return marked
    html = mark_lines(strip_marks(html))
    return deepen_lists(mark_links(html) if links else html)
