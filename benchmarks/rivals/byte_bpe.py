"""Byte-level BPE on one thread: ``byte_bpe.py WHO RANKS TOKENIZER.json TEXTS.jsonl OUT``.

The first quarter of the documents warms up, the other three are encoded once, by the call of each library that is
quickest for a batch, with a result of its own kind (lists, flat buffers). Special tokens are not looked for. OUT gets
the CRC-32 of each document's ids as little-endian uint32, of the measured three quarters.
"""

import os
import sys
import zlib
from collections.abc import Callable
from itertools import pairwise
from typing import Any

for name in ("OMP_NUM_THREADS", "RAYON_NUM_THREADS"):
    os.environ[name] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"


import numpy as np  # noqa: E402
from clock import documents, measured, say  # noqa: E402

Rows = Callable[[Any], list[Any]]


def opened(who: str, ranks: str, json_file: str) -> tuple[Callable[[list[str]], Any], Rows]:
    """(texts -> result, result -> ids of each document)."""
    if who.startswith("tiktoken"):
        import tiktoken
        from tiktoken.load import load_tiktoken_bpe
        from tiktoken_ext import openai_public

        openai_public.load_tiktoken_bpe = lambda *_, **__: load_tiktoken_bpe(ranks)
        encoding = tiktoken.Encoding(**openai_public.cl100k_base())
        if who == "tiktoken, one by one":
            return lambda texts: [encoding.encode_ordinary(text) for text in texts], list
        return lambda texts: encoding.encode_ordinary_batch(texts, num_threads=1), list
    if who == "tokenizers":
        from tokenizers import Tokenizer

        hf = Tokenizer.from_file(json_file)
        return lambda texts: hf.encode_batch_fast(texts), lambda found: [each.ids for each in found]
    if who == "fastokens":
        import fastokens

        fast = fastokens.Tokenizer.from_tiktoken(ranks, encoding="cl100k_base")
        return lambda texts: fast.encode_batch_flat(texts, split_special_tokens=True), _flat
    if who == "tokie":
        import tokie

        other = tokie.Tokenizer.from_json(json_file)
        return lambda texts: other.encode_batch_flat(texts, add_special_tokens=False), _lengths
    import gigatoken

    giga = gigatoken.Tokenizer.from_tiktoken(ranks, pretokenizer="cl100k")
    return lambda texts: giga.encode_batch(texts, parallel=False), lambda found: [np.asarray(row) for row in found]


def _flat(found: tuple[bytes, bytes]) -> list[Any]:
    ids, offsets = np.frombuffer(found[0], np.uint32), np.frombuffer(found[1], np.uint64)
    return [ids[a:b] for a, b in pairwise(offsets.tolist())]


def _lengths(found: tuple[Any, Any]) -> list[Any]:
    return np.split(found[0], np.cumsum(found[1])[:-1].astype(np.int64))


def main() -> None:
    who, ranks, json_file, source, out = sys.argv[1:]
    texts = [row["text"] for row in documents(source)]
    warm = len(texts) // 4
    encode, rows = opened(who, ranks, json_file)
    encode(texts[:warm])
    rest = texts[warm:]
    cpu, wall, found = measured(lambda: encode(rest))
    sums = [zlib.crc32(np.asarray(row, np.uint32).tobytes()) for row in rows(found)]
    np.array(sums, np.uint32).tofile(out)
    library = who.split(",")[0]
    say([library], cpu, wall, tokens=sum(map(len, rows(found))))


if __name__ == "__main__":
    main()
