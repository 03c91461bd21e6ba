"""Give a model the embeddings of a changed vocabulary, on its safetensors files.

Rows of tokens that both tokenizers have are copied bit for bit, each to its new id. The others are mixtures of old
rows by one of the methods in tokenizer_lab.embedding. Every other tensor goes through byte for byte, the files keep
their names and kind (bfloat16, float16, float32), and config.json gets the new vocab_size. Only the two sides of the
vocabulary are ever in memory.

How good it is, a model must say: bits per byte at once and after the same text, on new and old language (never loss
per token, for the tokens differ). ``Judge`` is what measures that; see benchmarks/extend.py for a small one.

Legend: V old ids, U new ids, R rows of the model (V or more), D columns.
"""

import importlib
import json
import pkgutil
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from jacorpus.errors import InputError, RecipeError, nearest
from jacorpus.shards import storage_errors
from tokenizer_lab import embedding
from tokenizer_lab.mixtures import Job, shared_tokens
from tokenizer_lab.tokenizer import Tokenizer
from tokenizer_lab.weights import INDEX, Tensor, copy_with, from_float32, shards, tensors, to_float32

INPUT_NAMES = (
    "embed_tokens.weight",
    "wte.weight",
    "word_embeddings.weight",
    "tok_embeddings.weight",
    "embed_in.weight",
)
OUTPUT_NAMES = ("lm_head.weight", "embed_out.weight", "output.weight")
"""How the names of the two sides end, over the published architectures."""
OUTPUT_BIASES = ("lm_head.bias",)
MOST_PADDING = 1024
_KEEP_OUT = ("tokenizer.json", "tokenizer.model", "tokenizer_config.json", "special_tokens_map.json", "vocab.json")

Judge = Callable[[Path, Tokenizer], dict[str, float]]
"""(model folder, its tokenizer) -> bits per byte on held-out text, by language. The caller has the model's code."""


def methods() -> list[str]:
    """Names of the ways to fill new rows."""
    return sorted(module.name for module in pkgutil.iter_modules(embedding.__path__))


@dataclass
class Side:
    """What became of one side. norms: mean length of the rows before, of copied and of new ones."""

    name: str
    dtype: str
    rows_before: int
    rows_after: int
    norm_before: float
    norm_copied: float
    norm_new: float


@dataclass
class Transferred:
    """What ``transfer`` did. copied, mixed, fallback, padding: rows by where they come from. bits_per_byte: what
    the judge said of the new model before any further learning, by language."""

    method: str
    files: list[Path]
    sides: list[Side]
    copied: int
    mixed: int
    fallback: int
    padding: int
    tied: bool
    notes: list[str] = field(default_factory=list)
    bits_per_byte: dict[str, float] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """For --json and transfer.json."""
        return {**vars(self), "files": [path.name for path in self.files], "sides": [vars(side) for side in self.sides]}


def find_sides(model: Path, names: Sequence[str] = ()) -> list[Tensor]:
    """The tensors whose rows are ids: input side first, then the output side where it has its own, then its bias.

    names: what they are called, where they are called something unknown. Raises InputError where none is found.
    """
    found = tensors(model)
    if names:
        for name in names:
            if name not in found:
                raise InputError(f"{model} has no tensor `{name}`{nearest(name, found)}")
        return [found[name] for name in names]
    sides = []
    for ends in (INPUT_NAMES, OUTPUT_NAMES, OUTPUT_BIASES):
        sides += [t for n, t in sorted(found.items()) if any(n == end or n.endswith("." + end) for end in ends)][:1]
    if not sides or not any(sides[0].name.endswith(end) for end in INPUT_NAMES):
        wide = sorted((t for t in found.values() if len(t.shape) == 2), key=lambda t: -t.shape[0])
        shown = ", ".join(f"{t.name} {list(t.shape)}" for t in wide[:8]) or "none"
        raise InputError(
            f"{model} has no tensor with a known name of an embedding ({', '.join(INPUT_NAMES)}); its tables are "
            f"{shown}. Name the input side, and the output side if it has its own: --tensor NAME --tensor NAME"
        )
    return sides


def padding_multiple(rows: int, vocab_size: int) -> int:
    """The largest power of two, up to MOST_PADDING, that a table of so many rows was padded to; 1 where it was not."""
    if rows == vocab_size:
        return 1
    fits = [m for m in (2**k for k in range(MOST_PADDING.bit_length())) if -(-vocab_size // m) * m == rows]
    return max(fits, default=1)


def transfer(
    model: Path,
    job: Job,
    method: str,
    out: Path,
    names: Sequence[str] = (),
    donor_model: Path | None = None,
    donor_names: Sequence[str] = (),
    multiple: int | None = None,
    new_files: Sequence[Path] = (),
    step: Callable[[str], None] | None = None,
    judge: Judge | None = None,
) -> Transferred:
    """Write the model of ``job.old`` for the vocabulary of ``job.new`` into ``out``.

    names, donor_names: of the sides, where unknown. multiple: rows are padded to one of it (None: as before).
    new_files: of the new tokenizer, copied beside the model; the old one's are left out. judge: asked about the result.
    Raises RecipeError for an unknown method, InputError where the model has fewer rows than the old tokenizer ids.
    """
    if method not in methods():
        raise RecipeError(f"no method is named `{method}`{nearest(method, methods())}")
    say = step or (lambda _: None)
    sides = find_sides(model, names)
    job = replace(job, source=shared_tokens(job.old, job.new))
    for side in sides:
        if side.shape[0] < job.old.vocab_size:
            raise InputError(
                f"{side.file}: {side.name} has {side.shape[0]:,} rows, and {job.old.name} has {job.old.vocab_size:,} "
                "ids; this tokenizer is not the one of this model"
            )
    say(method)
    donors = find_sides(donor_model, donor_names) if donor_model else []
    made = Transferred(method, [], [], int((job.source >= 0).sum()), 0, 0, 0, tied=len(sides) == 1)
    multiple = multiple or padding_multiple(sides[0].shape[0], job.old.vocab_size)
    rows = -(-job.new.vocab_size // multiple) * multiple
    changed = _filled(job, method, sides, donors, rows, made)
    say("write")
    with storage_errors(out):
        out.mkdir(parents=True, exist_ok=True)
        _write(model, out, changed, job.new.vocab_size, rows, made, new_files)
    if judge is not None:
        say("judge")
        made.bits_per_byte = judge(out, job.new)
    report = out / "transfer.json"
    made.files.append(report)
    report.write_text(json.dumps(made.as_json(), ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    return made


def _filled(
    job: Job, method: str, sides: list[Tensor], donors: list[Tensor], rows: int, made: Transferred
) -> dict[str, np.ndarray]:
    """The new table of each side, as stored; says in ``made`` where the rows come from."""
    initial = importlib.import_module(f"tokenizer_lab.embedding.{method}").initial
    changed, mix = {}, None
    for number, side in enumerate(sides):
        is_bias = len(side.shape) == 1
        if mix is None or (donors and not is_bias):
            donor = donors[min(number, len(donors) - 1)] if donors else None
            if donor is not None:
                job = replace(job, donor_rows=to_float32(donor.raw(), donor.dtype))
            mix = initial(job)
        changed[side.name] = _table(job, side, mix.of, rows, made)
    assert mix is not None
    made.fallback = int(mix.fallback.sum())
    made.mixed = len(mix.fallback) - made.fallback
    made.padding = rows - job.new.vocab_size
    made.notes += [note for note in mix.notes if note not in made.notes]
    reused = sides[0].shape[0] - job.old.vocab_size
    if reused:
        made.notes.append(f"{reused:,} rows behind the old tokenizer's ids held no token and were not carried over")
    return changed


def _table(
    job: Job, side: Tensor, mixed: Callable[[np.ndarray], np.ndarray], rows: int, made: Transferred
) -> np.ndarray:
    raw = side.raw()
    flat = raw.reshape(len(raw), -1)
    values = to_float32(flat, side.dtype)[: job.old.vocab_size]
    table = np.empty((rows, flat.shape[1]), flat.dtype)
    shared = np.flatnonzero(job.source >= 0)
    new = mixed(values)
    table[shared] = flat[job.source[shared]]
    table[job.wanted] = from_float32(new, side.dtype)
    # Rows that no id has: as the old ones were; the mean, which tells nothing, where there were none.
    spare = flat[job.old.vocab_size :]
    mean = from_float32(values.mean(axis=0, keepdims=True, dtype=np.float64).astype(np.float32), side.dtype)
    for row in range(job.new.vocab_size, rows):
        table[row] = spare[(row - job.new.vocab_size) % len(spare)] if len(spare) else mean[0]
    lengths = np.linalg.norm(values, axis=1)
    new_lengths = np.linalg.norm(new, axis=1)
    made.sides.append(
        Side(
            side.name,
            side.dtype,
            len(raw),
            rows,
            round(float(lengths.mean()), 6),
            round(float(lengths[job.source[shared]].mean()) if len(shared) else 0.0, 6),
            round(float(new_lengths.mean()) if len(new) else 0.0, 6),
        )
    )
    return table.reshape(rows, *raw.shape[1:])


def _write(
    model: Path,
    out: Path,
    changed: dict[str, np.ndarray],
    vocab_size: int,
    rows: int,
    made: Transferred,
    new_files: Sequence[Path],
) -> None:
    files = shards(model)
    folder = model if model.is_dir() else model.parent
    if out.resolve() == folder.resolve():
        raise RecipeError(f"--out {out} is the model itself; choose another folder")
    for file in files:
        copy_with(file, out / file.name, changed)
        made.files.append(out / file.name)
    if model.is_dir():
        for other in sorted(folder.iterdir()):
            plain = other.is_file() and other.suffix in (".json", ".txt", ".md", ".jinja", ".py")
            if plain and other.name not in _KEEP_OUT and not other.name.startswith("merges"):
                shutil.copyfile(other, out / other.name)
                made.files.append(out / other.name)
        _edit(out / "config.json", lambda config: _with_size(config, rows))
        total = sum(t.end - t.start for t in tensors(out).values()) if (folder / INDEX).is_file() else 0
        _edit(out / INDEX, lambda index: {**index, "metadata": {**index.get("metadata", {}), "total_size": total}})
    for file in new_files:
        shutil.copyfile(file, out / file.name)
        made.files.append(out / file.name)
    made.notes.append(f"vocab_size is {rows:,} rows for {vocab_size:,} ids")


def _edit(path: Path, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    if path.is_file():
        content = change(json.loads(path.read_text("utf-8")))
        path.write_text(json.dumps(content, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


def _with_size(config: dict[str, Any], rows: int) -> dict[str, Any]:
    """config.json with vocab_size set, in a nested text_config too."""
    changed = {**config, "vocab_size": rows}
    if isinstance(config.get("text_config"), dict):
        changed["text_config"] = {**config["text_config"], "vocab_size": rows}
    return changed
