"""``jacorpus train post``: a recipe of several stages, its card, and what a kill leaves."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import cli.main
from tests.cli.model_commands import Ran
from tests.conftest import ROOT
from tests.trainer.posttrain.test_stages import LETTERS
from tests.trainer.posttrain.toys import model_folder

RECIPE = """
seed = 5
[posttrain]
template = "plain"
device = "cpu"
[[posttrain.stage]]
use = "sft"
data = ["@recipe/chat.jsonl"]
lr = 3e-3
rows = 4
seq_len = 48
epochs = 6
valid_every = 8
checkpoint_every = 4
[[posttrain.stage]]
use = "rejection"
name = "best"
prompts = ["@recipe/sums.jsonl"]
rewards = { numeric = 1.0, format = { weight = 0.1, longest = 3 } }
draws = 3
max_tokens = 5
seq_len = 48
[[posttrain.stage]]
use = "preference"
name = "h-dpo"
data = ["@best/pairs.jsonl"]
loss = "hdpo"
options = { alpha = 0.9 }
rows = 4
seq_len = 48
valid_every = 0
checkpoint_every = 2
[[posttrain.stage]]
use = "grpo"
prompts = ["@recipe/sums.jsonl"]
rewards = { numeric = 1.0 }
rows = 4
draws = 4
cycles = 5
max_tokens = 5
seq_len = 48
lr = 1e-3
checkpoint_every = 2
[[posttrain.stage]]
use = "merge"
models = ["@h-dpo", "@grpo"]
[[posttrain.evaluate]]
name = "sums"
prompts = ["@recipe/sums.jsonl"]
rewards = { numeric = 1.0 }
max_tokens = 5
"""


Run = Callable[..., Ran]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """``jacorpus WORDS`` in this process; ``code`` is what it should end with."""

    def run(*words: object, code: int = 0) -> Ran:
        monkeypatch.setattr(sys, "argv", ["jacorpus", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            cli.main.main()
        streams = capsys.readouterr()
        assert int(ended.value.code or 0) == code, streams.err
        return Ran(code, streams.out, streams.err)

    return run


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    pairs = [(a, b) for a in range(6) for b in range(6)]
    turns = [[("user", f"{a}たす{b}は"), ("assistant", str(a + b))] for a, b in pairs]
    chat = [{"messages": [{"role": role, "content": text} for role, text in turn]} for turn in turns]
    sums = [{"id": f"{a}{b}", "question": f"{a}たす{b}は", "answer": str(a + b)} for a, b in pairs]
    for name, rows in (("chat", chat), ("sums", sums)):
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (tmp_path / f"{name}.jsonl").write_text(lines, "utf-8")
    (tmp_path / "post.toml").write_text(RECIPE, "utf-8")
    model_folder(tmp_path / "base", LETTERS, width=32)
    return tmp_path / "post.toml"


def test_stages_follow_one_another_and_a_card_compares_them(run: Run, recipe: Path, tmp_path: Path) -> None:
    words = ("train", "post", str(recipe), "--model", str(tmp_path / "base"), "--out", str(tmp_path / "out"))
    dry = json.loads(run(*words, "--dry-run", "--json").out)
    assert dry[0]["conversations"] + dry[0]["held_out"] == 36
    assert dry[2]["waits_for"] == ["@best/pairs.jsonl"]
    found = json.loads(run(*words, "--json").out)
    assert [stage["stage"] for stage in found["stages"]] == ["sft", "best", "h-dpo", "grpo", "merge"]
    assert found["model"].endswith("05-merge")
    card = json.loads((tmp_path / "out/card.json").read_bytes())
    table = next(section for section in card["sections"] if section["key"] == "sums")["blocks"][-1]
    assert [row[0] for row in table["rows"]] == ["base", "sft", "h-dpo", "grpo", "merge"]
    assert json.loads(run(*words, "--json").out) == found  # all done: nothing is made again
    changed = run(*words, "--set", "seed=6", code=1).err
    assert "made with another" in changed
    assert "--force" in changed
    text = run("generate", found["model"], "1たす1は", "--greedy", "--max-tokens", "4").out
    assert text


def test_a_wrong_recipe_is_one_sentence(run: Run, recipe: Path, tmp_path: Path) -> None:
    words = ("train", "post", str(recipe), "--model", str(tmp_path / "base"), "--out", str(tmp_path / "out"))
    assert "no stage `hdpo`" in run(*words, "--until", "hdpo", code=2).err
    recipe.write_text(RECIPE.replace('"@best/pairs.jsonl"', '"@worst/pairs.jsonl"'), "utf-8")
    assert "no earlier stage is named worst" in run(*words, "--quiet", code=2).err
    recipe.write_text(RECIPE.replace("alpha = 0.9", "alfa = 0.9"), "utf-8")
    assert "did you mean `alpha`" in run(*words, code=2).err
    recipe.write_text(RECIPE, "utf-8")
    assert "holds no model" in run(*words[:4], tmp_path / "no", *words[5:], code=1).err


@pytest.mark.slow
def test_killed_at_any_time_it_comes_to_the_same_bits(run: Run, recipe: Path, tmp_path: Path) -> None:
    words = ("train", "post", str(recipe), "--model", str(tmp_path / "base"), "--quiet", "--out")
    run(*words, str(tmp_path / "whole"))
    command = [sys.executable, "-m", "cli.main", *words, str(tmp_path / "cut")]
    for patience in (5.0, 7.0, 6.0, 8.0, 9.0, 10.0):
        process = subprocess.Popen(command, cwd=ROOT)
        time.sleep(patience)
        process.send_signal(signal.SIGKILL)
        process.wait()
    run(*words, str(tmp_path / "cut"))
    names = [path.relative_to(tmp_path / "whole") for path in (tmp_path / "whole").rglob("*.safetensors")]
    assert len(names) == 4
    for name in [*names, Path("02-best/pairs.jsonl"), Path("items/merge/sums.jsonl")]:
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name
