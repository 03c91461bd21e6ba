"""The docs tell the truth: generated pages are current, the tutorial's commands run, links lead somewhere."""

import importlib.util
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.conftest import ROOT

DOCS = ROOT / "docs"


def _generator():
    spec = importlib.util.spec_from_file_location("generate", DOCS / "generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["cli.md", "stages.md", "methods.md"])
def test_generated_pages_are_current(name: str) -> None:
    assert (DOCS / name).read_text("utf-8") == _generator().PAGES[name](), "run `make docs`"


def _commands(page: Path) -> list[str]:
    """The ``$ `` lines of console blocks; a command goes on until its quotes close."""
    found: list[str] = []
    for block in re.findall(r"```console\n(.*?)```", page.read_text("utf-8"), re.DOTALL):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append(line[2:])
            else:
                found[-1] += "\n" + line
    return found


OF_A_MODEL = ("jacorpus train", "jacorpus evaluate", "jacorpus generate")


@pytest.mark.parametrize("model", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_the_tutorial_runs(model: bool, tmp_path: Path) -> None:
    """With a model it takes minutes; without, the demo stops before it, and commands on it are left out."""
    bin_folder = str(Path(sys.executable).parent)
    path = os.pathsep.join([bin_folder, os.environ["PATH"]])
    commands = _commands(DOCS / "tutorial.md")
    if not model:
        commands = [c.replace("jacorpus demo", "jacorpus demo --no-model") for c in commands]
        commands = [c for c in commands if not any(verb in c for verb in OF_A_MODEL)]
    assert len(commands) > 15
    for command in commands:
        answer = subprocess.run(
            ["bash", "-c", command], cwd=tmp_path, env={**os.environ, "PATH": path}, capture_output=True, text=True
        )
        assert answer.returncode == 0, f"{command}\n{answer.stdout}\n{answer.stderr}"


def test_the_signal_in_15_lines_works(tmp_path: Path) -> None:
    page = (DOCS / "a-signal-in-15-lines.md").read_text("utf-8")
    code = re.search(r"```python\n(.*?)```", page, re.DOTALL)[1]
    stages = re.search(r"```toml\n(.*?)```", page, re.DOTALL)[1]
    assert len([line for line in code.split("class Questions:")[1].splitlines() if line.strip()]) <= 15
    (tmp_path / "mine.py").write_text(code, "utf-8")
    rows = ['{"text": "なぜ？どうして？"}', '{"text": "' + "え？" * 30 + '"}']
    (tmp_path / "in.jsonl").write_text("\n".join(rows), "utf-8")
    source = '[[source]]\nuse = "sources.jsonl"\ndomain = "d"\npaths = ["in.jsonl"]\n'
    (tmp_path / "r.toml").write_text(source + stages, "utf-8")
    command = [str(Path(sys.executable).parent / "jacorpus"), "corpus", "run", "r.toml", "--out", "out", "--json"]
    answer = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    assert '"reason": "quiz"' in answer.stdout


@pytest.mark.parametrize("page", sorted([*DOCS.rglob("*.md"), *ROOT.glob("*.md")]), ids=lambda p: p.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text("utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), target


def test_every_dependency_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    pins = {line.split("==")[0].lower().replace("_", "-") for line in (ROOT / "constraints.txt").read_text().split()}
    extras = [one for group in project["optional-dependencies"].values() for one in group]
    for requirement in [*project["dependencies"], *extras]:
        name = re.match(r"[\w-]+", requirement)[0].lower().replace("_", "-")
        assert name in pins or name == project["name"], name
    assert "torch==2.13.0" in (ROOT / "constraints.txt").read_text()
