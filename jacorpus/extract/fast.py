"""Main text of web pages with resiliparse: a tenth of trafilatura's time at somewhat less precision.

What resiliparse 2.0.1 does otherwise and is mended here: it drops a Japanese character that stands alone
between two tags and turns line breaks in Japanese paragraphs into spaces (``marks.py``), keeps ruby readings,
and drops every ``<ul>`` that is near the root of the page, which is where plain pages have theirs.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Literal

import pyarrow as pa

from jacorpus.extract.marks import mark_lines, mark_links, read_marks, strip_marks
from jacorpus.extract.page import COLUMNS, Extracted, Limits, apply_pages
from jacorpus.stage import Applied

_SKIP = ("img", "area", "svg", "object", "video", "audio", "embed", "figcaption", "rt", "rp")
_LIST_TAG = re.compile(r"<(/?)[uU][lL](?:\s[^>]*)?>")
_PROSE_BEGINS = re.compile(r"\s*<(?:p|pre|blockquote|dl|h[1-6])\b", re.I)
_PROSE_ENDS = re.compile(r"(?:</(?:p|pre|blockquote|dl|h[1-6])>|[^>\s])\s*$", re.I)  # or text of an open <p>
_DEEP = 3  # wrappers that take a list out of the reach of resiliparse's rule


@dataclass(frozen=True)
class Fast:
    """Decode and extract pages; rows with text pass through.

    seconds: CPU seconds a page may take (0: no limit). max_bytes: largest body. budget: largest share of
    replacement characters. links: measure ``link_ratio`` (an eighth of the time); NaN without.
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

    html = mark_lines(strip_marks(html))
    tree = HTMLTree.parse(_deepen_lists(mark_links(html) if links else html))
    marked = extract_plain_text(
        tree, main_content=True, alt_texts=True, comments=False, post_meta=False, skip_elements=_SKIP
    )
    text, linked = read_marks(marked)
    title, _ = read_marks(" ".join((tree.title or "").split()))
    return Extracted(text, linked / len(text) if text and links else float("nan"), title)


def _deepen_lists(html: str) -> str:
    """HTML with outermost lists that stand beside prose wrapped in ``<div>``: menus do not stand there."""
    inserts: list[tuple[int, str]] = []
    level, start, prose = 0, 0, False
    for tag in _LIST_TAG.finditer(html):
        if not tag[1]:
            if level == 0:
                start = tag.start()
                prose = _PROSE_ENDS.search(html[max(0, start - 48) : start]) is not None
            level += 1
        elif level:
            level -= 1
            if level == 0 and (prose or _PROSE_BEGINS.match(html, tag.end())):
                inserts += [(start, "<div>" * _DEEP), (tag.end(), "</div>" * _DEEP)]
    if not inserts:
        return html
    ends = [place for place, _ in inserts]
    pieces = [html[a:b] for a, b in zip([0, *ends], [*ends, len(html)], strict=True)]
    return "".join(piece + added for piece, (_, added) in zip(pieces, [*inserts, (0, "")], strict=True))
