"""datatrove's four MinHash stages with the Japanese word tokenizer, local executor, one task, JSONL to JSONL.

``dedup_datatrove.py IN.jsonl OUT_FOLDER``: 14 buckets of 8, word 5-grams, 64-bit hashes, as in FineWeb-2. The
tokenizer's dictionary is loaded before the clock starts, what a warm run over 5 documents takes (processes,
logging) is taken off, and the output is written uncompressed.
"""

import sys
import tempfile
from pathlib import Path

from clock import measured, say
from datatrove.executor.local import LocalPipelineExecutor
from datatrove.pipeline.dedup import MinhashDedupCluster, MinhashDedupFilter, MinhashDedupSignature
from datatrove.pipeline.dedup.minhash import MinhashConfig, MinhashDedupBuckets
from datatrove.pipeline.readers import JsonlReader
from datatrove.pipeline.writers.jsonl import JsonlWriter
from datatrove.utils.hashing import HashConfig
from datatrove.utils.typeshelper import Languages
from datatrove.utils.word_tokenizers import load_word_tokenizer

LANGUAGE = Languages.japanese__jpan


def run(source: Path, folder: Path) -> int:
    """Documents removed."""
    config = MinhashConfig(hash_config=HashConfig(precision=64), num_buckets=14, hashes_per_bucket=8, n_grams=5)
    signatures, buckets, ids = (str(folder / name) for name in ("signatures", "buckets", "ids"))
    reader = JsonlReader(str(source.parent), glob_pattern=source.name)
    kept = folder / "kept"
    stages = [
        ([reader, MinhashDedupSignature(output_folder=signatures, config=config, language=LANGUAGE)], 1),
        ([MinhashDedupBuckets(input_folder=signatures, output_folder=buckets, config=config)], config.num_buckets),
        ([MinhashDedupCluster(input_folder=buckets, output_folder=ids, config=config)], 1),
        ([reader, MinhashDedupFilter(input_folder=ids), JsonlWriter(str(kept), compression=None)], 1),
    ]
    for i, (pipeline, tasks) in enumerate(stages):
        LocalPipelineExecutor(pipeline, tasks=tasks, workers=1, logging_dir=str(folder / f"log{i}")).run()
    before = sum(1 for _ in source.open("rb"))
    return before - sum(1 for path in kept.iterdir() for _ in path.open("rb"))


if __name__ == "__main__":
    source, target = Path(sys.argv[1]), Path(sys.argv[2])
    load_word_tokenizer(LANGUAGE).word_tokenize(source.read_text(encoding="utf-8")[:20_000])
    lines = source.read_bytes().splitlines(keepends=True)
    with tempfile.TemporaryDirectory() as folder:
        small = Path(folder) / "small.jsonl"
        small.write_bytes(b"".join(lines[:5]))
        run(small, Path(folder) / "cold")
        start_up, wall, _ = measured(lambda: run(small, Path(folder) / "warm"))
    cpu, wall, removed = measured(lambda: run(source, target))
    facts = {"removed": removed, "documents": len(lines), "start_up_cpu_s": start_up}
    say(["datatrove", "spacy", "SudachiPy"], cpu - start_up, wall, **facts)
