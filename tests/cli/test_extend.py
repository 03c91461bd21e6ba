"""``jacorpus tokenizer extend`` and ``transfer`` as users meet them."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from tests.tokenizer_lab.extension import bases

JACORPUS = str(Path(sys.executable).parent / "jacorpus")


def _run(verb: str, *words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([JACORPUS, "tokenizer", verb, *map(str, words)], capture_output=True, text=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cli")
    for name, texts in (("ja", bases.japanese()), ("en", bases.english())):
        lines = (json.dumps({"body": text}, ensure_ascii=False) + "\n" for text in texts)
        (folder / f"{name}.jsonl").write_text("".join(lines), "utf-8")
    (folder / "base.model").write_bytes(bases.sentencepiece_model("bpe"))
    return folder


def test_extend_then_transfer(folder: Path) -> None:
    text = ["--corpus", f"ja={folder}/ja.jsonl", "--keep-corpus", f"en={folder}/en.jsonl", "--column", "body"]
    size = ["--vocab-size", 460, "--out", folder / "new"]
    run = _run("extend", folder / "base.model", *text, *size, "--json")
    assert run.returncode == 0, run.stderr
    made = json.loads(run.stdout)
    assert made["extended"]["ids"] == 460
    assert made["unreachable"] == []
    new, old = made["effects"]["new"][0], made["effects"]["old"][0]
    assert new["chars_per_token_after"] > 1.6 * new["chars_per_token_before"]
    assert old["share_documents_changed"] == pytest.approx(0.2)  # the documents with a few Japanese characters
    assert json.loads((folder / "new" / "extend.json").read_text("utf-8")) == made
    (folder / "new" / "tokenizer.json").write_text("of another extension", "utf-8")
    again = _run("extend", folder / "base.model", *text, *size)
    assert again.returncode == 1
    assert "holds tokenizer.json already; --force" in again.stderr
    assert _run("extend", folder / "base.model", *text, *size, "--force").returncode == 0
    assert sorted(path.name for path in (folder / "new").iterdir()) == ["extend.json", "tokenizer.model"]

    rows = made["base"]["ids"]
    (folder / "model").mkdir()
    table = np.random.default_rng(0).standard_normal((rows, 4)).astype(np.float32)
    save_file({"model.embed_tokens.weight": table}, folder / "model" / "model.safetensors")
    words = ["--model", folder / "model", "--old", folder / "base.model", "--new", folder / "new"]
    run = _run("transfer", *words, "--out", folder / "out")
    assert run.returncode == 0, run.stderr
    assert f"{rows:,} rows copied" in run.stdout
    assert "tied" in run.stdout
    after = load_file(folder / "out" / "model.safetensors")["model.embed_tokens.weight"]
    assert after[:rows].tobytes() == table.tobytes()
    assert (folder / "out" / "tokenizer.model").is_file()

    run = _run("transfer", *words, "--out", folder / "out", "--method", "focsu")
    assert run.returncode == 2
    assert "did you mean `focus`" in run.stderr
    run = _run("transfer", *words, "--out", folder / "out", "--method", "focus")
    assert run.returncode == 2
    assert "--corpus" in run.stderr
    run = _run("transfer", *words, "--out", folder / "ja.jsonl")
    assert run.returncode == 1
    assert "choose another place" in run.stderr
    (folder / "words.tsv").write_text("river 川\n", "utf-8")
    run = _run("transfer", *words, "--out", folder / "out", "--method", "wechsel", "--dictionary", folder / "words.tsv")
    assert run.returncode == 1
    assert "words.tsv, line 1" in run.stderr


def test_extend_says_what_is_wrong(folder: Path) -> None:
    words = [folder / "base.model", "--corpus", f"ja={folder}/ja.jsonl", "--column", "body", "--out", folder / "x"]
    run = _run("extend", *words, "--vocab-size", 100)
    assert run.returncode == 2
    assert "must be over the" in run.stderr
    run = _run("extend", *words, "--vocab-size", 460, "--scripts", "kanji")
    assert run.returncode == 2
    assert "no script is named `kanji`" in run.stderr
    run = _run("extend", *words, "--vocab-size", 460, "--weight", "ja")
    assert run.returncode == 2
    assert "NAME=SHARE" in run.stderr
    run = _run("extend", "byte", *words[1:], "--vocab-size", 460)
    assert run.returncode == 1
    assert "what can be extended" in run.stderr


def test_extend_tells_what_is_wrong(folder: Path) -> None:
    lines = (folder / "ja.jsonl").read_text("utf-8")
    (folder / "torn.jsonl").write_text(lines + "nonsense\n" * 3, "utf-8")
    words = ["--corpus", folder / "torn.jsonl", "--column", "body", "--vocab-size", 460, "--out"]
    run = _run("extend", folder / "base.model", *words, folder / "torn")
    assert run.returncode == 0
    assert "torn.jsonl: json: 3 records could not be read" in run.stderr
    run = _run("extend", folder / "base.model", *words, folder / "torn.jsonl")
    assert run.returncode == 1
    assert "choose another place" in run.stderr
    run = _run("extend", "byte", *words, folder / "byte")
    assert run.returncode == 1
    assert "what can be extended" in run.stderr
