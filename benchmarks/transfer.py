"""Ways to fill the rows of new tokens, judged by bits per byte: python -m benchmarks.transfer

A small model (benchmarks.log_bilinear) learns mostly English and some Japanese with a small byte-level vocabulary,
which is then extended with Japanese. Its embeddings are carried over by each method, through safetensors files, as
users would; then it goes on learning, the same text for all. Bits per byte on held-out text of both languages at once
(step 0) and afterwards. ``random``: rows with the mean and spread of the old ones. ``base``: the old tokenizer and
model, going on with the same text. The donor of ``omp`` learned the same first text with the extended tokenizer: a
kinder donor than users will find.
"""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks.log_bilinear import NAMES, Model, bits_per_byte, fresh, load, train, windows
from benchmarks.record import DATA, ROOT, save
from tokenizer_lab.corpus import Domain, draw, open_corpus
from tokenizer_lab.extend import extend
from tokenizer_lab.extension.options import Extending
from tokenizer_lab.kernels.patterns import PATTERNS
from tokenizer_lab.mixtures import Job
from tokenizer_lab.tokenizer import Tokenizer, open_tokenizer
from tokenizer_lab.transfer import methods, transfer

OLD_IDS, NEW_IDS = 3_000, 4_500
FIRST_BYTES, SECOND_BYTES, HELD_BYTES, VECTOR_BYTES = 4_000_000, 1_000_000, 150_000, 12_000_000
JAPANESE = {"novels": 0.5, "manuals": 0.5}
MOSTLY_ENGLISH = {"docs": 0.4, "prose": 0.4, "novels": 0.1, "manuals": 0.1}
AFTERWARDS = {"docs": 0.15, "prose": 0.15, "novels": 0.35, "manuals": 0.35}


def _texts(domains: list[Domain], weights: dict[str, float], size: int, seed: int, split: str) -> pa.LargeStringArray:
    chosen = [domain for domain in domains if domain.name in weights]
    return draw(chosen, size, seed, weights, split).texts


def _base(path: Path, texts: pa.LargeStringArray) -> Path:
    """A byte-level tokenizer.json of OLD_IDS, trained by the library on the model's own first text."""
    import tokenizers
    from tokenizers import decoders, models, pre_tokenizers, trainers

    tokenizer = tokenizers.Tokenizer(models.BPE())
    cut = pre_tokenizers.Split(tokenizers.Regex(PATTERNS["llama3"]), "isolated")
    level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([cut, level])
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=OLD_IDS, special_tokens=["<|endoftext|>"], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(texts.to_pylist(), trainer)
    tokenizer.save(str(path))
    return path


class Judge:
    """One seed: the models, the texts and the figures."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder, self.seed = folder, seed
        names = {"docs": "en/docs", "prose": "en/prose", "novels": "ja/aozora", "manuals": "ja/docs"}
        self.domains = open_corpus([f"{name}={DATA / f'{path}.jsonl.zst'}" for name, path in names.items()])
        self.first = _texts(self.domains, MOSTLY_ENGLISH, FIRST_BYTES, seed, "train")
        self.second = _texts(self.domains, AFTERWARDS, SECOND_BYTES, seed + 100, "train")
        self.held = {
            "japanese": _texts(self.domains, JAPANESE, HELD_BYTES, 0, "valid"),
            "english": _texts(self.domains, {"docs": 0.5, "prose": 0.5}, HELD_BYTES, 0, "valid"),
        }
        self.rows: list[dict[str, Any]] = []

    def _domains(self, *names: str) -> list[Domain]:
        return [domain for domain in self.domains if domain.name in names]

    def judge(self, name: str, model: Model, tokenizer: Tokenizer, **more: Any) -> None:
        """Bits per byte at once and after the second text."""
        row: dict[str, Any] = {"method": name, "seed": self.seed}
        row |= {f"{language}_0": bits_per_byte(model, tokenizer, t) for language, t in self.held.items()}
        started = time.process_time()
        train(model, *windows(tokenizer, self.second), seed=self.seed)
        row |= {f"{language}_after": bits_per_byte(model, tokenizer, t) for language, t in self.held.items()}
        row |= {"cpu_s": round(time.process_time() - started, 1), **more}
        self.rows.append({key: round(value, 4) if isinstance(value, float) else value for key, value in row.items()})
        print(json.dumps(self.rows[-1]), file=sys.stderr, flush=True)

    def run(self) -> list[dict[str, Any]]:
        """All methods of one seed."""
        base_file = _base(self.folder / "base.json", self.first)
        options = Extending(NEW_IDS, budget_bytes=VECTOR_BYTES, weights=JAPANESE)
        made = extend(base_file, self._domains("novels", "manuals"), self.folder / "extended", options)
        old, new = made.base, open_tokenizer(made.files[0])
        model = train(fresh(OLD_IDS, self.seed), *windows(old, self.first), seed=self.seed).save(self.folder / "model")
        donor = train(fresh(NEW_IDS, self.seed + 1), *windows(new, self.first), seed=self.seed + 1)
        donor_folder = donor.save(self.folder / "donor")
        self.judge("base (not extended)", load(model), old)
        self.judge("random", _random(load(model), new.vocab_size, self.seed), new)
        pairs = [line.split("\t") for line in (ROOT / "benchmarks" / "dictionary_en_ja.tsv").read_text().splitlines()]
        job = Job(
            old,
            new,
            np.zeros(0, np.int64),
            corpus=self.domains,
            old_corpus=self._domains("docs", "prose"),
            dictionary=[(pair[0], pair[1]) for pair in pairs],
            donor=new,
            budget_bytes=VECTOR_BYTES,
            neighbors=10,
        )
        for method in methods():
            out = self.folder / method
            answer = transfer(model, job, method, out, NAMES[:3], donor_folder, NAMES[:2])
            norms = {"norm_old": answer.sides[0].norm_before, "norm_new": answer.sides[0].norm_new}
            self.judge(method, load(out), new, fallback=answer.fallback, mixed=answer.mixed, **norms)
        return self.rows


def _random(model: Model, rows: int, seed: int) -> Model:
    """New rows drawn with the mean and the spread of the old ones, column by column."""
    rng = np.random.default_rng(seed)

    def longer(table: np.ndarray) -> np.ndarray:
        new = rng.normal(table.mean(axis=0), table.std(axis=0), (rows - len(table), *table.shape[1:]))
        return np.concatenate([table, new.astype(np.float32)])

    return Model(longer(model.e_in), longer(model.e_out), longer(model.bias), model.mix)


def summary(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Mean and spread (largest - smallest) over seeds, by method."""
    found = []
    keys = [f"{language}_{when}" for when in ("0", "after") for language in ("japanese", "english")]
    for name in dict.fromkeys(row["method"] for row in rows):
        each = [row for row in rows if row["method"] == name]
        line: dict[str, Any] = {"who": name, "seeds": len(each)}
        for key in keys:
            values = [row[key] for row in each]
            line |= {key: round(sum(values) / len(values), 4), f"{key}_spread": round(max(values) - min(values), 4)}
        found.append(line)
    return found


def main(seeds: int, write: Callable[[str], None] = print) -> None:
    """Run and save."""
    rows: list[dict[str, Any]] = []
    for seed in range(seeds):
        with tempfile.TemporaryDirectory() as folder:
            rows += Judge(Path(folder), seed).run()
        path = save("transfer", summary(rows) + rows, ("numpy", "tokenizers"))
        write(f"seed {seed}: {path}")
    for line in summary(rows):
        write(json.dumps(line))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    main(parser.parse_args().seeds)
