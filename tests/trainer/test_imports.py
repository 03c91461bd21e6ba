"""The trainer's core runs beside torch, triton, numpy and pyarrow alone: nothing else need be on a training machine."""

import json
import subprocess
import sys

from tests.conftest import ROOT

ALLOWED = ("torch", "triton", "numpy", "pyarrow")
OURS = ("jacorpus", "trainer", "tokenizer_lab", "mixing")
CORE = (
    *("batch", "cache", "checkpoint", "config", "data", "distributed", "documents", "flops", "layouts", "ledger"),
    *("log", "loop", "memory", "model", "objective", "optim", "order", "plan", "prefetch", "rng", "schedule"),
    *("spikes", "stream"),
)

PROGRAM = """
import importlib, importlib.metadata, json, re, sys, traceback

allowed, ours, modules = json.loads(sys.argv[1])


def with_dependencies(names):
    names, seen = list(names), set()
    while names:
        name = re.split(r"[^\\w.-]", names.pop())[0].lower().replace("_", "-")
        if name not in seen:
            seen.add(name)
            try:
                wanted = importlib.metadata.requires(name) or []
            except importlib.metadata.PackageNotFoundError:
                continue
            names += [each for each in wanted if "extra ==" not in each]
    return seen


distributions = with_dependencies(allowed)
tops = {
    top
    for top, owners in importlib.metadata.packages_distributions().items()
    if any(owner.lower().replace("_", "-") in distributions for owner in owners)
}
known = tops | set(ours) | set(sys.stdlib_module_names)


class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] not in known:
            raise ModuleNotFoundError(f"not for the core: {name}", name=name)


sys.meta_path.insert(0, Blocker())
failed = {}
for module in modules:
    try:
        importlib.import_module(module)
    except Exception:
        failed[module] = traceback.format_exc()[-1500:]
files = [name for name, module in sys.modules.items() if getattr(module, "__spec__", None)]  # not what Cython makes up
loaded = sorted({name.partition(".")[0] for name in files} - known - {"__main__", "__mp_main__"})
found = {"failed": failed, "loaded": loaded, "triton": "triton" in sys.modules, "modules": sorted(sys.modules)}
print(json.dumps(found))
"""


def imported(modules: list[str], allowed: tuple[str, ...] = ALLOWED) -> dict:
    command = [sys.executable, "-S", "-c", "import site; site.main()\n" + PROGRAM]
    run = subprocess.run(
        [*command, json.dumps([allowed, OURS, modules])], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert not run.returncode, run.stderr
    return json.loads(run.stdout.splitlines()[-1])


def core() -> list[str]:
    """Every module of the core; one that is gone is a failure, not a skip."""
    kernels = sorted((ROOT / "trainer" / "kernels").glob("*.py"))
    names = [f"trainer.kernels.{path.stem}" for path in kernels if path.stem != "__init__"]
    return [*(f"trainer.{name}" for name in CORE), "trainer.kernels", *names]


def test_the_core_imports_torch_and_little_else() -> None:
    modules = core()
    assert len(modules) > len(CORE) + 8
    answer = imported(modules)
    assert answer["failed"] == {}
    assert set(modules) <= set(answer["modules"])
    assert [name for name in answer["loaded"] if not name.startswith("__editable__")] == []
    assert not answer["triton"], "triton is imported where a kernel is called, never before"


def test_the_blocker_blocks() -> None:
    answer = imported(["polars", "zstandard", "trainer.no_such_module", "numpy"])
    assert sorted(answer["failed"]) == ["polars", "trainer.no_such_module", "zstandard"]
