"""validate: a sound folder passes; each kind of damage is found and named."""

import json

import numpy as np
import pyarrow as pa
import pytest

from jacorpus.keys import file_digest
from tests.tokenizer_lab.test_encode import SMALL, jsonl, shard_folder, words
from tokenizer_lab.corpus import open_corpus
from tokenizer_lab.encode import encode_corpus
from tokenizer_lab.encoding.check_tokens import validate_tokens
from tokenizer_lab.tokens import open_tokens, write_tokens


@pytest.fixture
def corpus(tmp_path):
    return open_corpus([f"x={jsonl(tmp_path / 'in/a.jsonl', words(300, 1))}"])


@pytest.fixture
def out(corpus, tmp_path):
    encode_corpus(corpus, "byte", tmp_path / "out", SMALL)
    return tmp_path / "out"


def failed(answer) -> dict[str, str]:
    assert answer["passed"] == (not any(not check["passed"] for check in answer["checks"]))
    return {check["name"]: check["detail"] for check in answer["checks"] if not check["passed"]}


def rewrite(out, change, number=0):
    """Change the columns of a shard and make its entry in the manifest agree in size and checksum."""
    tokens = open_tokens(out)
    shard = tokens.shards[number]
    columns = {name: shard.batch[name] for name in ("id", "weight", "text_bytes", "tokens")}
    columns = {name: pa.array(column.to_pylist(), column.type) for name, column in columns.items()}
    write_tokens(shard.path, shard.domain, shard.split, change(columns))
    entry = tokens.manifest["shards"][number]
    entry |= {"bytes": shard.path.stat().st_size, "xxh3": file_digest(shard.path)}
    (out / "manifest.json").write_text(json.dumps(tokens.manifest))


def test_a_sound_folder_passes(out, corpus):
    answer = validate_tokens(out, corpus)
    assert failed(answer) == {}
    assert "200 documents give their tokens again; 200 of them decode" in answer["checks"][-1]["detail"]


def test_shards_of_a_corpus_run_are_looked_up_by_their_ids(tmp_path):
    domains = open_corpus([str(shard_folder(tmp_path / "corpus", {"web": words(40, 3), "wiki": words(20, 4)}))])
    encode_corpus(domains, "char", tmp_path / "tokens")
    answer = validate_tokens(tmp_path / "tokens", domains)
    assert failed(answer) == {}
    assert "60 documents" in answer["checks"][-1]["detail"]


def test_damage_of_a_file_is_found(out):
    paths = [shard.path for shard in open_tokens(out).shards]
    data = bytearray(paths[0].read_bytes())
    data[len(data) // 2] ^= 1
    paths[0].write_bytes(data)
    paths[1].write_bytes(paths[1].read_bytes()[:-1])
    paths[2].unlink()
    (out / "shards/stray.arrow").write_bytes(b"")
    found = failed(validate_tokens(out))["files"]
    for part in ("another checksum", "bytes, not", "is missing", "stray.arrow is not in the manifest"):
        assert part in found


def test_wrong_rows_are_found(out, corpus):
    def wrong(columns):
        values = columns["tokens"].values.to_numpy().copy()
        values[0] = 256
        changed = pa.LargeListArray.from_arrays(columns["tokens"].offsets, pa.array(values))
        return {**columns, "tokens": changed, "text_bytes": pa.array(np.zeros(len(columns["id"]), np.int64))}

    rewrite(out, wrong)
    found = failed(validate_tokens(out))
    assert "holds id 256 and the vocabulary has 256" in found["rows"]
    assert "other text_bytes" in found["rows"]


def test_another_order_is_found(out):
    def turned(columns):
        return {name: column.take(pa.array(range(len(column))[::-1])) for name, column in columns.items()}

    rewrite(out, turned)
    assert "not in the order of seed 0" in failed(validate_tokens(out))["order"]


def test_a_wrong_count_is_found(out):
    manifest = json.loads((out / "manifest.json").read_text())
    manifest["domains"]["x"]["train"]["tokens"] += 1
    manifest["counts"]["read"] += 1
    manifest["inputs"][0]["documents"] += 1
    (out / "manifest.json").write_text(json.dumps(manifest))
    found = failed(validate_tokens(out))["accounts"]
    for part in ("do not add up", "301 records read, 300 documents written", "inputs held 301"):
        assert part in found


def test_other_tokens_and_missing_documents_are_found(out, corpus, tmp_path):
    def shifted(columns):
        values = columns["tokens"].values.to_numpy() // 2
        return {**columns, "tokens": pa.LargeListArray.from_arrays(columns["tokens"].offsets, pa.array(values))}

    rewrite(out, shifted)
    assert "has other tokens" in failed(validate_tokens(out, corpus))["documents"]
    more = open_corpus([f"x={jsonl(tmp_path / 'more/b.jsonl', words(10, 7))}"])
    assert "is in no shard" in failed(validate_tokens(out, more))["documents"]
