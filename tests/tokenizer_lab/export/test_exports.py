"""Exports: each form is read back by a reader written from its description alone, and holds every document in order."""

import json
import struct
import subprocess
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest

from jacorpus.errors import RecipeError
from tests.conftest import ROOT
from tests.tokenizer_lab.test_encode import jsonl, words
from tokenizer_lab.corpus import open_corpus
from tokenizer_lab.encode import EncodeOptions, encode_corpus
from tokenizer_lab.export import run as exporting
from tokenizer_lab.export.run import check_export, export
from tokenizer_lab.tokens import open_tokens

EOS = 200
"""No byte of UTF-8 text here, so that it can be told from text."""


@pytest.fixture
def tokens(tmp_path, monkeypatch):
    """Two domains, several shards, several chunks a shard, empty documents, and an end-of-text id put in by hand."""
    monkeypatch.setattr(exporting, "CHUNK_TOKENS", 700)
    paths = [jsonl(tmp_path / f"{name}.jsonl", words(260, seed)) for seed, name in enumerate("ab")]
    domains = open_corpus([f"x/{path.stem}={path}" for path in paths])
    out = tmp_path / "out"
    encode_corpus(domains, "byte", out, EncodeOptions(shard_tokens=4000))
    manifest = json.loads((out / "manifest.json").read_text())
    manifest["tokenizer"]["eos_id"] = EOS
    (out / "manifest.json").write_text(json.dumps(manifest))
    return open_tokens(out)


def documents(tokens, domain, split):
    return [ids for shard in tokens.of(domain, split) for ids in shard.batch["tokens"].to_pylist()]


def read_megatron(prefix):
    """Documents of an indexed dataset, by the published layout."""
    index = prefix.with_name(prefix.name + ".idx").read_bytes()
    assert index[:9] == b"MMIDIDX\x00\x00"
    version, code, sequences, table = struct.unpack_from("<QBQQ", index, 9)
    assert version == 1
    kind = {8: np.uint16, 4: np.int32}[code]
    at = 9 + 8 + 1 + 8 + 8
    lengths = np.frombuffer(index, "<i4", sequences, at)
    pointers = np.frombuffer(index, "<i8", sequences, at + 4 * sequences)
    ends = np.frombuffer(index, "<i8", table, at + 12 * sequences)
    assert at + 12 * sequences + 8 * table == len(index)
    assert ends[0] == 0
    assert ends[-1] == sequences
    data = prefix.with_name(prefix.name + ".bin").read_bytes()
    read = [np.frombuffer(data, kind, n, p).tolist() for n, p in zip(lengths, pointers, strict=True)]
    assert sum(map(len, read)) * np.dtype(kind).itemsize == len(data)
    assert (np.diff(ends) == 1).all()
    return read, kind


@pytest.mark.parametrize("append_eos", [False, True])
def test_megatron(tokens, append_eos):
    about = export(tokens, "megatron", append_eos)
    for domain, split, _ in tokens.groups():
        found, kind = read_megatron(tokens.folder / "export/megatron" / f"{domain}-{split}")
        full = [ids for ids in documents(tokens, domain, split) if ids]
        assert found == [ids + [EOS] * append_eos for ids in full]
        assert kind is np.uint16
        entry = next(f for f in about["files"] if (f["domain"], f["split"]) == (domain, split))
        assert entry["documents"] == len(full)
        assert entry["empty_left_out"] == len(documents(tokens, domain, split)) - len(full)
    assert sum(file["empty_left_out"] for file in about["files"]) > 0


def test_megatron_needs_32_bits_from_65500_ids_on(tokens):
    tokens.manifest["tokenizer"]["vocab_size"] = 65_500
    export(tokens, "megatron")
    found, kind = read_megatron(tokens.folder / "export/megatron/x/a-train")
    assert kind is np.int32
    assert found == [ids for ids in documents(tokens, "x/a", "train") if ids]


@pytest.mark.parametrize("append_eos", [False, True])
@pytest.mark.parametrize("vocab_size", [256, 70_000])
def test_numpy(tokens, append_eos, vocab_size):
    tokens.manifest["tokenizer"]["vocab_size"] = vocab_size
    export(tokens, "numpy", append_eos)
    for domain, split, _ in tokens.groups():
        prefix = tokens.folder / "export/numpy" / f"{domain}-{split}"
        about = json.loads(prefix.with_name(prefix.name + ".json").read_text())
        ids = np.memmap(prefix.with_name(prefix.name + ".bin"), about["dtype"], "r")
        offsets = np.memmap(prefix.with_name(prefix.name + ".offsets.bin"), np.int64, "r")
        found = [ids[a:b].tolist() for a, b in pairwise(offsets)]
        assert found == [ids + [EOS] * append_eos for ids in documents(tokens, domain, split)]
        assert about["tokens"] == len(ids)
        assert about["eos_id"] == (EOS if append_eos else None)


def test_huggingface_layout(tokens):
    export(tokens, "huggingface", True)
    folder = tokens.folder / "export/huggingface"
    splits = json.loads((folder / "dataset_dict.json").read_text())["splits"]
    for split in splits:
        found = []
        for file in json.loads((folder / split / "state.json").read_text())["_data_files"]:
            with pa.OSFile(str(folder / split / file["filename"])) as stream:
                found += pa.ipc.open_stream(stream).read_all()["input_ids"].to_pylist()
        expected = [[*ids, EOS] for domain in tokens.domains for ids in documents(tokens, domain, split)]
        assert found == expected


def test_huggingface_opens_in_datasets(tokens):
    """The library itself reads the folder, in the rivals' environment where it is installed."""
    python = ROOT / ".venv-peers/bin/python"
    if not python.exists():
        pytest.skip("datasets is not installed: make bench-peers")
    export(tokens, "huggingface")
    script = (
        "import datasets, json, sys; d = datasets.load_from_disk(sys.argv[1]);"
        "print(json.dumps({k: [v['id'][:], v['domain'][:], v['input_ids'][:]] for k, v in d.items()}))"
    )
    folder = str(tokens.folder / "export/huggingface")
    run = subprocess.run([str(python), "-c", script, folder], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr[-2000:]
    for split, (ids, domains, lists) in json.loads(run.stdout.splitlines()[-1]).items():
        shards = [shard for shard in tokens.shards if shard.split == split]
        assert ids == [id.hex() for shard in shards for id in shard.batch["id"].to_pylist()]
        assert domains == [shard.domain for shard in shards for _ in range(shard.documents)]
        assert lists == [row for shard in shards for row in shard.batch["tokens"].to_pylist()]


def test_wrong_words_are_refused(tokens):
    with pytest.raises(RecipeError, match="did you mean `megatron`"):
        check_export("megatrom", None, False)
    with pytest.raises(RecipeError, match="no known end-of-text token"):
        check_export("numpy", None, True)
    assert not (tokens.folder / "export").exists()
