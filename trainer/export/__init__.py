"""Export: a model in the formats of others. ``export`` writes a folder (or a .gguf file) whole or not at all.

``guard`` says what each target can't hold, ``names`` what tensors are called; ``hf`` and ``gguf`` write files.
gguf and safetensors are imported only while a file is written.
"""

import os
import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from jacorpus.errors import InputError, RecipeError, nearest
from trainer.export.guard import enforce, family_of, unified
from trainer.model import Model

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def export(
    model: Model,
    out: str | Path,
    target: str = "hf",
    *,
    tokenizer: str | Path | None = None,
    eos_id: int | None = None,
    bos_id: int | None = None,
    pad_id: int | None = None,
    context_length: int = 4096,
    dtype: str = "bf16",
    allow: set[str] | frozenset[str] = frozenset(),
    chat: Mapping[str, Any] | None = None,
    force: bool = False,
) -> dict[str, Any]:
    """Write a model for a target: ``hf``, ``vllm``, ``mlx`` (folders) or ``gguf`` (a folder with model.gguf, or a file
    where ``out`` ends in .gguf). Returns what was written, for people and JSON.

    tokenizer: a tokenizer's file or folder, put into the export so that it gives the same ids; None leaves it out.
    eos_id, bos_id, pad_id: ids of special tokens; those left out are taken from the tokenizer. context_length: tokens,
    the longest text the export declares itself good for. dtype: fp32, bf16 or fp16. allow: names of refusals to
    overrule. chat: what a run's config.json says of its chat template (hf.write_chat); folders hold it. force: replace
    what lies at ``out``.

    Raises CheckError where the target would compute something else, RecipeError for unknown words, InputError where
    ``out`` is taken or the tokenizer can't be held, StorageError where nothing can be written.
    """
    from jacorpus.shards import storage_errors
    from trainer.export.hf import write_chat

    out = Path(out)
    if dtype not in DTYPES:
        raise RecipeError(f"dtype `{dtype}` is unknown{nearest(dtype, DTYPES)}")
    allowed = enforce(model.config, target, context_length, set(allow))
    if context_length < 1:
        raise RecipeError(f"context_length must be a number over 0, got {context_length}")
    _check_place(out, force)
    family = family_of(model.config, target)
    config = model.config if target == "hf" else unified(model.config)
    ids = {"bos": bos_id, "eos": eos_id, "pad": pad_id}
    temporary = out.with_name(f".{out.name}.{uuid.uuid4().hex[:8]}")
    with storage_errors(out.parent):
        try:
            temporary.mkdir(parents=True)
            write = _gguf if target == "gguf" else _folder
            notes = write(model, config, family, target, temporary, tokenizer, ids, context_length, dtype)
            if chat is not None and target != "gguf":
                write_chat(temporary, chat)
            single = target == "gguf" and out.suffix == ".gguf"
            _put(temporary / "model.gguf" if single else temporary, out)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    facts = {"target": target, "family": family, "parameters": config.parameters(), "context_length": context_length}
    return {**facts, "dtype": dtype, "allowed": allowed, "notes": notes, **_written(out)}


def _written(out: Path) -> dict[str, Any]:
    """Where it lies, and how large its files are."""
    files = {out.name: out} if out.is_file() else {path.name: path for path in sorted(out.iterdir())}
    return {"out": str(out), "files": {name: path.stat().st_size for name, path in files.items()}}


def _folder(
    model: Model, config: Any, family: str, target: str, folder: Path, tokenizer: Any, ids: Any, length: int, dtype: str
) -> list[str]:
    from trainer.export.hf import config_json, write_folder
    from trainer.export.tokenizer import write_tokenizer

    notes = []
    if tokenizer is None:
        notes.append("no tokenizer was given: the folder holds none")
    else:
        ids, notes = write_tokenizer(Path(tokenizer), folder, config.vocab_size, ids)
    if target == "mlx" and config.has_mamba:
        notes.append("mlx-lm keeps each time step of a Mamba layer over 0.001, below which training went on")
    if target == "vllm":
        notes.append("written from a reading of vLLM's code; not run in vLLM")
    table = config_json(config, family, target, length, DTYPES[dtype], ids)
    write_folder(model, config, family, target, folder, DTYPES[dtype], table)
    return notes


def _gguf(
    model: Model, config: Any, family: str, target: str, folder: Path, tokenizer: Any, ids: Any, length: int, dtype: str
) -> list[str]:
    from trainer.export.gguf import write_gguf
    from trainer.export.tokenizer import plamo2_vocabulary

    notes, vocabulary = [], None
    if tokenizer is None:
        notes.append("no tokenizer was given: the file holds none, and programs can only pass it ids")
    else:
        vocabulary = plamo2_vocabulary(Path(tokenizer), config.vocab_size, ids)
    write_gguf(model, config, family, folder / "model.gguf", DTYPES[dtype], length, vocabulary, ids)
    return notes


def _check_place(out: Path, force: bool) -> None:
    """Raise InputError where something lies at ``out`` that may not be replaced: with force, all but an export."""
    if not out.exists():
        return
    if not force:
        raise InputError(f"{out} exists already; name another place or give --force to replace it")
    inside = {path.name: path.is_file() for path in out.iterdir()} if out.is_dir() else {}
    weights = inside.keys() & {"model.gguf", "model.safetensors", "model.safetensors.index.json"}
    export_folder = weights and all(inside.values()) and "log.jsonl" not in inside
    if not (export_folder if inside else out.is_dir() or out.suffix == ".gguf"):
        raise InputError(f"{out} is no export, so --force removes nothing there; name another place")


def _put(source: Path, out: Path) -> None:
    """Move into place; what was there goes once the new lies ready."""
    old = out.with_name(f".{out.name}.{uuid.uuid4().hex[:8]}")
    if out.exists():
        os.rename(out, old)
    os.rename(source, out)
    shutil.rmtree(old, ignore_errors=True) if old.is_dir() else old.unlink(missing_ok=True)
