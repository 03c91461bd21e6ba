"""Quantities in Japanese and English text: numbers with units, as exact fractions.

``folded`` brings widths, signs, LaTeX and Markdown to one plain form (not by NFKC: 10² would become 102 and ① 1);
``quantities`` finds what is a number in it: 1,234  -0.5  二十三  二〇二四  壱万  1億2,345万  三分の一  2と1/3  50%
3割5分  3時間半
1時間30分  午後3時  2:3  3余り2. Words that only hold the characters of numbers (一緒, 千葉, 万年筆) are none.
"""

import re
import unicodedata
from dataclasses import dataclass
from fractions import Fraction
from math import inf

_DIGIT_ROWS = ("〇○零", "一壱壹", "二弐貳", "三参參", "四肆", "五伍", "六陸", "七漆", "八捌", "九玖")
_DIGITS = {c: i for i, row in enumerate(_DIGIT_ROWS) for c in row}
_SMALL = {"十": 10, "拾": 10, "百": 100, "千": 1000}
_LARGE = {"万": 10**4, "萬": 10**4, "億": 10**8, "兆": 10**12, "京": 10**16}
# dimension, factor to its base, names. A dimension of one line is a counter of its own.
_UNITS = """
time 1 秒間 秒 seconds second sec s|time 60 分間 分 minutes minute mins min|time 3600 時間 hours hour hrs hr h
time 86400 日間 日 days day|time 604800 週間 週 weeks week|clock 60 時 o'clock
months 1 ヶ月間 か月間 ヶ月 か月 カ月 ヵ月 ケ月 箇月 months month|months 12 年間 年 years year yrs
length 1 ミリメートル ミリ mm|length 10 センチメートル センチ cm|length 1000 メートル meters meter m
length 1000000 キロメートル kilometers kilometer km|length 25.4 インチ inches inch|length 304.8 フィート feet foot ft
length 914.4 ヤード yards yard|length 1609344 マイル miles mile|mass 0.001 ミリグラム mg|mass 1 グラム grams gram g
mass 1000 キログラム kilograms kilogram kg|mass 1000000 トン tonnes tons ton t|kilo 1 キロ
oz 1 オンス ounces ounce oz|oz 16 ポンド pounds pound lbs lb|volume 1 ミリリットル ml cc cm3 立方センチメートル
volume 100 デシリットル dl|volume 1000 リットル liters liter l|volume 1000000 キロリットル kl m3 立方メートル
area 1 平方センチメートル cm2|area 10000 平方メートル m2|area 10000000000 平方キロメートル km2|area 1000000 アール
area 100000000 ヘクタール ha|yen 1 円 yen jpy|dollar 0.01 セント cents cent|dollar 1 ドル dollars dollar usd
euro 1 ユーロ euros euro|sterling 1 £|yuan 1 人民元 元|won 1 ウォン|share 0.01 パーセント percent %|share 0.1 割
degree 1 度 ℃ °C ° degrees degree|count 1 個 つ こ コ ヶ ケ items item pieces piece|count 12 ダース dozens dozen
people 1 人 名 people persons person students|animals 1 匹 頭 羽 尾|本 1 本|枚 1 枚|冊 1 冊 books book|台 1 台
杯 1 杯|回 1 回 times|倍 1 倍|点 1 点 points point|歳 1 歳 才|階 1 階|組 1 組 セット sets|袋 1 袋|箱 1 箱 boxes box
皿 1 皿|足 1 足|着 1 着|軒 1 軒|部 1 部|通 1 通 通り|ページ 1 ページ 頁 pages page
目 1 番目 つ目 回目 日目 人目 個目 枚目 年目 時間目 番 位|calendar 1 月|世帯 1 世帯|列 1 列|段 1 段|粒 1 粒|行 1 行
文字 1 文字 字|ヶ所 1 ヶ所 か所 カ所 箇所|株 1 株|切れ 1 切れ|品 1 品|種類 1 種類|件 1 件|校 1 校|曲 1 曲|話 1 話
試合 1 試合|問 1 問|膳 1 膳|束 1 束|周 1 周|駅 1 駅|両 1 両|席 1 席|巻 1 巻|桁 1 桁|歩 1 歩|口 1 口|球 1 球
kcal 1 カロリー キロカロリー calories kcal|g/b 1 ギガバイト gb|mb 1 メガバイト mb"""
_UNIT_OF: dict[str, tuple[str, Fraction]] = {}
for _line in _UNITS.replace("\n", "|").strip("|").split("|"):
    _dimension, _factor, *_names = _line.split()
    _UNIT_OF |= {_name.lower(): (_dimension, Fraction(_factor)) for _name in _names}
COUNTERS = frozenset(d for d, f in _UNIT_OF.values() if ord(d[0]) > 127 or d in ("count", "people", "animals")) - {
    "倍",
    "目",
}
_NAMES = sorted(_UNIT_OF, key=len, reverse=True)
_EDGED = "|".join(re.escape(n) + (r"(?![A-Za-z])" if n[-1].isascii() and n[-1].isalpha() else "") for n in _NAMES)
_UNIT = re.compile(
    rf"\s?({_EDGED})(?:\s?(?:/|per )\s?(h|hour|時間?|分|min|秒|s)(?![A-Za-z]))?(?:分(?=[でのにがはを。、\s]|$))?", re.I
)
_PREFIX = {"$": "dollar", "¥": "yen", "€": "euro", "£": "sterling"}
_SPEED = {"時": 3600, "分": 60, "秒": 1, "h": 3600, "m": 60, "s": 1}

_ARABIC = (
    r"(?:[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])|[0-9]{1,3}(?:[ \u00a0\u2009\u202f][0-9]{3})+(?![0-9])|[0-9]+)(?:\.[0-9]+)?"
)
_K = "〇○零一壱壹二弐貳三参參四肆五伍六陸七漆八捌九玖"
_KANJI = rf"(?:(?![〇○])[{_K}]|[十拾百千])"
_NUM = rf"(?:[{_K}]++・[{_K}]++|(?:{_ARABIC}|(?<![0-9])\.[0-9]+|{_KANJI})(?:{_ARABIC}|[{_K}十拾百千万萬億兆京])*+)"
_ATOM = re.compile(rf"{_ARABIC}|\.[0-9]+|[{_K}]+|.")
_ANY = re.compile(
    rf"(?P<ratio>{_NUM}(?:\s*(?::|対)\s*{_NUM})+)"
    rf"|(?:(?P<whole>{_NUM})\s*と\s*)?(?P<below>{_NUM})\s*分の\s*(?P<above>{_NUM})"
    rf"|(?:(?P<whole2>{_NUM})(?:\s*と\s*|\s))?(?P<above2>{_NUM})\s*/\s*(?P<below2>{_NUM})(?P<date>\s*/\s*[0-9]+)?"
    rf"|(?P<remainder>{_NUM})\s*(?:余り|あまり|…)\s*(?P<rest>{_NUM})"
    rf"|(?P<plain>{_NUM})(?P<power>[²³⁰¹⁴-⁹]+)?|(?P<half>半分|半(?=年|時間|ダース))"
)
_SIGN = re.compile(
    r"(?P<sign>マイナス|負の|▲|-|\+|プラス|(?:(?<=[\s=:(は])|^)ー)?\s*(?P<money>[$¥€£])?\s*(?P<inner>-)?$"
)
_OPERATOR = re.compile(
    r"[\s)]*(?:[+*^×÷·=√±]|/(?!\s*[一-鿿ァ-ヺ])|-\s*[$¥€£]?[0-9(A-Za-z])|π|[A-Za-z](?![A-Za-z'])|\.[0-9]|・[0-9]"
)
_VAGUE = re.compile(
    r"(?:約|およそ|おおよそ|ほぼ|だいたい|大体|概ね|推定|≈|≒|about|around|approximately|roughly|nearly|almost)\s*$",
    re.I,
)
_BOUND_BEFORE = re.compile(
    r"(少なくとも|最低でも|最低|at least|≥|>=|no less than)|(at most|up to|多くとも|高々|≤|<=)"
    r"|(less than|fewer than|under|below|<)|(more than|over|above|greater than|>)",
    re.I,
)
_BOUND_AFTER = re.compile(
    r"\s*(?:(以上|or more|\+(?!\s*[0-9])|以降)|(以下|以内|or less|or fewer)|(未満)|(超|を超え|を上回|より|以外))"
    r"|\s*(弱|強(?!い)|程度|ほど|くらい|ぐらい|前後|近く|に近い|余り|あまり|ちょっと|台の)"
)
_BOUNDS = ("以上", "以下", "未満", "超", "約")
_KANJI_NEXT = re.compile(r"[一-鿿](?<![以未超程前後余弱強対])")
_NOT_AFTER = re.compile(r"第$|[唯統均同単随専数何幾逐精無]$")

_WORDS = re.compile(
    r"一番(?!目)|一緒|一部(?!屋)|一方|一般|一定|一致|一度|一時的|一回り|一目|一人前|一つ一つ|世界一|日本一|万が一|精一杯"
    r"|(?<![一二三四五六七八九百千万0-9])十分(?!の[一二三四五六七八九十百千0-9]|間)|千葉|千代|千歳|万年筆|八百[屋長]|八百万の神|百人一首|六本木|七面鳥|三日月"
    r"|四捨五入|三々五々|二度と|五分五分|百分率|百点満点|(?<![二三四五六七八九十0-9])[二三四五六七八九十0-9]++[角辺](?:形|柱|錐)?|[一二三][次元]+方程式|二乗|三乗|三平方"
    r"|(?<![一-鿿])(?:ステップ|手順|問題?|図|表|例|式|条件|方法|パターン|ケース|選択肢|その)\s?\(?[0-9]+\)?(?![0-9.,]*[0-9個円])"
    r"|\b(?:step|case|part|question|problem|figure)\s?#?[0-9]+"
    r"|(?m:^[ \t]*(?:\([0-9]{1,2}\)|[0-9]{1,2}[.)](?![0-9]))[ \t]*(?=[^\s。．]))",
    re.I,
)
_WIDTHS = (
    {c: c - 0xFEE0 for c in range(0xFF01, 0xFF5F)}
    | {ord(c): "-" for c in "−‐‑–﹣"}
    | dict.fromkeys(map(ord, "⁄∕"), "/")
)
_WIDTHS |= {
    0x3000: " ",
    0xFFE5: "¥",
    0x301C: "~",
    0x2236: ":",
    0xFF65: "・",
    0x22C5: "·",
    0x2217: "*",
    0x2265: "≥",
    0x2266: "≤",
    0x2267: "≥",
}
_LATEX = (
    (r"<<[^<>\n]*>>|</?[a-zA-Z][^<>\n]*>|\\left|\\right|\\displaystyle|\\[()\[\]]|`", ""),
    (r"\\(?:text|mathrm|mathbf|textbf|mbox)\s*\{([^{}]*)\}", r"\1"),
    (r"\{,\}|(?<=[0-9]),\\!(?=[0-9])", ","),
    (r"(?<=[0-9])\\[,;:! ](?=[0-9])", " "),
    (r"([0-9])\s*\\[dt]?frac\s*\{\s*([0-9]+)\s*\}\s*\{\s*([0-9]+)\s*\}", r"\1と\2/\3"),
    (r"\\[dt]?frac\s*\{\s*(-?[0-9]+)\s*\}\s*\{\s*([0-9]+)\s*\}|\\[dt]?frac\s*([0-9])\s*([0-9])", r"\1\3/\2\4"),
    (r"\^\s*\{?\s*\\circ\s*\}?", "度"),
    (r"(?<=m)(?:\^\{?|(?=[²³]))([23²³])\}?", lambda m: m[1].translate({0xB2: "2", 0xB3: "3"})),
    (r"\\(?:times|ast)(?![a-z])", "×"),
    (r"\\div(?![a-z])", "÷"),
    (r"\\cdot(?![a-z])", "·"),
    (r"\\(?:approx|fallingdotseq|sim)(?![a-z])", "≒"),
    (r"\\(?:leq?q?)(?![a-z])", "≤"),
    (r"\\(?:geq?q?)(?![a-z])", "≥"),
    (r"\\sqrt", "√"),
    (r"\\pi(?![a-z])", "π"),
    (r"\\(?:therefore)(?![a-z])", "∴"),
    (r"\\[,;:! ]|\\quad|~(?=\\)", " "),
    (r"\\([%$#&_])", r"\1"),
    (r"[=-]+>|\\(?:Rightarrow|rightarrow|implies|to)(?![a-z])", "→"),
    (r"\$\$|(?<![\\$])\$(?=[^\s$])([^$\nぁ-ヿ一-鿿]*[^$\s])\$(?![0-9])", lambda m: m[1] or ""),
    (r"(?<=[0-9])\*\*(?=[0-9])", "^"),
    (r"(答え?)\s*\.\s*(?=[0-9])", r"\1: "),
    (r"ゼロ", "0"),
    (r"\*\*|__|(?<![0-9)\s])\*(?=\S)|(?<![0-9)\s])\*$", ""),
)
_FOLDS = tuple((re.compile(pattern, re.MULTILINE), to) for pattern, to in _LATEX)


@dataclass(frozen=True)
class Found:
    """A quantity: value in the unit that it names; unit: the dimension ("" where none is named); scale: the unit in the
    dimension's base. bound: 以上 以下 未満 超 約 範囲, "" for an exact one. parts: terms of a ratio, date or remainder.
    bare: other numbers that a reference without unit may mean. operand: it stands in a calculation."""

    value: Fraction
    unit: str
    text: str
    start: int = 0
    end: int = 0
    scale: Fraction = Fraction(1)
    bound: str = ""
    parts: tuple[Fraction, ...] = ()
    bare: tuple[Fraction, ...] = ()
    operand: bool = False


def widths(text: str) -> str:
    """Full-width ASCII, signs and one-character fractions and units to plain ones; of the same meaning, not NFKC."""
    text = text.translate(_WIDTHS)
    if text.isascii():
        return text
    return re.sub(r"(?<=[0-9])?[¼-¾⅐-⅞]|[㌀-㍗㍱-㏟]", _spelled, text)


def _spelled(match: re.Match[str]) -> str:
    mixed = match.start() > 0 and match.string[match.start() - 1] in "0123456789"
    plain = unicodedata.normalize("NFKC", match[0]).replace("⁄", "/")
    return "と" + plain if mixed and "/" in plain else plain


def folded(text: str) -> str:
    """Plain text without LaTeX and Markdown marks; words that are no numbers blotted out."""
    text = widths(text)
    for pattern, to in _FOLDS:
        text = pattern.sub(to, text)
    return _WORDS.sub(lambda m: "〓" * len(m[0]), text)


def numeral(text: str) -> Fraction | None:
    """The value of one number without sign and unit, None where it is written in no known way."""
    if len(text) > 60:
        return None
    if "・" in text:
        whole, _, rest = text.partition("・")
        return Fraction("".join(str(_DIGITS[c]) for c in whole) + "." + "".join(str(_DIGITS[c]) for c in rest))
    total, section, pending = Fraction(0), Fraction(0), None
    small, large, run = inf, inf, 1
    for atom in _ATOM.findall(text):
        if atom in _SMALL:
            if _SMALL[atom] >= small or (pending is not None and (run > 1 or (section and pending > 9))):
                return None
            small, section, pending = _SMALL[atom], section + (1 if pending is None else pending) * _SMALL[atom], None
        elif atom in _LARGE:
            section += pending or 0
            if _LARGE[atom] >= large or not section:
                return None
            total, large, small, section, pending = total + section * _LARGE[atom], _LARGE[atom], inf, Fraction(0), None
        elif pending is not None:
            return None
        elif atom[0] in _DIGITS:
            pending, run = Fraction("".join(str(_DIGITS[c]) for c in atom)), len(atom)
        else:
            pending, run = Fraction(re.sub(r"[^0-9.]", "", atom)), 1
    if pending is not None and pending >= min(small, large):
        return None
    return total + section + (pending or 0)


def quantities(text: str) -> list[Found]:
    """All of a folded text, in order."""
    found: list[Found] = []
    at = 0
    while match := _ANY.search(text, at):
        made = _made(text, match, found[-1].end if found else 0)
        at = match.end()
        if made is not None:
            found.append(made)
            at = made.end
    return found


def _read(match: re.Match[str]) -> tuple[Fraction | None, tuple[Fraction, ...]]:
    """(value, parts) of a match of any form; the value None where it is no number."""
    part = match.groupdict()
    if part["half"]:
        return Fraction(1, 2), ()
    if part["plain"]:
        value = numeral(part["plain"])
        if value is None or not part["power"]:
            return value, ()
        power = int(unicodedata.normalize("NFKC", part["power"]))
        return (value**power if power <= 12 else None), ()
    if part["ratio"] or part["remainder"]:
        pieces = re.split(r"[:対]", part["ratio"]) if part["ratio"] else [part["remainder"], part["rest"]]
        terms = [numeral(piece.strip()) for piece in pieces]
        known = tuple(term for term in terms if term is not None)
        return (None, ()) if len(known) < len(terms) or (not known[-1] and part["ratio"]) else (known[0], known)
    above, below = numeral(part["above"] or part["above2"]), numeral(part["below"] or part["below2"])
    whole = numeral(part["whole"] or part["whole2"]) if part["whole"] or part["whole2"] else Fraction(0)
    if part["date"] or not below or above is None or whole is None or {above.denominator, below.denominator} != {1}:
        return None, ()
    if (part["whole"] or part["whole2"]) and (above >= below or whole.denominator > 1):
        return None, ()
    return whole + above / below, ()


def _made(text: str, match: re.Match[str], last: int) -> Found | None:
    """The quantity around a match, None where it is no number. last: where the quantity before it ended."""
    start, end = match.span()
    value, parts = _read(match)
    before = text[max(last, start - 24) : start]
    kanji = not re.search("[0-9]", match[0])
    if re.search(r"[A-Za-z_]$", before) or (before.endswith("第") or (kanji and _NOT_AFTER.search(before))):
        return None
    sign = _SIGN.search(before)
    head = before[: sign.start()] if sign else before
    minus = (bool(sign) and sign["sign"] in ("-", "マイナス", "負の", "▲", "ー")) or bool(sign and sign["inner"])  # type: ignore[index]
    touching = (
        (last > 0 and max(last, start - 24) == last and not head.strip(" )"))
        or head.rstrip().endswith((")", "]"))
        or bool(re.search(r"[A-Za-z]\s*$", head) and sign and sign["sign"] == "-")
    )
    operand = bool(re.search(r"(?:[+*/^×÷·√±]|\b(?:log|ln|sin|cos|tan))\s*\(*\s*$", head)) or (
        touching and bool(sign and sign["sign"])
    )
    unit = _UNIT.match(text, end)
    name, scale = "", Fraction(1)
    bare: tuple[Fraction, ...] = () if value is None else (value,)
    if sign and sign["money"]:
        name = _PREFIX[sign["money"]]
    if parts:
        name = "ratio" if match["ratio"] else "remainder"
    elif unit and value is not None:
        end, value, name, scale, bare, parts = _with_unit(text, unit, value, head)
    elif kanji and not match["half"] and _KANJI_NEXT.match(text, end):
        return None
    if value is None:
        return Found(Fraction(0), "", text[start:end], start, end, operand=True)
    operand = operand or bool(_OPERATOR.match(text, end))
    if minus:
        value, bare, parts = -value, tuple(-each for each in bare), tuple(-each for each in parts[:1]) + parts[1:]
    bound = _bound(text, head, end)
    return Found(value, name, text[start:end], start, end, scale, bound, parts, bare, operand)


def _with_unit(
    text: str, unit: re.Match[str], value: Fraction, head: str
) -> tuple[int, Fraction, str, Fraction, tuple[Fraction, ...], tuple[Fraction, ...]]:
    """(end, value, dimension, scale, bare readings, parts): half units, 1時間30分, 3割5分, 午後3時, 3月5日, 時速."""
    parts: tuple[Fraction, ...] = ()
    (name, scale), end, bare = _UNIT_OF[unit[1].lower()], unit.end(), {value}
    speed = re.search(r"(?:([時分秒])速|毎([時分秒]))\s*$", head)
    if unit[2] or speed:
        per = unit[2] or (speed[1] or speed[2])  # type: ignore[index]
        return end, value, name + "/time", scale / _SPEED[per[0].lower()], (value,), ()
    if name == "clock":
        half = re.search(r"(午前|午後|AM|PM)\s*$", head, re.I)
        later = bool(half) and half[1].lower() in ("午後", "pm") and value < 12  # type: ignore[index]
        value += 12 if later else 0
        name = "clock" if half or value > 12 else "clock of no half"
        bare.add(value)
    if text.startswith("半", end) and not re.match(r"半[額径島分数]", text[end:]):
        end, value = end + 1, value + Fraction(1, 2)
        bare = {value}
    smallest, whole, size = scale, value, value * scale
    while (more := re.compile(rf"(?:と|\s)?({_NUM})").match(text, end)) and (
        next_unit := _UNIT.match(text, more.end())
    ):
        number, (other, factor) = numeral(more[1]), _UNIT_OF[next_unit[1].lower()]
        if number is None:
            break
        if name == "share" and (next_unit[1] == "分" or next_unit[1] == "割"):
            other, factor = name, smallest / 10
        elif name.startswith("clock") and next_unit[1] == "分" and scale == 60:
            other, factor = name, Fraction(1)
        elif (
            (name, other) in (("months", "calendar"), ("calendar", "time"))
            and factor != 60
            and not more[0].startswith("と")
        ):
            parts, end, name = (*(parts or (whole,)), number), next_unit.end(), other
            continue
        if other != name or factor >= smallest or parts or next_unit[2]:
            break
        size, smallest, end = size + number * factor, factor, next_unit.end()
        bare = {size / scale, size / smallest}
    if parts:
        return end, parts[0], "date", Fraction(1), parts, parts
    return end, size / scale, name, scale, tuple(sorted(bare)), ()


def _bound(text: str, head: str, end: int) -> str:
    """How a quantity is not exact, "" where it is."""
    if re.match(r"\s*~\s*[^\s]", text[end:]) or re.search(r"[0-9一-鿿]\s*~\s*$", head) or head.endswith("~"):
        return "範囲"
    if re.match(rf"\s*から\s*{_NUM}[^。、]{{0,6}}まで", text[end : end + 40]):
        return "範囲"
    if "±" in head[-2:] or _VAGUE.search(head):
        return "約"
    before = None
    for each in _BOUND_BEFORE.finditer(head):
        before = each if not head[each.end() :].strip(" でもにはx") else before
    after = _BOUND_AFTER.match(text, end)
    for match in (after, before):
        if match and match.lastindex:
            return _BOUNDS[match.lastindex - 1]
    return ""
