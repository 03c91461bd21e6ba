"""A second crawl against an index of the first, through whole runs."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from jacorpus.errors import RecipeError
from jacorpus.older import index_run
from jacorpus.output.explain import explain
from jacorpus.output.finished import finished
from jacorpus.output.remove import name_removals
from jacorpus.output.validate import validate
from jacorpus.output.what_if import what_if
from jacorpus.shards import read_table
from tests.small import prose, public_bytes, run_small


def _write(folder: Path, name: str, texts: list[str]) -> Path:
    folder.mkdir(exist_ok=True)
    rows = [json.dumps({"text": text}, ensure_ascii=False) for text in texts]
    (folder / f"{name}.jsonl").write_text("\n".join(rows) + "\n", "utf-8")
    return folder


def _stages(index: Path | None = None, **options: Any) -> list[dict[str, Any]]:
    joined = {"index": str(index)} if index else {}
    rules = [{"signal": "text.chars", "min": 100, "reason": "short"}]
    return [
        {"use": "signals.text"},
        {"use": "rules.bounds", "rules": rules},
        {"use": "dedup.minhash", **joined, **options},
    ]


def _rows(out: Path, file: str) -> dict[int, dict[str, Any]]:
    rows = [row for batch in finished(out).audit() for row in batch.to_pylist()]
    return {row["position"]: row for row in rows if row["file"] == file}


def _groups(out: Path, file: str) -> set[frozenset[bytes]]:
    inside = {row["id"] for row in _rows(out, file).values()}
    groups: dict[bytes, set[bytes]] = {}
    for row in read_table(out / "clusters" / "minhash.arrow").to_pylist():
        if row["id"] in inside:
            groups.setdefault(row["cluster_id"], set()).add(row["id"])
    return {frozenset(group) for group in groups.values()}


OLD = [prose(i) for i in range(12)] + [prose(3)[:-2] + "した！"]
NEW = [prose(i)[:-2] + "した！" for i in (2, 3, 5)] + [prose(i) for i in (5, 50, 51, 51)]


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """a: the old crawl, indexed. b: the new one, against it. ab: both in one run, the old one preferred."""
    a, b = _write(tmp_path / "in-a", "a", OLD), _write(tmp_path / "in-b", "b", NEW)
    both = tmp_path / "in-ab"
    shutil.copytree(a, both)
    shutil.copytree(b, both, dirs_exist_ok=True)
    run_small(a, tmp_path / "a", stages=_stages())
    index_run(tmp_path / "a", tmp_path / "index", "old")
    run_small(b, tmp_path / "b", stages=_stages(tmp_path / "index"))
    sources = [
        {"use": "sources.jsonl", "domain": "web", "paths": [str(both / "a*.jsonl")], "priority": 1},
        {"use": "sources.jsonl", "domain": "web", "paths": [str(both / "b*.jsonl")]},
    ]
    run_small(both, tmp_path / "ab", stages=_stages(), source=sources)
    return tmp_path


def test_equals_a_joint_run(runs: Path) -> None:
    alone, joint = _rows(runs / "b", "b.jsonl"), _rows(runs / "ab", "b.jsonl")
    assert len(alone) == len(NEW)
    for position, row in alone.items():
        for name in ("id", "state", "stage", "reason", "kept_id"):
            assert row[name] == joint[position][name], (position, name)
    assert sum(row["state"] == "kept" for row in alone.values()) == 2
    assert _groups(runs / "b", "b.jsonl") == _groups(runs / "ab", "b.jsonl")
    assert read_table(runs / "b" / "retract.arrow").num_rows == 0


def test_questions_know_the_older_document(runs: Path) -> None:
    dropped = next(row for row in _rows(runs / "b", "b.jsonl").values() if row["state"] == "dropped")
    story = explain(runs / "b", dropped["id"].hex())[0]
    assert story["duplicates"][0]["snapshot"] == "old"
    assert bytes.fromhex(story["duplicates"][0]["kept"]) in {row["id"] for row in _rows(runs / "a", "a.jsonl").values()}
    assert validate(runs / "b")["passed"]
    answer = what_if(runs / "b", bounds={"text.chars": 1})
    assert answer["total"]["then"]["documents"] == answer["total"]["now"]["documents"] == 2


def test_a_run_made_again_is_not_older_than_itself(runs: Path) -> None:
    index_run(runs / "b", runs / "index", "new")
    with pytest.raises(RecipeError, match="already has a snapshot 'new'"):
        index_run(runs / "b", runs / "index", "new")
    kept = [row["id"] for row in _rows(runs / "b", "b.jsonl").values() if row["state"] == "kept"]
    name_removals(runs / "b", [kept[0].hex()])
    manifest = run_small(runs / "in-b", runs / "b", stages=_stages(runs / "index"))
    assert manifest["removed"] == 1
    again = [row["id"] for row in _rows(runs / "b", "b.jsonl").values() if row["state"] == "kept"]
    assert kept[1] in again
    assert kept[0] not in again


def test_workers_change_no_byte(runs: Path) -> None:
    run_small(runs / "in-b", runs / "two", workers=2, stages=_stages(runs / "index"))
    assert public_bytes(runs / "two") == public_bytes(runs / "b")


def test_published_documents_that_turn_out_equal_are_retracted(runs: Path) -> None:
    copy = _write(runs / "in-c", "c", OLD[:2])
    run_small(copy, runs / "c", stages=_stages())  # not compared with the index: publishes what is there already
    index_run(runs / "c", runs / "index", "copy")
    run_small(_write(runs / "in-d", "d", [prose(90)]), runs / "d", stages=_stages(runs / "index"))
    gone = read_table(runs / "d" / "retract.arrow").to_pylist()
    assert len(gone) == 2
    assert {row["snapshot"] for row in gone} <= {"old", "copy"}
    assert finished(runs / "d").manifest["retract"]["path"] == "retract.arrow"


def test_other_signatures_are_refused_in_one_sentence(runs: Path) -> None:
    with pytest.raises(RecipeError, match="seed is 1 there and 2 here"):
        run_small(runs / "in-b", runs / "other", stages=_stages(runs / "index", seed=2))
    with pytest.raises(RecipeError, match="write it as a path"):
        run_small(runs / "in-b", runs / "other", stages=_stages(Path("index")))


def test_names_the_older_document_that_matched(runs: Path) -> None:
    rows = _rows(runs / "b", "b.jsonl")
    known = next(row for row in rows.values() if row["state"] == "dropped" and row["kept_id"])
    story = explain(runs / "b", known["id"].hex())[0]["duplicates"][0]
    assert story["matched_in"] == "old"
    old = {row["id"].hex() for row in _rows(runs / "a", "a.jsonl").values()}
    assert story["matched"] in old
    matched = read_table(runs / "b" / "matched.arrow").to_pylist()
    assert all(row["similarity"] is None or row["similarity"] >= 0.7 for row in matched)


def test_crawls_that_share_ids_are_refused(runs: Path, tmp_path: Path) -> None:
    again = _write(tmp_path / "later", "a", [prose(i) for i in range(60, 64)])
    run_small(again, tmp_path / "later-out", stages=_stages())
    with pytest.raises(RecipeError, match="put the month into the path"):
        index_run(tmp_path / "later-out", runs / "index", "later")
