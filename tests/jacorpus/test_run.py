"""A whole run over the small corpus: accounting, determinism, resume, change of a rule."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pytest

from jacorpus.engine.local import Local
from jacorpus.errors import InputError, JacorpusError, RecipeError, StorageError
from jacorpus.manifest import load_manifest
from jacorpus.output.validate import validate
from jacorpus.phases import Part
from jacorpus.recipe import recipe_from_tables
from jacorpus.run import Run
from jacorpus.shards import read_table
from jacorpus.store import Store
from tests.small import public_bytes, run_small, tables, write_corpus


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def finished_run(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run") / "out"
    run_small(corpus, out)
    return out


def test_every_record_has_one_fate(finished_run: Path) -> None:
    manifest = json.loads((finished_run / "manifest.json").read_bytes())
    assert manifest["counts"] == {"read": 73, "kept": 60, "dropped": 10, "failed": 3}
    reasons = {(f["state"], f["stage"], f["reason"]): f["documents"] for f in manifest["fates"]}
    assert reasons[("dropped", "bounds", "short")] == 3
    assert reasons[("dropped", "exact", "duplicate")] == 2
    assert reasons[("dropped", "minhash", "duplicate")] == 5
    assert sum(n for (state, stage, _), n in reasons.items() if (state, stage) == ("failed", "read")) == 3
    assert manifest["skipped"] == {"blank": 1}


def test_validate_passes_and_notices_damage(corpus: Path, tmp_path: Path) -> None:
    run_small(corpus, tmp_path / "out")
    assert validate(tmp_path / "out")["passed"]
    shard = next((tmp_path / "out" / "shards").glob("*.arrow"))
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    shard.unlink()  # it is a link to the task's part
    shard.write_bytes(data)
    answer = validate(tmp_path / "out")
    assert not answer["passed"]
    assert any("checksum" in check["detail"] for check in answer["checks"])


def test_validate_notices_a_record_that_came_later(corpus: Path, tmp_path: Path) -> None:
    folder = write_corpus(tmp_path / "in")
    run_small(folder, tmp_path / "out")
    with open(folder / "part-0.jsonl", "ab") as stream:
        stream.write(b'{"text": "one more"}\n')
    answer = validate(tmp_path / "out")
    assert [check["name"] for check in answer["checks"] if not check["passed"]] == ["inputs"]


def test_workers_and_spans_change_no_byte(corpus: Path, finished_run: Path, tmp_path: Path) -> None:
    run_small(corpus, tmp_path / "two", workers=2)
    assert public_bytes(tmp_path / "two") == public_bytes(finished_run)


def test_moving_the_data_changes_no_id(corpus: Path, finished_run: Path, tmp_path: Path) -> None:
    moved = write_corpus(tmp_path / "elsewhere" / "deep")
    run_small(moved, tmp_path / "out")
    assert (tmp_path / "out" / "manifest.json").read_bytes() == (finished_run / "manifest.json").read_bytes()


def test_a_changed_rule_measures_nothing_again(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run_small(corpus, out)
    marks = {p.name: p.stat().st_mtime_ns for p in (out / "work" / "done").iterdir()}
    stages = json.loads(json.dumps(tables(corpus)["stage"]))
    stages[2]["rules"][0]["min"] = 10_000
    manifest = run_small(corpus, out, stages=stages)
    assert manifest["counts"]["kept"] == 0
    run = json.loads((out / "run.json").read_bytes())
    again = {p["kind"]: p["tasks"] - p["reused"] for p in run["phases"]}
    assert again["measure"] == 0
    assert again["cluster minhash"] == 0
    assert again["audit"] > 0
    assert any(name in marks for name in (p.name for p in (out / "work" / "done").iterdir()))


def test_split_is_stable_and_small(corpus: Path, tmp_path: Path) -> None:
    manifest = run_small(corpus, tmp_path / "out", valid_ratio=0.5)
    counts = {shard["split"]: shard["documents"] for shard in manifest["shards"]}
    assert counts["train"] + counts["valid"] == 60
    assert 10 < counts["valid"] < 50


def test_shards_are_cut_by_bytes(corpus: Path, tmp_path: Path) -> None:
    manifest = run_small(corpus, tmp_path / "out", shard_bytes=5_000)
    sizes = [shard["text_bytes"] for shard in manifest["shards"] if shard["split"] == "train"]
    assert len(sizes) > 4
    assert all(size < 5_000 + 2_000 for size in sizes)
    assert sum(shard["documents"] for shard in manifest["shards"]) == 60


def test_limit_reads_so_many_records(corpus: Path, tmp_path: Path) -> None:
    manifest = run_small(corpus, tmp_path / "out", limit=7)
    assert manifest["counts"]["read"] == 7


def test_errors_name_what_is_wrong(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nothing"):
        run_small(tmp_path / "nothing", tmp_path / "out")
    stages = [{"use": "signals.text"}, {"use": "rules.bounds", "rules": [{"signal": "text.char", "min": 1}]}]
    with pytest.raises(RecipeError, match=r"text\.char.*text\.chars"):
        run_small(corpus, tmp_path / "out", stages=stages)


def test_a_second_run_at_once_is_refused(corpus: Path, tmp_path: Path) -> None:
    lock = Store(tmp_path / "out" / "work").lock()
    with pytest.raises(JacorpusError, match="another run"):
        run_small(corpus, tmp_path / "out")
    lock.close()


def test_a_full_disk_is_one_sentence_and_loses_nothing(corpus: Path, tmp_path: Path, monkeypatch) -> None:
    import errno

    from jacorpus import publish as module

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module, "publish", full)
    with pytest.raises(StorageError, match="disk is full"):
        run_small(corpus, tmp_path / "out")
    monkeypatch.undo()
    run_small(corpus, tmp_path / "out")
    phases = {p["kind"]: p for p in json.loads((tmp_path / "out" / "run.json").read_bytes())["phases"]}
    assert phases["measure"]["reused"] == phases["measure"]["tasks"]


def test_ids_follow_the_documented_hash(corpus: Path, finished_run: Path) -> None:
    from hashlib import sha256

    rows = read_table(finished_run / "audit" / "part-00000.arrow", ["id", "domain", "file", "position"]).to_pylist()
    for row in rows:
        text = f"{row['domain']}\0{row['file']}\0{row['position']}"
        assert row["id"] == sha256(text.encode()).digest()[:16]


def test_arrow_parts_read_with_plain_pyarrow(finished_run: Path) -> None:
    shard = next((finished_run / "shards").glob("web-train-*.arrow"))
    with pa.OSFile(str(shard)) as stream:
        table = pa.ipc.open_file(stream).read_all()
    assert table.schema.names[:3] == ["id", "text", "domain"]
    assert min(table["weight"].to_pylist()) >= 1


_KILLED = """
import sys
from pathlib import Path
from tests.small import run_small
if __name__ == "__main__":
    run_small(Path(sys.argv[1]), Path(sys.argv[2]), workers=2, task_bytes=4000)
"""


@pytest.mark.slow
def test_killed_at_random_and_resumed_gives_the_same_bytes(tmp_path: Path) -> None:
    folder = write_corpus(tmp_path / "in")
    run_small(folder, tmp_path / "calm", task_bytes=4000)
    script = tmp_path / "killed.py"
    script.write_text(_KILLED)
    root = Path(__file__).resolve().parents[2]
    chance = random.Random(20)
    kills = 0
    while kills < 20:
        command = [sys.executable, str(script), str(folder), str(tmp_path / "killed")]
        process = subprocess.Popen(command, cwd=root, env={**os.environ, "PYTHONPATH": str(root)})
        time.sleep(chance.uniform(0.5, 6))
        if process.poll() is not None:
            if kills >= 5:
                (tmp_path / "killed" / "manifest.json").unlink(missing_ok=True)
                for mark in list((tmp_path / "killed" / "work" / "done").iterdir())[::2]:
                    mark.unlink()
            continue
        process.send_signal(signal.SIGKILL)
        process.wait()
        kills += 1
    run_small(folder, tmp_path / "killed", workers=2, task_bytes=4000)
    assert public_bytes(tmp_path / "killed") == public_bytes(tmp_path / "calm")


def test_validate_notices_a_damaged_intermediate(corpus: Path, tmp_path: Path) -> None:
    run_small(corpus, tmp_path / "out")
    part = next((tmp_path / "out" / "work" / "parts").glob("*/*/signatures-minhash.arrow"))
    data = bytearray(part.read_bytes())
    data[len(data) // 2] ^= 1
    part.write_bytes(data)
    answer = validate(tmp_path / "out")
    assert [check["name"] for check in answer["checks"] if not check["passed"]] == ["work"]


@pytest.mark.parametrize("where", ["file", "file/sub", "/proc/none"])
def test_an_output_folder_that_can_not_be_is_one_sentence(tmp_path: Path, where: str) -> None:
    (tmp_path / "file").write_text("x", "utf-8")
    with pytest.raises(StorageError, match="nothing can be written at"):
        run_small(write_corpus(tmp_path / "in"), tmp_path / where)
    if not where.startswith("/"):
        with pytest.raises(JacorpusError, match="output folder of a run"):
            load_manifest(tmp_path / where)


@pytest.mark.parametrize(("change", "message"), [("gone", "can't be read any more"), ("grown", "changed while")])
def test_an_input_that_changes_after_the_plan_is_one_sentence(tmp_path: Path, change: str, message: str) -> None:
    folder = write_corpus(tmp_path / "in")
    run = Run(recipe_from_tables(tables(folder), folder, "small"), tmp_path / "out", Local(1))
    plan, victim = run.plan, folder / "part-1.jsonl"

    def plan_then_change() -> list[Part]:
        parts = plan()
        if change == "gone":
            victim.unlink()
        else:
            victim.write_bytes(victim.read_bytes() + b'{"text": "more"}\n')
        return parts

    run.plan = plan_then_change  # type: ignore[method-assign]
    with pytest.raises(InputError, match=message):
        run.execute()
    assert not (tmp_path / "out" / "manifest.json").exists()
