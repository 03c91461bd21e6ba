"""Training a Unigram vocabulary of 32,000 on novels, beside sentencepiece: ``python -m benchmarks.train_unigram``.

50 MB (and 10 MB) of whole works drawn by hash; works of another hash are held out, 2 MB. Each training runs in a
process of its own, one thread, from its natural input (Arrow for ours, a text file of lines for sentencepiece) to the
written model; ours has loaded its compiled code before the clock starts. sentencepiece is run once (it takes minutes),
ours three times.

Cuts. sentencepiece cuts by script and at numbers by default, kana and kanji being one script; pieces without these
cuts are longer, and take it twice the time. So ours is trained without cuts but line ends, with sentencepiece's cuts
written as a pattern, and with its own ``ja`` pattern (kanji, hiragana and katakana apart), and sentencepiece with its
default cuts and, on 10 MB, without.

Quality, by the same code for both, from the ``.model`` files: bytes a token, by sentencepiece's encoder, line by line;
bits a character, minus the base-2 log of the probability of a line summed over *all* its segmentations, a
character outside the vocabulary at 20 nats.
"""

import json
import math
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import xxhash
import zstandard

from benchmarks.record import DATA, ROOT, save

HELD_OUT_MB, VOCABULARY, RUNS = 2.0, 32_000, 3
UNKNOWN_NATS = 20.0
LIKE_SENTENCEPIECE = (
    r" ?[\p{Han}\p{Hiragana}\p{Katakana}ー]+| ?\p{N}+| ?\p{Latin}+|"
    r" ?[^\p{Han}\p{Hiragana}\p{Katakana}ー\p{N}\p{Latin} ]+| +"
)
OURS = {"ours, line ends": "none", "ours, cuts as sentencepiece": LIKE_SENTENCEPIECE, "ours, ja cuts": "ja"}
RIVALS = {"sentencepiece, default cuts": True, "sentencepiece, line ends": False}
PAIRS = {
    50: [(mine, "sentencepiece, default cuts") for mine in OURS],
    10: [("ours, line ends", rival) for rival in RIVALS],
}
"""MB of text -> who is compared with whom."""


def works(megabytes: float, held_out: bool) -> list[str]:
    """Whole works in the order of their hash, up to a size; a twentieth of all is held out."""
    ranked = []
    with zstandard.open(DATA / "ja" / "aozora.jsonl.zst", "rt", encoding="utf-8", newline="\n") as lines:
        for line in lines:
            work = orjson.loads(line)
            rank = xxhash.xxh3_64_intdigest(work["id"].encode())
            if (rank % 20 == 0) == held_out:
                ranked.append((rank, work["text"]))
    kept, size = [], 0
    for _, text in sorted(ranked):
        if size + len(text.encode()) <= megabytes * 1e6:
            kept.append(text)
            size += len(text.encode())
    return kept


def train_ours(folder: Path, out: Path, pattern: str) -> float:
    """Train, write the three forms; returns CPU seconds."""
    from tokenizer_lab.save.unigram import save_unigram
    from tokenizer_lab.training.settings import Training
    from tokenizer_lab.training.unigram import train

    small = pa.array([f"{i % 977}日本語の文章{i % 89}を書く。\n" * 3 for i in range(20_000)], pa.large_string())
    train(small, Training(vocab_size=400, pattern=pattern))
    start = time.process_time()
    with pa.memory_map(str(folder / "works.arrow")) as file:
        texts = pa.ipc.open_file(file).get_batch(0)["text"]
        save_unigram(train(texts, Training(vocab_size=VOCABULARY, pattern=pattern)), out)
        return time.process_time() - start


def train_rival(folder: Path, out: Path, by_script: bool) -> float:
    """Train with sentencepiece; returns CPU seconds."""
    import sentencepiece

    start = time.process_time()
    sentencepiece.SentencePieceTrainer.train(
        input=str(folder / "lines.txt"),
        model_prefix=str(out / "tokenizer"),
        model_type="unigram",
        vocab_size=VOCABULARY,
        character_coverage=0.9995,
        byte_fallback=True,
        num_threads=1,
        max_sentence_length=200_000,
        normalization_rule_name="identity",
        add_dummy_prefix=False,
        remove_extra_whitespaces=False,
        split_by_unicode_script=by_script,
        split_by_number=by_script,
        minloglevel=2,
    )
    return time.process_time() - start


def one(name: str, folder: Path, out: Path) -> None:
    """What a process of its own does: train, print CPU seconds and peak memory."""
    out.mkdir(exist_ok=True)
    cpu = train_ours(folder, out, OURS[name]) if name in OURS else train_rival(folder, out, RIVALS[name])
    status = Path("/proc/self/status").read_text()
    peak = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
    print(json.dumps({"cpu_s": round(cpu, 2), "peak_mb": round(peak / 1000)}))


def trained(name: str, folder: Path, runs: int) -> dict[str, Any]:
    """The median of some trainings, and the quality of the model."""
    out = folder / name.replace(" ", "_").replace(",", "")
    found = []
    for _ in range(runs):
        command = [sys.executable, "-m", "benchmarks.train_unigram", "--one", name, str(folder), str(out)]
        run = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
        found.append(json.loads(run.stdout.splitlines()[-1]))
        print(f"  {name}: {found[-1]}", file=sys.stderr, flush=True)
    middle = sorted(found, key=lambda each: each["cpu_s"])[len(found) // 2]
    lines = [line for work in works(HELD_OUT_MB, True) for line in work.split("\n") if line]
    return {"who": name, **middle, "all_cpu_s": [each["cpu_s"] for each in found], **quality(out, lines)}


def quality(model: Path, lines: list[str]) -> dict[str, float]:
    """Bytes a token and bits a character of a ``.model`` on lines."""
    import sentencepiece

    processor = sentencepiece.SentencePieceProcessor(model_file=str(model / "tokenizer.model"))
    tokens = sum(map(len, processor.encode(lines)))
    probability = {
        processor.id_to_piece(id).replace("\u2581", " "): math.exp(processor.get_score(id))
        for id in range(len(processor))
        if not (processor.is_control(id) or processor.is_unknown(id) or processor.is_byte(id))
    }
    longest = max(map(len, probability))
    nats = sum(_nats(line, probability, longest) for line in lines)
    return {
        "bytes_per_token": round(sum(len(line.encode()) for line in lines) / tokens, 4),
        "bits_per_character": round(nats / math.log(2) / sum(map(len, lines)), 4),
    }


def _nats(line: str, probability: dict[str, float], longest: int) -> float:
    """Minus the log of the probability of a line, summed over its segmentations."""
    n, lifted = len(line), 0.0
    alpha = [1.0] + [0.0] * n
    for i in range(n):
        if alpha[i] < 1e-150:
            lifted += 150 * math.log(10)
            alpha[i : i + longest + 1] = [a * 1e150 for a in alpha[i : i + longest + 1]]
        here = alpha[i]
        if line[i] not in probability:
            alpha[i + 1] += here * math.exp(-UNKNOWN_NATS)
        for j in range(i + 1, min(i + longest, n) + 1):
            p = probability.get(line[i:j])
            if p is not None:
                alpha[j] += here * p
    return lifted - math.log(alpha[n])


def rows(mine: dict[str, Any], rival: dict[str, Any], megabytes: int) -> list[dict[str, Any]]:
    """Speed, memory, compression and likelihood of one of ours beside one of sentencepiece's."""
    made = []
    for measure, bar, least, less_is_better in (
        ("cpu_s", ">= 3x", 3.0, True),
        ("peak_mb", "", 0.0, True),
        ("bytes_per_token", "within 0.5 % or better", 0.995, False),
        ("bits_per_character", "not worse", 1.0, True),
    ):
        ours, theirs = mine[measure], rival[measure]
        ratio = theirs / ours if less_is_better else ours / theirs
        met = ratio >= least if bar and "ja cuts" not in mine["who"] else None  # other cuts: no bar
        row = {"what": f"Unigram training, 32k, {megabytes} MB of novels: {measure} ({mine['who']})", "bar": bar}
        row |= {"ours": ours, "rival": rival["who"], "theirs": theirs, "ratio": round(ratio, 4), "met": met}
        print(json.dumps(row, ensure_ascii=False), flush=True)
        made.append(row)
    return made


def prepared(megabytes: int, folder: Path) -> None:
    """Write the training text in both forms."""
    folder.mkdir()
    texts = works(megabytes, False)
    batch = pa.record_batch({"text": pa.array(texts, pa.large_string())})
    with pa.OSFile(str(folder / "works.arrow"), "wb") as file, pa.ipc.new_file(file, batch.schema) as writer:
        writer.write_batch(batch)
    (folder / "lines.txt").write_text("\n".join(line for text in texts for line in text.split("\n") if line))


def main() -> None:
    """Measure, print and save."""
    summary: list[dict[str, Any]] = []
    facts: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as name:
        for megabytes, pairs in PAIRS.items():
            folder = Path(name) / str(megabytes)
            prepared(megabytes, folder)
            wanted = dict.fromkeys(who for pair in pairs for who in pair)
            found = {who: trained(who, folder, RUNS if who in OURS else 1) for who in wanted}
            summary += [row for mine, rival in pairs for row in rows(found[mine], found[rival], megabytes)]
            facts += [{"megabytes": megabytes, **each} for each in found.values()]
    save("train_unigram", [*summary, *facts], ["numpy", "numba", "pyarrow", "sentencepiece"])


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        one(sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4]))
    else:
        main()
