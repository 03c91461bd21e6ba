"""Speed and quality of decontaminate.ngrams: ``python -m benchmarks.decontaminate``.

Questions of public Japanese test sets are put into ordinary texts: as they are, with width and punctuation
changed and line breaks put in, and with single characters replaced. Recall is the share of those texts whose
coverage reaches the bound; false alarms are untouched texts that reach it. Both for several n and shortest
items, which is how the defaults were chosen.
"""

import io
import json
import random
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import zstandard

from benchmarks.record import DATA, cpu_seconds, save
from jacorpus.kernels.contamination import ContaminationIndex, build_index, contamination
from jacorpus.kernels.fold import fold_text_naive

BOUND = 0.7
SETTINGS = ((8, 8), (8, 12), (10, 10), (10, 12), (13, 12), (16, 12), (20, 12))
SEEDS = 2000


def rows_of(name: str) -> list[dict[str, Any]]:
    """Rows of one JSONL.zst file."""
    with (DATA / name).open("rb") as file:
        return [
            json.loads(line) for line in io.TextIOWrapper(zstandard.ZstdDecompressor().stream_reader(file), "utf-8")
        ]


def questions() -> list[str]:
    """Distinct questions of the choice, arithmetic, morality and reading sets."""
    found = [row["question"] for name in ("choice_ja", "math") for row in rows_of(f"qa/{name}.jsonl.zst")]
    found += [row["sent"] for row in rows_of("qa/moral_ja.jsonl.zst")]
    found += [item["question"] for row in rows_of("qa/squad_ja.jsonl.zst") for item in row["questions"]]
    return list(dict.fromkeys(found))


def quoted_elsewhere(text: str, draw: random.Random) -> str:
    """The item in other width and punctuation, with spaces and line breaks put in."""
    wide = {code: code + 0xFEE0 for code in range(0x21, 0x7F)}
    text = text.translate(wide) if draw.random() < 0.5 else text
    text = text.replace("、", draw.choice(["，", ",", ""])).replace("。", draw.choice(["．", ""]))
    return "".join(c + (draw.choice(" 　\n") if draw.random() < 0.1 else "") for c in text)


def with_errors(text: str, draw: random.Random) -> str:
    """The item with about one character in fifty replaced."""
    return "".join("々" if draw.random() < 0.02 else c for c in text)


def seeded(items: list[str], clean: list[str], change: Any) -> pa.Array:
    draw = random.Random(1)
    texts = [draw.choice(clean)[:500] + change(item, draw) + draw.choice(clean)[:500] for item in items]
    return pa.array(texts, pa.large_string())


def reached(texts: pa.Array, index: ContaminationIndex) -> float:
    return float((contamination(texts, index, BOUND)[0] >= BOUND).mean())


def quality_rows(items: list[str], clean: pa.Array) -> list[dict[str, Any]]:
    bodies = clean.slice(0, 400).to_pylist()
    changes = {"as_is": lambda text, _: text, "width_punctuation": quoted_elsewhere, "one_in_fifty_wrong": with_errors}
    rows = []
    for n, shortest in SETTINGS:
        index = build_index(items, n, shortest)
        protected = [item for item, grams in zip(items, index.grams, strict=True) if grams]
        chosen = random.Random(0).sample(protected, SEEDS)
        coverage, which, _, _ = contamination(clean, index, BOUND)
        alarms = sorted({items[w] for w in which[coverage >= BOUND]}, key=lambda item: len(fold_text_naive(item)))
        rows.append(
            {
                "n": n,
                "min_chars": shortest,
                "protected_ratio": len(protected) / len(items),
                **{
                    f"recall_{name}": reached(seeded(chosen, bodies, change), index) for name, change in changes.items()
                },
                "clean_documents": len(clean),
                "false_alarms": int((coverage >= BOUND).sum()),
                "false_alarms_at_half": int((coverage >= 0.5).sum()),
                "longest_false_alarm_chars": len(fold_text_naive(alarms[-1])) if alarms else 0,
            }
        )
    return rows


def speed_rows(items: list[str], clean: pa.Array) -> list[dict[str, Any]]:
    rows = []
    texts = clean.slice(0, 1000)
    for count in (500, 12_000, len(items)):
        chosen = random.Random(2).sample(items, count)
        index = build_index(chosen, 10, 12)
        seconds, _ = cpu_seconds(lambda index=index: contamination(texts, index, BOUND), 3)
        rows.append({"items": count, "ngrams": len(index.long_keys), "mb_s": texts.nbytes / 1e6 / seconds})
    return rows


def main() -> None:
    items = questions()
    clean = pa.array(
        [row["text"] for name in ("aozora", "docs") for row in rows_of(f"ja/{name}.jsonl.zst")], pa.large_string()
    )
    lengths = np.array([len(fold_text_naive(item)) for item in items])
    print(f"{len(items)} items, folded characters 5/50/95 %: {np.percentile(lengths, [5, 50, 95])}", file=sys.stderr)
    rows = [*speed_rows(items, clean), *quality_rows(items, clean)]
    for row in rows:
        print(json.dumps(row, ensure_ascii=False))
    print(Path(save("decontaminate", rows, ["numpy", "numba", "pyarrow"])))


if __name__ == "__main__":
    main()
