"""Plain arrays for ``numpy.memmap``: DOMAIN-SPLIT.bin, .offsets.bin and .json, for each domain and split.

.bin: ids of all documents, uint16 where V <= 65,536, else uint32. .offsets.bin: int64 [N+1], document d has the ids
[offsets[d], offsets[d + 1]). .json: dtype, counts and the tokenizer's fingerprint. All little endian.
"""

from pathlib import Path
from typing import Any

import numpy as np

from jacorpus.store import write_json
from tokenizer_lab.export.run import chunks, name_of
from tokenizer_lab.tokens import Tokens

NARROW_TO = 1 << 16


def write(tokens: Tokens, folder: Path, eos_id: int | None) -> dict[str, Any]:
    """Three files for each domain and split; returns the list of them."""
    kind = "<u2" if tokens.vocab_size <= NARROW_TO else "<u4"
    files: list[dict[str, Any]] = []
    for domain, split, shards in tokens.groups():
        name = name_of(domain, split)
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        total, documents = 0, 0
        with open(folder / f"{name}.bin", "wb") as stream, open(folder / f"{name}.offsets.bin", "wb") as places:
            places.write(np.zeros(1, "<i8").tobytes())
            for _, ids, lengths in chunks(shards, eos_id):
                stream.write(np.ascontiguousarray(ids.astype(kind)).data)
                places.write((total + np.cumsum(lengths)).astype("<i8").tobytes())
                total += len(ids)
                documents += len(lengths)
        entry: dict[str, Any] = {"path": f"{name}.bin", "domain": domain, "split": split, "dtype": np.dtype(kind).name}
        entry |= {"documents": documents, "tokens": total}
        tokenizer = {key: tokens.manifest["tokenizer"][key] for key in ("name", "fingerprint", "vocab_size")}
        write_json(folder / f"{name}.json", {**entry, "eos_id": eos_id, "tokenizer": tokenizer})
        files.append(entry)
    return {"files": files}
