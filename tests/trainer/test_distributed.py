"""Two processes train as one: equal batches, nearly equal losses, checkpoints that any ranks can go on from."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from jacorpus.errors import RecipeError
from jacorpus.recipe import to_toml
from tests.conftest import ROOT
from tests.trainer.test_pretrain import tables
from tokenizer_lab.tokens import Tokens
from trainer.distributed import World, start
from trainer.log import read_log


def train(folder: Path, shards: Tokens, name: str, ranks: int, **train: Any) -> Path:
    """A run through the command line, on so many ranks; returns its folder."""
    recipe, out = folder / f"{name}-{ranks}.toml", folder / name
    recipe.write_text(to_toml({"name": "small", **tables(**{"tokens": 5120, **train})}))
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(ranks), "-m", "cli.main"]
    words = ["train", "pretrain", recipe, "--tokens", shards.folder, "--out", out, "-q"]
    command = [sys.executable, *(launch if ranks > 1 else ["-m", "cli.main"]), *map(str, words)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    return out


def losses(folder: Path) -> list[float]:
    return [row["loss"] for row in read_log(folder).steps]


@pytest.fixture(scope="module")
def alone(small_tokens: Tokens, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(tmp_path_factory.mktemp("alone"), small_tokens, "alone", 1)


@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
def test_two_ranks_train_what_one_trains_and_one_goes_on(
    parallel: str, alone: Path, small_tokens: Tokens, tmp_path: Path
) -> None:
    out = train(tmp_path, small_tokens, parallel, 2, parallel=parallel)
    assert losses(out) == pytest.approx(losses(alone), rel=1e-4)
    assert json.loads((out / "run.json").read_text())["world"] == 2
    longer = {"tokens": 7680, "schedule": "constant"}
    train(tmp_path, small_tokens, parallel, 1, parallel=parallel, **longer)
    assert len(losses(out)) == 15
    assert losses(out)[:10] == pytest.approx(losses(alone), rel=1e-4)
    assert losses(out)[-1] < losses(out)[9]


def test_a_run_of_one_rank_goes_on_with_two(alone: Path, small_tokens: Tokens, tmp_path: Path) -> None:
    out = train(tmp_path, small_tokens, "run", 1)
    assert losses(out) == losses(alone)
    train(tmp_path, small_tokens, "run", 2, tokens=6144, parallel="fsdp", optimizer="adamw", schedule="constant")
    assert len(losses(out)) == 12


@pytest.mark.slow
@pytest.mark.parametrize("train_words", [{"optimizer": "muon"}, {"checkpointing": True}, {"micro_tokens": 128}])
@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
def test_every_way_of_training_works_on_two_ranks(
    parallel: str, train_words: dict, small_tokens: Tokens, tmp_path: Path
) -> None:
    one = train(tmp_path, small_tokens, "one", 1, **train_words)
    two = train(tmp_path, small_tokens, "two", 2, parallel=parallel, **train_words)
    assert losses(two) == pytest.approx(losses(one), rel=1e-2)


def test_rows_are_cut_evenly_or_it_is_said() -> None:
    worlds = [World(rank, 4, torch.device("cpu")) for rank in range(4)]
    assert [list(world.rows(8)) for world in worlds] == [[0, 1], [2, 3], [4, 5], [6, 7]]
    with pytest.raises(RecipeError, match="multiple of 4"):
        worlds[0].rows(6)


def test_a_device_that_is_not_there_is_one_sentence() -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(RecipeError, match="no GPU here"):
        start("cuda")
