"""``jacorpus mix plan`` as users meet it: the example, files, phases that the trainer takes, errors, time."""

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
import typer

import cli.main
from cli.mix.plan import plan
from mixing.scaling import law_named
from tests.cli.model_commands import Ran
from trainer.settings import plan_of, settings_from_table


@pytest.fixture
def run(capsys, monkeypatch):
    """Exit code and both streams of ``jacorpus mix plan WORDS``, in this process."""

    def call(*words: object) -> Ran:
        app, group = typer.Typer(pretty_exceptions_enable=False), typer.Typer()
        app.callback()(lambda: None)
        group.callback()(lambda: None)
        group.command()(plan)
        app.add_typer(group, name="mix")
        monkeypatch.setattr(cli.main, "app", app)
        monkeypatch.setattr(sys, "argv", ["jacorpus", "mix", "plan", *map(str, words)])
        monkeypatch.setenv("COLUMNS", "200")
        with pytest.raises(SystemExit) as ended:
            cli.main.main()
        streams = capsys.readouterr()
        return Ran(int(ended.value.code or 0), streams.out, streams.err)

    return call


EXAMPLE = ("--gpus", 1024, "--days", 30, "--gpu", "h100", "--share", "ja=0.5")


def test_the_example_of_the_docstring(run) -> None:
    answer = run(*EXAMPLE)
    assert answer.code == 0
    lines = answer.out.splitlines()
    assert lines[0].startswith("DEFAULTS: no source was given.")
    assert "C = 1.05e24 operations: 1,024 H100 at 989 TFLOP/s (dense bf16 peak), MFU 0.4, 30 days" in lines
    assert "MFU is assumed: --mfu says yours (a run's log tells it)." in lines
    assert "ja: 890B needed (0.5 of all), 412B there: 2.2 epochs, worth 873B new tokens (value 0.98)." in lines
    assert any(line.split() == ["10.0", "%", "41.2B", "21.6", "0.57"] for line in lines)
    assert "98.3B [62.6B, 151B]" in answer.out
    assert "2605.01640" in answer.out


def test_filters_and_json(run) -> None:
    content = json.loads(run(*EXAMPLE, "--keep", "ja=0.1", "--mfu", 0.4, "--json").out)
    assert round(content["supply"]["epochs"], 1) == 21.6
    assert round(content["supply"]["value"], 2) == 0.57
    assert [size["law"] for size in content["sizes"]][2] == "besiroglu"


def test_own_sources_by_word_and_by_manifest(run, tmp_path: Path) -> None:
    count = {"documents": 2, "tokens": 3_000_000, "text_bytes": 9_000_000}
    shards = {"kind": "tokens", "tokenizer": {"name": "char"}, "domains": {"news": {"train": count}}}
    (tmp_path / "manifest.json").write_text(json.dumps(shards))
    words = (tmp_path, "--language", "news=ja", "--source", "web=6M:en", "--flops", "1e18", "--json")
    content = json.loads(run(*words).out)
    assert {row["name"]: (row["language"], row["unique"]) for row in content["rows"]} == {
        "news": ("ja", 3e6),
        "web": ("en", 6e6),
    }
    assert content["rows"][0]["share"] == pytest.approx(1 / 3)
    assert "DEFAULTS" not in run(*words[:-1]).out
    mixture = tmp_path / "mixture.json"
    mixture.write_text('{"weights": {"news": 3, "web": 1}}')
    content = json.loads(run(*words, "--mixture", mixture).out)
    assert content["rows"][0]["share"] == 0.75


def test_a_recipe_says_size_and_tokens(run, tmp_path: Path) -> None:
    recipe = tmp_path / "r.toml"
    text = '[model]\nlayers = 4\nd_model = 256\nvocab_size = 4096\n[mixing]\nweights = { "web-ja" = 1.0 }\n'
    recipe.write_text(text + "[train]\ntokens = 1e9\n")
    content = json.loads(run("--recipe", recipe, "--json").out)
    assert content["tokens"] == 1e9
    assert 1e6 < content["parameters"] < 1e7
    assert [row["share"] for row in content["rows"]] == [0, 0, 1, 0]
    recipe.write_text('[model]\ninit = "m"\n[train]\ntokens = 1e9\n')
    assert run("--recipe", recipe, "--parameters", "1B", "--json").code == 0
    assert "say how much compute there is" in run("--recipe", recipe).err
    recipe.write_text("[model]\nlayers = 4\n[train]\ntokens = 1e9\n")
    assert "has no vocab_size" in run("--recipe", recipe).err


def test_the_report_is_written(run, tmp_path: Path) -> None:
    answer = run(*EXAMPLE, "--parameters", "70B", "--inference-tokens", "5T", "--out", tmp_path / "plan")
    assert answer.code == 0
    assert f"written: {tmp_path / 'plan' / 'report.html'}" in answer.out
    assert "N = 70B on D = 2.5T" in (tmp_path / "plan" / "report.html").read_text("utf-8")
    assert json.loads((tmp_path / "plan" / "report.json").read_text("utf-8"))["title"] == "Training plan"
    assert json.loads((tmp_path / "plan" / "plan.json").read_text("utf-8"))["own"] is True


def test_runs_of_ones_own_are_fitted(run, tmp_path: Path) -> None:
    draw, law = np.random.default_rng(0), law_named("hoffmann-tex")
    n, d = np.exp(draw.uniform(17, 23, 40)), np.exp(draw.uniform(21, 26, 40))
    losses = law.loss(n, d) * np.exp(0.005 * draw.standard_normal(40))
    losses[0] *= 3
    rows = [dict(zip(("N", "D", "loss"), map(float, row), strict=True)) for row in zip(n, d, losses, strict=True)]
    (tmp_path / "points.json").write_text(json.dumps(rows))
    words = ("--flops", "1e23", "--points", tmp_path / "points.json", "--points-drop", 1, "--law", "refit", "--json")
    content = json.loads(run(*words).out)
    refit = content["sizes"][-1]
    assert (refit["law"], refit["source"], content["law"]) == ("refit", "fitted to 39 points", "refit")
    assert refit["parameters"]["low"] < law.optimum(1e23)[0] < refit["parameters"]["high"]


@pytest.mark.parametrize("curriculum", ["joint", "ramp", "transfer"])
def test_the_trainer_takes_the_phases(run, tmp_path: Path, curriculum: str) -> None:
    path = tmp_path / "phases.toml"
    answer = run(
        *EXAMPLE, *("--tokens", "20B", "--parameters", "1B", "--curriculum", curriculum),
        *("--init", "models/en", "--write-phases", path),
    )  # fmt: skip
    assert answer.code == 0
    assert f"written: {path}" in answer.out
    tables = tomllib.loads(path.read_text("utf-8"))
    settings = settings_from_table(tables["train"])
    made = plan_of(settings, {"unused": 1.0}, 0)
    assert [len(made.phases), sum(phase.tokens for phase in made.phases)] == [3 if curriculum == "ramp" else 1, 20e9]
    assert set(made.domains) == {"code", "pile-en", "web-ja", "wiki-en"}
    japanese = [phase.schedule.quotas["web-ja"] / phase.schedule.period for phase in made.phases]
    wanted = {"joint": [0.5], "ramp": [0.25, 0.5, 0.75], "transfer": [0.8]}[curriculum]
    assert japanese == pytest.approx(wanted, abs=1e-4)
    assert tables.get("model") == ({"init": "models/en"} if curriculum == "transfer" else None)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--gpus", "-3", "--days", "30"], "--gpus -3: it must be over 0"),
        (["--gpus", "3", "--days", "30", "--gpu", "h1000"], "--gpu h1000: unknown; did you mean `h100`?"),
        (["--gpus", "3"], "--gpus and --days go together"),
        (["--flops", "1e22", "--gpus", "3"], "leave one of them out"),
        (["--flops", "1e22", "-s", "web=0:ja"], "the number of tokens must be a number over 0"),
        (["--flops", "1e22", "-s", "web=1B:jp"], "`jp` is no language"),
        (["--flops", "1e22", "--share", "ja=1.5"], "--share ja=1.5: a share is from 0 to 1"),
        (["--flops", "1e22", "--share", "fr=0.5"], "no source is of language `fr`; known: code, en, ja"),
        (["--flops", "1e22", "--share", "ja=0.5", "--share", "ja=0.6"], "--share names `ja` twice"),
        (["--flops", "1e22", "--share", "half"], "write NAME=NUMBER, such as ja=0.5"),
        (["--flops", "1e22", "--law", "bes"], "did you mean `besiroglu`?"),
        (["--flops", "1e22", "--curriculum", "rump"], "did you mean `ramp`?"),
        (["--flops", "1e22", "--write-phases", "x.toml"], "add --curriculum"),
        (["--flops", "1e22", "--language", "web"], "write NAME=CODE"),
        (["--flops", "many"], "--flops must be a number over 0"),
        (["--flops", "1e22", "--bytes-per-token", "-4"], "--bytes-per-token -4: it must be over 0"),
        (["--flops", "1e26", "--best", "--max-epochs", "2"], "these limits can't hold together"),
        ([], "say how much compute there is"),
    ],
)
def test_wrong_words_are_one_sentence(run, words: list[str], sentence: str) -> None:
    answer = run(*words)
    assert answer.code == 2
    assert sentence in answer.err
    assert len(answer.err.splitlines()) == 1
    assert answer.out == ""


def test_a_plan_is_quick_and_imports_nothing_heavy() -> None:
    """Beyond the start of Python: seconds of CPU of the whole plan, best of three, on a shared machine."""
    code = (
        "import sys, time; from cli.mix.plan import plan; start = time.process_time();"
        "plan(gpus=64, days=30, share=['ja=0.5'], json=True); print(time.process_time() - start, file=sys.stderr);"
        "print([m for m in ('torch', 'scipy', 'pyarrow', 'numba', 'sklearn') if m in sys.modules], file=sys.stderr)"
    )
    answers = [subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True) for _ in "123"]
    spent, heavy = zip(*(answer.stderr.splitlines()[-2:] for answer in answers), strict=True)
    assert set(heavy) == {"[]"}
    assert min(map(float, spent)) < 1.0
