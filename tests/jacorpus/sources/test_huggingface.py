"""Dataset folders: data files are read by format, descriptions hold no records."""

import gzip
from pathlib import Path

import pyarrow as pa

from jacorpus.sources.huggingface import Huggingface
from jacorpus.sources.paths import expand
from tests.jacorpus.sources.reading import read_spans
from tests.jacorpus.sources.written import TEXTS, arrow, parquet


def test_a_dataset_folder(tmp_path: Path):
    (tmp_path / "set/data").mkdir(parents=True)
    parquet(tmp_path / "set/data/train-00000-of-00002.parquet")
    arrow(tmp_path / "set/data-00000-of-00001.arrow", pa.ipc.new_stream)
    (tmp_path / "set/data/more.jsonl.gz").write_bytes(gzip.compress(b'{"text": "jsonl"}\n'))
    (tmp_path / "set/plain.txt").write_bytes(b"txt")
    for name in ["dataset_info.json", "state.json", "README.md", "cache-12.arrow"]:
        (tmp_path / "set" / name).write_bytes(b"{}")
    source, seen = Huggingface(), {}
    for file in expand(["set"], tmp_path):
        seen[file.name] = read_spans(source, file, 100).records.num_rows
    rows = sum(text is not None for text in TEXTS)
    assert seen == {
        "README.md": 0,
        "cache-12.arrow": 0,
        "data-00000-of-00001.arrow": rows,
        "data/more.jsonl.gz": 1,
        "data/train-00000-of-00002.parquet": rows,
        "dataset_info.json": 0,
        "plain.txt": 1,
        "state.json": 0,
    }
