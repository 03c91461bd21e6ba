"""Train a tokenizer on a corpus and write it in every form that can hold it.

The text is drawn over the whole corpus to the budget (tokenizer_lab.corpus.draw, split ``train`` alone), the chosen
trainer learns a vocabulary from it, the forms are written side by side, opened again and compared, and compression is
measured on documents of split ``valid``. What was done is in ``train.json``, the same bytes for the same input.

OUT/work keeps the drawn text, so that another vocabulary from the same corpus does not read it again.
"""

import os
import shutil
import uuid
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jacorpus.errors import InputError
from jacorpus.shards import storage_errors
from jacorpus.store import Store, write_json
from tokenizer_lab.corpus import Domain, Drawn
from tokenizer_lab.kernels.patterns import compiled
from tokenizer_lab.tokenizer import Kind, Tokenizer, list_buffers
from tokenizer_lab.training import bpe_model, unigram_model
from tokenizer_lab.training.bpe_model import BpeModel
from tokenizer_lab.training.drawn_text import HELD_OUT_BYTES, drawn_text
from tokenizer_lab.training.forms import EXPLAINED, compare_forms, open_forms
from tokenizer_lab.training.settings import Training
from tokenizer_lab.training.unigram_differences import unigram_differences
from tokenizer_lab.training.unigram_model import UnigramModel

Progress = Callable[[str, int, int], None]
"""Called with (what is done now, done, of how many; 0 where that is not known). Reading counts bytes."""

WRITTEN = (
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer.jsonl",
    "tokenizer.tiktoken",
    "tokenizer.tiktoken.json",
    "train.json",
)
"""All that a training may write, ``work`` aside."""

_COMPARED_BYTES = 2_000_000
_LIBRARIES = ("numpy", "numba", "pyarrow", "sentencepiece", "tokenizers")


def train(
    domains: Sequence[Domain], training: Training, out: Path, progress: Progress | None = None, force: bool = False
) -> dict[str, Any]:
    """Train, write to the folder ``out``, and return what train.json holds.

    Files appear whole, train.json last. Raises InputError where ``out`` holds a tokenizer and force is not set, where
    there is no text, or too little for the vocabulary; RecipeError where the settings contradict each other.
    """
    tell = progress or (lambda *_: None)
    _check(training)
    domains = sorted(domains, key=lambda domain: domain.name)
    there = [name for name in WRITTEN if (out / name).exists()]
    if there and not force:
        raise InputError(f"{out} holds {there[0]} already; --force trains anew, or choose another --out")
    store = Store(out / "work")
    with store.lock():
        store.clear_scratch()
        read = _counter("read the corpus", tell)
        key, drawn, lost = drawn_text(
            store, domains, training.budget_bytes, training.seed, training.weights, "train", read
        )
        assert drawn is not None
        read = _counter("read held-out text", tell)
        held_key, held, _ = drawn_text(store, domains, HELD_OUT_BYTES, training.seed, {}, "valid", read)
        store.keep_only({key, held_key})
        model = learn(drawn.texts, training, tell)
        with _scratch(out) as folder:
            tell("write", 0, 0)
            files, missing = _save(model, folder)
            forms = open_forms(files)
            tell("compare the forms", 0, 0)
            texts = _first(held.texts if held else drawn.texts, _COMPARED_BYTES)
            reasons = _reasons(model, forms, texts)
            differences = compare_forms(forms, texts, 0 if reasons else EXPLAINED)
            result = {
                **_described(model, training, forms, files),
                "not_written": missing,
                "differences": [difference.as_json() for difference in differences],
                "reasons": reasons,
                "corpus": _corpus(drawn, lost),
                "held_out": compression(next(iter(forms.values())), held) if held else None,
                "versions": {"jacorpus": _jacorpus_version(), **{name: version(name) for name in _LIBRARIES}},
            }
            _publish(folder, out)
        write_json(out / "train.json", result)
    return result


def learn(texts: pa.Array, training: Training, progress: Progress | None = None) -> UnigramModel | BpeModel:
    """The vocabulary of documents, large_string [N], by the trainer of the settings."""
    if training.trainer != "jacorpus":
        from tokenizer_lab.training import libraries

        if progress:
            progress(f"train with {training.trainer}", 0, 0)
        return libraries.train(texts, training)
    if training.algorithm == "unigram":
        from tokenizer_lab.training import unigram

        return unigram.train(texts, training, progress)
    from tokenizer_lab.training import bpe

    return bpe.train(texts, training, progress)


def compression(tokenizer: Tokenizer, held: Drawn) -> dict[str, Any]:
    """Bytes and characters a token over all documents and by domain: ratios of sums, no special tokens."""
    offsets, _ = list_buffers(tokenizer.encode(held.texts))
    tokens = np.diff(offsets)
    sizes = pc.binary_length(held.texts).to_numpy(zero_copy_only=False)
    characters = pc.utf8_length(held.texts).to_numpy(zero_copy_only=False)

    def row(chosen: np.ndarray) -> dict[str, Any]:
        t, b, c = (int(x[chosen].sum()) for x in (tokens, sizes, characters))
        ratios = {"bytes_per_token": round(b / t, 4), "chars_per_token": round(c / t, 4)} if t else {}
        return {"documents": int(chosen.sum()), "bytes": b, "characters": c, "tokens": t, **ratios}

    by_domain = {name: row(held.domain == i) for i, name in enumerate(held.names) if (held.domain == i).any()}
    return {**row(np.ones(len(tokens), bool)), "domains": by_domain}


def _check(training: Training) -> None:
    """What can be known to be wrong before a byte is read."""
    if training.trainer != "jacorpus":
        from tokenizer_lab.training import libraries

        libraries.check(training)
    if training.pattern != "none":
        compiled(training.pattern)
    (unigram_model if training.algorithm == "unigram" else bpe_model).room(training)


def _counter(what: str, tell: Progress) -> Callable[[int], None]:
    done = 0
    tell(what, 0, 0)

    def count(size: int) -> None:
        nonlocal done
        done += size
        tell(what, done, 0)

    return count


@contextmanager
def _scratch(out: Path):  # type: ignore[no-untyped-def]
    folder = out / "work" / "scratch" / f"forms-{uuid.uuid4().hex[:8]}"
    with storage_errors(out):
        folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _save(model: UnigramModel | BpeModel, folder: Path) -> tuple[dict[str, Path], dict[str, str]]:
    """(format -> file, format -> why there is none)."""
    if isinstance(model, UnigramModel):
        from tokenizer_lab.save.unigram import save_unigram

        return save_unigram(model, folder), {"tiktoken": "ranks say the order of merges; a Unigram model has none"}
    from tokenizer_lab.save.bpe import save_bpe

    return save_bpe(model, folder)


def _publish(folder: Path, out: Path) -> None:
    """Move the new files to their places and take away those of an earlier training."""
    with storage_errors(out):
        (out / "train.json").unlink(missing_ok=True)
        new = {path.name for path in folder.iterdir()}
        for name in WRITTEN:
            if name in new:
                os.replace(folder / name, out / name)
            else:
                (out / name).unlink(missing_ok=True)


def _reasons(model: UnigramModel | BpeModel, forms: dict[str, Tokenizer], texts: pa.Array) -> list[dict[str, Any]]:
    """Every difference of a Unigram model's forms by its reason: tie, drift of floats, unexplained."""
    if not isinstance(model, UnigramModel):
        return []
    return [report.as_json() for report in unigram_differences(forms, texts)]


def _first(texts: pa.Array, size: int) -> pa.Array:
    ends = np.cumsum(pc.binary_length(texts).to_numpy(zero_copy_only=False))
    return texts[: max(1, int(np.searchsorted(ends, size, "right")))]


def _described(
    model: UnigramModel | BpeModel, training: Training, forms: dict[str, Tokenizer], files: dict[str, Path]
) -> dict[str, Any]:
    kinds = model.kinds
    unused = int((kinds == Kind.UNUSED).sum())
    control = len(training.specials) + training.reserved
    ids = {"special": len(training.specials), "reserved": training.reserved, "bytes": bpe_model.BYTES}
    ids |= {"pieces": len(model) - control - bpe_model.BYTES - unused, "unused": unused}
    if isinstance(model, BpeModel):
        ids["merges"] = len(model.merges)
    written = {
        name: {"file": files[name].name, "fingerprint": form.fingerprint, "engine": form.engine}
        for name, form in forms.items()
    }
    options = {**asdict(training), "specials": list(training.specials)}
    return {"options": options, "vocab_size": len(model), "ids": ids, "forms": written}


def _corpus(drawn: Drawn, lost: dict[str, dict[str, int]]) -> dict[str, Any]:
    return {
        name: {
            "read_bytes": drawn.read_bytes[name],
            "taken_bytes": drawn.taken_bytes[name],
            "documents": drawn.documents[name],
            "lost": lost.get(name, {}),
        }
        for name in drawn.names
    }


def _jacorpus_version() -> str:
    import jacorpus

    return jacorpus.__version__
