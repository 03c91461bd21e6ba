"""Unigram on one thread: ``unigram.py WHO MODEL TOKENIZER.json TEXTS.jsonl OUT``.

The first quarter of the documents warms up, the other three are encoded once, by a call for a batch where the library
has one. OUT gets the CRC-32 of each document's ids as little-endian uint32, of the measured three quarters.
"""

import os
import sys
import zlib
from collections.abc import Callable
from typing import Any

for name in ("OMP_NUM_THREADS", "RAYON_NUM_THREADS"):
    os.environ[name] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"


import numpy as np  # noqa: E402
from clock import documents, measured, say  # noqa: E402

Rows = Callable[[Any], list[Any]]


def opened(who: str, model: str, json_file: str) -> tuple[Callable[[list[str]], Any], Rows]:
    """(texts -> result, result -> ids of each document)."""
    if who.startswith("sentencepiece"):
        import sentencepiece

        processor = sentencepiece.SentencePieceProcessor(model_file=model)
        kind: Any = "numpy" if who.endswith("numpy") else int
        return lambda texts: processor.encode(texts, out_type=kind, num_threads=1), list
    if who == "tokenizers":
        from tokenizers import Tokenizer

        hf = Tokenizer.from_file(json_file)
        encode = lambda texts: hf.encode_batch_fast(texts, add_special_tokens=False)  # noqa: E731
        return encode, lambda found: [each.ids for each in found]
    if who == "tokie":
        import tokie

        other = tokie.Tokenizer.from_json(json_file)
        return lambda texts: other.encode_batch_flat(texts, add_special_tokens=False), _lengths
    import kitoken

    kit = kitoken.Kitoken.from_sentencepiece_file(model)
    return lambda texts: kit.encode_all(texts, False), list


def _lengths(found: tuple[Any, Any]) -> list[Any]:
    return np.split(found[0], np.cumsum(found[1])[:-1].astype(np.int64))


def main() -> None:
    who, model, json_file, source, out = sys.argv[1:]
    texts = [row["text"] for row in documents(source)]
    warm = len(texts) // 4
    encode, rows = opened(who, model, json_file)
    encode(texts[:warm])
    rest = texts[warm:]
    cpu, wall, found = measured(lambda: encode(rest))
    ids = rows(found)
    np.array([zlib.crc32(np.asarray(row, np.uint32).tobytes()) for row in ids], np.uint32).tofile(out)
    say([who.split(",")[0]], cpu, wall, tokens=sum(map(len, ids)))


if __name__ == "__main__":
    main()
