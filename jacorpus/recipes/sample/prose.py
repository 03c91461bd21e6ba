"""Japanese articles put together from the building blocks in words.toml, the same on every machine.

Chance comes from SHA-256 over a name, not from ``random``, whose methods may change between versions.
"""

import hashlib
import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")
_SLOT = re.compile(r"\{(\w+)\}")


@cache
def words() -> dict[str, Any]:
    """words.toml."""
    return tomllib.loads(Path(__file__).with_name("words.toml").read_text("utf-8"))


class Dice:
    """Numbers that depend on a name alone."""

    def __init__(self, *name: object):
        self._name, self._throws = "/".join(map(str, name)).encode(), 0

    def below(self, count: int) -> int:
        """A number from 0 to count - 1."""
        self._throws += 1
        digest = hashlib.sha256(self._name + b"#%d" % self._throws).digest()
        return int.from_bytes(digest[:8], "big") % count

    def pick(self, options: Sequence[T]) -> T:
        """One of them."""
        return options[self.below(len(options))]

    def draw(self, options: Sequence[T], count: int) -> list[T]:
        """``count`` different ones, in random order."""
        left = list(options)
        return [left.pop(self.below(len(left))) for _ in range(count)]

    def data(self, count: int) -> bytes:
        """Bytes without any order."""
        return bytes(self.below(256) for _ in range(count))


@dataclass(frozen=True)
class Article:
    """What a page is about: blocks are (tag, text) with tag h2, p, li or pre."""

    title: str
    blocks: tuple[tuple[str, str], ...]

    def text(self) -> str:
        """The main text, a block a line: what an extractor should find."""
        return "\n".join([self.title, *[text for _, text in self.blocks]])


def fill(pattern: str, dice: Dice) -> str:
    """Each {slot} filled; the same word is not used twice in one pattern."""
    used: set[str] = set()

    def word(match: re.Match[str]) -> str:
        options = [option for option in words()["fill"][match.group(1)] if option not in used]
        used.add(chosen := dice.pick(options))
        return chosen

    return _SLOT.sub(word, pattern)


def genres() -> list[str]:
    """Kinds of article."""
    return list(words()["genre"])


def article(genre: str, number: int, sentences: int = 15) -> Article:
    """The ``number``-th article of its kind."""
    blocks, dice = words()["genre"][genre], Dice("article", genre, number)
    lines = [fill(pattern, dice) for pattern in dice.draw(blocks["sentences"], sentences)]
    headings, made = dice.draw(blocks["headings"], 3), []
    for i in range(3):
        part = lines[i * sentences // 3 : (i + 1) * sentences // 3]
        half = (len(part) + 1) // 2
        made.append(("h2", headings[i]))
        made += [("p", "".join(part[:half])), ("p", "".join(part[half:]))]
    made[1:1] = [("p", _lead(genre, dice))]
    if genre == "recipe":
        made += _ingredients(dice)
    if genre == "tech":
        made.append(("pre", _code(dice)))
    return Article(fill(dice.pick(blocks["titles"]), dice), tuple(block for block in made if block[1]))


def _lead(genre: str, dice: Dice) -> str:
    """An opening that no other article has."""
    opening = dice.pick(["ここに書くのは", "今回まとめたのは", "これから紹介するのは", "この記事で取り上げるのは"])
    when, where, who = (fill(slot, dice) for slot in ("{season}", "{place}", "{person}"))
    close = dice.pick(
        [
            "参考になればうれしい。",
            "気づいたことを残しておく。",
            "順を追って見ていこう。",
            "少し長くなるが、お付き合いを。",
        ]
    )
    return f"{opening}、{when}の{where}で{who}と話したことがもとになった内容である。{close}"


def _ingredients(dice: Dice) -> list[tuple[str, str]]:
    amounts = ["一本", "二個", "百五十グラム", "大さじ二杯", "少々", "半分", "一袋", "三枚"]
    names = [*dice.draw(words()["fill"]["vegetable"], 3), *dice.draw(words()["fill"]["seasoning"], 2)]
    return [("h2", "材料"), *[("li", f"{name} {dice.pick(amounts)}") for name in names]]


def _code(dice: Dice) -> str:
    name, limit = dice.pick(["queue", "cache", "reader", "index"]), 2 + dice.below(60)
    return (
        f"def read_{name}(path, limit={limit}):\n"
        f'    with open(path, encoding="utf-8") as lines:\n'
        f"        return [line for line, _ in zip(lines, range(limit))]"
    )


def edited(original: Article, number: int, changes: int) -> Article:
    """A near duplicate: some sentences replaced, others dropped, as when a page is updated or copied."""
    dice, blocks = Dice("edit", original.title, number), list(original.blocks)
    places = [i for i, (tag, text) in enumerate(blocks) if tag == "p" and text.count("。") > 1]
    extra = [fill(pattern, dice) for pattern in dice.draw(words()["genre"]["diary"]["sentences"], changes)]
    for place, sentence in zip(dice.draw(places, min(changes, len(places))), extra, strict=False):
        kept = blocks[place][1].split("。")[:-2]
        blocks[place] = ("p", "".join(f"{part}。" for part in kept) + sentence)
    return replace(original, blocks=tuple(blocks))


def foreign(language: str, number: int) -> Article:
    """An article in English, Chinese, Korean or French."""
    source, dice = words()["foreign"][language], Dice("foreign", language, number)
    space = "" if language == "zh" else " "
    paragraphs = []
    for _ in range(3):
        patterns = dice.draw(source["sentences"], 4)
        paragraphs.append(space.join(_SLOT.sub(lambda _: dice.pick(source["words"]), p) for p in patterns))
    return Article(f"{dice.pick(source['words'])} {number}", tuple(("p", text) for text in paragraphs))


def spam(number: int) -> Article:
    """A page that rules should drop: stuffed keywords, one line over and over, or hardly any text."""
    source, dice = words()["spam"], Dice("spam", number)
    goods, kind = dice.pick(source["goods"]), number % 3
    stuffed = lambda count: " ".join(goods + dice.pick(source["keywords"]) for _ in range(count))  # noqa: E731
    if kind == 0:
        blocks = [("p", stuffed(40)) for _ in range(4)]
    elif kind == 1:
        line = f"{goods}の{dice.pick(source['keywords'])}なら当店へ！{fill(dice.pick(source['shouts']), dice)}"
        blocks = [("p", line)] * (12 + dice.below(9))
    else:
        blocks = [("p", fill(dice.pick(source["shouts"]), dice)), ("li", stuffed(3)), ("li", stuffed(2))]
    return Article(f"【{goods}】{dice.pick(source['keywords'])}{dice.pick(source['keywords'])}", tuple(blocks))


def my_number(dice: Dice) -> str:
    """Twelve digits of an invented My Number with the right check digit (ordinance no. 85 of 2014, article 5)."""
    digits = [dice.below(10) for _ in range(11)]
    total = sum(p * (n + 1 if n <= 6 else n - 5) for n, p in enumerate(reversed(digits), 1))
    rest = total % 11
    return "".join(map(str, [*digits, 0 if rest <= 1 else 11 - rest]))


def personal(number: int) -> tuple[Article, list[str]]:
    """An article with invented personal data, and the strings that redaction should replace."""
    dice = Dice("personal", number)
    tail = [f"{dice.below(10000):04d}" for _ in range(2)]
    phone, mobile = f"03-1{tail[0][1:]}-{tail[1]}", f"090-0{tail[0][:3]}-{tail[1]}"
    mail, own = f"uketsuke{number}@harappa-tayori-mihon.jp", my_number(dice)
    base = article("town", 100 + number)
    lines = (
        ("h2", "連絡先"),
        (
            "p",
            f"お問い合わせは電話 {phone} か携帯 {mobile} まで。係の者がうけたまわります。メールは {mail} へどうぞ。",
        ),
        ("p", f"所在地は〒999-{tail[0]} 架空県{fill('{place}', dice)}1-2-3です。"),
        ("p", f"書類の記入例では、マイナンバーの欄に{own}と書かれていますが、これは見本の番号です。"),
    )
    return replace(base, blocks=base.blocks + lines), [phone, mobile, mail, own]
