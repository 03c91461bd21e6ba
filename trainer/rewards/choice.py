"""Which of several choices an answer takes: by letter, number or text; none where it takes two."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from jacorpus.errors import InputError
from trainer.rewards import Answered, shown
from trainer.rewards.exact import normalized
from trainer.rewards.japanese_numbers import widths

_KANA = "アイウエオカキクケコ"
_IROHA = "イロハニホヘトチリヌ"
_LABEL = (
    r"(?:[A-Ja-j](?![A-Za-z'])|[0-9]{1,2}(?![0-9.]*[0-9])|[①-⑩]|[一二三四五六七八九](?=番|つ目)"
    rf"|[{_KANA}{_IROHA}](?![ァ-ヺー]))"
)
_SLOT = re.compile(
    r"(?:答え|答|回答|解答|正解|選択肢|選ぶべき\w{0,4}?)(?:として)?[\s*_】\])）]*(?:は|が|の(?=[A-J0-9①-⑩ア-コ])|[:=→]|\s)"
    r"|####|\\boxed|\b(?:final |correct )?answer\b(?:\s+is\b|\s*[:=])|(?:^|[。\n])\s*(?=[^\n。]{1,40}を選(?:び|択))",
    re.I | re.M,
)
_DENIED = re.compile(
    r"[」』)\s]*(?:番|の)?\s*(?:で(?:は|も)(?:な|あり)|じゃ(?:な|あり)|[はが](?:誤|間違|不正解|違)"
    r"|\s*(?:is|are) (?:not|wrong))"
)
_END = re.compile(r"[。!?\n]|なぜなら|理由|\bbecause\b", re.I)
_BEFORE = r"(?<![A-Za-z0-9_ァ-ヺー.])[(「『\[【*{]*\s*(?:選択肢|番号|記号|option|choice)?\s*[(「『\[【*{]*\s*"
_AFTER = r"\s*[)」』\]】*}]*"
_LEADING = re.compile(
    rf"\s*{_BEFORE}({_LABEL}){_AFTER}\s*(?:番|つ目)?\s*(?:[.:、,]|$|\n|です|だ|である|が正|を選|\s|」)", re.I
)
_NAMED = re.compile(rf"{_BEFORE}({_LABEL}){_AFTER}", re.I)


@dataclass(frozen=True)
class Choice:
    """1 where the answer takes the right choice, else 0. meta of an answer: ``choices``, a list of texts. reference:
    the index (from 0), the letter (A ...) or the text of the right one. Labels may be ABC, 123 (from first), ①②③,
    アイウ or, for those that アイウ lacks, イロハ."""

    right: float = 1.0
    wrong: float = 0.0
    first: int = 1

    def __call__(self, answers: Sequence[Answered]) -> list[float]:
        """One number an answer. InputError where an answer has no choices or its reference is none of them."""
        return [self.right if self._match(answered) else self.wrong for answered in answers]

    def _match(self, answered: Answered) -> bool:
        choices = [str(choice) for choice in answered.meta.get("choices") or ()]
        if not choices:
            raise InputError(f"{shown(answered)} has no choices; give its row a field `choices`")
        texts = [normalized(choice) for choice in choices]
        right = answered.reference.strip()
        if normalized(right) in texts:
            known = texts.index(normalized(right))
        else:
            known = int(right) if right.isdigit() else "ABCDEFGHIJ".find(right) if len(right) == 1 else -1
        if not 0 <= known < len(choices):
            raise InputError(
                f"{shown(answered)}: {answered.reference!r} is none of its {len(choices)} choices; mend the row"
            )
        return self.taken(answered.text, choices) == {known}

    def taken(self, text: str, choices: Sequence[str]) -> set[int]:
        """Indices of the choices that the answer takes."""
        text = widths(text).strip()
        slots = [m.end() for m in _SLOT.finditer(text)]
        for start in reversed(slots):
            stop = _END.search(text, start + len(text[start:]) - len(text[start:].lstrip()))
            if found := set(self._claimed(text[start : stop.start() if stop else len(text)], choices)):
                return found
        lead = _LEADING.match(text)
        if lead and (index := self._index(lead[1], len(choices))) is not None:
            rest = text[lead.end() :].split("\n")[0]
            return {index} | set(self._texts(rest, choices) if not _DENIED.match(text[lead.end(1) :]) else ())
        return set(self._texts(text, choices))

    def _claimed(self, said: str, choices: Sequence[str]) -> Iterator[int]:
        """By label and by text; a label inside a choice's text is none."""
        bare = said
        for choice in sorted(choices, key=len, reverse=True):
            bare = bare.replace(widths(choice), "〓" * len(choice)) if len(choice) > 1 else bare
        for match in _NAMED.finditer(bare):
            index = self._index(match[1], len(choices))
            if index is not None and not _DENIED.match(bare[match.end(1) :]):
                yield index
        yield from self._texts(said, choices)

    def _texts(self, said: str, choices: Sequence[str]) -> Iterator[int]:
        """Choices named by their text, the longest first, so that 犬小屋 is not 犬 too."""
        left = said
        for index, choice in sorted(enumerate(choices), key=lambda pair: -len(pair[1])):
            plain = widths(choice)
            if len(plain) == 1 and not re.search(
                rf"(?:^|[「『\s*(:は]){re.escape(plain)}(?:$|[」』\s*).、。]|で|だ)", left
            ):
                continue
            for match in re.finditer(re.escape(plain), left) if plain else ():
                if not _DENIED.match(left[match.end() :]):
                    yield index
            left = left.replace(plain, "〓" * len(plain)) if plain else left

    def _index(self, label: str, count: int) -> int | None:
        """The index that a label stands for, None where there is no such choice."""
        if label.isdigit() and label.isascii():
            index = int(label) - self.first
        elif label in "①②③④⑤⑥⑦⑧⑨⑩":
            index = "①②③④⑤⑥⑦⑧⑨⑩".index(label)
        elif label in "一二三四五六七八九":
            index = "一二三四五六七八九".index(label)
        elif label.isascii():
            index = ord(label.upper()) - ord("A")
        else:
            index = _KANA.find(label) if label in _KANA else _IROHA.find(label)
        return index if 0 <= index < count else None
