"""The verifier of Japanese answers beside math-verify, on the same items: ``python -m benchmarks.japanese_verifier``.

Items: 21 kinds of right answers, a wrong one of each form; forms times sentences made by rules around the answers
of qa/math, one right and one wrong each (another number). math-verify runs in the rivals'
environment (``make bench-peers``), with an interpreter given as an argument, or not at all, which is said.
"""

import json
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.beside import PEERS, here
from benchmarks.language import rows_of
from benchmarks.record import save
from trainer.rewards.numeric import Numeric

Item = tuple[str, str]
"""(reference, answer)"""

LONG = (
    "まず5個あり、次に7個もらったので、5+7=12個になります。したがって、答えは{}個です。",
    "りんごが3箱あり、1箱に4個入っているので、3×4で合計{}個になります。よって、全部で{}個です。",
)
KINDS: tuple[tuple[str, str, str], ...] = (  # reference, right, wrong
    ("12", "$12$", "$13$"),
    ("12", r"\boxed{12}", r"\boxed{21}"),
    ("1/3", r"\(\frac{1}{3}\)", r"\(\frac{3}{1}\)"),
    ("12", "12本", "13本"),
    ("1234", "1234 円（税込）", "1243 円（税込 1234 円）"),
    ("12", "答えは12です", "答えは12ではなく13です"),
    ("12", "１２", "１３"),
    ("12", "12個", "12個以上"),
    ("12", "十二", "二十"),
    ("1234", "1,234円", "1,23,4円"),
    ("1234", "１，２３４円", "１，２４３円"),
    ("1/3", "三分の一", "一分の三"),
    ("1/3", "1／3", "3／1"),
    ("0.5", "０．５", "５．０"),
    ("50%", "50％", "5％"),
    ("-3", "－3", "3"),
    ("-3", "−3", "−4"),
    ("-3", "マイナス3", "プラス3"),
    ("1234", "千二百三十四円", "千二百四十三円"),
    ("12", LONG[0].format(12), LONG[0].format(13)),
    ("12", LONG[1].format(12, 12), LONG[1].format(13, 13)),
)
SENTENCES = (
    "{}",
    "答えは{}です。",
    "答え：{}",
    "#### {}",
    "**答え：{}**",
    "したがって、答えは **{}** となります。",
    "まず3×4=12を求め、次に計算すると、合計で{}になります。",
    "よって、求める値は{}である。",
    "{}です。なぜなら、2個と3個を使うからです。",
    "10007ではなく、{}です。",
    "【解答】\n式：7+8=15\n答え　{}",
    "Therefore, the answer is {}.",
    "最終的な答えは\n\n$\\boxed{{{}}}$\n\nです。",
)
_ASK = """
import json, sys, time, logging
logging.disable(logging.CRITICAL)
from math_verify import parse, verify
items = json.load(sys.stdin)
def call():
    said = []
    for reference, answer in items:
        try:
            said.append(bool(verify(parse("$" + reference.replace("%", "\\\\%") + "$"), parse(answer))))
        except Exception:
            said.append(False)
    return said
call()
start = time.process_time()
said = call()
json.dump({"said": said, "cpu_s": time.process_time() - start}, sys.stdout)
"""


def kanji(number: int, positional: bool = False) -> str:
    """A number below 10^8 as it is written in Japanese."""
    digits = "〇一二三四五六七八九"
    if positional:
        return "".join(digits[int(digit)] for digit in str(number))
    text = ""
    for size, name in ((10**4, "万"), (1000, "千"), (100, "百"), (10, "十"), (1, "")):
        count, number = divmod(number, size)
        if count:
            text += ("" if count == 1 and 1 < size < 10**4 else digits[count] if count < 10 else kanji(count)) + name
    return text or "零"


FORMS: tuple[Callable[[int], str], ...] = (
    str,
    lambda n: f"{n:,}",
    lambda n: f"{n}個",
    lambda n: f"{n:,}円",
    lambda n: f"{n} ドル",
    lambda n: f"${n}.00",
    lambda n: "".join(chr(ord(c) + 0xFEE0) for c in f"{n:,}"),
    lambda n: kanji(n) + "人",
    lambda n: kanji(n),
    lambda n: kanji(n, positional=True) if n > 9 else str(n),
    lambda n: f"{n // 10**4}万{n % 10**4 or ''}" if n >= 10**4 else str(n),
    lambda n: f"{n}％",
    lambda n: rf"{n}\text{{kg}}",
)


def made(count: int, seed: int = 0) -> tuple[list[Item], list[Item]]:
    """(right items, wrong items): each form in each sentence, around answers drawn from qa/math."""
    draw = random.Random(seed)
    numbers = sorted({int(row["answer"]) for row in rows_of("qa/math.jsonl.zst") if 0 < int(row["answer"]) < 10**8})
    right, wrong = [], []
    for row in range(count):
        form, sentence = FORMS[row % len(FORMS)], SENTENCES[row // len(FORMS) % len(SENTENCES)]
        number = draw.choice(numbers)
        other = draw.choice([number + 1, max(1, number - 1) if number > 1 else 7, number * 10, number + 100])
        right.append((str(number), sentence.format(form(number))))
        wrong.append((str(number), sentence.format(form(other))))
    return right, wrong


def figures(who: str, sets: dict[str, list[Item]], said: list[bool], cpu_s: float) -> dict[str, Any]:
    """One row: how many of each set were accepted, and answers a second of CPU time."""
    row: dict[str, Any] = {"who": who}
    at = 0
    for name, items in sets.items():
        row[name] = {"accepted": sum(said[at : at + len(items)]), "of": len(items)}
        at += len(items)
    row["generated right, share"] = round(row["generated right"]["accepted"] / row["generated right"]["of"], 4)
    row["answers/s"] = round(len(said) / cpu_s)
    return row


def main(python: str) -> None:
    """Measure both and save the rows."""
    right, wrong = made(5 * len(FORMS) * len(SENTENCES))
    sets = {
        "kinds right": [(reference, answer) for reference, answer, _ in KINDS],
        "kinds wrong": [(reference, answer) for reference, _, answer in KINDS],
        "generated right": right,
        "generated wrong": wrong,
    }
    items = [item for each in sets.values() for item in each]
    verifier = Numeric(latex=False)
    ours = here(lambda: [verifier.match(reference, answer) for reference, answer in items])()
    rows = [figures("jacorpus", sets, ours["result"], ours["cpu_s"])]
    run = subprocess.run([python, "-c", _ASK], input=json.dumps(items), capture_output=True, text=True, check=False)
    if run.returncode:
        rows.append({"who": "math-verify", "left out": "not installed (make bench-peers)"})
    else:
        answer = json.loads(run.stdout)
        rows.append(figures("math-verify", sets, answer["said"], answer["cpu_s"]))
    print(*(json.dumps(row, ensure_ascii=False) for row in rows), sep="\n")
    save("japanese_verifier", rows, [])


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else str(PEERS) if Path(PEERS).exists() else sys.executable)
