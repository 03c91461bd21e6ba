"""Lines of a million characters that make slow tokenizers slower: ``python -m benchmarks.hostile_lines``.

One repeated character, one repeated space, scripts without punctuation, random letters, base64: each as a text of
100,000 and one of 1,000,000 characters, through tokenizers as ``open_tokenizer`` opens them. Bars: a million in under
1 s (CPU), and at most 15 times what 100,000 take. The time of a million by the original library stands beside.
Each text is encoded once for each time it is measured, the median of five opened anew is kept.
"""

import base64
import random
import string
import sys
import time
from statistics import median
from typing import Any

import pyarrow as pa

from benchmarks.record import DATA, save
from tokenizer_lab.tokenizer import Tokenizer, open_tokenizer

SHORT, LONG = 100_000, 1_000_000
LEAST_S, MOST_GROWTH = 1.0, 15.0
ROUNDS = 5
FILES = {
    "byte BPE, cl100k": "cl100k_base.tiktoken",
    "byte BPE, Whisper": "multilingual.tiktoken",
    "unigram, llm-jp v2.1": "code10k_en20k_ja30k.ver2.1.model",
    "unigram, llm-jp v3.0": "llm-jp-tokenizer-100k.ver3.0b1.model",
    "SentencePiece BPE, Llama 2": "llama2.tokenizer.model",
}
REPEATED = {
    "spaces": " ",
    "あ": "あ",
    "ー": "ー",
    "a": "a",
    "=": "=",
    "漢": "漢",
    "dakuten": "\u3099",
    "line ends": "\n",
}
HIRAGANA = "".join(map(chr, range(0x3041, 0x3094)))
KANJI = "".join(map(chr, range(0x4E00, 0x9FA0)))


def lines(size: int) -> dict[str, str]:
    """Name -> text of ``size`` characters; the same each time."""
    draw = random.Random(size)
    made = {name: char * size for name, char in REPEATED.items()}
    for name, letters in (("hiragana", HIRAGANA), ("kanji", KANJI), ("a-z", string.ascii_lowercase)):
        made[f"random {name}"] = "".join(draw.choices(letters, k=size))
    made["kana and kanji"] = "".join(draw.choices(HIRAGANA + KANJI[:2000], k=size))
    made["base64"] = base64.b64encode(draw.randbytes(size)).decode()[:size]
    return made


def seconds(tokenizer: Tokenizer, text: str) -> float:
    """CPU seconds of one call."""
    array = pa.array([text], pa.large_string())
    start = time.process_time()
    tokenizer.encode(array)
    return time.process_time() - start


def measured(who: str, short: dict[str, str], long: dict[str, str]) -> list[dict[str, Any]]:
    """Rows of one tokenizer, a line each."""
    path = DATA / "tokenizers" / FILES[who]
    times: dict[tuple[str, int], list[float]] = {}
    for _ in range(ROUNDS):
        tokenizer = open_tokenizer(path)
        tokenizer.encode(pa.array(["日本語 text 123。\n" * 50], pa.large_string()))
        for name in short:
            times.setdefault((name, SHORT), []).append(seconds(tokenizer, short[name]))
            times.setdefault((name, LONG), []).append(seconds(tokenizer, long[name]))
    rows = []
    reference = tokenizer.reference()
    for name in short:
        small, large = median(times[name, SHORT]), median(times[name, LONG])
        row = {"what": f"{who}: 1M characters, {name}", "bar": "< 1 s, <= 15x of 100k", "ours": round(large, 4)}
        row |= {"rival": tokenizer.reference_name or None, "theirs": _theirs(reference, long[name])}
        row |= {"ratio": None, "met": large < LEAST_S and large <= MOST_GROWTH * small, "unit": "s"}
        row |= {"growth": round(large / small, 2), "engine": tokenizer.engine}
        print(row, file=sys.stderr, flush=True)
        rows.append(row)
    return rows


def _theirs(reference: Tokenizer | None, text: str) -> float | None:
    """Seconds of the original library, None where it gives up: tiktoken's engine does on some long runs."""
    if reference is None:
        return None
    try:
        return round(seconds(reference, text), 4)
    except BaseException as error:  # a panic in Rust is no Exception
        print(f"{reference.engine}: {error}", file=sys.stderr)
        return None


def main() -> None:
    """Measure, print and save."""
    short, long = lines(SHORT), lines(LONG)
    rows = [row for who in FILES for row in measured(who, short, long)]
    save("hostile_lines", rows, ["numpy", "numba", "pyarrow", "tiktoken", "sentencepiece"])


if __name__ == "__main__":
    main()
