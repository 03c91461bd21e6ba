"""Repair UTF-8 that was once decoded as Latin-1 or Windows-1252 (``ã“ã‚“ã«ã¡ã¯``), with ftfy, line by line.

ftfy runs with everything off but the repair of encodings: width, dakuten, quotes, ligatures, line breaks and
entities stay as they are. Only lines with the telltale pair go to it: a letter that a UTF-8 lead byte becomes
(U+00C2 to U+00F4) followed by what a continuation byte becomes in Latin-1 or Windows-1252. Text that was mangled
with bytes lost can't be repaired and stays.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa

from jacorpus.stage import Applied

_CONTINUATION = "".join(bytes([byte]).decode("cp1252", "ignore") for byte in range(0x80, 0xA0))
SUSPICIOUS = f"[\u00c2-\u00f4][\u0080-\u00bf{_CONTINUATION}]"
"""Two characters that hardly ever meet in sound text. RE2 and Python read it alike."""


@cache
def _config() -> Any:
    from ftfy import TextFixerConfig

    return TextFixerConfig(
        unescape_html=False,
        remove_terminal_escapes=False,
        fix_encoding=True,
        restore_byte_a0=True,
        replace_lossy_sequences=False,
        decode_inconsistent_utf8=True,
        fix_c1_controls=False,
        fix_latin_ligatures=False,
        fix_character_width=False,
        uncurl_quotes=False,
        fix_line_breaks=False,
        fix_surrogates=False,
        remove_control_chars=False,
        normalization=None,
        explain=False,
    )


def repair(text: str) -> tuple[str, int]:
    """(text, lines repaired) of one text."""
    import re

    from ftfy import fix_encoding

    lines = text.split("\n")
    repaired = 0
    for number, line in enumerate(lines):
        if re.search(SUSPICIOUS, line):
            fixed = fix_encoding(line, _config())
            if fixed != line and "\n" not in fixed:
                lines[number] = fixed
                repaired += 1
    return "\n".join(lines), repaired


@dataclass(frozen=True)
class Mojibake:
    """Repair mojibake. Column repaired: how many lines."""

    phase: ClassVar[Literal["measure"]] = "measure"

    def columns(self) -> dict[str, pa.DataType]:
        return {"repaired": pa.int32()}

    def apply(self, batch: pa.RecordBatch) -> Applied:
        import pyarrow.compute as pc

        texts = batch.column("text")
        repaired = np.zeros(len(texts), np.int32)
        suspects = np.flatnonzero(pc.match_substring_regex(texts, SUSPICIOUS).to_numpy(zero_copy_only=False))
        fixed: dict[int, str] = {}
        for row in suspects.tolist():
            fixed[row], repaired[row] = repair(texts[row].as_py())
        if not repaired.any():
            return Applied(batch, {"repaired": repaired})
        sound = [fixed.get(row, text) for row, text in enumerate(texts.to_pylist())]
        array = pa.array(sound, pa.large_string())
        batch = batch.set_column(batch.schema.get_field_index("text"), batch.schema.field("text"), array)
        return Applied(batch, {"repaired": repaired})
