import subprocess
import sys

import pytest

from tests.conftest import ROOT

PROGRAM = """
import resource, sys, torch
from trainer.memory import keep_freed_memory

if sys.argv[1] == "keep":
    assert keep_freed_memory()


def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        torch.ones(12 << 20)  # 48 MB
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


faults()
print(faults())
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's malloc")
def test_freed_memory_is_taken_again() -> None:
    found = {}
    for how in ("keep", "plain"):
        command = [sys.executable, "-c", PROGRAM, how]
        run = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
        found[how] = int(run.stdout)
    assert found["keep"] < 100
    assert found["plain"] >= found["keep"]
