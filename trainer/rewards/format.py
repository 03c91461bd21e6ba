"""The form of an answer: each rule that is asked for is kept or not; the reward is the share that is kept."""

import json
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from jacorpus.errors import RecipeError
from trainer.rewards import Answered

_JAPANESE = re.compile(r"[ぁ-ヿ㐀-䶿一-鿿豈-﫿ｦ-ﾟ々]")


@dataclass(frozen=True)
class Format:
    """pattern: a regular expression that the whole answer matches. parts: regular expressions found in this order.
    forbidden: none of these is found. json: the answer is one JSON value (a code fence around it is allowed). japanese:
    least share of Japanese characters among letters. longest: most characters. repetition: most share of the answer's
    character 8-grams that are repeats. ended: the answer was not cut. every: 1 where all are kept, else 0."""

    pattern: str = ""
    parts: tuple[str, ...] = ()
    forbidden: tuple[str, ...] = ()
    json: bool = False
    japanese: float = 0.0
    longest: int = 0
    repetition: float = 1.0
    ended: bool = False
    every: bool = False

    def __post_init__(self) -> None:
        for expression in (self.pattern, *self.parts, *self.forbidden):
            try:
                re.compile(expression)
            except re.error as error:
                raise RecipeError(f"reward format: {expression!r} is no regular expression ({error})") from error
        if not self.kept(Answered((), "", "")):
            raise RecipeError("reward format asks for nothing; give it pattern, parts, json, japanese, longest …")

    def __call__(self, answers: Sequence[Answered]) -> list[float]:
        """One number in [0, 1] an answer."""
        kept = [list(self.kept(answered).values()) for answered in answers]
        return [float(all(each)) if self.every else sum(each) / len(each) for each in kept]

    def kept(self, answered: Answered) -> dict[str, bool]:
        """Each rule that is asked for, by name: whether the answer keeps it."""
        text, found = answered.text, {}
        if self.pattern:
            found["pattern"] = re.fullmatch(self.pattern, text, re.DOTALL) is not None
        if self.parts:
            found["parts"] = _in_order(self.parts, text)
        if self.forbidden:
            found["forbidden"] = not any(re.search(expression, text, re.DOTALL) for expression in self.forbidden)
        if self.json:
            found["json"] = is_json(text)
        if self.japanese > 0:
            found["japanese"] = japanese_share(text) >= self.japanese
        if self.longest:
            found["longest"] = len(text) <= self.longest
        if self.repetition < 1:
            found["repetition"] = repeated(text) <= self.repetition
        if self.ended:
            found["ended"] = answered.ended
        return found


def _in_order(parts: Sequence[str], text: str) -> bool:
    at = 0
    for part in parts:
        match = re.compile(part, re.DOTALL).search(text, at)
        if match is None:
            return False
        at = match.end()
    return True


def is_json(text: str) -> bool:
    """Whether the text, or what its only code fence holds, is one JSON value; NaN is none."""
    fence = re.fullmatch(r"\s*```(?:json)?\s*\n(.*?)\n?```\s*", text, re.DOTALL)
    try:
        json.loads(fence[1] if fence else text, parse_constant=lambda name: json.loads("not JSON: " + name))
    except (ValueError, RecursionError):
        return False
    return True


def japanese_share(text: str) -> float:
    """Of the letters, the share that Japanese alone or with Chinese writes; 0 where there is no letter."""
    letters = [c for c in text if unicodedata.category(c)[0] == "L"]
    return sum(_JAPANESE.match(c) is not None for c in letters) / len(letters) if letters else 0.0


def repeated(text: str, n: int = 8) -> float:
    """Of the character n-grams, the share that were there before; 0 for a text shorter than n."""
    count = len(text) - n + 1
    return 1 - len({text[i : i + n] for i in range(count)}) / count if count > 0 else 0.0
