"""Writes out the tree that trafilatura makes of a page's main text.

Its elements: ``p`` paragraph, ``head`` heading, ``list`` with ``item``, ``table`` with ``row`` and ``cell``,
``quote``, ``code``, ``lb`` line break, ``ref`` link, ``hi`` emphasis, ``graphic`` image.
"""

from typing import Any

_BLOCKS = frozenset(("p", "head", "quote", "code", "table", "list", "div", "body", "main", "ab", "row"))
_SPACE = " \t\n\r\f"


class _Writer:
    """Pieces of text and what has to stand before the next one: 0 nothing, 1 line break, 2 blank line."""

    def __init__(self) -> None:
        self.pieces: list[str] = []
        self.gap = 0
        self.prefix = ""
        self.space = False

    def want(self, gap: int) -> None:
        self.gap = max(self.gap, gap)

    def words(self, text: str) -> None:
        """Text in which white space means one space."""
        body = " ".join(part for part in text.replace("\f", " ").split("\n"))
        parts = [part for part in _fields(body) if part]
        if not parts:
            self.space = self.space or bool(text)
            return
        joined = " ".join(parts)
        if (self.space or text[0] in _SPACE) and not self.gap and self.pieces:
            joined = " " + joined
        self._put(joined)
        self.space = text[-1] in _SPACE

    def verbatim(self, text: str) -> None:
        """Text as it is, without outer line breaks."""
        text = text.rstrip().lstrip("\n")
        if text.strip():
            self._put(text)

    def _put(self, text: str) -> None:
        if self.pieces:
            self.pieces.append("\n" * self.gap)
        self.pieces.append(self.prefix + text)
        self.gap, self.prefix, self.space = 0, "", False


def _fields(text: str) -> list[str]:
    """Split at ASCII white space only: an ideographic space is part of Japanese text."""
    return text.replace("\t", " ").replace("\r", " ").split(" ")


def render(body: Any) -> str:
    """Plain text."""
    writer = _Writer()
    _element(body, writer, 0)
    return "".join(writer.pieces).strip("\n ")


def _element(element: Any, writer: _Writer, depth: int) -> None:
    tag = element.tag
    if tag == "code" and "\n" in "".join(element.itertext()):
        writer.want(2)
        writer.verbatim("".join(element.itertext()))
        writer.want(2)
    elif tag == "row":
        _row(element, writer)
    elif tag == "lb":
        writer.want(1)
    elif tag != "graphic":
        _open(element, writer, depth)
        _inside(element, writer, depth + (tag == "list"))
        _close(tag, writer, depth)


def _inside(element: Any, writer: _Writer, depth: int) -> None:
    if element.text:
        writer.words(element.text)
    for child in element:
        _element(child, writer, depth)
        if child.tail:
            writer.words(child.tail)


def _open(element: Any, writer: _Writer, depth: int) -> None:
    tag = element.tag
    if tag == "item":
        writer.want(1)
        writer.prefix = "  " * max(0, depth - 1) + _bullet(element)
    elif tag in _BLOCKS and not (tag == "code" and "\n" not in (element.text or "")):
        writer.want(1 if depth else 2)


def _close(tag: str, writer: _Writer, depth: int) -> None:
    if tag == "item":
        writer.want(1)
        writer.prefix = ""
    elif tag in _BLOCKS and tag != "code":
        writer.want(1 if depth else 2)


def _bullet(item: Any) -> str:
    parent = item.getparent()
    kind = parent.get("rend") if parent is not None else None
    if kind == "ol":
        return f"{sum(1 for before in item.itersiblings('item', preceding=True)) + 1}. "
    return "" if kind == "dl" else "• "


def _row(row: Any, writer: _Writer) -> None:
    """A row is a line; its cells are apart by two tabs, as resiliparse writes them."""
    cells = [" ".join("".join(cell.itertext()).split()) for cell in row.iter("cell")]
    line = "\t\t".join(cells).strip()
    if line:
        writer.want(1)
        writer.verbatim(line)
        writer.want(1)
