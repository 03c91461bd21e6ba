"""Training BPE, 32,000 ids, on Japanese novels: ``python -m benchmarks.train_bpe``.

Everybody learns byte-level merges from the same documents with the pattern of cl100k, each in a process of its own
with one thread: CPU seconds of the training with its reading (numba warmed up on other text), and the most memory the
process ever held. Compression is measured on novels that were not trained on, all vocabularies read by tokenizers.
sentencepiece's BPE is over characters: for its speed only. Also what pattern and whole characters cost or give.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from benchmarks.beside import Call, compared, driver, facts, in_turns, need_peers
from benchmarks.record import DATA, ROOT, save
from tokenizer_lab.kernels.patterns import PATTERNS
from tokenizer_lab.training.settings import Training

VOCABULARY = 32_000
HELD_MB, LARGE_MB, SMALL_MB = 5, 50, 10
PATTERN = "cl100k"
UNCUT = 1 << 20
SAME = Training(
    algorithm="byte-bpe",
    vocab_size=VOCABULARY,
    pattern=PATTERN,
    specials=(),
    whole_characters=False,
    max_piece_chars=UNCUT,
)
"""What the others do as well: no special tokens, no longest piece, merges across the bytes of characters."""

KINDS = {
    "cl100k": SAME,
    "cl100k, whole characters": replace(SAME, whole_characters=True),
    "ja": replace(SAME, pattern="ja"),
    "ja, whole characters": replace(SAME, pattern="ja", whole_characters=True),
    "ja-okurigana, whole characters": replace(SAME, pattern="ja-okurigana", whole_characters=True),
    "none": replace(SAME, pattern="none"),
    "none, whole characters": replace(SAME, pattern="none", whole_characters=True),
}


def novels(folder: Path) -> dict[str, Path]:
    """JSONL files: held out, large and small, of one draw of all novels."""
    from tokenizer_lab.corpus import draw, open_corpus

    drawn = draw(open_corpus([str(DATA / "ja" / "aozora.jsonl.zst")]), (HELD_MB + LARGE_MB) * 1_000_000, split=None)
    sizes = pc.binary_length(drawn.texts).to_pylist()
    files: dict[str, Path] = {name: folder / f"{name}.jsonl" for name in ("held", "large", "small")}
    with open(files["held"], "wb") as held, open(files["large"], "wb") as large, open(files["small"], "wb") as small:
        read = 0
        for text, size in zip(drawn.texts.to_pylist(), sizes, strict=True):
            line = orjson.dumps({"text": text}) + b"\n"
            if read < HELD_MB * 1_000_000:
                held.write(line)
            else:
                large.write(line)
                if read < (HELD_MB + SMALL_MB) * 1_000_000:
                    small.write(line)
            read += size
    return files


def texts_of(path: Path) -> Iterator[str]:
    """Texts of a JSONL file, one at a time."""
    with open(path, "rb") as file:
        for line in file:
            yield orjson.loads(line)["text"]


def batches_of(path: Path, rows: int = 64) -> Iterator[list[str]]:
    """The same in lists."""
    batch: list[str] = []
    for text in texts_of(path):
        batch.append(text)
        if len(batch) == rows:
            yield batch
            batch = []
    yield batch


def ours(source: Path, out: Path, kind: str) -> None:
    from tokenizer_lab.save.bpe_json import save_json
    from tokenizer_lab.training.bpe import train

    texts = pa.concat_arrays(pa.array(batch, pa.large_string()) for batch in batches_of(source))
    save_json(train(texts, KINDS[kind]), out)


def huggingface(source: Path, out: Path, _: str) -> None:
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers

    from tokenizer_lab.save.bpe_json import expression

    tokenizer = Tokenizer(models.BPE())
    cut = pre_tokenizers.Split(Regex(expression(PATTERN)), "isolated")
    level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([cut, level])
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, min_frequency=2, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(batches_of(source), trainer)
    tokenizer.save(str(out))


def sentencepiece(source: Path, out: Path, _: str) -> None:
    import sentencepiece as library

    library.SentencePieceTrainer.train(
        sentence_iterator=(line for text in texts_of(source) for line in text.split("\n")),
        model_prefix=str(out),
        model_type="bpe",
        vocab_size=VOCABULARY,
        character_coverage=0.9995,
        byte_fallback=True,
        max_sentence_length=200_000,
        num_threads=1,
        minloglevel=2,
    )


TRAINERS = {"ours": ours, "huggingface": huggingface, "sentencepiece": sentencepiece}


def alone(who: str, source: str, out: str, kind: str) -> None:
    """In its own process: warm up, train, say what it took."""
    with tempfile.TemporaryDirectory() as name:
        warm = Path(name) / "warm.jsonl"
        words = ["".join(chr(0x3042 + i * k % 80) for i in range(2000)) for k in range(1, 60)]
        warm.write_bytes(b"".join(orjson.dumps({"text": word}) + b"\n" for word in words * 2))
        if who == "ours":
            from tokenizer_lab.training.bpe import train

            small = replace(KINDS[kind], vocab_size=500, coverage=0.5)
            train(pa.array(list(texts_of(warm)), pa.large_string()), small)
    start, wall = time.process_time(), time.perf_counter()
    TRAINERS[who](Path(source), Path(out), kind)
    seconds, wall = time.process_time() - start, time.perf_counter() - wall
    print(json.dumps({"cpu_s": seconds, "wall_s": round(wall, 2), "rss_mb": round(peak_mb())}))


def peak_mb() -> float:
    """Most memory this program held. (``ru_maxrss`` would count the one it was started from.)"""
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) * 1024 / 1e6


def apart(who: str, source: Path, out: Path, kind: str = PATTERN) -> Call:
    """A call of ``alone`` with one thread."""
    command = [sys.executable, "-m", "benchmarks.train_bpe", "--alone", who, str(source), str(out), kind]
    one = {"RAYON_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "OMP_NUM_THREADS": "1"}

    def call() -> dict[str, Any]:
        run = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env={**os.environ, **one}, check=False)
        if run.returncode:
            raise RuntimeError(f"{' '.join(command)} failed:\n{run.stderr[-3000:]}")
        answer: dict[str, Any] = json.loads(run.stdout.splitlines()[-1])
        return answer

    return call


def bytes_per_token(tokenizer: Path, held: Path) -> float:
    """Compression on held-out novels, read by tokenizers."""
    from tokenizers import Tokenizer

    library = Tokenizer.from_file(str(tokenizer))
    size = tokens = 0
    for batch in batches_of(held):
        size += sum(len(text.encode()) for text in batch)
        tokens += sum(len(found.ids) for found in library.encode_batch_fast(batch))
    return size / tokens


def merges_of(path: Path) -> list[list[str]]:
    """The merges of a tokenizer.json."""
    merges: list[list[str]] = json.loads(path.read_bytes())["model"]["merges"]
    return merges


def rustbpe_bytes_per_token(path: Path, held: Path) -> float:
    """The same for ranks, by tiktoken."""
    import tiktoken
    from tiktoken.load import load_tiktoken_bpe

    engine = tiktoken.Encoding(
        "rustbpe", pat_str=PATTERNS[PATTERN], mergeable_ranks=load_tiktoken_bpe(str(path)), special_tokens={}
    )
    texts = list(texts_of(held))
    return sum(len(text.encode()) for text in texts) / sum(len(engine.encode_ordinary(text)) for text in texts)


def small_runs(files: dict[str, Path], folder: Path) -> tuple[dict[str, dict[str, Any]], list[dict[str, Any]]]:
    """10 MB by everybody, in turns; answers and rows."""
    os.environ["RAYON_NUM_THREADS"] = "1"
    ranks = folder / "rustbpe.tiktoken"
    calls = {
        "ours": apart("ours", files["small"], folder / "ours.json"),
        "tokenizers": apart("huggingface", files["small"], folder / "hf.json"),
        "rustbpe": driver("train_bpe_rustbpe", files["small"], VOCABULARY, PATTERNS[PATTERN], ranks),
        "sentencepiece BPE, over characters": apart("sentencepiece", files["small"], folder / "spm"),
    }
    answers = in_turns(calls)
    kept = {"ours": folder / "ours.json", "tokenizers": folder / "hf.json"}
    for name, path in kept.items():
        answers[name]["bytes_per_token"] = round(bytes_per_token(path, files["held"]), 4)
    answers["rustbpe"]["bytes_per_token"] = round(rustbpe_bytes_per_token(ranks, files["held"]), 4)
    rows = []
    for name in list(calls)[1:]:
        mine, theirs = (SMALL_MB / answers[who]["cpu_s"] for who in ("ours", name))
        row = compared("byte-BPE training, 32k, 10 MB Japanese", "", mine, name, theirs, unit="MB/s")
        rows.append({**row, "met": None})
    return answers, rows


def large_runs(files: dict[str, Path], folder: Path) -> tuple[dict[str, dict[str, Any]], list[dict[str, Any]]]:
    """50 MB, with the bars: speed, memory, compression; tokenizers once, ours three times."""
    out, theirs = folder / "ours.json", folder / "hf.json"
    answers = in_turns({"tokenizers": apart("huggingface", files["large"], theirs)}, 1)
    answers |= in_turns({"ours": apart("ours", files["large"], out)})
    mine, rival = answers["ours"], answers["tokenizers"]
    what, name = "byte-BPE training, 32k, 50 MB Japanese", "tokenizers"
    rows = [compared(what, ">= 4x", LARGE_MB / mine["cpu_s"], name, LARGE_MB / rival["cpu_s"], 4, unit="MB/s")]
    row = compared(f"{what}: peak RSS", "<= .56 (stretch .33)", mine["rss_mb"], name, rival["rss_mb"], unit="MB")
    rows.append({**row, "met": mine["rss_mb"] <= 0.56 * rival["rss_mb"]})
    for answer, path in ((mine, out), (rival, theirs)):
        answer["bytes_per_token"] = bytes_per_token(path, files["held"])
    share = mine["bytes_per_token"] / rival["bytes_per_token"]
    ours_merges, their_merges = merges_of(out), merges_of(theirs)
    tokens = [{a + b for a, b in merges} for merges in (ours_merges, their_merges)]
    first = next((i for i, (a, b) in enumerate(zip(ours_merges, their_merges, strict=False)) if a != b), None)
    row = compared(
        f"{what}: bytes a token, held out", "within .1 %", mine["bytes_per_token"], name, rival["bytes_per_token"]
    )
    more = {"equal_tokens": len(tokens[0] & tokens[1]), "of": len(tokens[0]), "first_merge_that_differs": first}
    rows.append({**row, "met": abs(share - 1) <= 0.001, "difference": f"{share - 1:+.5%}", **more})
    return answers, rows


def kinds(files: dict[str, Path], folder: Path) -> list[dict[str, Any]]:
    """What pattern and whole characters do to compression and to the effort, 10 MB."""
    rows = []
    for kind in KINDS:
        answer = apart("ours", files["small"], folder / "kind.json", kind)()
        found = bytes_per_token(folder / "kind.json", files["held"])
        rows.append({"kind": kind, **answer, "bytes_per_token": round(found, 4)})
        print(json.dumps(rows[-1], ensure_ascii=False), flush=True)
    return rows


def main() -> None:
    """Measure, print and save."""
    need_peers()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = novels(folder)
        small, small_rows = small_runs(files, folder)
        cut = kinds(files, folder)
        large, large_rows = large_runs(files, folder)
    found = [{**fact, "megabytes": SMALL_MB} for fact in facts(small)]
    found += [{**fact, "megabytes": LARGE_MB} for fact in facts(large)]
    save("train_bpe", [*large_rows, *small_rows, *found, *cut], ["numpy", "numba", "tokenizers", "sentencepiece"])


if __name__ == "__main__":
    if sys.argv[1:2] == ["--alone"]:
        alone(*sys.argv[2:])
    else:
        main()
