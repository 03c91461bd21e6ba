"""``jacorpus corpus dedup`` as users meet it."""

import json
import subprocess
import sys
from pathlib import Path

JACORPUS = str(Path(sys.executable).parent / "jacorpus")


def _run(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([JACORPUS, "corpus", "dedup", *map(str, words)], capture_output=True, text=True)


def test_dedup_prints_counts_and_copies_lines(tmp_path: Path) -> None:
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    line = json.dumps({"body": "吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。" * 3}) + "\n"
    source.write_text(line + "{\n" + line, "utf-8")
    run = _run(source, "--out", out, "--column", "body", "--json")
    assert run.returncode == 0, run.stderr
    assert out.read_text("utf-8") == line
    summary = json.loads(run.stdout)
    assert (summary["kept"], summary["removed"], summary["rejected"]) == (1, 1, 1)

    run = _run(source, "--out", out)
    assert run.returncode == 1
    assert "exists" in run.stderr
    run = _run(source, "--out", out, "--force", "--column", "body")
    assert run.returncode == 0
    assert "bytes a document" in run.stderr
    assert "rejected, json: 1" in run.stderr
    assert _run(source, "--out", tmp_path / "b.jsonl", "--threshold", "2").returncode == 2
