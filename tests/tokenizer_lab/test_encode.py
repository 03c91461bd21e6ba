"""encode: the same bytes however it is run, every record accounted for, nothing half-published."""

import base64
import hashlib
import json
import platform
import random
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import sentencepiece

from jacorpus.engine.local import Local
from jacorpus.errors import InputError, RecipeError
from jacorpus.schema import SHARD
from jacorpus.shards import PartWriter
from tokenizer_lab.corpus import open_corpus
from tokenizer_lab.encode import EncodeOptions, EncodeRun, encode_corpus, eos_of
from tokenizer_lab.encoding import reading, shuffle
from tokenizer_lab.encoding.shuffle import id_bytes, ranks
from tokenizer_lab.tokenizer import open_tokenizer
from tokenizer_lab.tokens import TOKENS, open_tokens

SMALL = EncodeOptions(shard_tokens=3000, run_tokens=1000)


def words(count: int, seed: int) -> list[str]:
    draw = random.Random(seed)
    return ["".join(draw.choices("日本語の文章、かな漢字。abc \n𠮷", k=draw.randrange(60))) for _ in range(count)]


def jsonl(path: Path, texts: list[str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in texts), "utf-8")
    return path


def shard_folder(
    out: Path, domains: dict[str, list[str]], language: Callable[[str], str | None] = lambda text: None
) -> Path:
    """What ``corpus run`` leaves, as far as encode reads it: every third document is of split valid."""
    (out / "shards").mkdir(parents=True)
    listed = []
    for domain, texts in domains.items():
        for split, mine in (("train", [t for i, t in enumerate(texts) if i % 3]), ("valid", texts[::3])):
            path = f"shards/{domain}-{split}-00000.arrow"
            rows = len(mine)
            ids = [hashlib.sha256(f"{domain}{split}{i}".encode()).digest()[:16] for i in range(rows)]
            made = {"id": ids, "text": mine, "domain": [domain] * rows, "split": [split] * rows}
            made |= {"cluster_size": [1] * rows, "weight": [1 + i % 3 for i in range(rows)]}
            made |= {"lang": [language(text) for text in mine]}
            columns = [pa.array(made.get(field.name, [None] * rows), field.type) for field in SHARD]
            with PartWriter(out / path, SHARD) as writer:
                writer.write(pa.RecordBatch.from_arrays(columns, schema=SHARD))
            listed.append({"path": path, "domain": domain})
    (out / "manifest.json").write_text(json.dumps({"shards": listed}))
    return out


@pytest.fixture
def corpus(tmp_path):
    jsonl(tmp_path / "in/a.jsonl", words(300, 1))
    jsonl(tmp_path / "in/b.jsonl", words(200, 2))
    return tmp_path / "in"


def digests(out: Path) -> dict[str, str]:
    """SHA-256 of everything that must not depend on how the run went."""
    files = [path for path in out.rglob("*") if path.is_file() and path.name not in ("run.json", "lock")]
    return {str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def rows(tokens) -> list[tuple]:
    """(domain, split, id, tokens) of every document in the order of the shards."""
    found = []
    for shard in tokens.shards:
        batch = shard.batch
        found += zip(
            batch["domain"].to_pylist(),
            batch["split"].to_pylist(),
            batch["id"].to_pylist(),
            map(tuple, batch["tokens"].to_pylist()),
            strict=True,
        )
    return found


def test_every_document_is_there_once_with_its_ids(corpus, tmp_path):
    tokens = encode_corpus(open_corpus([f"x={corpus}"]), "byte", tmp_path / "out", SMALL)
    found = rows(tokens)
    texts = sorted(text.encode() for text in words(300, 1) + words(200, 2))
    assert sorted(bytes(row[3]) for row in found) == texts
    assert tokens.manifest["counts"]["read"] == tokens.manifest["counts"]["documents"] == 500
    assert tokens.manifest["counts"]["empty"] == texts.count(b"") > 0
    assert tokens.manifest["counts"]["text_bytes"] == sum(map(len, texts))
    assert {(row[0], row[1]) for row in found} == {("x", "train"), ("x", "valid")}
    assert len(tokens.of("x", "train")) > 3
    assert not (tmp_path / "out/work/parts").exists()


def test_shards_are_one_batch_uncompressed_and_map_without_a_copy(corpus, tmp_path):
    tokens = encode_corpus(open_corpus([f"x={corpus}"]), "byte", tmp_path / "out", SMALL)
    before = pa.total_allocated_bytes()
    for shard in tokens.shards:
        assert shard.batch.schema == TOKENS
        assert len(shard.ids) > 0
        assert pa.total_allocated_bytes() == before
        assert shard.offsets[-1] == len(shard.ids) == shard.tokens
        assert shard.batch["text_bytes"].to_pylist() == np.diff(shard.offsets).tolist()  # one id a byte


def test_documents_lie_in_the_order_of_the_keyed_hash(corpus, tmp_path):
    tokens = encode_corpus(open_corpus([f"x={corpus}"]), "byte", tmp_path / "out", SMALL)
    for _, _, shards in tokens.groups():
        found = np.concatenate([ranks(id_bytes(shard.batch["id"]), 0) for shard in shards])
        assert (np.diff(found.astype(object)) > 0).all()
        for shard in shards:
            mine = ranks(id_bytes(shard.batch["id"]), 0)
            assert shard.ranks[0] <= int(mine.min()) <= int(mine.max()) < shard.ranks[1]
    other = encode_corpus(open_corpus([f"x={corpus}"]), "byte", tmp_path / "other", EncodeOptions(seed=1))
    assert [row[2] for row in rows(other)] != [row[2] for row in rows(tokens)]
    assert sorted(rows(other)) == sorted(rows(tokens))


@pytest.mark.parametrize("shard_tokens", [500, 4000, 1 << 20])
@pytest.mark.parametrize("run_tokens", [100, 5000])
def test_the_order_depends_on_neither_runs_nor_shards(corpus, tmp_path, shard_tokens, run_tokens):
    domains = open_corpus([f"x={corpus}"])
    plain = encode_corpus(domains, "byte", tmp_path / "plain")
    cut = encode_corpus(domains, "byte", tmp_path / "cut", EncodeOptions(0, shard_tokens, run_tokens=run_tokens))
    by_split = [[row for row in rows(t) if row[1] == s] for t in (plain, cut) for s in ("train", "valid")]
    assert by_split[:2] == by_split[2:]


def test_the_same_bytes_by_one_and_two_workers_and_any_order_of_corpora(corpus, tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "TASK_BYTES", 4000)
    a, b = f"a={corpus}/a.jsonl", f"b={corpus}/b.jsonl"
    encode_corpus(open_corpus([a, b]), "char", tmp_path / "one", SMALL)
    assert len(EncodeRun(open_corpus([a, b]), "char", tmp_path / "one", SMALL, Local(1)).encodes) > 3
    encode_corpus(open_corpus([b, a]), "char", tmp_path / "two", SMALL, Local(2))
    assert digests(tmp_path / "one") == digests(tmp_path / "two")


def test_shards_of_a_corpus_run_bring_domain_split_and_weight(tmp_path):
    texts = {"web": words(40, 3), "wiki": words(20, 4)}
    folder = shard_folder(tmp_path / "corpus", texts)
    tokens = encode_corpus(open_corpus([str(folder)]), "byte", tmp_path / "out")
    assert tokens.domains == ("web", "wiki")
    for domain, mine in texts.items():
        for split, part in (("train", [t for i, t in enumerate(mine) if i % 3]), ("valid", mine[::3])):
            batch = tokens.of(domain, split)[0].batch
            assert sorted(map(bytes, batch["tokens"].to_pylist())) == sorted(t.encode() for t in part)
            assert sorted(batch["weight"].to_pylist()) == sorted(1 + i % 3 for i in range(len(part)))


def test_a_finished_folder_is_left_alone_and_a_changed_input_is_seen(corpus, tmp_path):
    out = tmp_path / "out"
    encode_corpus(open_corpus([f"x={corpus}"]), "byte", out, SMALL)
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.arrow")}
    encode_corpus(open_corpus([f"x={corpus}"]), "byte", out, SMALL)
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*.arrow")} == before
    jsonl(corpus / "b.jsonl", ["別の文章"])
    changed = encode_corpus(open_corpus([f"x={corpus}"]), "byte", out, SMALL)
    assert changed.manifest["counts"]["documents"] == 301
    assert {str(p.relative_to(out)) for p in out.rglob("*.arrow")} == {s["path"] for s in changed.manifest["shards"]}
    (out / changed.manifest["shards"][0]["path"]).write_bytes(b"")
    encode_corpus(open_corpus([f"x={corpus}"]), "byte", out, SMALL)
    assert open_tokens(out).shards[0].batch.num_rows


def test_what_can_not_be_read_is_counted(tmp_path):
    lines = ['{"text": "良い"}', '{"text": "\\ud800"}', "{broken", '{"other": 1}', "", '{"text": ""}']
    path = tmp_path / "in.jsonl"
    path.write_bytes("\n".join(lines).encode() + b'\n{"text": "\xff\xfe"}\n')
    manifest = encode_corpus(open_corpus([f"x={path}"]), "byte", tmp_path / "out").manifest
    assert manifest["counts"] == {"read": 6, "documents": 2, "tokens": 6, "text_bytes": 6, "empty": 1, "lost": 4}
    assert {row["reason"]: row["records"] for row in manifest["lost"]} == {"json": 3, "missing_text": 1}
    assert manifest["skipped"] == [{"domain": "x", "file": "in.jsonl", "reason": "blank", "records": 1}]


def test_the_manifest_tells_no_time_place_or_worker(corpus, tmp_path):
    encode_corpus(open_corpus([f"x={corpus}"]), "byte", tmp_path / "out", SMALL)
    text = (tmp_path / "out/manifest.json").read_text()
    assert not [word for word in (str(tmp_path), platform.node(), "workers", "started") if word in text]


def test_a_damaged_text_shard_is_one_clear_sentence(tmp_path):
    folder = shard_folder(tmp_path / "corpus", {"web": words(400, 5)})
    path = folder / "shards/web-train-00000.arrow"
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 2000] = b"\x5a" * 2000
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"web-train-00000.arrow is damaged .*run the corpus recipe again"):
        encode_corpus(open_corpus([str(folder)]), "byte", tmp_path / "out")
    path.write_bytes(data[:100])
    with pytest.raises(InputError, match="is damaged"):
        encode_corpus(open_corpus([str(folder)]), "byte", tmp_path / "out", engine=Local(1))
    assert not (tmp_path / "out/manifest.json").exists()


def test_one_document_twice_is_refused(tmp_path):
    folder = shard_folder(tmp_path / "corpus", {"web": words(9, 5)})
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "shards/copy.arrow").write_bytes((folder / manifest["shards"][0]["path"]).read_bytes())
    manifest["shards"].append({"path": "shards/copy.arrow", "domain": "web"})
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(InputError, match="is there twice"):
        encode_corpus(open_corpus([str(folder)]), "byte", tmp_path / "out")


def test_wrong_words_are_refused(corpus, tmp_path):
    domains = open_corpus([f"x={corpus}"])
    with pytest.raises(RecipeError, match="no special token </s>"):
        encode_corpus(domains, "byte", tmp_path / "out", EncodeOptions(eos="</s>"))
    with pytest.raises(RecipeError, match="over 0"):
        EncodeOptions(shard_tokens=0)
    with pytest.raises(RecipeError, match="can't name a file"):
        encode_corpus(open_corpus([f"../x={corpus}"]), "byte", tmp_path / "out")
    folder = shard_folder(tmp_path / "corpus", {"web": words(9, 5)})
    with pytest.raises(InputError, match="not of token shards"):
        encode_corpus(domains, "byte", folder)
    with pytest.raises(InputError, match="no finished token shards"):
        open_tokens(tmp_path / "nothing")


def test_the_tokenizer_can_be_had_back(corpus, tmp_path):
    tokens = encode_corpus(open_corpus([f"x={corpus}"]), "char", tmp_path / "out", SMALL)
    again = tokens.tokenizer()
    assert again.fingerprint == open_tokenizer("char").fingerprint
    texts = {text.encode() for text in words(300, 1) + words(200, 2)}
    assert {text for shard in tokens.shards for text in again.decode(shard.batch["tokens"]).to_pylist()} == texts


def test_one_task_makes_many_shards_where_there_are_very_many(corpus, tmp_path, monkeypatch):
    domains, options = open_corpus([f"x={corpus}"]), EncodeOptions(shard_tokens=300)
    encode_corpus(domains, "byte", tmp_path / "many", options)
    monkeypatch.setattr(shuffle, "MERGE_TASKS", 4)
    encode_corpus(domains, "byte", tmp_path / "few", options)
    assert digests(tmp_path / "many") == digests(tmp_path / "few")
    assert len(json.loads((tmp_path / "few/run.json").read_text())["phases"]) == 2
    assert json.loads((tmp_path / "few/run.json").read_text())["phases"][1]["tasks"] <= 8


def test_ids_of_one_rank_lie_by_their_bytes_and_one_id_twice_is_refused():
    id = np.array([[2] * 16, [1] * 16, [0] * 16], np.uint8)
    assert shuffle._order(np.array([5, 5, 9], np.uint64), id).tolist() == [1, 0, 2]
    id[0] = 1
    with pytest.raises(InputError, match="is there twice"):
        shuffle._order(np.array([5, 5, 9], np.uint64), id)


def test_the_kept_tokenizer_file_makes_the_same_shards_again_in_its_own_folder(corpus, tmp_path):
    given = tmp_path / "given"
    given.mkdir()
    lines = [f"{base64.b64encode(bytes([b])).decode()} {b}\n" for b in range(256)]
    (given / "plain.tiktoken").write_text("".join(lines))
    out, domains = tmp_path / "out", open_corpus([f"x={corpus}"])
    first = encode_corpus(domains, given / "plain.tiktoken", out, SMALL, pattern="gpt2", specials=["<|endoftext|>"])
    assert first.eos_id == 256
    before = digests(out)
    shutil.rmtree(given)
    assert first.tokenizer().fingerprint == first.manifest["tokenizer"]["fingerprint"]
    (out / "export/numpy").mkdir(parents=True)
    kept, changed = out / "tokenizer/plain.tiktoken", EncodeOptions(seed=1)
    encode_corpus(domains, kept, out, changed, pattern="gpt2", specials=["<|endoftext|>"])
    assert not (out / "export").exists()
    encode_corpus(domains, kept, out, SMALL, pattern="gpt2", specials=["<|endoftext|>"])
    assert digests(out) == before


def test_the_text_of_a_special_token_is_text(tmp_path):
    (tmp_path / "t.tiktoken").write_text("".join(f"{base64.b64encode(bytes([b])).decode()} {b}\n" for b in range(256)))
    path = jsonl(tmp_path / "in.jsonl", ["a<|endoftext|>b"])
    words, file = {"pattern": "gpt2", "specials": ["<|endoftext|>"]}, tmp_path / "t.tiktoken"
    tokens = encode_corpus(open_corpus([f"x={path}"]), file, tmp_path / "out", **words)
    assert bytes(tokens.shards[0].ids.tolist()) == b"a<|endoftext|>b"


@pytest.mark.parametrize("vocab_size", [1 << 16, (1 << 16) + 1])
def test_a_run_holds_wide_ids_where_it_has_to(tmp_path, vocab_size):
    ids = np.array([vocab_size - 1, 5, 6], np.uint32)
    id = np.arange(32, dtype=np.uint8).reshape(2, 16)
    one = np.ones(2, np.int64)
    found = shuffle.Unsorted()
    piece = (np.array([9, 4], np.uint64), id, one.astype(np.int8), one, np.array([0, 1]), np.array([1, 2]), ids)
    found.add(shuffle.Piece(*piece))
    sizes = shuffle.write_run(tmp_path, "run", found, vocab_size)
    assert sizes["run.ids"]["bytes"] == (6 if vocab_size == 1 << 16 else 12)
    run = shuffle.Run(tmp_path, "run", vocab_size)
    columns = shuffle.between([run], 0, shuffle.RANKS).in_order()
    assert columns["tokens"].type == pa.large_list(pa.uint32())
    assert columns["tokens"].to_pylist() == [[5, 6], [vocab_size - 1]]
    assert shuffle.between([run], 5, 9).documents == 0
    assert shuffle.between([run], 5, 10).in_order()["tokens"].to_pylist() == [[vocab_size - 1]]


def test_a_corpus_of_empty_documents_is_kept(tmp_path):
    path = jsonl(tmp_path / "in.jsonl", ["", "", ""])
    tokens = encode_corpus(open_corpus([f"x={path}"]), "byte", tmp_path / "out")
    assert tokens.manifest["counts"] == {"read": 3, "documents": 3, "tokens": 0, "text_bytes": 0, "empty": 3, "lost": 0}
    assert tokens.shards[0].offsets.tolist() == [0, 0, 0, 0]
    assert len(tokens.shards[0].ids) == 0


@pytest.mark.parametrize(
    ("specials", "named", "id"),
    [
        ({"<s>": 1, "</s>": 2, "<EOD>": 7}, "", 7),
        ({"<s>": 1, "</s>": 2}, "", 2),
        ({"<|endoftext|>": 100257, "<|fim_prefix|>": 100258}, "", 100257),
        ({"<s>": 1, "</s>": 2}, "<s>", 1),
        ({"<mask>": 3}, "", None),
    ],
)
def test_the_end_of_a_document_is_known_by_its_text_or_named(specials, named, id):
    tokenizer = open_tokenizer("byte")
    tokenizer.vocabulary = replace(tokenizer.vocabulary, specials=specials)
    assert eos_of(tokenizer, named) == id


def test_a_real_corpus_decodes_to_its_text_and_counts_as_the_library_does(real_data, tmp_path):
    model = real_data / "tokenizers/code10k_en20k_ja30k.ver2.1.model"
    domains = open_corpus([f"noisy={real_data / 'noisy/labelled.jsonl.zst'}"])
    tokens = encode_corpus(domains, model, tmp_path / "out", EncodeOptions(shard_tokens=50_000))
    found = {}
    tokenizer = tokens.tokenizer()
    for shard in tokens.shards:
        decoded = tokenizer.decode(shard.batch["tokens"]).to_pylist()
        found |= dict(zip(shard.batch["id"].to_pylist(), decoded, strict=True))
    wanted = {}
    for batch in domains[0].documents():
        wanted |= dict(zip(batch["id"].to_pylist(), [t.encode() for t in batch["text"].to_pylist()], strict=True))
    assert found == wanted
    library = sentencepiece.SentencePieceProcessor(model_file=str(model))
    lines = sum(map(len, library.encode([text.decode() for text in wanted.values()])))
    assert tokens.manifest["counts"]["tokens"] == lines > 50_000


def test_a_corpus_without_a_document_is_an_error(tmp_path):
    (tmp_path / "in.jsonl").write_text('{"other": 1}\n{"other": 2}\n')
    with pytest.raises(InputError, match=r"no document in x.*2 records lost \(missing_text in in.jsonl\)"):
        encode_corpus(open_corpus([f"x={tmp_path / 'in.jsonl'}"]), "byte", tmp_path / "out")
    assert not (tmp_path / "out/manifest.json").exists()
    (tmp_path / "empty.jsonl").write_text("")
    with pytest.raises(InputError, match="no document in x"):
        encode_corpus(open_corpus([f"x={tmp_path / 'empty.jsonl'}"]), "byte", tmp_path / "out")


def test_text_files_are_encoded(tmp_path):
    (tmp_path / "a.txt").write_text("あい", "utf-8")
    (tmp_path / "b.txt").write_text("", "utf-8")
    manifest = encode_corpus(open_corpus([f"x={tmp_path}/*.txt"]), "byte", tmp_path / "out").manifest
    assert manifest["counts"] == {"read": 2, "documents": 1, "tokens": 6, "text_bytes": 6, "empty": 0, "lost": 1}
