"""Fold character width the Japanese way: the default normalization.

Half-width kana become full-width with their dakuten joined (ｶﾞ -> ガ), full-width letters, digits and symbols
become ASCII (Ａ１＋ -> A1+), the ideographic space becomes a space, and kana followed by a combining dakuten
become one character (か + U+3099 -> が, as NFC does). A half-width dakuten with nothing to join becomes ゛.

Against full NFKC, kept as they are: full-width punctuation (，．！？（）：), because the punctuation vote, the
sentence rules and the Japanese character counts read it; ～ (U+FF5E), …, ², ㈱, ① and the like.
"""

import unicodedata
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, ClassVar, Literal

import pyarrow as pa

from jacorpus.stage import Applied

if TYPE_CHECKING:
    from jacorpus.kernels.charmap import CharMap

HALF_KANA = "".join(map(chr, range(0xFF61, 0xFF9E)))
SOUND_MARKS = {"\uff9e": "\u3099", "\uff9f": "\u309a", "\u3099": "\u3099", "\u309a": "\u309a"}
"""Voicing marks that join the kana before them -> the combining mark."""
LONE_MARKS = {"\uff9e": "゛", "\uff9f": "゜"}
WAVE = "\uff5e"


def full_width_ascii(punctuation: bool) -> dict[str, str]:
    """Full-width forms that become ASCII: letters, digits, symbols but ～; with ``punctuation`` those too."""
    forms = {chr(point): chr(point - 0xFEE0) for point in range(0xFF01, 0xFF5F)}
    return {
        full: plain
        for full, plain in forms.items()
        if full != WAVE and (punctuation or not unicodedata.category(full).startswith("P"))
    }


def fold_naive(text: str, punctuation: bool = False) -> str:
    """Fold one text, character by character."""
    plain = {**full_width_ascii(punctuation), "\u3000": " "}
    plain |= {half: unicodedata.normalize("NFKC", half) for half in HALF_KANA}
    out: list[str] = []
    joinable = False  # whether out[-1] may still take a voicing mark
    for char in text:
        if char in SOUND_MARKS:
            joined = unicodedata.normalize("NFC", out[-1] + SOUND_MARKS[char]) if joinable else ""
            if len(joined) == 1:
                out[-1] = joined
            else:
                out.append(LONE_MARKS.get(char, char))
            joinable = False
        else:
            out.append(plain.get(char, char))
            joinable = "\u3041" <= out[-1] <= "\u30ff"
    return "".join(out)


@cache
def _table(punctuation: bool) -> "CharMap":
    from jacorpus.kernels.charmap import char_map

    replacements = {**full_width_ascii(punctuation), "\u3000": " "}
    replacements |= {half: unicodedata.normalize("NFKC", half) for half in HALF_KANA}
    return char_map(replacements, SOUND_MARKS, lambda cluster: fold_naive(cluster, punctuation))


@dataclass(frozen=True)
class Width:
    """Fold width. punctuation: also turn full-width punctuation but ～ into ASCII (after the vote, if at all)."""

    punctuation: bool = False
    phase: ClassVar[Literal["measure"]] = "measure"

    def columns(self) -> dict[str, pa.DataType]:
        return {}

    def apply(self, batch: pa.RecordBatch) -> Applied:
        from jacorpus.kernels.charmap import map_chars

        texts = map_chars(batch.column("text"), _table(self.punctuation))
        return Applied(batch.set_column(batch.schema.get_field_index("text"), batch.schema.field("text"), texts))
