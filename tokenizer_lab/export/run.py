"""Write token shards in another trainer's form, below ``export/FORM`` of their folder; whole or not at all."""

import importlib
import os
import shutil
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from jacorpus.errors import RecipeError, nearest
from jacorpus.shards import storage_errors
from jacorpus.store import write_json
from tokenizer_lab.kernels.gather import gather
from tokenizer_lab.tokens import Tokens, TokenShard

FORMS = ("megatron", "numpy", "huggingface")

CHUNK_TOKENS = 4 << 20
"""Tokens in memory at a time, about (one document is never cut)."""


def check_export(form: str, eos_id: int | None, append_eos: bool) -> None:
    """Raises RecipeError for a form that is not there, or an end-of-text token that is asked for and not known."""
    if form not in FORMS:
        raise RecipeError(f"--export {form}{nearest(form, FORMS)}")
    if append_eos and eos_id is None:
        raise RecipeError("--append-eos: the tokenizer has no known end-of-text token; name one of its specials: --eos")


def export(tokens: Tokens, form: str, append_eos: bool = False) -> dict[str, Any]:
    """Write all domains and splits; returns what was written, also as ``export.json`` beside it.

    append_eos: put the end-of-text token after each document. Raises RecipeError, see ``check_export``.
    """
    check_export(form, tokens.eos_id, append_eos)
    target = tokens.folder / "export" / form
    scratch = target.with_name(f".{form}.{uuid.uuid4().hex[:8]}")
    with storage_errors(tokens.folder):
        scratch.mkdir(parents=True)
        try:
            module = importlib.import_module(f"tokenizer_lab.export.{form}")
            eos_id = tokens.eos_id if append_eos else None
            about = {"form": form, "key": tokens.manifest["key"], "eos_id": eos_id}
            about |= module.write(tokens, scratch, eos_id)
            write_json(scratch / "export.json", about)
            shutil.rmtree(target, ignore_errors=True)
            os.replace(scratch, target)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    return about


def name_of(domain: str, split: str) -> Path:
    """Path of a domain's split, without an ending: ``ja/aozora-train``."""
    return Path(f"{domain}-{split}")


def chunks(shards: Sequence[TokenShard], eos_id: int | None) -> Iterator[tuple[pa.RecordBatch, np.ndarray, np.ndarray]]:
    """(rows of schema TOKENS, ids uint32 of all of them, int64 length of each) of some documents after another.

    With an eos_id it ends each document and counts in its length; else ``ids`` is not copied.
    """
    for shard in shards:
        offsets, first = shard.offsets, 0
        while first < shard.documents:
            last = int(np.searchsorted(offsets, offsets[first] + CHUNK_TOKENS, "right")) - 1
            last = min(shard.documents, max(first + 1, last))
            starts, lengths = offsets[first:last], np.diff(offsets[first : last + 1])
            if eos_id is None:
                ids = shard.ids[offsets[first] : offsets[last]]
            else:
                ids = np.full(offsets[last] - offsets[first] + last - first, eos_id, np.uint32)
                gather(shard.ids, starts, lengths, starts - starts[0] + np.arange(last - first), ids)
                lengths = lengths + 1
            yield shard.batch.slice(first, last - first), ids, lengths
            first = last
