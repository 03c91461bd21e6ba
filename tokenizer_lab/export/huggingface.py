"""A folder that ``datasets.load_from_disk`` opens: a DatasetDict with the splits train and valid.

Columns: ``id`` (hex), ``domain``, ``input_ids`` (int32 lists). Layout as ``Dataset.save_to_disk`` of the library
writes it (read in files that datasets 5.2.0 wrote): dataset_dict.json, and for each split state.json,
dataset_info.json and Arrow streams data-XXXXX-of-XXXXX.arrow, whose schema carries the features once more.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from jacorpus.store import write_json
from tokenizer_lab.encoding.shuffle import id_bytes
from tokenizer_lab.export.run import chunks
from tokenizer_lab.tokens import Tokens, TokenShard

BATCH_ROWS = 1000
"""Rows of a record batch, as the library writes them: it finds a row by bisecting over batches."""

FEATURES: dict[str, Any] = {
    "id": {"dtype": "string", "_type": "Value"},
    "domain": {"dtype": "string", "_type": "Value"},
    "input_ids": {"feature": {"dtype": "int32", "_type": "Value"}, "_type": "Sequence"},
}

SCHEMA = pa.schema(
    [("id", pa.string()), ("domain", pa.string()), ("input_ids", pa.list_(pa.int32()))],
    {"huggingface": json.dumps({"info": {"features": FEATURES}})},
)


def write(tokens: Tokens, folder: Path, eos_id: int | None) -> dict[str, Any]:
    """All domains together, by split; returns the counts of each."""
    splits = list(dict.fromkeys(split for _, split, _ in tokens.groups()))
    write_json(folder / "dataset_dict.json", {"splits": splits})
    counts = {}
    for split in splits:
        shards = [shard for shard in tokens.shards if shard.split == split]
        (folder / split).mkdir()
        names = [f"data-{i:05d}-of-{len(shards):05d}.arrow" for i in range(len(shards))]
        made = [_write_file(folder / split / n, [s], eos_id) for n, s in zip(names, shards, strict=True)]
        counts[split] = {"documents": sum(s.documents for s in shards), "tokens": sum(made)}
        state = {
            "_data_files": [{"filename": name} for name in names],
            "_fingerprint": tokens.manifest["key"][:16],
            "_format_columns": None,
            "_format_kwargs": {},
            "_format_type": None,
            "_output_all_columns": False,
            "_split": None,
        }
        write_json(folder / split / "state.json", state)
        info = {"citation": "", "description": "", "features": FEATURES, "homepage": "", "license": ""}
        write_json(folder / split / "dataset_info.json", info)
    return {"splits": counts}


def _write_file(path: Path, shards: Sequence[TokenShard], eos_id: int | None) -> int:
    """One Arrow stream; returns its tokens."""
    total = 0
    with pa.OSFile(str(path), "wb") as stream, pa.ipc.new_stream(stream, SCHEMA) as writer:
        for rows, ids, lengths in chunks(shards, eos_id):
            offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
            for first in range(0, len(lengths), BATCH_ROWS):
                last = min(first + BATCH_ROWS, len(lengths))
                values = pa.array(ids[offsets[first] : offsets[last]].view(np.int32))
                places = pa.array((offsets[first : last + 1] - offsets[first]).astype(np.int32))
                batch = rows.slice(first, last - first)
                names = pa.array([row.tobytes().hex() for row in id_bytes(batch["id"])], pa.string())
                columns = [names, batch["domain"].cast(pa.string()), pa.ListArray.from_arrays(places, values)]
                writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=SCHEMA))
            total += len(ids)
    return total
