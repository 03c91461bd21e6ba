"""Token shards of real Japanese text for benchmarks that train: novels and manuals, a vocabulary of their own.

Works are cut into pieces of about 1,500 characters; every twelfth work is held out whole.
"""

import hashlib
import io
import json
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from benchmarks.record import DATA
from jacorpus.schema import SHARD
from jacorpus.shards import PartWriter
from tokenizer_lab.corpus import open_corpus
from tokenizer_lab.encode import encode_corpus
from tokenizer_lab.tokens import Tokens, open_tokens
from tokenizer_lab.train import train
from tokenizer_lab.training.settings import Training

SOURCES = {"manuals": "ja/docs", "novels": "ja/aozora"}
PIECE, HELD_OUT = 1500, 12


def works(name: str, megabytes: float, of_each: int = 20_000) -> Iterator[str]:
    """Beginnings of works, up to so much text in all."""
    left = megabytes * 1e6
    with pa.CompressedInputStream(pa.memory_map(str(DATA / f"{name}.jsonl.zst")), "zstd") as stream:
        for line in io.TextIOWrapper(stream, "utf-8"):
            text = json.loads(line)["text"][:of_each]
            left -= len(text.encode())
            if left < 0:
                return
            yield text


def pieces(text: str) -> list[str]:
    """A work in pieces that end with a line."""
    found, size = [""], 0
    for line in text.splitlines(keepends=True):
        if size > PIECE:
            found.append("")
            size = 0
        found[-1] += line
        size += len(line)
    return [piece for piece in found if piece.strip()]


def corpus(folder: Path, megabytes: float) -> Path:
    """Text shards, as a corpus run leaves them."""
    (folder / "shards").mkdir(parents=True)
    listed = []
    for domain, name in SOURCES.items():
        texts: dict[str, list[str]] = {"train": [], "valid": []}
        for number, work in enumerate(works(name, megabytes / len(SOURCES))):
            texts["train" if number % HELD_OUT else "valid"] += pieces(work)
        for split, mine in texts.items():
            path, rows = f"shards/{domain}-{split}-00000.arrow", len(mine)
            ids = [hashlib.sha256(f"{domain} {split} {i}".encode()).digest()[:16] for i in range(rows)]
            made = {"id": ids, "text": mine, "domain": [domain] * rows, "split": [split] * rows}
            made |= {"cluster_size": [1] * rows, "weight": [1] * rows}
            columns = [pa.array(made.get(field.name, [None] * rows), field.type) for field in SHARD]
            with PartWriter(folder / path, SHARD) as writer:
                writer.write(pa.RecordBatch.from_arrays(columns, schema=SHARD))
            listed.append({"path": path, "domain": domain})
    (folder / "manifest.json").write_text(json.dumps({"shards": listed}))
    return folder


def japanese_tokens(folder: Path, megabytes: float = 6.0, vocab_size: int = 4096) -> Tokens:
    """Made once in ``folder``: corpus, tokenizer, tokens."""
    if not (folder / "tokens/manifest.json").is_file():
        domains = open_corpus([str(corpus(folder / "corpus", megabytes))])
        train(domains, Training(vocab_size=vocab_size), folder / "tokenizer")
        encode_corpus(domains, folder / "tokenizer", folder / "tokens")
    return open_tokens(folder / "tokens")
