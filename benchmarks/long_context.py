"""Long context by continued pre-training, at toy scale: ``python -m benchmarks.long_context``.

A [mamba, window] * 2 model learns from documents of 64 ids, twice its window of 32. Then it goes on from
these weights with documents of 512 ids, in two ways with the same tokens in the same order:

    full      full_attention = true, rope_base 1e6: what the recipe in docs/long-context.md does
    windows   as it was: the control

Documents hold pairs of a key and a value and, again and again, questions for a value named before; filler in between.
Retrieval is measured on fresh documents of trainer.evaluate.needle with one question at the end, by how far back its
pair lies. ``before`` is the first model, ``switched`` its weights with full attention and no training. Two seeds.
"""

import json
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from benchmarks.record import save
from jacorpus.schema import ID
from tokenizer_lab.tokens import FORMAT, KIND, write_tokens
from trainer.continued import changed
from trainer.evaluate.needle import KEY, QUERY, VALUE, Alphabet, needle_documents
from trainer.model import Model
from trainer.opened import open_model
from trainer.pretrain import Pretraining

ALPHABET = Alphabet(64, keys=16, values=16, pairs=8)
EOS = 63
FILLER = range(35, EOS)
LONG = {"full_attention": True, "rope_base": 1e6}
MODEL = {"layers": ["mamba", "window"] * 2, "d_model": 64, "d_ff": 128, "head_dim": 32, "d_state": 4, "dt_rank": 16}
TRAIN = {
    **{"batch_tokens": 1024, "lr": 3e-3, "optimizer": "muon", "warmup": 0.05, "precision": "fp32", "keep": 1},
    **{"checkpoint_every": 10_000, "tensorboard": False, "threads": 1, "eval_tokens": 0},
}


@dataclass(frozen=True)
class Sizes:
    """Of the check. short, long: ids of a document; tokens: of each of the two trainings."""

    window: int = 32
    short: int = 64
    long: int = 512
    short_tokens: int = 600_000
    long_tokens: int = 200_000
    distances: tuple[int, ...] = (16, 32, 48, 64, 96, 128, 192, 256, 384, 500)
    asked: int = 128


def document(length: int, random: np.random.Generator) -> list[int]:
    """Pairs, each named once, questions for those named so far, filler; about half of the ids belong to questions."""
    pairs = random.integers(1, ALPHABET.pairs + 1)
    keys = random.permutation(ALPHABET.keys)[:pairs] + 3
    values = random.integers(0, ALPHABET.values, pairs) + 3 + ALPHABET.keys
    begins = np.sort(random.random(pairs) ** 2) * 0.8 * length  # early ones are many: long ways back
    ids: list[int] = []
    named = 0
    while True:
        if named < len(keys) and len(ids) >= begins[named]:
            piece = [KEY, keys[named], VALUE, values[named]]
            named += 1
        elif named and random.random() < 0.5:
            chosen = random.integers(named)
            piece = [QUERY, keys[chosen], values[chosen]]
        else:
            piece = random.integers(FILLER.start, FILLER.stop, random.integers(1, 5)).tolist()
        if len(ids) + len(piece) > length:
            return [*ids, *random.integers(FILLER.start, FILLER.stop, length - len(ids))]
        ids += piece


def token_folder(folder: Path, length: int, tokens: int, seed: int) -> Path:
    """Token shards of such documents, as an encoder would leave them."""
    random = np.random.default_rng([seed, length])
    documents = [document(length, random) for _ in range(tokens // (length + 1) + 1)]
    path, count = folder / "shards/needles-train-00000.arrow", len(documents)
    (folder / "tokenizer").mkdir(parents=True)  # an empty one: ids stand for nothing
    path.parent.mkdir()
    columns = {
        "id": pa.Array.from_buffers(ID, count, [None, pa.py_buffer(random.bytes(16 * count))]),
        "weight": pa.array(np.ones(count, np.int8)),
        "text_bytes": pa.array(np.full(count, length)),
        "tokens": pa.LargeListArray.from_arrays(np.arange(count + 1) * length, pa.array(np.uint32(documents).ravel())),
    }
    written = write_tokens(path, "needles", "train", columns)
    counts = {"documents": count, "tokens": count * length, "text_bytes": count * length}
    entry = {"path": f"shards/{path.name}", "domain": "needles", "split": "train", "ranks": ["00", "ff"]}
    tokenizer = {"name": "needles", "path": "tokenizer/none", "vocab_size": ALPHABET.vocab_size, "eos_id": EOS}
    tokenizer |= {"fingerprint": "needles", "pattern": None, "specials_given": []}
    manifest = {"kind": KIND, "format": FORMAT, "key": f"needles {length} {tokens} {seed}", "tokenizer": tokenizer}
    manifest |= {"domains": {"needles": {"train": counts}}, "shards": [{**entry, **counts, **written}]}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


class Silent:
    def update(self, row: dict[str, Any]) -> None: ...

    def say(self, line: str) -> None: ...


def trained(out: Path, shards: Path, model: dict[str, Any], seed: int, **train: Any) -> Path:
    """A recipe's run."""
    Pretraining({"model": model, "train": {**TRAIN, **train, "seed": seed}}, shards, out).run(Silent())
    return out


@torch.no_grad()
def accuracy(model: Model, length: int, distance: int, count: int) -> float:
    """Share of answers that are right where the pair asked for lies so many ids before the question."""
    depth = max(0.0, 1 - distance / length)
    documents = torch.from_numpy(needle_documents(ALPHABET, length, count, depth, seed=987))
    hits = 0
    for some in documents.split(max(1, 16_384 // length)):
        hits += int((model.logits(model(some[:, :-1])[:, -1]).argmax(-1) == some[:, -1]).sum())
    return hits / count


def curve(model: Model, sizes: Sizes) -> dict[str, float]:
    """Accuracy by distance; documents are as long as the distance needs, at least the short ones' length."""
    return {str(d): accuracy(model, max(sizes.short, d + 12), d, sizes.asked) for d in sizes.distances}


def switched(path: Path) -> Model:
    """The weights of a run with full attention, untrained."""
    opened = open_model(path)
    config = replace(opened.config, layers=tuple(changed(layer, LONG) for layer in opened.config.layers))
    model = Model(config)
    model.load_state_dict(opened.model.state_dict())
    return model


def once(folder: Path, sizes: Sizes, seed: int) -> dict[str, Any]:
    """All four curves of a seed."""
    began = time.process_time()
    short = token_folder(folder / "short", sizes.short, sizes.short_tokens, seed)
    long = token_folder(folder / "long", sizes.long, sizes.long_tokens, seed)
    model = {**MODEL, "window": sizes.window}
    base = trained(folder / "base", short, model, seed, tokens=sizes.short_tokens, seq_len=4 * sizes.short)
    later = {"tokens": sizes.long_tokens, "seq_len": 2 * sizes.long, "lr": 1e-3, "muon_lr": 0.007}
    full = trained(folder / "full", long, {"init": str(base), **LONG}, seed, **later)
    windows = trained(folder / "windows", long, {"init": str(base)}, seed, **later)
    models = {"before": open_model(base).model, "switched": switched(base)}
    models |= {"full": open_model(full).model, "windows": open_model(windows).model}
    curves = {name: curve(each, sizes) for name, each in models.items()}
    return {"seed": seed, "cpu_s": round(time.process_time() - began, 1), "accuracy": curves}


def main(sizes: Sizes, seeds: tuple[int, ...]) -> None:
    runs = []
    for seed in seeds:
        with tempfile.TemporaryDirectory() as scratch:
            runs.append(once(Path(scratch), sizes, seed))
        print(json.dumps(runs[-1]), flush=True)
    names = list(runs[0]["accuracy"])
    mean = {
        name: {str(d): statistics.fmean(run["accuracy"][name][str(d)] for run in runs) for d in sizes.distances}
        for name in names
    }
    facts = {"window": sizes.window, "short": sizes.short, "long": sizes.long, "chance": 1 / ALPHABET.values}
    tokens = {"short_tokens": sizes.short_tokens, "long_tokens": sizes.long_tokens, "asked": sizes.asked}
    row = {**facts, **tokens, "model": MODEL, "continued_with": LONG, "accuracy": mean, "runs": runs}
    print(save("long_context", [row], ["torch"]))


if __name__ == "__main__":
    main(Sizes(), tuple(map(int, sys.argv[1:])) or (1, 2))
