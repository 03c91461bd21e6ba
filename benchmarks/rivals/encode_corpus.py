"""JSONL to token ids on disk, as people do it: ``encode_corpus.py KIND TOKENIZER IN.jsonl WARM.jsonl OUT``.

Each reads lines, takes ``text``, encodes document by document or in its own batches on one thread, and writes. No
one shuffles here; ours does in the same time. KIND:

sentencepiece, huggingface, tiktoken   the loop of Megatron's preprocess_data: ids as numpy arrays into one .bin,
                                       lengths and pointers into an .idx at the end
datasets                               ``Dataset.map`` over batches of 1,000 (the library's default) with the same
                                       Hugging Face tokenizer, saved with ``save_to_disk``
"""

import json
import os
import struct
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

for name in ("OMP_NUM_THREADS", "RAYON_NUM_THREADS"):
    os.environ[name] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import numpy as np  # noqa: E402
from clock import measured, say  # noqa: E402

BATCH = 1000


def batch_encoder(kind: str, path: str) -> Callable[[list[str]], list[list[int]]]:
    """texts -> ids; the quickest call of each library for a batch on one thread."""
    if kind == "sentencepiece":
        import sentencepiece

        model = sentencepiece.SentencePieceProcessor(model_file=path)
        return lambda texts: model.encode(texts, num_threads=1)
    if kind == "tiktoken":
        import tiktoken
        from tiktoken.load import load_tiktoken_bpe

        pattern = (
            r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|"
            r"\s++$|\s*[\r\n]|\s+(?!\S)|\s"
        )
        ranks = load_tiktoken_bpe(path)
        coder = tiktoken.Encoding("cl100k", pat_str=pattern, mergeable_ranks=ranks, special_tokens={})
        return lambda texts: [coder.encode_ordinary(text) for text in texts]
    import tokenizers

    tokenizer = tokenizers.Tokenizer.from_file(path)
    return lambda texts: [each.ids for each in tokenizer.encode_batch_fast(texts, add_special_tokens=False)]


def texts_of(path: str) -> Iterator[list[str]]:
    """Batches of texts."""
    with open(path, encoding="utf-8") as file:
        batch = []
        for line in file:
            batch.append(json.loads(line)["text"])
            if len(batch) == BATCH:
                yield batch
                batch = []
        yield batch


def megatron(encode: Callable[[list[str]], list[list[int]]], source: str, out: Path) -> int:
    """One .bin and .idx; returns the tokens."""
    lengths: list[int] = []
    with open(out / "a.bin", "wb") as ids:
        for texts in texts_of(source):
            for found in encode(texts):
                ids.write(np.array(found, np.int32).tobytes())
                lengths.append(len(found))
    sizes = np.array(lengths, np.int32)
    with open(out / "a.idx", "wb") as index:
        index.write(b"MMIDIDX\x00\x00" + struct.pack("<QBQQ", 1, 4, len(sizes), len(sizes) + 1))
        index.write(sizes.tobytes())
        index.write((np.cumsum(sizes, dtype=np.int64) * 4 - sizes * 4).tobytes())
        index.write(np.arange(len(sizes) + 1, dtype=np.int64).tobytes())
    return int(sizes.sum(dtype=np.int64))


def datasets(encode: Callable[[list[str]], list[list[int]]], source: str, out: Path) -> int:
    """``Dataset.map`` and ``save_to_disk``; returns the tokens."""
    from datasets import Features, Sequence, Value, load_dataset
    from datasets.utils.logging import disable_progress_bar

    disable_progress_bar()
    plain = load_dataset("json", data_files=source, split="train", cache_dir=str(out / "cache"))
    made = plain.map(
        lambda batch: {"input_ids": encode(batch["text"])},
        batched=True,
        remove_columns=plain.column_names,
        features=Features({"input_ids": Sequence(Value("int32"))}),
    )
    made.save_to_disk(out / "saved")
    return sum(len(column.flatten()) for column in made.data.column("input_ids").chunks)


def run(kind: str, encode: Any, source: str) -> Callable[[Path], int]:
    return lambda out: (datasets if kind == "datasets" else megatron)(encode, source, out)


if __name__ == "__main__":
    kind, tokenizer, source, warm, folder = sys.argv[1:]
    encode = batch_encoder(kind, tokenizer)
    with tempfile.TemporaryDirectory(dir=folder) as first, tempfile.TemporaryDirectory(dir=folder) as second:
        run(kind, encode, warm)(Path(first))
        cpu, wall, tokens = measured(lambda: run(kind, encode, source)(Path(second)))
    say(["numpy", "tokenizers", "sentencepiece", "tiktoken", "datasets"], cpu, wall, tokens=tokens)
