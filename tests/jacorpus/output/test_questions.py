"""what-if, explain, diff, stats, export and remove on the small corpus."""

import json
from pathlib import Path

import pytest
import zstandard

from jacorpus.engine.inline import Inline
from jacorpus.errors import JacorpusError, RecipeError
from jacorpus.output.diff import diff
from jacorpus.output.explain import explain, texts_of
from jacorpus.output.export import export
from jacorpus.output.finished import finished
from jacorpus.output.remove import name_removals, read_keys
from jacorpus.output.stats import stats
from jacorpus.output.validate import load_resolved, validate
from jacorpus.output.what_if import what_if
from jacorpus.run import run_recipe
from jacorpus.shards import read_table
from tests.small import STAGES, prose, run_small, write_corpus


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("in"))


@pytest.fixture(scope="module")
def out(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    where = tmp_path_factory.mktemp("run") / "out"
    run_small(folder, where)
    return where


def _stages(minimum: int) -> list[dict]:
    stages = json.loads(json.dumps(STAGES))
    stages[2]["rules"][0]["min"] = minimum
    return stages


@pytest.mark.parametrize("minimum", [0, 5, 320, 325, 10_000])
def test_what_if_decides_as_a_run_would(folder: Path, out: Path, tmp_path: Path, minimum: int) -> None:
    answer = what_if(out, bounds={"text.chars": minimum})
    manifest = run_small(folder, tmp_path / "really", stages=_stages(minimum))
    assert answer["total"]["then"]["documents"] == manifest["counts"]["kept"]
    assert answer["total"]["then"]["bytes"] == manifest["bytes"]["kept_text"]
    assert answer["total"]["unknown"] == 0


def test_what_if_without_a_change_is_the_run(out: Path) -> None:
    answer = what_if(out)
    assert answer["total"]["now"] == answer["total"]["then"]
    assert answer["total"]["now"]["documents"] == 60


def test_what_if_refuses_what_was_not_measured(out: Path) -> None:
    with pytest.raises(RecipeError, match=r"text\.char`.*text\.chars"):
        what_if(out, bounds={"text.char": 3})
    with pytest.raises(RecipeError, match="did not measure"):
        what_if(out, profile="swallow-v1")


def test_another_profile_replaces_the_runs_profiles_whatever_their_labels(folder: Path, tmp_path: Path) -> None:
    for name, minimum in (("strict", 10_000), ("mild", 320)):
        rule = f'signal = "text.chars"\nmin = {minimum}\nreason = "short"'
        (tmp_path / f"{name}.toml").write_text(f'[[stage]]\nuse = "signals.text"\n[[rule]]\n{rule}\n', "utf-8")
    strict, mild = str(tmp_path / "strict.toml"), str(tmp_path / "mild.toml")
    stages = [
        {"use": "signals.text"},
        {"use": "rules.profile", "profile": strict, "label": "quality"},
        {"use": "dedup.minhash"},
    ]
    run_small(folder, tmp_path / "out", stages=stages)
    really = run_small(folder, tmp_path / "really", stages=[stages[0], {**stages[1], "profile": mild}, stages[2]])
    answer = what_if(tmp_path / "out", profile=mild)
    assert answer["total"]["now"]["documents"] == 0
    assert answer["total"]["then"]["documents"] == really["counts"]["kept"] > 0


def test_what_if_counts_documents_a_costly_signal_never_saw(folder: Path, tmp_path: Path) -> None:
    stages = [
        {"use": "signals.text"},
        {"use": "rules.bounds", "rules": [{"signal": "text.chars", "min": 100, "reason": "short"}]},
        {"use": "signals.words"},
        {
            "use": "rules.bounds",
            "label": "words_rules",
            "rules": [{"signal": "words.words", "min": 1, "reason": "wordless"}],
        },
    ]
    run_small(folder, tmp_path / "out", stages=stages)
    table = read_table(tmp_path / "out" / "signals" / "part-00000.arrow")
    assert table["words.words"].null_count > 0
    answer = what_if(tmp_path / "out", bounds={"text.chars": 1})
    assert answer["total"]["unknown"] == 2  # two short documents; the third is empty
    assert answer["total"]["then"]["documents"] == answer["total"]["now"]["documents"]


def test_explain_answers_for_each_fate(out: Path) -> None:
    kept = explain(out, "https://example.jp/50")[0]
    assert kept["state"] == "kept"
    assert kept["shard"]["text"] == prose(50)
    assert {r["verdict"] for r in kept["rules"]} == {"passed"}
    by_state = {}
    for batch in finished(out).audit():
        for row in batch.to_pylist():
            by_state.setdefault((row["state"], row["reason"]), row["id"])
    short = explain(out, by_state[("dropped", "short")].hex())[0]
    assert short["rules"][0]["verdict"] == "failed"
    assert short["value"] < 100
    copy = explain(out, by_state[("dropped", "duplicate")].hex())[0]
    assert copy["duplicates"]
    assert copy["duplicates"][0]["kept"] != copy["id"]
    failed = next(explain(out, i.hex())[0] for (s, _), i in by_state.items() if s == "failed")
    assert failed["detail"]
    with pytest.raises(JacorpusError, match="never read"):
        explain(out, "https://example.jp/nowhere")


def test_texts_of_dropped_documents(out: Path) -> None:
    wanted = [row["id"] for b in finished(out).audit() for row in b.to_pylist() if row["reason"] == "short"]
    assert sorted(texts_of(finished(out), wanted).values()) == ["", "これも短い文。", "短い。"]


def test_diff_names_the_moves(folder: Path, out: Path, tmp_path: Path) -> None:
    run_small(folder, tmp_path / "b", stages=_stages(0))
    answer = diff(out, tmp_path / "b")
    assert {(m["from"], m["to"], m["documents"]) for m in answer["moves"]} == {("dropped bounds short", "kept", 3)}
    assert answer["same"] == 70


def test_stats_spread(out: Path) -> None:
    answer = stats(out)
    chars = next(s for s in answer["signals"] if s["signal"] == "text.chars")
    assert chars["known"] == 70
    assert chars["p05"] <= chars["median"] <= chars["p95"]


def test_export_holds_the_kept_documents(out: Path, tmp_path: Path) -> None:
    import polars as pl

    files = export(out, tmp_path / "p", "parquet")
    assert pl.concat([pl.read_parquet(f) for f in files]).height == 60
    rows = []
    for path in export(out, tmp_path / "j", "jsonl.zst"):
        rows += [json.loads(line) for line in zstandard.open(path, "rt", encoding="utf-8")]
    assert len(rows) == 60
    assert {"id", "text", "weight", "split"} <= set(rows[0])
    assert prose(40) in {row["text"] for row in rows}


def test_takedown_promotes_the_next_member(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run_small(folder, out)
    answer = name_removals(out, ["https://example.jp/7", "https://example.jp/nowhere"])
    assert len(answer["new"]) == 1
    assert answer["unknown"] == ["https://example.jp/nowhere"]
    manifest = run_recipe(load_resolved(finished(out)), out, Inline())
    assert manifest["counts"]["kept"] == 60  # its exact copy took the place
    assert explain(out, "https://example.jp/7")[0]["reason"] == "removed"
    texts = [t for shard in manifest["shards"] for t in read_table(out / shard["path"])["text"].to_pylist()]
    assert texts.count(prose(7)) == 1
    assert validate(out)["passed"]
    with pytest.raises(JacorpusError, match="nothing was removed"):
        name_removals(out, ["https://example.jp/nowhere"])


def test_keys_come_from_files_too(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("a\n\nb\n")
    assert read_keys(["x", f"@{tmp_path / 'keys'}"]) == ["x", "a", "b"]
