"""Articles as HTML pages with the trimmings of the web, and as the bytes a server would send."""

import html
from dataclasses import dataclass

from jacorpus.recipes.sample.prose import Article, Dice, words

CODECS = {"utf-8": "utf-8", "shift_jis": "cp932", "euc-jp": "euc_jp", "iso-2022-jp": "iso2022_jp"}
"""Label in headers and meta -> the codec that encodes such pages."""


@dataclass(frozen=True)
class Sent:
    """How a page is sent. header, meta: the charset label in each, None for none. It may be a lie."""

    charset: str = "utf-8"
    header: str | None = "utf-8"
    meta: str | None = "utf-8"
    language: str = "ja"


def page(article: Article, sent: Sent, dice: Dice) -> str:
    """The whole page: navigation, article, side column, cookie banner, footer."""
    parts = words()["boilerplate"]
    site = dice.pick(parts["sites"])
    meta = f'<meta charset="{sent.meta}">' if sent.meta else ""
    nav = "".join(f'<li><a href="/{i}">{text}</a></li>' for i, text in enumerate(dice.draw(parts["nav"], 6)))
    aside = "".join(f"<li><a href='/a{i}'>{text}</a></li>" for i, text in enumerate(dice.draw(parts["aside"], 4)))
    footer = " | ".join(text.format(site=site) for text in dice.draw(parts["footer"], 4))
    cookie = f'<div class="cookie-banner">{parts["cookie"]}</div>' if dice.below(2) else ""
    main = f"<h1>{html.escape(article.title)}</h1>\n{_blocks(article)}"
    body = _layout(dice.below(3), nav, main, aside)
    return (
        f'<!DOCTYPE html>\n<html lang="{sent.language}">\n<head>{meta}<title>{html.escape(article.title)} - {site}'
        f"</title>\n<script>var page = {{ads: true}};</script></head>\n<body>\n<header><p>{site}</p></header>\n"
        f"{body}\n{cookie}\n<footer><p>{footer}</p></footer>\n</body>\n</html>\n"
    )


def _layout(kind: int, nav: str, main: str, aside: str) -> str:
    if kind == 0:
        return f"<nav><ul>{nav}</ul></nav>\n<main><article>\n{main}</article></main>\n<aside><ul>{aside}</ul></aside>"
    if kind == 1:
        return (
            f'<div id="menu"><ul>{nav}</ul></div>\n<div id="content" class="post">\n{main}</div>\n'
            f'<div id="sidebar"><ul>{aside}</ul></div>'
        )
    return (
        f'<table><tr><td class="menu"><ul>{nav}</ul></td>\n<td class="article">\n{main}</td>\n'
        f'<td class="side"><ul>{aside}</ul></td></tr></table>'
    )


def _blocks(article: Article) -> str:
    lines, in_list = [], False
    for tag, text in article.blocks:
        if in_list != (tag == "li"):
            lines.append("<ul>" if tag == "li" else "</ul>")
            in_list = tag == "li"
        content = html.escape(text)
        lines.append(f"<pre><code>{content}</code></pre>" if tag == "pre" else f"<{tag}>{content}</{tag}>")
    return "\n".join([*lines, "</ul>\n" if in_list else ""])


def response(body: bytes, header: str | None, *more: str) -> bytes:
    """An HTTP response of type text/html."""
    kind = f"text/html; charset={header}" if header else "text/html"
    head = "\r\n".join(["HTTP/1.1 200 OK", f"Content-Type: {kind}", *more, f"Content-Length: {len(body)}"])
    return head.encode() + b"\r\n\r\n" + body


def warc_record(kind: str, block: bytes, url: str, number: int) -> bytes:
    """A WARC record with a date and an id that depend on its number alone."""
    seconds = 9 * number
    clock = (
        f"2024-05-{1 + number // 80:02d}T{8 + seconds // 3600 % 12:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}Z"
    )
    head = [
        "WARC/1.0",
        f"WARC-Type: {kind}",
        f"WARC-Record-ID: <urn:uuid:00000000-0000-4000-8000-{number:012d}>",
        f"WARC-Date: {clock}",
        *([f"WARC-Target-URI: {url}"] if url else []),
        f"Content-Type: {'application/warc-fields' if kind == 'warcinfo' else f'application/http; msgtype={kind}'}",
        f"Content-Length: {len(block)}",
    ]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + block + b"\r\n\r\n"
