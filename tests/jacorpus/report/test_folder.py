"""What a report takes from the manifest and the resolved recipe."""

import json

from jacorpus.report.folder import Folder


def test_fates_come_in_the_order_they_are_decided():
    rules = [("profile", "short"), ("profile", "lines"), ("profile", "short")]
    fates = [("near", "duplicate", "dropped"), ("profile", "lines", "dropped"), ("pii", "timeout", "failed")]
    fates += [("profile", "short", "dropped"), ("extract", "charset", "failed"), ("read", "gzip", "failed")]
    kinds = {"extract": "transform", "near": "dedup", "pii": "write"}
    manifest = {
        "stages": [{"label": label, "kind": kind} for label, kind in kinds.items()],
        "rules": [{"stage": stage, "reason": reason, "index": i} for i, (stage, reason) in enumerate(rules)],
        "fates": [
            {"domain": domain, "state": state, "stage": stage, "reason": reason, "documents": 2, "bytes": 9}
            for stage, reason, state in fates
            for domain in ("web", "wiki")
        ],
    }
    folder = Folder(None, manifest)
    assert [fate[1] for fate, _ in folder.fates()] == ["read", "extract", "profile", "profile", "near", "pii"]
    assert [fate[2] for fate, _ in folder.fates()][2:4] == ["short", "lines"]
    assert {number for _, number in folder.fates()} == {4}
    assert {number for _, number in folder.fates("web", "bytes")} == {9}


def test_keywords_are_read_through_the_resolved_recipe(tmp_path):
    (tmp_path / "words.txt").write_text("悪い\n語\n", "utf-8")
    recipe = '[[stage]]\nuse = "signals.keywords"\nlabel = "keywords"\nlists = { ng = "words.txt" }\n'
    (tmp_path / "run.json").write_text(json.dumps({"folder": str(tmp_path)}))
    (tmp_path / "recipe.resolved.toml").write_text(recipe, "utf-8")
    manifest = {
        "stages": [
            {"label": "keywords", "use": "signals.keywords", "options": {"lists": {"ng": {"file": "words.txt"}}}}
        ]
    }
    folder = Folder(tmp_path, manifest)
    assert folder.keywords("keywords.ng_ratio") == ("悪い", "語")
    assert folder.keywords("keywords.other_hits") == folder.keywords("text.chars") == ()
    (tmp_path / "words.txt").unlink()
    assert folder.keywords("keywords.ng_ratio") == ()
