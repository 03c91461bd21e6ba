"""Byte-level BPE, texts to ids with cl100k on one thread, beside the rivals: ``python -m benchmarks.byte_bpe``.

Four kinds of text, 12 MB each, documents of about 4 kB made of whole lines, no text twice: Japanese novels, Japanese
technical documents, English novels, Python (the standard library). Cold: whoever it is is opened anew for each
turn, warms up on the first quarter and encodes the other three once. Everyone's ids are compared with tiktoken's,
document by document. Ours takes an Arrow array and gives Arrow lists; the rivals take a list of strings.
"""

import json
import sysconfig
import tempfile
import time
import zlib
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import zstandard

from benchmarks.beside import Call, compared, driver, facts, in_turns, need_peers
from benchmarks.record import DATA, save
from tokenizer_lab.formats.tiktoken import read_ranks
from tokenizer_lab.kernels.bpe import BytePairs
from tokenizer_lab.kernels.bpe_tables import from_ranks
from tokenizer_lab.kernels.patterns import PATTERNS
from tokenizer_lab.tokenizer import list_buffers, open_tokenizer

RANKS = DATA / "tokenizers" / "cl100k_base.tiktoken"
TEXTS = {
    "Japanese novels": "ja/aozora",
    "Japanese technical": "ja/docs",
    "English novels": "en/prose",
    "Python": "code",
}
BARS = {"Japanese novels": 3.5, "Japanese technical": 3.5, "English novels": 3.0, "Python": 3.0}
MEGABYTES = 10
DOCUMENT_BYTES = 4000
RIVALS = ("tiktoken", "tiktoken, one by one", "tokenizers", "fastokens", "gigatoken", "tokie")
ROUNDS = 3


def whole_texts(name: str) -> Iterator[str]:
    """The documents of a kind as they are."""
    if name == "code":
        for path in sorted(Path(sysconfig.get_paths()["stdlib"]).rglob("*.py")):
            if "site-packages" not in path.parts:
                yield path.read_text("utf-8", "replace")
        return
    with zstandard.open(DATA / f"{name}.jsonl.zst", "rt", encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)["text"]


def documents(name: str, megabytes: float = MEGABYTES) -> list[str]:
    """Documents of about 4 kB made of whole lines, no two alike."""
    made: dict[str, None] = {}
    size = 0
    for text in whole_texts(name):
        lines, held = [], 0
        for line in [*text.splitlines(keepends=True), ""]:
            if held >= DOCUMENT_BYTES or (lines and not line):
                made["".join(lines)] = None
                size, lines, held = size + held, [], 0
            lines.append(line)
            held += len(line.encode())
        if size > megabytes * 1e6:
            break
    return list(made)


def huggingface_file(path: Path) -> None:
    """cl100k as a tokenizer.json, each token by the one merge that makes it, with the pattern of Llama 3: Oniguruma
    would repeat ``{1,3}+``."""
    tables = from_ranks(read_ranks(RANKS.read_bytes(), RANKS))
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters = {byte: chr(byte) for byte in printable}
    letters |= {byte: chr(256 + i) for i, byte in enumerate(byte for byte in range(256) if byte not in letters)}
    spelled = [letters[byte] for byte in range(256)]
    for left, right in zip(tables.left[256:].tolist(), tables.right[256:].tolist(), strict=True):
        spelled.append(spelled[left] + spelled[right])
    pairs = zip(tables.left[256:].tolist(), tables.right[256:].tolist(), strict=True)
    vocab = {token: int(id) for token, id in zip(spelled, tables.ids, strict=True)}
    model = {"type": "BPE", "vocab": vocab, "ignore_merges": True}
    model |= {"merges": [[spelled[a], spelled[b]] for a, b in pairs]}
    cut = {"type": "Split", "pattern": {"Regex": PATTERNS["llama3"]}, "behavior": "Isolated", "invert": False}
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    content = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None}
    content |= {"pre_tokenizer": {"type": "Sequence", "pretokenizers": [cut, level]}, "post_processor": None}
    path.write_bytes(orjson.dumps({**content, "decoder": level, "model": model}))


def ours(texts: list[str], out: Path) -> Call:
    """Arrow to Arrow with a memory that knows nothing yet; the tables are made beforehand."""
    tables = from_ranks(read_ranks(RANKS.read_bytes(), RANKS))
    array = pa.array(texts, pa.large_string())
    warm = len(texts) // 4
    rest = pa.array(texts[warm:], pa.large_string())
    BytePairs(tables, "cl100k").encode(array[:warm])
    tokenizer = open_tokenizer(RANKS)

    def call() -> dict[str, Any]:
        tokenizer.__dict__["_pairs"] = BytePairs(tables, "cl100k")
        tokenizer.encode(array[:warm])
        start = time.process_time()
        found = tokenizer.encode(rest)
        seconds = time.process_time() - start
        offsets, ids = list_buffers(found)
        sums = [zlib.crc32(ids[a:b].tobytes()) for a, b in pairwise(offsets.tolist())]
        np.array(sums, np.uint32).tofile(out)
        return {"cpu_s": seconds, "tokens": len(ids)}

    return call


def measured(kind: str, folder: Path) -> list[dict[str, Any]]:
    """Rows of one kind of text."""
    texts = documents(TEXTS[kind])
    source = folder / f"{TEXTS[kind].replace('/', '-')}.jsonl"
    source.write_bytes(b"".join(orjson.dumps({"text": text}) + b"\n" for text in texts))
    megabytes = sum(len(text.encode()) for text in texts[len(texts) // 4 :]) / 1e6
    outs = {who: folder / f"{who}.crc" for who in ("ours", *RIVALS)}
    calls: dict[str, Call] = {"ours": ours(texts, outs["ours"])}
    for who in RIVALS:
        calls[who] = driver("byte_bpe", who, RANKS, folder / "tokenizer.json", source, outs[who])
    answers = in_turns(calls, ROUNDS)
    sums = {who: np.fromfile(path, np.uint32) for who, path in outs.items()}
    unlike = {who: int(np.count_nonzero(found != sums["tiktoken"])) for who, found in sums.items()}
    speed = {who: megabytes / answer["cpu_s"] for who, answer in answers.items()}
    best = max(("tiktoken", "tiktoken, one by one"), key=lambda who: speed[who])
    bars = {best: BARS[kind], "tokenizers": 1, "fastokens": 1, "gigatoken": 1, "tokie": 1}
    rows = []
    for who, least in bars.items():
        more = {"unit": "MB/s", "documents": len(sums["ours"])}
        more |= {"documents_unlike_tiktoken": unlike["ours"], "theirs_unlike_tiktoken": unlike[who]}
        stretch = who == "fastokens" and kind.startswith("Japanese")
        bar = f">= {least}x" if who == best else "stretch: its speed" if stretch else "reported"
        row = compared(f"byte BPE cl100k, {kind}", bar, speed["ours"], who, speed[who], least, **more)
        rows.append(row if bar != "reported" else {**row, "met": None})
    named = [{"text": kind, "MB": round(megabytes, 2), **row} for row in facts(answers)]
    return rows + named


def main() -> None:
    """Measure, print and save."""
    need_peers()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        huggingface_file(folder / "tokenizer.json")
        found = [measured(kind, folder) for kind in TEXTS]
    rows = [row for each in found for row in each]
    save("byte_bpe", sorted(rows, key=lambda row: "bar" not in row), ["numpy", "numba", "pyarrow", "llvmlite"])


if __name__ == "__main__":
    main()
