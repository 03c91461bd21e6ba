"""Writes the bundled documents and, for each, what is true of it: ``python -m jacorpus.recipes.sample.generate DIR``.

    pages.warc.gz    a web archive: four charsets, boilerplate, duplicates, spam, other languages, damage
    notes.jsonl      short notes, some of which are on the web too
    benchmark.jsonl  questions of our own that must not be trained on
    truth.jsonl      one line for each record: file, position, url, charset, language, kind, of, contains, text

``kind`` is good, spam, foreign, near_duplicate, exact_duplicate (``of`` names the url of the first one) or
broken (no text can be had). ``contains`` names what is in it: personal data (``redact`` lists the strings)
or a benchmark question. All bytes are made here from words.toml; nothing is borrowed.
"""

import json
import sys
import zlib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from jacorpus.recipes.sample import prose
from jacorpus.recipes.sample.pages import CODECS, Sent, page, response, warc_record
from jacorpus.recipes.sample.prose import Article, Dice

FILES = ("pages.warc.gz", "notes.jsonl", "benchmark.jsonl")
"""The files that lie in the package; the truth is made when it is asked for."""

GOOD_PER_GENRE = 16
NOTES_PER_GENRE = 9
FAMILIES = (20, *[5] * 3, *[2] * 9)
"""Members of each family of near duplicates, the original included."""

QUESTIONS = (
    ("七つの箱に小石が三つずつ入っています。二つの箱を友だちに渡すと、手もとに残る小石はいくつですか。", "15"),
    ("朝の七時に港を出た船が、時速十二キロで三時間半進みました。船は港から何キロ離れたところにいますか。", "42"),
    ("白い紙と青い紙が合わせて二十枚あり、白い紙は青い紙より六枚多いそうです。青い紙は何枚ありますか。", "7"),
    ("三人で分けると二つ余り、五人で分けるとちょうど分けきれるみかんのうち、いちばん少ない数はいくつですか。", "5"),
    (
        "坂の上の家には犬が一匹と猫が二匹、坂の下の家には犬だけが三匹います。猫がいるのはどちらの家ですか。",
        "坂の上の家",
    ),
)


UTF_8 = Sent()


@dataclass(frozen=True)
class Planned:
    """A document to be written and what is true of it."""

    article: Article | None
    kind: str
    of: str | None = None
    sent: Sent = UTF_8
    contains: tuple[str, ...] = ()
    redact: tuple[str, ...] = ()
    damage: str = ""
    url: str = ""

    def truth(self, file: str, position: int) -> dict[str, Any]:
        """Its line in truth.jsonl."""
        text = self.article.text() if self.article else None
        return {
            "file": file,
            "position": position,
            "url": self.url,
            "charset": self.sent.charset,
            "language": self.sent.language,
            "kind": self.kind,
            "of": self.of,
            "contains": list(self.contains),
            "redact": list(self.redact),
            "damage": self.damage,
            "text": text,
        }


@dataclass
class Generated:
    """The bytes of each file, and the truth about each record in the order of the files."""

    files: dict[str, bytes] = field(default_factory=dict)
    truth: list[dict[str, Any]] = field(default_factory=list)


def generate() -> Generated:
    """Everything, in memory."""
    web = web_documents()
    made = Generated()
    made.files["pages.warc.gz"] = _archive(web, made.truth)
    made.files["notes.jsonl"] = _notes(note_documents(web), made.truth)
    questions = [{"id": f"q{i}", "question": text, "answer": answer} for i, (text, answer) in enumerate(QUESTIONS, 1)]
    made.files["benchmark.jsonl"] = b"".join(map(_line, questions))
    return made


def write(folder: Path) -> None:
    """The files and truth.jsonl, into a folder."""
    made = generate()
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in {**made.files, "truth.jsonl": b"".join(map(_line, made.truth))}.items():
        (folder / name).write_bytes(data)


def _line(value: dict[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode() + b"\n"


def _url(host: str, number: int) -> str:
    return f"https://{host}.example/{number // 50}/{number:03d}.html"


# What there is.


def web_documents() -> list[Planned]:
    """The pages, in the order of the archive."""
    good = [
        Planned(prose.article(genre, i), "good", sent=_sent(8 * i + g), url=_url(genre, i))
        for i in range(GOOD_PER_GENRE)
        for g, genre in enumerate(prose.genres())
    ]
    rest = [
        *_families(good),
        *_copies(good),
        *_spam(),
        *_foreign(),
        *_personal(),
        *_contaminated(),
        *_extensions(),
        *_broken(),
    ]
    return _shuffled([*good, *rest])


def _sent(number: int) -> Sent:
    """Charsets by share; the labels are in the header, in the page, in both or in neither."""
    charset = ("utf-8", "shift_jis", "utf-8", "euc-jp", "utf-8", "utf-8", "iso-2022-jp", "utf-8", "shift_jis", "utf-8")[
        number % 10
    ]
    header, meta = ((charset, charset), (None, charset), (charset, None), (None, None))[number // 10 % 4]
    if number % 23 == 21:
        header = "iso-8859-1"  # a server's default, and a lie
    return Sent(charset, header, meta)


def _families(good: list[Planned]) -> list[Planned]:
    """Edited copies of good pages on other sites."""
    made = []
    for family, size in enumerate(FAMILIES):
        first = good[3 + 7 * family]
        for member in range(1, size):
            assert first.article is not None
            copy = prose.edited(first.article, member, 1 if size > 5 else 1 + member % 2)
            number = 100 * family + member
            sent = _sent(number + 5)
            made.append(Planned(copy, "near_duplicate", first.url, sent, url=_url("utsushi", number)))
    return made


def _copies(good: list[Planned]) -> list[Planned]:
    """The same articles again under other addresses, in other charsets, with other trimmings."""
    return [
        Planned(first.article, "exact_duplicate", first.url, _sent(i * 3 + 1), url=_url("mirror", i))
        for i, first in enumerate(good[5 : 5 + 11 * 10 : 11])
    ]


def _spam() -> list[Planned]:
    return [Planned(prose.spam(i), "spam", sent=_sent(4 * i), url=_url("otoku", i)) for i in range(21)]


def _foreign() -> list[Planned]:
    sent = Sent()
    return [
        Planned(prose.foreign(name, i), "foreign", sent=replace(sent, language=name), url=_url(f"world-{name}", i))
        for name in prose.words()["foreign"]
        for i in range(6)
    ]


def _personal() -> list[Planned]:
    made = []
    for i in range(6):
        article, strings = prose.personal(i)
        sent = _sent(i)
        made.append(Planned(article, "good", None, sent, ("personal",), tuple(strings), url=_url("renraku", i)))
    return made


def _contaminated() -> list[Planned]:
    """Articles that quote a benchmark question word for word."""
    made = []
    for i, (question, answer) in enumerate(QUESTIONS[:2]):
        base = prose.article("diary", 200 + i)
        quoted = ("p", f"昨日の宿題に次のような問題があった。「{question}」答えは{answer}だという。")
        article = replace(base, blocks=(*base.blocks, quoted))
        made.append(Planned(article, "good", contains=("benchmark",), url=_url("shukudai", i)))
    return made


def _extensions() -> list[Planned]:
    """Pages in Shift_JIS with characters that only its Windows form has."""
    made = []
    for i in range(2):
        base = prose.article("town", 300 + i)
        marked = (("li", "①受付 ②開会 ③休憩"), ("li", "会場の設営は㈱青葉設備、配布物は約５㎏です。"))
        sent = Sent("shift_jis", "shift_jis", None)
        made.append(Planned(replace(base, blocks=base.blocks + marked), "good", sent=sent, url=_url("kisyu", i)))
    return made


def _broken() -> list[Planned]:
    """Records that can't be read, and some that only look like it."""
    kinds = ["noise", "noise", "content_encoding", "http_header", "gzip_member"]
    lost = [Planned(None, "broken", damage=kind, url=_url("kowareta", i)) for i, kind in enumerate(kinds)]
    repairable = [
        Planned(prose.article("garden", 300), "good", damage="cut_character", url=_url("kizu", 0)),
        Planned(prose.article("reading", 300), "good", damage="bad_byte", url=_url("kizu", 1)),
    ]
    return [*lost, *repairable]


def _shuffled(planned: list[Planned]) -> list[Planned]:
    """In an order that mixes all kinds; originals may come after their copies."""
    keyed = [(Dice("order", document.url).below(1 << 40), document.url, document) for document in planned]
    return [document for _, _, document in sorted(keyed, key=lambda entry: entry[:2])]


def note_documents(web: list[Planned]) -> list[Planned]:
    """The notes, in the order of the file."""
    notes = [
        Planned(prose.article(genre, 500 + i, 12), "good", url=_url("notes", 50 * g + i))
        for g, genre in enumerate(prose.genres())
        for i in range(NOTES_PER_GENRE)
    ]
    near = [
        Planned(prose.edited(first.article, 1, 1), "near_duplicate", first.url, url=_url("notes", 500 + i))
        for i, first in enumerate(notes[2:50:8])
        if first.article
    ]
    originals = [
        document for document in web if document.kind == "good" and not document.contains and not document.damage
    ]
    both = [
        Planned(first.article, "exact_duplicate", first.url, url=_url("notes", 600 + i))
        for i, first in enumerate(originals[:5])
    ]
    spam = [Planned(prose.spam(100 + i), "spam", url=_url("notes", 700 + i)) for i in range(4)]
    other = [
        Planned(prose.foreign(name, 50), "foreign", sent=Sent(language=name), url=_url("notes", 800 + i))
        for i, name in enumerate(prose.words()["foreign"])
    ]
    kinds = ["invalid_json", "invalid_json", "missing_text", "null_text", "lone_surrogate"]
    broken = [Planned(None, "broken", damage=kind, url=_url("notes", 900 + i)) for i, kind in enumerate(kinds)]
    return _shuffled([*notes, *near, *both, *spam, *other, *broken])


# How it is written.


def _archive(planned: list[Planned], truth: list[dict[str, Any]]) -> bytes:
    """The archive; its last member breaks off in the middle."""
    about = b"software: jacorpus\r\nformat: WARC File Format 1.0\r\n"
    data = bytearray(_packed(warc_record("warcinfo", about, "", 0)))
    for number, document in enumerate(planned, 1):
        truth.append(document.truth("pages.warc.gz", len(data)))
        if number % 40 == 0:
            data += _packed(warc_record("request", b"GET / HTTP/1.1\r\n\r\n", document.url, 1000 + number))
            truth[-1]["position"] = len(data)
        member = bytearray(_packed(warc_record("response", _block(document), document.url, number)))
        if document.damage == "gzip_member":
            middle = len(member) // 2
            member[middle : middle + 12] = Dice("damage", number).data(12)
        data += member
    last = Planned(None, "broken", damage="cut_off", url=_url("kowareta", 99))
    truth.append(last.truth("pages.warc.gz", len(data)))
    whole = _packed(warc_record("response", response(Dice("cut").data(900), "utf-8"), last.url, len(planned) + 1))
    return bytes(data + whole[: len(whole) // 2])


def _packed(record: bytes) -> bytes:
    packer = zlib.compressobj(9, wbits=31)
    return packer.compress(record) + packer.flush()


def _block(document: Planned) -> bytes:
    """The HTTP response of a page, with its damage."""
    dice, sent = Dice("page", document.url), document.sent
    if document.damage == "noise":
        return response(b"<html><body><p>" + dice.data(1500) + b"</p></body></html>", "utf-8")
    if document.damage == "content_encoding":
        return response(dice.data(400), "utf-8", "Content-Encoding: gzip")
    if document.damage == "http_header":
        return b"\x00\x01 no response at all \x02"
    article = document.article or prose.article("diary", 999)
    body = page(article, sent, dice).encode(CODECS[sent.charset], "xmlcharrefreplace")
    if document.damage == "bad_byte":
        at = body.index("。".encode()) + 3
        body = body[:at] + b"\xff" + body[at:]
    if document.damage == "cut_character":
        body = body[: body.index(b"</footer>")]
        body = body.rstrip(b"</p>") + "日本".encode()[:-1]
    return response(body, sent.header)


def _notes(planned: list[Planned], truth: list[dict[str, Any]]) -> bytes:
    """The notes, with a blank line now and then."""
    data = bytearray()
    for number, document in enumerate(planned):
        truth.append(document.truth("notes.jsonl", len(data)))
        data += _note(document, number)
        if number % 37 == 0:
            data += b"\n"
    return bytes(data)


def _note(document: Planned, number: int) -> bytes:
    row = {
        "url": document.url,
        "timestamp": f"2024-06-{1 + number % 30:02d}T12:00:00Z",
        "author": f"kakite{number % 9}",
    }
    if document.article:
        return _line({"text": document.article.text(), **row})
    if document.damage == "null_text":
        return _line({"text": None, **row})
    if document.damage == "lone_surrogate":
        return b'{"text": "\\ud83d \\u534a\\u5206\\u3060\\u3051", "url": "' + document.url.encode() + b'"}\n'
    whole = _line({"body" if document.damage == "missing_text" else "text": "この行は壊れています。", **row})
    return whole if document.damage == "missing_text" else whole[: len(whole) * 2 // 3] + b"\n"


if __name__ == "__main__":
    write(Path(sys.argv[1]))
