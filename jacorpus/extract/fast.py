"""Main text of web pages with resiliparse: a tenth of trafilatura's time at somewhat less precision.

What resiliparse 2.0.1 does otherwise and is mended here: it drops a Japanese character that stands alone
between two tags and turns line breaks in Japanese paragraphs into spaces (``marks.py``), keeps ruby readings,
and drops every ``<ul>`` that is near the root of the page, which is where plain pages have theirs.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import pyarrow as pa

from jacorpus.extract.marks import mark_lines, mark_links, read_marks, strip_marks
from jacorpus.extract.page import COLUMNS, Extracted, Limits, apply_pages
from jacorpus.stage import Applied

_SKIP = ("img", "area", "svg", "object", "video", "audio", "embed", "figcaption", "rt", "rp")
_SHALLOW_LISTS = "body > ul, body > * > ul, body > * > * > ul"
_PROSE = frozenset(("p", "pre", "blockquote", "dl", "h1", "h2", "h3", "h4", "h5", "h6"))
_LIST_TAG = re.compile(r"<(/?)[uU][lL](?:\s[^>]*)?>")
_PROSE_BEGINS = re.compile(r"\s*<(?:p|pre|blockquote|dl|h[1-6])\b", re.I)
_PROSE_ENDS = re.compile(r"(?:</(?:p|pre|blockquote|dl|h[1-6])>|[^>\s])\s*$", re.I)  # or text of an open <p>
_DEEP = 3  # wrappers that take a list out of the reach of resiliparse's rule


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

    tree = HTMLTree.parse(mark_links(mark_lines(strip_marks(html))))
    if _has_list_beside_prose(html):
        _deepen_lists(tree)
    marked = extract_plain_text(
        tree, main_content=True, alt_texts=True, comments=False, post_meta=False, skip_elements=_SKIP
    )
    text, linked = read_marks(marked)
    title, _ = read_marks(" ".join((tree.title or "").split()))
    return Extracted(text, linked / len(text) if text else float("nan"), title)


def _has_list_beside_prose(html: str) -> bool:
    """Could ``_deepen_lists`` find one? A look at the source, a tenth of the cost of asking the tree."""
    for tag in _LIST_TAG.finditer(html):
        if tag[1]:
            if _PROSE_BEGINS.match(html, tag.end()):
                return True
        elif _PROSE_ENDS.search(html[max(0, tag.start() - 48) : tag.start()]):
            return True
    return False


def _deepen_lists(tree: Any) -> None:
    """Wrap lists near the root that stand beside prose: menus do not."""
    body = tree.body
    if body is None:
        return
    for item_list in body.query_selector_all(_SHALLOW_LISTS):
        beside = (item_list.previous_element_sibling, item_list.next_element_sibling)
        if any(node is not None and node.tag in _PROSE for node in beside):
            wrappers = [tree.create_element("div") for _ in range(_DEEP)]
            item_list.parent.replace_child(wrappers[0], item_list)
            for outer, inner in zip(wrappers, [*wrappers[1:], item_list], strict=True):
                outer.append_child(inner)
