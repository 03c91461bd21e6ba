"""encode, killed with SIGKILL at any place and run again: the same bytes as one undisturbed run, nothing done twice."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.tokenizer_lab.test_encode import digests, jsonl, words

SCRIPT = """
import sys
from pathlib import Path
from jacorpus.engine.inline import Inline
from jacorpus.engine.local import Local
from tokenizer_lab.encoding import reading
from tokenizer_lab.corpus import open_corpus
from tokenizer_lab.encode import EncodeOptions, encode_corpus

if __name__ == "__main__":
    reading.TASK_BYTES = 6000
    options = EncodeOptions(shard_tokens=20_000, run_tokens=3000)
    encode_corpus(open_corpus(["x=" + sys.argv[1]]), "char", Path(sys.argv[2]), options, eval(sys.argv[3]))
"""


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus")
    for seed in range(4):
        jsonl(folder / f"{seed}.jsonl", words(1500, seed))
    return folder


def started(folder: Path, corpus: Path, out: Path, engine: str) -> subprocess.Popen:
    script = folder / "script.py"
    script.write_text(SCRIPT)
    command = [sys.executable, str(script), str(corpus), str(out), engine]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(command, start_new_session=True, stderr=subprocess.PIPE, env=environment)


def kill_after(process: subprocess.Popen, out: Path, more: int, delay: float) -> bool:
    """Kill the coordinator once so many more tasks are done, and a little later; False where it ended before."""
    before = len(list(out.glob("work/done/*.json")))
    while process.poll() is None:
        if len(list(out.glob("work/done/*.json"))) >= before + more:
            time.sleep(delay)
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                return True
        time.sleep(0.002)
    assert process.returncode == 0, process.stderr.read().decode()
    return False


def run_with_kills(folder: Path, corpus: Path, kills: int, seed: int, engine: str) -> None:
    draw = random.Random(seed)
    whole, out = folder / "whole", folder / "out"
    assert started(folder, corpus, whole, "Inline()").wait() == 0
    killed = tries = 0
    while killed < kills:
        process, tries = started(folder, corpus, out, engine), tries + 1
        if kill_after(process, out, draw.randrange(1, 12), draw.random() / 20):
            killed += 1
        elif killed or tries == 10:
            break
        else:  # on a busy machine it may be done before anyone looks
            shutil.rmtree(out)
    assert killed
    assert started(folder, corpus, out, engine).wait() == 0
    assert digests(out) == digests(whole)
    assert sorted(path.name for path in (out / "work").iterdir()) == ["lock"]
    phases = [json.loads((each / "run.json").read_text())["phases"] for each in (whole, out)]
    assert phases[1][0]["run"] < phases[0][0]["run"] == phases[0][0]["tasks"] > 30


def test_killed_twice(tmp_path, corpus):
    run_with_kills(tmp_path, corpus, 2, 0, "Inline()")


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 5))
def test_killed_many_times(tmp_path, corpus, seed):
    run_with_kills(tmp_path, corpus, 12, seed, "Local(2)")
