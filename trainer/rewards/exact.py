"""Exact match after normalization: widths folded, spaces and the marks around an answer taken away."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from trainer.rewards import Answered

_SLOT = re.compile(r"(?:答え|回答|解答|正解|answer)\s*(?:は|:|：|is)\s*", re.IGNORECASE)
_EDGES = " \t\n。．.、，,!！?？「」『』\"'“”‘’*`（）()【】[]"


def normalized(text: str) -> str:
    """NFKC, lower case, no spaces, no marks at the edges."""
    text = "".join(unicodedata.normalize("NFKC", text).casefold().split())
    return text.strip(_EDGES)


@dataclass(frozen=True)
class Exact:
    """1 where the answer is the reference, else 0; a list of references (meta key ``references``) allows any of them.

    slot: an answer that says 答えは… counts by what its last such slot says, to the end of the line."""

    right: float = 1.0
    wrong: float = 0.0
    slot: bool = True

    def __call__(self, answers: Sequence[Answered]) -> list[float]:
        """One number an answer."""
        return [self.right if self._match(answered) else self.wrong for answered in answers]

    def _match(self, answered: Answered) -> bool:
        known = {normalized(str(text)) for text in answered.meta.get("references") or [answered.reference]} - {""}
        if normalized(answered.text) in known:
            return True
        slots = list(_SLOT.finditer(answered.text)) if self.slot else []
        if not slots:
            return False
        said = answered.text[slots[-1].end() :].strip().split("\n")[0]
        said = re.sub(r"(?:です|である|だ|となります|になります)?[。．.!！]*\s*$", "", said)
        return normalized(said) in known
