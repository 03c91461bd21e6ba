"""Wikitext as plain text: headings, paragraphs and lists stay; templates, tables, notes and files go.

Parsed by mwparserfromhell. Kept of templates are the few that only mark words of the running text.
"""

import re
from typing import Any

_SPOKEN = {
    "lang": 2,
    "nowrap": 1,
    "仮リンク": 1,
    "ruby": 1,
    "ルビ": 1,
    "読み仮名": 1,
    "読み仮名 ruby不使用": 1,
    "transl": 2,
    "small": 1,
}
"""Template -> the parameter that stands in the running text."""
_DROPPED = frozenset(
    ["ref", "references", "gallery", "timeline", "imagemap", "table", "score", "graph", "mapframe", "templatestyles"]
)
_BLOCKS = frozenset(["pre", "syntaxhighlight", "source", "blockquote", "div", "p", "center", "poem"])
_LISTS = {"*": "\x01", "#": "\x01", ":": "\x02", ";": "\x02"}
"""Wiki markup -> a mark XML can't hold: a list item, an indented line. Headings are marked by NUL."""
_ITEM, _INDENT = re.compile(r"^[\x01\x02]*\x01[\x01\x02]*[ \t]*", re.M), re.compile(r"\x02+[ \t]*")
_EMPTY_BRACKETS = re.compile(r"[（(][\s、,;，；]*[)）]")
_BRACKET_COMMA = re.compile(r"([（(])[\s、,;，；]+")
_MANY_LINES = re.compile(r"\n{3,}")
_TRAILING = re.compile(r"[ \t]+$", re.M)
_BEHAVIOR = re.compile(r"__[A-Z一-鿿ぁ-ヿ]{3,20}__")
_HEADING_SPLIT = re.compile(r"^\x00(\d)(.*)$", re.M)
_INTERWIKI = re.compile(r"^:?[a-z]{2,3}(-[a-z]+)?:")


def plain(source: str, media: frozenset[str]) -> str:
    """The text of a page. media: namespaces, case-folded, whose links show nothing (File, Category)."""
    import mwparserfromhell

    code = mwparserfromhell.parse(source, skip_style_tags=True)
    return _tidy("".join(_nodes(code, media)))


def _nodes(code: Any, media: frozenset[str]) -> list[str]:
    return [_node(node, media) for node in code.nodes] if code is not None else []


def _node(node: Any, media: frozenset[str]) -> str:
    kind = type(node).__name__
    if kind == "Text":
        return str(node)
    if kind == "Wikilink":
        return _link(node, media)
    if kind == "Heading":
        return f"\n\n\x00{node.level}{''.join(_nodes(node.title, media)).strip()}\n\n"
    if kind == "Tag":
        return _tag(node, media)
    if kind == "Template":
        return _template(node, media)
    if kind == "ExternalLink":
        return "".join(_nodes(node.title, media)) if node.title is not None else "" if node.brackets else str(node.url)
    if kind == "HTMLEntity":
        try:
            return str(node.normalize())
        except ValueError:
            return str(node)
    return ""  # comments and arguments


def _link(node: Any, media: frozenset[str]) -> str:
    title = str(node.title).strip()
    prefix = title.lstrip(":").partition(":")[0].strip().casefold()
    hidden = prefix in media and not title.startswith(":")
    if ":" in title and (hidden or (node.text is None and _INTERWIKI.match(title))):
        return ""
    return "".join(_nodes(node.text, media)) if node.text is not None else title.lstrip(":")


def _tag(node: Any, media: frozenset[str]) -> str:
    name = str(node.tag).strip().lower()
    if name in _DROPPED:
        return ""
    if name in ("li", "dd", "dt") and node.wiki_markup:
        return _LISTS.get(str(node.wiki_markup), "")
    if name in ("br", "hr"):
        return "\n"
    inner = str(node.contents) if name in ("nowiki", "math", "pre", "syntaxhighlight", "source") else None
    text = inner if inner is not None else "".join(_nodes(node.contents, media))
    return f"\n{text}\n" if name in _BLOCKS else text


def _template(node: Any, media: frozenset[str]) -> str:
    number = _SPOKEN.get(str(node.name).strip().casefold())
    if number is None or not node.has(str(number)):
        return ""
    return "".join(_nodes(node.get(str(number)).value, media))


def _tidy(text: str) -> str:
    """Quote marks of bold and italics gone, empty brackets and sections gone, at most one blank line in a row."""
    text = _INDENT.sub("", _ITEM.sub("- ", text))
    text = re.sub(r"'{2,5}", "", _BEHAVIOR.sub("", text))
    text = _BRACKET_COMMA.sub(r"\1", _EMPTY_BRACKETS.sub("", text))
    text = _without_empty_sections(_TRAILING.sub("", text))
    return _MANY_LINES.sub("\n\n", text).strip()


def _without_empty_sections(text: str) -> str:
    """Headings marked by NUL and their level become lines; one without text below it goes."""
    parts = _HEADING_SPLIT.split(text)
    kept, below = [], [False] * 8  # below[level]: there is text under a heading of this level or deeper
    for i in range(len(parts) - 3, 0, -3):
        level, title, body = int(parts[i]), parts[i + 1], parts[i + 2]
        filled = bool(body.strip()) or any(below[level + 1 :])
        if filled:
            kept.append(f"{title}{body}")
        below = [*(below[:level]), filled or below[level], *[False] * (7 - level)]
    return parts[0] + "".join(reversed(kept))
