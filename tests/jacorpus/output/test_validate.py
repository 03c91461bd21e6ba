"""What `validate` makes of inputs that are not records."""

import json
from pathlib import Path

from jacorpus.engine.inline import Inline
from jacorpus.output.validate import validate
from jacorpus.recipe import recipe_from_tables
from jacorpus.run import run_recipe


def test_files_that_only_describe_a_dataset_are_not_new_inputs(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    (folder / "data").mkdir(parents=True)
    (folder / "dataset_info.json").write_text("{}", "utf-8")
    (folder / "data" / "train.jsonl").write_text(json.dumps({"text": "日記"}) + "\n", "utf-8")
    source = {"use": "sources.huggingface", "domain": "d", "paths": ["set"]}
    out = tmp_path / "out"
    run_recipe(recipe_from_tables({"source": [source]}, tmp_path, "r"), out, Inline())
    assert validate(out)["passed"]
    (folder / "data" / "more.jsonl").write_text(json.dumps({"text": "追記"}) + "\n", "utf-8")
    found = next(check for check in validate(out)["checks"] if check["name"] == "inputs")
    assert not found["passed"]
    assert "data/more.jsonl is new since the run" in found["detail"]
