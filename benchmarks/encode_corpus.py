"""Text to token shards, and what the shuffle and the writing cost beside encoding alone: ``python -m
benchmarks.encode_corpus``.

Text: half of the Aozora works and of the Japanese technical documents, documents drawn evenly. A quarter warms up, the
other three are measured, one process, one thread each. Two questions:

- how much longer than encoding does it take to encode, shuffle and write? From text shards (zstd), by parts: encode
  alone (texts in memory), read + encode, and the whole job. Bar: (job - read) / encode <= 1.3. ``byte`` is the floor
  no budget holds for: it writes four bytes for each it reads and does nothing else.
- how fast is it beside the usual ways (benchmarks/rivals/encode_corpus.py), from the same JSONL? The rivals read,
  encode and write; none of them shuffles, checks or holds documents of a validation split apart.
"""

import json
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import zstandard

from benchmarks.beside import Call, compared, driver, facts, in_turns, need_peers
from benchmarks.record import DATA, save
from jacorpus.engine.inline import Inline
from jacorpus.measure import document_id
from jacorpus.schema import SHARD
from jacorpus.shards import PartWriter
from tokenizer_lab.corpus import open_corpus
from tokenizer_lab.encode import EncodeOptions, EncodeRun
from tokenizer_lab.encoding.reading import Documents, Tally, parts_of
from tokenizer_lab.tokenizer import Tokenizer, open_tokenizer

FILES = ("ja/aozora.jsonl.zst", "ja/docs.jsonl.zst")
EVERY = 2
WARM = 4
FLOOR = "byte (floor)"
MODELS = {
    "unigram 50k (llm-jp v2.1)": DATA / "tokenizers/code10k_en20k_ja30k.ver2.1.model",
    "byte BPE 100k (cl100k)": DATA / "tokenizers/cl100k_base.tiktoken",
    FLOOR: "byte",
}
RIVALS = {
    "sentencepiece, Megatron's loop": ("sentencepiece", "code10k_en20k_ja30k.ver2.1.model", 0),
    "HF tokenizers, Megatron's loop": ("huggingface", "llm-jp.code10k_en20k_ja30k.ver2.1.tokenizer.json", 0),
    "HF datasets.map": ("datasets", "llm-jp.code10k_en20k_ja30k.ver2.1.tokenizer.json", 0),
    "tiktoken, Megatron's loop": ("tiktoken", "cl100k_base.tiktoken", 1),
}
"""Name -> (kind, tokenizer, which of MODELS does the same job)."""


def texts() -> list[str]:
    """Documents in the order of the files, every second one."""
    found = []
    for name in FILES:
        with zstandard.open(DATA / name, "rt", encoding="utf-8") as stream:
            found += [json.loads(line)["text"] for i, line in enumerate(stream) if i % EVERY == 0]
    return found


def write_jsonl(path: Path, documents: Sequence[str]) -> None:
    """One object a line."""
    path.write_text("".join(json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in documents), "utf-8")


def write_shards(folder: Path, documents: Sequence[str]) -> None:
    """Text shards as ``corpus run`` writes them, 0.5 % valid."""
    (folder / "shards").mkdir(parents=True)
    listed = []
    for split, part in (("train", [t for i, t in enumerate(documents) if i % 200]), ("valid", documents[::200])):
        path, rows = f"shards/ja-{split}-00000.arrow", len(part)
        ids = [document_id("ja", split, i) for i in range(rows)]
        made: dict[str, Any] = {"id": ids, "text": part, "domain": ["ja"] * rows, "split": [split] * rows}
        made |= {"cluster_size": [1] * rows, "weight": [1] * rows}
        columns = [pa.array(made.get(field.name, [None] * rows), field.type) for field in SHARD]
        with PartWriter(folder / path, SHARD) as writer:
            writer.write(pa.RecordBatch.from_arrays(columns, schema=SHARD))
        listed.append({"path": path, "domain": "ja"})
    (folder / "manifest.json").write_text(json.dumps({"shards": listed}))


def once(call: Callable[[], Any]) -> dict[str, Any]:
    """CPU and wall seconds of one call."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = call()
    return {"cpu_s": time.process_time() - cpu, "wall_s": time.perf_counter() - wall, "result": result}


def batches(source: str) -> list[Documents]:
    """All documents, as the encoder gets them."""
    return [one for part in parts_of(open_corpus([source])) for one in part.documents(Tally(), lambda _: None)]


class Ours:
    """The parts of our job. Each measurement has a tokenizer of its own, open and warmed up before the clock starts:
    what it remembers of the measured text would otherwise speed up the next one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.warm = batches(str(folder / "warm"))
        self.held = batches(str(folder / "rest"))

    def _warmed(self, tokenizer: Tokenizer) -> Tokenizer:
        for one in self.warm:
            tokenizer.encode(one.texts)
        return tokenizer

    def read(self) -> dict[str, Any]:
        """Text shards to Arrow batches."""
        return once(lambda: len(batches(str(self.folder / "rest"))))

    def encode(self, model: str | Path) -> dict[str, Any]:
        """Encode what is in memory; the tokens are dropped."""
        tokenizer = self._warmed(open_tokenizer(model))
        return once(lambda: sum(len(tokenizer.encode(one.texts).values) for one in self.held))

    def job(self, model: str | Path, source: str) -> dict[str, Any]:
        """The whole job into a fresh folder."""
        with tempfile.TemporaryDirectory(dir=self.folder) as out:
            run = EncodeRun(open_corpus([source]), model, Path(out) / "tokens", EncodeOptions(), Inline())
            self._warmed(run.tokenizer)
            measured = once(run.execute)
            return {**measured, "result": measured["result"].manifest["counts"]["tokens"]}

    def calls(self) -> dict[str, Call]:
        """By name."""
        found: dict[str, Call] = {"read": self.read}
        for name, model in MODELS.items():
            found[f"{name}: encode alone"] = partial(self.encode, model)
            found[f"{name}: whole job"] = partial(self.job, model, str(self.folder / "rest"))
            if name != FLOOR:
                found[f"{name}: whole job from JSONL"] = partial(self.job, model, f"ja={self.folder}/rest.jsonl")
        self.job("byte", str(self.folder / "warm"))  # compiles what is left, makes keys of the code
        return found


def main() -> None:
    """Measure, print and save."""
    need_peers()
    with tempfile.TemporaryDirectory() as name:
        folder, documents = Path(name), texts()
        quarters = {"warm": documents[::WARM], "rest": [t for i, t in enumerate(documents) if i % WARM]}
        for part, listed in quarters.items():
            write_jsonl(folder / f"{part}.jsonl", listed)
            write_shards(folder / part, listed)
        megabytes = sum(len(text.encode()) for text in quarters["rest"]) / 1e6
        calls = Ours(folder).calls()
        for rival, (kind, file, _) in RIVALS.items():
            paths = (DATA / "tokenizers" / file, folder / "rest.jsonl", folder / "warm.jsonl", folder)
            calls[rival] = driver("encode_corpus", kind, *paths)
        answers = in_turns(calls)
    save("encode_corpus", [*rows(answers, megabytes), *facts(answers)], ["numpy", "numba", "pyarrow"])


def rows(answers: dict[str, dict[str, Any]], megabytes: float) -> list[dict[str, Any]]:
    """The summary's rows."""
    made = []
    for name in MODELS:
        alone, whole, read = (answers[key]["cpu_s"] for key in (f"{name}: encode alone", f"{name}: whole job", "read"))
        what = f"encode + shuffle + write over encode alone, {name}"
        row = compared(what, "" if name == FLOOR else "<= 1.3", (whole - read) / alone)
        more = {"with_reading": round(whole / (alone + read), 2), "encode_mb_s": round(megabytes / alone, 1)}
        made.append({**row, "met": None if name == FLOOR else (whole - read) / alone <= 1.3, **more})
    for rival, (_, _, model) in RIVALS.items():
        name = list(MODELS)[model]
        mine, theirs = (megabytes / answers[key]["cpu_s"] for key in (f"{name}: whole job from JSONL", rival))
        made.append({**compared(f"JSONL to tokens on disk, {name}", "", mine, rival, theirs, unit="MB/s"), "met": None})
    return made


if __name__ == "__main__":
    main()
