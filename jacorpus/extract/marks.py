"""Marks that survive parsing: where a source line ended beside Japanese, and where a link began and ended.

An extractor turns a line break inside a paragraph into a space, and throws links away. In Japanese no space
belongs there (CSS Text 3, segment break transformation), and rules want to know how much of a text is links.
So marks are written into the HTML before it is parsed, and read and removed in the text that comes out.

Marks: LINE beside a line break next to a Japanese character; KEEP beside a character that would get lost; OPEN
and CLOSE inside ``<a>``; HARD_LINE and HARD_SPACE for white space of ``<pre>``.
LINE is a letter of a script no web page is written in (private and control characters get filtered by some
extractors); OPEN and CLOSE are control characters, which weigh one byte in the extractors' ratios.
"""

import re

LINE = "\ua6f3"  # BAMUM FULL STOP
KEEP = "\ua6f2"
HARD_LINE, HARD_SPACE = "\ua6f6", "\ua6f7"
OPEN, CLOSE = "\x01", "\x02"
OPEN_LETTER, CLOSE_LETTER = "\ua6f4", "\ua6f5"  # the same where control characters are refused

_JA = "\u3000-\u30ff\u3400-\u9fff\uf900-\ufaff\uff01-\uffef"
_BREAK = re.compile(f"\n(?:(?<=[{_JA}]\n)|(?=[ \t\u3000]*[{_JA}]))")
_ALONE = re.compile(f">[ \t\n]*[{_JA}](?=[ \t\n]*<)")
_MARKS = (OPEN, CLOSE, LINE, KEEP, OPEN_LETTER, CLOSE_LETTER, HARD_LINE, HARD_SPACE)
_LINK = re.compile(r"(<[aA](?=\s)[^>]*>)")
_LIST_TAG = re.compile(r"<(/?)[uU][lL](?:\s[^>]*)?>")
_PROSE_TAG = r"(?:p|pre|bloc(?-i:[kK])quote|dl|h[1-6])"  # without case, k would be the Kelvin sign, too
_PROSE_BEGINS = re.compile(rf"\s*<{_PROSE_TAG}\b", re.I)
_PROSE_ENDS = re.compile(rf"(?:</{_PROSE_TAG}>|[^>\s])\s*$", re.I)  # or text of an open <p>
_DEEP = 3  # wrappers that take a list out of the reach of resiliparse's rule
_LEFT = re.compile("[\x01\x02\ua6f2-\ua6f7]")

_JOINED = re.compile(f"{LINE} (?<=[{_JA}]{LINE} )(?=[{_JA}])")  # begins with what is searched fastest
_EDGE = f"\n{LINE} "
_LINKED = re.compile(f"{OPEN}([^{OPEN}{CLOSE}]*){CLOSE}")
_ANCHOR = re.compile(f"{OPEN}[¶#§\ue000-\uf8ff ]{CLOSE}")
_HOLLOW = re.compile(f"\n(?<!\n\n)(\n*+)(?:[ \t•]*+[{OPEN}{CLOSE}][{OPEN}{CLOSE}{LINE} \t•]*+(\n++|$))+")


def mark_lines(html: str) -> str:
    """HTML with LINE at line breaks beside Japanese, and KEEP after a Japanese character alone between two tags.

    The second is against resiliparse 2.0.1, which takes a text node of one such character for an icon of a
    private-use font and drops it (``<ruby>字<rt>じ</rt></ruby>`` loses 字).
    """
    if "\r" in html:
        html = html.replace("\r\n", "\n").replace("\r", "\n")
    if html.isascii():
        return html
    return _ALONE.sub(lambda found: found[0] + KEEP, _BREAK.sub(LINE + "\n", html))


def mark_links(html: str) -> str:
    """HTML with OPEN after each ``<a>`` tag and CLOSE before each ``</a>``."""
    pieces = _LINK.split(html)
    if len(pieces) == 1:
        return html
    html = OPEN.join([before + tag for before, tag in zip(pieces[::2], [*pieces[1::2], ""], strict=True)])
    html = html.replace("</a>", CLOSE + "</a>")
    return html.replace("</A>", CLOSE + "</A>") if "</A>" in html else html


def deepen_lists(html: str) -> str:
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


def strip_marks(html: str) -> str:
    """HTML without characters that could be taken for marks."""
    return _LEFT.sub("", html) if any(mark in html for mark in _MARKS) else html


def read_marks(text: str) -> tuple[str, int]:
    """(text without marks and soft hyphens, characters that stood inside links)."""
    linked = 0
    if OPEN in text or CLOSE in text:
        text = _HOLLOW.sub(_longer, _ANCHOR.sub(OPEN + CLOSE, text))
        linked = sum(map(len, _LINKED.findall(text)))
        text = text.replace(OPEN, "").replace(CLOSE, "").strip("\n")
    text = text.replace("\xad", "")  # where a browser may hyphenate: layout, not text
    if LINE in text:
        text = _JOINED.sub("", text).removeprefix(LINE + " ").replace(_EDGE, "\n").replace(LINE, "")
    return text.replace(KEEP, ""), linked


def _longer(found: re.Match[str]) -> str:
    """The longer of the gaps around lines that had nothing but marks."""
    return max("\n" + found[1], found[2], key=len)


_INDENT = re.compile(r"(?<=\n) +|(?<= ) +| +(?= )|^ +")
_HARD_END = re.compile(f"[ \n]*{HARD_LINE}[ \n]?")


def mark_pre(text: str) -> str:
    """Text of a ``<pre>`` whose line breaks and runs of spaces survive collapsing."""
    text = _INDENT.sub(lambda run: HARD_SPACE * len(run[0]), text.expandtabs())
    return text.replace("\n", HARD_LINE + "\n")


def read_pre(text: str) -> str:
    """Text with the white space that ``mark_pre`` stood for."""
    return _HARD_END.sub("\n", text).replace(HARD_SPACE, " ")
