"""Megatron's indexed dataset: DOMAIN-SPLIT.bin and .idx, one pair for each domain and split, to be blended by it.

.bin holds the ids of all documents, one after another: uint16 where V < 65,500, else int32. .idx (little endian):

    bytes 0-8    "MMIDIDX", two zeros
    uint64       1, the version
    uint8        code of the type of the ids: 8 uint16, 4 int32
    uint64       S sequences; here each document is one
    uint64       length of the last table, S + 1
    int32 [S]    ids of each sequence
    int64 [S]    byte in .bin at which each starts
    int64 [S+1]  first sequence of each document, and S

Source: NVIDIA/Megatron-LM, megatron/core/datasets/indexed_dataset.py at 00caa53 (_IndexWriter, DType.optimal_dtype).
Documents without ids are left out, as a sequence of length 0 has no token to train on; they are counted.
"""

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tokenizer_lab.export.run import chunks, name_of
from tokenizer_lab.tokens import Tokens, TokenShard

MAGIC = b"MMIDIDX\x00\x00"
VERSION = 1
WIDE_FROM = 65_500
CODES: dict[type, int] = {np.uint16: 8, np.int32: 4}


def write(tokens: Tokens, folder: Path, eos_id: int | None) -> dict[str, Any]:
    """A pair of files for each domain and split; returns the list of them."""
    kind = np.uint16 if tokens.vocab_size < WIDE_FROM else np.int32
    files = []
    for domain, split, shards in tokens.groups():
        name = name_of(domain, split)
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        lengths = _write_ids(folder / f"{name}.bin", shards, kind, eos_id)
        kept = lengths[lengths > 0]
        _write_index(folder / f"{name}.idx", kept, kind)
        left_out = len(lengths) - len(kept)
        counts = {"documents": len(kept), "empty_left_out": left_out, "tokens": int(kept.sum())}
        files.append({"prefix": str(name), "domain": domain, "split": split, "dtype": kind.__name__, **counts})
    return {"files": files}


def _write_ids(path: Path, shards: Sequence[TokenShard], kind: type, eos_id: int | None) -> np.ndarray:
    """The .bin; returns the ids of each document, 0 for an empty one even where an end-of-text token is asked for."""
    found = [np.zeros(0, np.int64)]
    with open(path, "wb") as stream:
        for _, ids, lengths in chunks(shards, eos_id):
            if eos_id is not None and (lengths == 1).any():
                alone = (np.cumsum(lengths) - 1)[lengths == 1]
                ids, lengths = np.delete(ids, alone), np.where(lengths == 1, 0, lengths)
            stream.write(np.ascontiguousarray(ids.astype(kind)).data)
            found.append(lengths)
    return np.concatenate(found)


def _write_index(path: Path, lengths: np.ndarray, kind: type) -> None:
    pointers = (np.cumsum(lengths) - lengths) * np.dtype(kind).itemsize
    with open(path, "wb") as stream:
        stream.write(MAGIC + struct.pack("<QB", VERSION, CODES[kind]))
        stream.write(struct.pack("<QQ", len(lengths), len(lengths) + 1))
        stream.write(lengths.astype("<i4").tobytes())
        stream.write(pointers.astype("<i8").tobytes())
        stream.write(np.arange(len(lengths) + 1, dtype="<i8").tobytes())
