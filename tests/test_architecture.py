"""What keeps the house in order: sizes, mirrored tests, no hidden imports, the five names."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from jacorpus.resolve import known_stages, resolve
from tests.conftest import ROOT

PACKAGES = ("jacorpus", "tokenizer_lab", "mixing", "trainer", "cli")
FILES = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
BIG = {"model.py", "loop.py"}
HEAVY = ("torch", "numba", "pyarrow", "polars", "trafilatura", "fasttext")


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_files_and_functions_stay_readable(path: Path) -> None:
    text = path.read_text("utf-8")
    assert text.count("\n") <= (600 if path.name in BIG else 400)
    tree = ast.parse(text)
    assert ast.get_docstring(tree), "a module opens with what it is for"
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            assert (node.end_lineno or 0) - node.lineno < 60, f"{node.name} is long"


@pytest.mark.parametrize(
    "path", [p for p in FILES if "kernels" in p.parts and p.stem != "__init__"], ids=lambda p: p.stem
)
def test_each_kernel_has_its_test(path: Path) -> None:
    """At the mirrored path, or imported by the test of the kernel it is a part of."""
    folder = ROOT / "tests" / path.relative_to(ROOT).parent
    named = re.compile(rf"kernels(\.| import .*\b){path.stem}\b")
    assert (folder / f"test_{path.name}").is_file() or any(
        named.search(test.read_text("utf-8")) for test in folder.glob("test_*.py")
    )


@pytest.mark.parametrize("use", sorted(known_stages()))
def test_each_stage_says_what_it_does_and_has_a_test(use: str) -> None:
    assert known_stages()[use], "the class needs a docstring"
    family, _, name = use.partition(".")
    folder = ROOT / "tests" / "jacorpus" / family
    named = (folder / f"test_{name}.py").is_file()
    assert named or any(name in p.read_text("utf-8") for p in folder.glob("test_*.py")), f"no test of {use}"
    assert resolve(use).__dataclass_params__.frozen  # type: ignore[attr-defined]


def test_help_imports_nothing_heavy() -> None:
    code = f"import sys, cli.main; print([m for m in {HEAVY!r} if m in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert answer.stdout.strip() == "[]"


def test_only_the_ray_engine_knows_ray() -> None:
    for path in FILES:
        if path.name != "ray.py":
            names = [n for node in ast.walk(ast.parse(path.read_text("utf-8"))) for n in _imported(node)]
            assert "ray" not in names, path


def _imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name.partition(".")[0] for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.module and not node.level:
        return [node.module.partition(".")[0]]
    return []


@pytest.mark.slow
def test_the_wheel_holds_the_five_packages(tmp_path: Path) -> None:
    import zipfile

    command = [sys.executable, "-m", "build", "--wheel", "--outdir", str(tmp_path), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    names = zipfile.ZipFile(next(tmp_path.glob("*.whl"))).namelist()
    tops = {name.partition("/")[0] for name in names if ".dist-info" not in name}
    assert tops == set(PACKAGES)
    assert "jacorpus/profiles/default.toml" in names
    assert "jacorpus/recipes/sample/pages.warc.gz" in names
    assert "jacorpus/report/page.html" in names
