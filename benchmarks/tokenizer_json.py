"""A Unigram ``tokenizer.json`` (llm-jp v2.1) by our kernel and by tokenizers, which wrote the form: ``python -m
benchmarks.tokenizer_json``.

The texts of benchmarks.byte_bpe, no text twice, one thread. Cold: each is opened anew for its turn, warms up on the
first quarter and encodes the other three once. Ids are compared document by document. Ours takes an Arrow array and
gives Arrow lists, the library takes a list of strings.
"""

import os
import time
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks.beside import Call, compared, facts, in_turns
from benchmarks.byte_bpe import TEXTS, documents
from benchmarks.record import DATA, save

FILE = DATA / "tokenizers" / "llm-jp.code10k_en20k_ja30k.ver2.1.tokenizer.json"
BARS = {"Japanese novels": 15.0}
"""What is not named here is measured without a bar of its own."""


def ours(texts: list[str], ids: dict[str, np.ndarray]) -> Call:
    """Arrow to Arrow."""
    from tokenizer_lab.tokenizer import list_buffers, open_tokenizer

    array, warm = pa.array(texts, pa.large_string()), len(texts) // 4

    def call() -> dict[str, Any]:
        tokenizer = open_tokenizer(FILE)
        tokenizer.encode(array[:warm])
        start = time.process_time()
        found = tokenizer.encode(array[warm:])
        seconds = time.process_time() - start
        ids["ours"] = list_buffers(found)[1]
        return {"cpu_s": seconds, "engine": tokenizer.engine}

    return call


def library(texts: list[str], ids: dict[str, np.ndarray]) -> Call:
    """``encode_batch_fast`` without special tokens, its fastest call."""
    import tokenizers

    warm = len(texts) // 4

    def call() -> dict[str, Any]:
        tokenizer = tokenizers.Tokenizer.from_file(str(FILE))
        tokenizer.encode_batch_fast(texts[:warm], add_special_tokens=False)
        start = time.process_time()
        found = tokenizer.encode_batch_fast(texts[warm:], add_special_tokens=False)
        seconds = time.process_time() - start
        ids["tokenizers"] = np.concatenate([np.array(each.ids, np.uint32) for each in found])
        return {"cpu_s": seconds, "engine": f"tokenizers {tokenizers.__version__}"}

    return call


def measured(kind: str) -> list[dict[str, Any]]:
    """Rows of one kind of text."""
    texts, ids = documents(TEXTS[kind]), dict[str, np.ndarray]()
    megabytes = sum(len(text.encode()) for text in texts[len(texts) // 4 :]) / 1e6
    answers = in_turns({"ours": ours(texts, ids), "tokenizers": library(texts, ids)})
    speed = {who: megabytes / answer["cpu_s"] for who, answer in answers.items()}
    least = BARS.get(kind, 1.0)
    bar = f">= {least:g}x" if kind in BARS else "no bar of its own"
    more = {
        "unit": "MB/s",
        "MB": round(megabytes, 2),
        "ids_equal": bool(np.array_equal(ids["ours"], ids["tokenizers"])),
    }
    what = f"Unigram tokenizer.json, {kind}"
    row = compared(what, bar, speed["ours"], "tokenizers", speed["tokenizers"], least, **more)
    return [row, *({"text": kind, **fact} for fact in facts(answers))]


def main() -> None:
    """Measure, print and save."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    rows = [row for kind in TEXTS for row in measured(kind)]
    save("tokenizer_json", sorted(rows, key=lambda row: "bar" not in row), ["numpy", "numba", "pyarrow", "tokenizers"])


if __name__ == "__main__":
    main()
