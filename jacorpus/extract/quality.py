"""Main text of web pages with trafilatura, its weak points for Japanese and for code mended.

trafilatura chooses what the main text is; how it is written out is ours (``render``): paragraphs apart,
lists, tables, code with its lines and indentation. What trafilatura 2.3.1 does otherwise: it joins paragraphs
by one line break, drops blank lines in code, keeps hidden elements, and rewrites all text to NFC (which
belongs to ``normalize``). Where it finds little, the fast extractor's text is taken.
"""

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar, Literal

import pyarrow as pa

from jacorpus.extract import fast
from jacorpus.extract.marks import (
    CLOSE,
    CLOSE_LETTER,
    HARD_LINE,
    HARD_SPACE,
    OPEN,
    OPEN_LETTER,
    mark_lines,
    mark_pre,
    read_marks,
    read_pre,
    strip_marks,
)
from jacorpus.extract.page import COLUMNS, Extracted, Limits, apply_pages
from jacorpus.extract.render import render
from jacorpus.stage import Applied

LITTLE_CHARS = 250
"""A text with fewer characters than this is compared with the fast extractor's."""

_LETTERS = {ord(OPEN_LETTER): OPEN, ord(CLOSE_LETTER): CLOSE}
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufffe\uffff]")
_READINGS = ("rt", "rp")
_OUT = (
    "//rt|//rp|//template|//noscript|//*[@hidden and not(self::body or self::html)]"
    "|//*[@style and not(self::body or self::html) and (contains(translate(@style,' ',''),'display:none')"
    " or contains(translate(@style,' ',''),'visibility:hidden'))]"
)


@dataclass(frozen=True)
class Quality:
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
    tree = _tree(html)
    text, linked = ("", 0) if tree is None else _main(tree)
    if len(text) < LITTLE_CHARS:
        other = fast.extract(html)
        if len("".join(other.text.split())) >= len("".join(text.split())):
            return other
    title = "" if tree is None else " ".join((tree.findtext(".//title") or "").split())
    return Extracted(text, linked / len(text) if text else float("nan"), read_marks(title)[0])


def _tree(html: str) -> Any:
    """lxml tree without what is never text; None where there is no element."""
    from lxml import etree

    html = mark_lines(strip_marks(_CONTROL.sub("", html)))
    try:
        root = _parser_module().document_fromstring(html.encode(), parser=_parser())
    except etree.ParserError:
        return None
    whole = len("".join(root.itertext())) if (out := _out()(root)) else 0
    for element in out:
        # Some pages have all their text in <noscript> or show it by script: such stays.
        text = "".join(element.itertext())
        if element.tag in _READINGS or (len(text) * 2 < whole and (element.tag != "noscript" or len(text) < 500)):
            element.drop_tree()
    etree.strip_tags(root, "ruby", "rb", "rtc")  # trafilatura loses what follows an element it does not know
    for block in root.iter("pre"):
        _keep_lines(block)
    for link in root.iter("a"):
        _mark(link)
    return root


def _keep_lines(block: Any) -> None:
    """Mark the white space of a ``<pre>``, and make trafilatura take it for code even if it holds a poem."""
    block.set("lang", "x")
    for line_break in block.findall(".//br"):
        line_break.tail = "\n" + (line_break.tail or "")
        line_break.drop_tag()
    for element in block.iter("*"):
        if element.text:
            element.text = mark_pre(element.text)
        if element.tail and element is not block:
            element.tail = mark_pre(element.tail)


def _mark(link: Any) -> None:
    """Put marks around the text of a link."""
    if len(link):
        link.text = OPEN_LETTER + (link.text or "")
        link[-1].tail = (link[-1].tail or "") + CLOSE_LETTER
    elif link.text and not link.text.isspace():
        link.text = OPEN_LETTER + link.text + CLOSE_LETTER


def _main(tree: Any) -> tuple[str, int]:
    """(text, characters in links) of trafilatura's choice."""
    from trafilatura import bare_extraction
    from trafilatura.settings import Document

    found = bare_extraction(tree, include_comments=False)
    if not isinstance(found, Document) or found.body is None:
        return "", 0
    text = render(found.body)
    if HARD_LINE in text or HARD_SPACE in text:
        text = read_pre(text)
    return read_marks(text.translate(_LETTERS))


def _parser_module() -> Any:
    import lxml.html

    return lxml.html


@cache
def _parser() -> Any:
    logging.getLogger("trafilatura").setLevel(logging.CRITICAL)
    return _parser_module().HTMLParser(collect_ids=False, encoding="utf-8", remove_comments=True, remove_pis=True)


@cache
def _out() -> Any:
    from lxml.etree import XPath

    return XPath(_OUT)
