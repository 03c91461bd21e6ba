"""Writes the data beside it, the same each time: ``python -m jacorpus.recipes.posttrain.generate``.

chat.jsonl      answers to 30 sums, three of eight wrong, as scraped answers may be
sums.jsonl      the same 30 questions with the right answers
new-sums.jsonl  the 6 others, which no stage trains on
"""

import json
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

COPIES = 8
HELD_OUT = 6
DIGITS = 6
WRONG = 3


def question(a: int, b: int) -> str:
    """In words."""
    return f"{a}たす{b}は？"


def answer(number: int) -> str:
    """In words."""
    return f"答えは{number}です。"


def sums(seed: int = 0) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """(to train on, held out): all pairs of digits below DIGITS."""
    pairs = [(a, b) for a in range(DIGITS) for b in range(DIGITS)]
    random.Random(seed).shuffle(pairs)
    return sorted(pairs[HELD_OUT:]), sorted(pairs[:HELD_OUT])


def chats(pairs: Sequence[tuple[int, int]], seed: int = 0) -> Iterator[dict[str, Any]]:
    """Each sum COPIES times, WRONG of them wrong."""
    generator = random.Random(seed)
    for copy in range(COPIES):
        for a, b in pairs:
            wrong = generator.choice([n for n in range(2 * DIGITS - 1) if n != a + b])
            said = answer(wrong if copy < WRONG else a + b)
            turns = [{"role": "user", "content": question(a, b)}, {"role": "assistant", "content": said}]
            yield {"id": f"{a}+{b}-{copy}", "messages": turns}


def prompts(pairs: Sequence[tuple[int, int]]) -> Iterator[dict[str, Any]]:
    """With the right answer as a number."""
    return ({"id": f"{a}+{b}", "question": question(a, b), "answer": str(a + b)} for a, b in pairs)


def main(folder: Path = Path(__file__).parent) -> None:
    """Write the three files."""
    known, new = sums()
    for name, rows in (("chat", chats(known)), ("sums", prompts(known)), ("new-sums", prompts(new))):
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (folder / f"{name}.jsonl").write_text(text, "utf-8")


if __name__ == "__main__":
    main()
