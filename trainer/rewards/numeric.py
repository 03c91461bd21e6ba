"""The number that a Japanese or English solution ends in, compared exactly with the reference.

Where it looks, in this order: the last ``\\boxed``; the last slot that says 答えは…, 正解:, ``####``, the answer is…;
the last sentence with よって, したがって, 合計…; the last number. Numbers inside a calculation, of a denial
(10ではなく), of a rate (1人あたり) or of a supposition (10なら) are not what an answer says.
Where two different numbers are said,
there is none: a wrong answer taken for right costs more than a right one missed.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

from trainer.rewards import Answered
from trainer.rewards.exact import normalized
from trainer.rewards.japanese_numbers import COUNTERS, Found, folded, quantities, widths

_LONGEST = 12_000  # characters from the end that are looked at
_MOST_SLOTS = 3  # more different answers than that are a list of candidates
_SLOT = re.compile(
    r"(?:答え|答|こたえ|解答|回答|正解|(?<![一-鿿])解)(?:として)?[\s*_】\])）』」]*(?:は|が(?!違|間違|正し)|[:=→⇒、]|\n|(?<=[】\])）』」])|\s(?=\S)|(?=[0-9$¥-]))"
    r"|####|\b(?:final |correct )?answers?\b(?:\s+(?:is|would be|will be|are)\b|\s*[:=→])"
    r"|求める[^\s、。0-9]{0,8}は|正しくは",
    re.I,
)
_END = re.compile(r"[。!?！？\n]|\.(?=\s|$|[^0-9\s])|なぜなら|理由は|\bbecause\b|\bsince\b", re.I)
_WRONG = re.compile(r"[、\s]*(?:間違|誤り|違い|違う|正しくな|不正解|わから|分から|不明)")
_CONCLUDES = re.compile(r"よって|したがって|従って|ゆえに|以上より|以上から|∴|結論|therefore|thus|hence", re.I)
_TOTAL = re.compile(
    r"合計|全部で|合わせて|あわせて|つまり|すなわち|結局|最終的に|総計|計(?=[0-9])|\bso\b|in total|altogether", re.I
)
_ASIDE = re.compile(r"\s*(?:なぜなら|これは|理由|というのも|なお|ちなみに|ただし|検算|確認|because|this is|note)", re.I)
_DENIED = re.compile(
    r"[^\S\n]*(?:でし?た?|だ)?(?:(?:で|じゃ)(?:は|も)?(?:あり(?:ません|えない)|な[いくか]|ございません)|(?:に|と)は?(?:なりません|ならな)|とは(?:言え|限[らり])|であることは(?:な|あり)|は答えでは"
    r"|(?:は|が|という答えは|というのは)[、\s]*(?:誤り|間違|不正解|違|正しくな)|か?も(?:しれ|知れ)|でしょうか|ですか|だろうか|かな?(?=[。?？\s]|$)|\?"
    r"|なら|だと(?:する|すれ|仮定|思っ)|とする?(?:と|れば)|と仮定|とおく|と置く"
    r"|だったら|\s(?:is|was) (?:not|wrong|incorrect))"
)
_NOT = re.compile(
    r"(?:\bnot|n't|isn’t|\bif)\s*(?:it is |x = )?[$¥]?$|(?:≠|例えば|たとえば|e\.g\.,?)[、\s]*$|もし[^。、]{0,6}$", re.I
)
_OR = re.compile(r"\s*(?:または|あるいは|もしくは|ないし|or\b)", re.I)
_RATE = re.compile(r"[^\S\n]*(?:あたり|当たり|につき|ごと|毎|おき|ずつ(?!です|に?な))")
_OF = re.compile(r"\s*の(?=約数|倍数|半分|[0-9一二三四五六七八九十]+倍|平方根|階乗)|\s*(?:乗|進数|進法)")
_LINK = re.compile(
    r"(?:間|分)?(?:で(?![すあし、,])|に|の|後|前|から|を|が(?!、)|は|も)|[ \t]*(?:of|in|for|from|after|[a-z]+ )", re.I
)
_LIST = re.compile(
    r"(?:です|だ|である|ます)?[\s。、,・/|;&.…()〓*\-]*(?:です|と|や|か|または|あるいは|もしくは|次は|そして|and|or|,)?[\s、,()]*",
    re.I,
)
_PARALLEL = re.compile(r"(?:で|です)?[、,。]\s*[^、,。0-9]{1,14}(?:は|が)[、\s]*$")


def same(reference: Found, found: Found) -> bool:
    """Whether they are the same amount: units converted, a missing one taken as the other's, unlike ones never so."""
    if reference.bound != found.bound:
        return False
    units = {reference.unit, found.unit}
    if reference.parts or found.parts:
        if "ratio" in units and units & {"clock", "clock of no half"}:
            ratio, clock = (reference, found) if reference.unit == "ratio" else (found, reference)
            hours = ratio.parts[0] + ratio.parts[1] / 60
            return len(ratio.parts) == 2 and ratio.parts[1] < 60 and hours == clock.value
        return reference.parts == found.parts and units in ({"ratio"}, {"remainder"}, {"date"})
    if "" not in units:
        if "kilo" in units and units & {"length", "mass"}:
            kilo = {"length": 1_000_000, "mass": 1000}[(units & {"length", "mass"}).pop()]
            return reference.value * _scale(reference, kilo) == found.value * _scale(found, kilo)
        alike = len(units) == 1 or ("count" in units and units <= COUNTERS)
        return alike and reference.value * reference.scale == found.value * found.scale
    bare, other = (reference, found) if not reference.unit else (found, reference)
    if other.unit == "share":
        raw = bare.value in other.bare and abs(bare.value) >= 1
        return raw or bare.value == other.value * other.scale
    return bare.value == other.value or bare.value in other.bare


def _scale(found: Found, kilo: int) -> Fraction:
    return Fraction(kilo) if found.unit == "kilo" else found.scale


def different(found: Iterable[Found]) -> list[Found]:
    """One of each amount."""
    kept: list[Found] = []
    for each in found:
        if not any(same(other, each) for other in kept):
            kept.append(each)
    return kept


def boxes(text: str) -> list[tuple[str, int]]:
    """(content, end) of each \\boxed{...}; end -1 where it isn't closed."""
    made = []
    for match in list(re.finditer(r"\\f?boxed\s*\{", text))[-8:]:
        depth = 1
        for at in range(match.end(), len(text)):
            depth += {"{": 1, "}": -1}.get(text[at], 0)
            if not depth:
                made.append((text[match.end() : at], at + 1))
                break
        else:
            made.append((text[match.end() :], -1))
    return made


def claims(text: str, ended: bool = True) -> list[Found]:
    """What the text says as its final answer; [] where it says none, several where it says a list.
    ended False: the text was cut, so that a number at its very end may go on."""
    text = widths(text[-_LONGEST:])
    boxed = boxes(text)
    if boxed:
        content, end = boxed[-1]
        said = different(f for f in quantities(folded(content)) if not f.operand)
        if end < 0 or len(different(f for c, _ in boxed for f in quantities(folded(c))[-1:])) > _MOST_SLOTS:
            return []
        if said:
            later = _Text(folded(text[end:]), ended).slots()
            return said if not later or len(different([*said, *later])) == len(said) else []
    seen = _Text(folded(text), ended)
    return seen.slots() or ([] if seen.spoiled else seen.concluded())


class _Text:
    """A folded text and its quantities."""

    def __init__(self, text: str, ended: bool) -> None:
        self.text, self.all = text, quantities(text)
        self.spoiled = False
        edge = len(text.rstrip())
        self.cut = None if ended else edge
        asides = [m.span() for m in re.finditer(r"\([^()\n]*\)|【[^】\n]*】|\[[^\]\n]*\]", text)]
        self.inside = [any(a < f.start < b for a, b in asides) for f in self.all]

    def said(self, start: int, end: int) -> list[Found]:
        """What the span says; asides in brackets only where nothing else is there."""
        inside = [(f, i) for f, i in zip(self.all, self.inside, strict=True) if start <= f.start < end]
        kept = [(f, i) for f, i in inside if not f.operand and not self._unsaid(f)]
        return [f for f, i in kept if not i] or [f for f, _ in kept]

    def _unsaid(self, f: Found) -> bool:
        after = self.text[f.end : f.end + 24]
        if any(pattern.match(after) for pattern in (_DENIED, _RATE, _OF)) or (f.value == 1 and after[:1].isdecimal()):
            return True
        return bool(_NOT.search(self.text[max(0, f.start - 16) : f.start]))

    def settled(self, found: list[Found]) -> list[Found]:
        """One where the span says one, else all different ones."""
        exact = [f for f in found if f.bound != "約"] or found
        if len(different(exact)) > 1:
            marks = [m.end() for m in _TOTAL.finditer(self.text, exact[0].start, exact[-1].start)]
            exact = [f for f in exact if not marks or f.start >= marks[-1]]
            gaps = [self.text[a.end : b.start] for a, b in pairwise(exact)]
            if gaps and all(_LINK.match(gap) and not _LIST.fullmatch(gap) for gap in gaps):
                exact = exact[-1:]
        if self.cut is not None and any(f.end >= self.cut for f in exact):
            return []
        return different(exact)

    def _sentence_end(self, start: int, limit: int) -> int:
        first = re.compile(r"[\s:*_#]*").match(self.text, start)
        end = _END.search(self.text, first.end() if first else start, limit)
        while end and (more := _OR.match(self.text, end.end())):
            end = _END.search(self.text, more.end(), limit)
        return end.start() if end else limit

    def slots(self) -> list[Found]:
        """The claims of the last slot that says a number."""
        each: list[list[Found]] = []
        marks = list(_SLOT.finditer(self.text))
        ends = [mark.start() for mark in marks[1:]] + [len(self.text)] * bool(marks)
        for match, end in zip(marks, ends, strict=True):
            if _WRONG.match(self.text, match.end()):
                each, self.spoiled = [], True
                continue
            found = self.said(match.end(), self._sentence_end(match.end(), end))
            if found:
                each.append(self.settled(found))
                self.spoiled = False
        if len(different(f for found in each for f in found[:1])) > _MOST_SLOTS:
            self.spoiled = True
            return []
        if each and not each[-1]:
            self.spoiled = True
        return each[-1] if each else []

    def concluded(self) -> list[Found]:
        """Of the last sentence that concludes or sums up, else the last number, unless it ends a list."""
        spans = [(m.start(), m.end()) for m in re.finditer(r"(?:[^。!?！？\n.]|\.(?=[0-9]))+", self.text)]
        spans = [span for span in spans if not _ASIDE.match(self.text, span[0])]
        spoken = [(start, end, found) for start, end in spans if (found := self.said(start, end))]
        for index in range(len(spoken) - 1, -1, -1):
            start, end, _ = spoken[index]
            for pattern in (_CONCLUDES, _TOTAL):
                marks = [m.end() for m in pattern.finditer(self.text, start, end)]
                found = self.said(marks[-1], end) if marks else []
                if found:
                    said = self.settled(found)
                    later = [f for _, _, more in spoken[index + 1 :] for f in more]
                    if later and re.search(r"=\s*[$¥]?$", self.text[: later[-1].start]):
                        return self._last(spoken)  # it went on to calculate
                    later = later if pattern is _TOTAL else []
                    return said if len(different([*said, *later])) == len(said) else []
        return self._last(spoken)

    def _last(self, spoken: list[tuple[int, int, list[Found]]]) -> list[Found]:
        """The last number, all where it ends a list."""
        if not spoken:
            return []
        flat = [f for _, _, found in spoken for f in found]
        last = flat[-1]
        if len(flat) > 1 and not same(flat[-2], last):
            gap = self.text[flat[-2].end : last.start]
            if _LIST.fullmatch(gap) or _PARALLEL.match(gap):
                return different(flat)
        return [] if self.cut is not None and last.end >= self.cut else [last]


@dataclass(frozen=True)
class Numeric:
    """1 where the answer ends in the number of the reference, else 0. Several numbers in the reference (2、3) must all
    be said, in that order. latex: ask math-verify, where it is installed, about formulas that are no plain number."""

    right: float = 1.0
    wrong: float = 0.0
    latex: bool = True

    def __call__(self, answers: Sequence[Answered]) -> list[float]:
        """One number an answer."""
        return [self.right if self.match(a.reference, a.text, a.ended) else self.wrong for a in answers]

    def match(self, reference: str, text: str, ended: bool = True) -> bool:
        """Whether the text's final answer is the reference."""
        known = references(reference)
        if known:
            said = claims(text, ended)
            return len(said) == len(known) and all(same(a, b) for a, b in zip(known, said, strict=True))
        boxed = boxes(text)
        if boxed and boxed[-1][1] < 0:
            return False
        last = boxed[-1][0] if boxed else text
        if normalized(folded(reference)) and normalized(folded(reference)) == normalized(folded(last)):
            return True
        return self.latex and bool(re.search(r"[\\^√π]", reference)) and _verified(reference, last)


def references(reference: str) -> list[Found]:
    """The numbers of a reference, [] where it is a formula or has none."""
    boxed = boxes(reference)
    text = boxed[-1][0] if boxed else reference.rpartition("####")[2]
    found = quantities(folded(text))
    return [] if any(f.operand for f in found) else found


def _verified(reference: str, text: str) -> bool:
    """math-verify's word on two formulas; False where it isn't installed."""
    try:
        from math_verify import parse, verify
    except ImportError:
        return False
    marked = [side if re.search(r"\\boxed|\$|\\\(", side) else f"${side}$" for side in (reference, text)]
    gold, said = (parse(side, parsing_timeout=None) for side in marked)
    return bool(gold and said) and bool(verify(gold, said, timeout_seconds=None))
