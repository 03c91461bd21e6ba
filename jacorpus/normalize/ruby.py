"""Take ruby (readings above the base text) out; the base stays.

Aozora Bunko's notation: ``万更｜白痴《たわけ》`` -> ``万更白痴``: a reading in 《》 follows kanji, or a base that ｜
opens. A 《》 that follows neither is a quotation mark and stays. Notes stand in ``［＃…］``; ``※［＃…］`` describes
a character outside JIS X 0208 by its JIS X 0213 place (``1-84-77``) or as ``U+4FF1``, and becomes that character,
or 〓 where the note names neither. HTML's ``<ruby>`` keeps its base and loses ``<rt>`` and ``<rp>``.

Source: Aozora Bunko's annotation manual (aozora.gr.jp/annotation).
Run it before ``normalize.width``, which turns ｜ into |.
"""

import re
from dataclasses import dataclass
from typing import ClassVar, Literal

import pyarrow as pa

from jacorpus.stage import Applied

_BASE = r"[々〆〇〻ヶ仝〓※\u3400-\u9fff\uf900-\ufaff\U00020000-\U000323af］]"
_OPENED = re.compile(r"｜([^｜《》\n]+)《[^《》\n]*》")
_READING = re.compile(rf"(?<={_BASE})《[^《》\n]*》")
_GAIJI = re.compile(r"※［＃[^［］\n]*(?:［[^［］\n]*］[^［］\n]*)*］")
_NOTE = re.compile(r"［＃[^［］\n]*(?:［[^［］\n]*］[^［］\n]*)*］")
_UNICODE = re.compile(r"U\+([0-9A-Fa-f]{4,6})")
_PLACE = re.compile(r"(?<![0-9])([12])-([0-9]{1,2})-([0-9]{1,2})(?![0-9])")
_HTML = re.compile(r"<ruby\b[^>]*>(.*?)</ruby>", re.DOTALL | re.IGNORECASE)
_HTML_READING = re.compile(r"<(rt|rp)\b[^>]*>.*?</\1>", re.DOTALL | re.IGNORECASE)
_HTML_BASE = re.compile(r"</?(?:rb|rbc|rtc)\b[^>]*>", re.IGNORECASE)
_SIGNS = "《|［＃|<[rR][uU][bB][yY]"


def gaiji(note: str) -> str:
    """The character a ``※［＃…］`` note describes; 〓 where it names no place this Python knows."""
    if place := _PLACE.search(note):
        plane, row, cell = map(int, place.groups())
        if 1 <= row <= 94 and 1 <= cell <= 94:
            lead = b"" if plane == 1 else b"\x8f"
            try:
                return (lead + bytes([row + 0xA0, cell + 0xA0])).decode("euc_jis_2004")
            except UnicodeDecodeError:
                return "〓"
    if point := _UNICODE.search(note):
        value = int(point.group(1), 16)
        return chr(value) if value < 0xD800 or 0xE000 <= value < 0x110000 else "〓"
    return "〓"


def without_ruby(text: str, notes: bool) -> str:
    """One text without ruby; with ``notes`` also without notes, characters described in them put in place."""
    if notes:
        text = _NOTE.sub("", _GAIJI.sub(lambda match: gaiji(match.group()), text))
    text = _READING.sub("", _OPENED.sub(r"\1", text))
    return _HTML.sub(lambda match: _HTML_BASE.sub("", _HTML_READING.sub("", match.group(1))), text)


@dataclass(frozen=True)
class Ruby:
    """Take out ruby. notes: also resolve ``※［＃…］`` and take out ``［＃…］``."""

    notes: bool = False
    phase: ClassVar[Literal["measure"]] = "measure"

    def columns(self) -> dict[str, pa.DataType]:
        return {}

    def apply(self, batch: pa.RecordBatch) -> Applied:
        import pyarrow.compute as pc

        texts = batch.column("text")
        marked = pc.match_substring_regex(texts, _SIGNS)
        if not pc.any(marked).as_py():
            return Applied(batch)
        plain = [
            without_ruby(text.as_py(), self.notes) if sign else text.as_py()
            for text, sign in zip(texts, marked.to_pylist(), strict=True)
        ]
        array = pa.array(plain, pa.large_string())
        return Applied(batch.set_column(batch.schema.get_field_index("text"), batch.schema.field("text"), array))
