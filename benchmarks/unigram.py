"""Unigram, texts to ids on one thread, beside the rivals: ``python -m benchmarks.unigram``.

Three real models, four kinds of text, documents of about 4 kB made of whole lines, no text twice; for Japanese prose
the same lines one by one as well. Cold: whoever it is knows nothing yet, warms up on the first quarter and encodes
the other three once. Everyone's ids are compared with sentencepiece's, document by document. Ours takes an Arrow array
and gives Arrow lists; the rivals take a list of strings. Hugging Face and tokie have a file for llm-jp v2.1 alone.
"""

import tempfile
import time
import zlib
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa

from benchmarks.beside import Call, compared, driver, facts, in_turns, need_peers
from benchmarks.byte_bpe import documents
from benchmarks.record import DATA, save
from tokenizer_lab.tokenizer import list_buffers, open_tokenizer

MODELS = {
    "llm-jp v2.1": "code10k_en20k_ja30k.ver2.1.model",
    "llm-jp v3.0": "llm-jp-tokenizer-100k.ver3.0b1.model",
    "rinna": "rinna.google_sp.model",
}
JSON = DATA / "tokenizers" / "llm-jp.code10k_en20k_ja30k.ver2.1.tokenizer.json"
TEXTS = {
    "Japanese prose": ("ja/aozora", 4.0),
    "Japanese technical": ("ja/docs", 1.8),
    "English technical": ("en/docs", 1.8),
    "English prose": ("en/prose", 1.8),
}
"""Kind -> (file, least ratio to sentencepiece)."""
MEGABYTES = 4
ROUNDS = 1
BY_LINE = "Japanese prose by line"
SENTENCEPIECE = ("sentencepiece", "sentencepiece, numpy")
"""Ids as lists, what people call, and as arrays, which is quicker; the same bar for both."""

ONE_MODEL = ("tokenizers", "tokie")


def ours(model: Path, texts: list[str], out: Path) -> Call:
    """Arrow to Arrow, opened anew; compiled beforehand."""
    warm = len(texts) // 4
    array, rest = pa.array(texts[:warm], pa.large_string()), pa.array(texts[warm:], pa.large_string())
    tokenizer = open_tokenizer(model)

    def call() -> dict[str, Any]:
        vars(tokenizer._table.threads).clear()  # type: ignore[attr-defined]
        tokenizer.encode(array)
        start = time.process_time()
        found = tokenizer.encode(rest)
        seconds = time.process_time() - start
        offsets, ids = list_buffers(found)
        sums = [zlib.crc32(ids[a:b].tobytes()) for a, b in pairwise(offsets.tolist())]
        np.array(sums, np.uint32).tofile(out)
        return {"cpu_s": seconds, "tokens": len(ids)}

    return call


def measured(name: str, kind: str, texts: list[str], folder: Path) -> list[dict[str, Any]]:
    """Rows of one model on one kind of text."""
    model, source = DATA / "tokenizers" / MODELS[name], folder / "texts.jsonl"
    source.write_bytes(b"".join(orjson.dumps({"text": text}) + b"\n" for text in texts))
    megabytes = sum(len(text.encode()) for text in texts[len(texts) // 4 :]) / 1e6
    rivals = [*SENTENCEPIECE, *(ONE_MODEL if name == "llm-jp v2.1" and kind != BY_LINE else ()), "kitoken"]
    outs = {who: folder / f"{who}.crc" for who in ("ours", *rivals)}
    calls: dict[str, Call] = {"ours": ours(model, texts, outs["ours"])}
    for who in rivals:
        calls[who] = driver("unigram", who, model, JSON, source, outs[who])
    answers = in_turns(calls, ROUNDS)
    sums = {who: np.fromfile(path, np.uint32) for who, path in outs.items()}
    unlike = {who: int(np.count_nonzero(found != sums["sentencepiece"])) for who, found in sums.items()}
    speed = {who: megabytes / answer["cpu_s"] for who, answer in answers.items()}
    least = TEXTS.get(kind, ("", 4.0))[1] if name != "rinna" else 1.0
    bars = dict.fromkeys(SENTENCEPIECE, least)
    bars |= {who: 15.0 if who == "tokenizers" and kind == "Japanese prose" else 1.0 for who in rivals[2:]}
    rows = []
    for who, least in bars.items():
        more = {"unit": "MB/s", "documents": len(sums["ours"])}
        more |= {"documents_unlike_sentencepiece": unlike["ours"], "theirs_unlike_sentencepiece": unlike[who]}
        rows.append(compared(f"{name}, {kind}", f">= {least:g}x", speed["ours"], who, speed[who], least, **more))
    return rows + [{"model": name, "text": kind, "MB": round(megabytes, 2), **row} for row in facts(answers)]


def main() -> None:
    """Measure, print and save."""
    need_peers()
    texts = {kind: documents(file, MEGABYTES) for kind, (file, _) in TEXTS.items()}
    lines = dict.fromkeys(line for text in texts["Japanese prose"] for line in text.split("\n") if line)
    texts[BY_LINE] = list(lines)
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        for name in MODELS:
            for kind, each in texts.items():
                rows += measured(name, kind, each, Path(folder))
    save("unigram", sorted(rows, key=lambda row: "bar" not in row), ["numpy", "numba", "pyarrow", "sentencepiece"])


if __name__ == "__main__":
    main()
