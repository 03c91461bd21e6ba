"""Pre-training from token shards: what a run leaves, how it goes on, and what it refuses."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from jacorpus.errors import InputError, JacorpusError, RecipeError
from mixing.domains import Domains
from mixing.mixture import Mixture
from mixing.settings import deciding, settings_of
from tests.conftest import ROOT
from tokenizer_lab.tokens import Tokens
from trainer import loop as loops
from trainer.log import read_log
from trainer.opened import open_model
from trainer.pretrain import Pretraining

MODEL = {"layers": 2, "d_model": 32, "d_ff": 48, "window": 16, "head_dim": 16, "d_state": 16}
TRAIN = {
    **{"tokens": 12_800, "batch_tokens": 512, "seq_len": 128, "lr": 3e-3, "checkpoint_every": 10, "log_every": 4},
    **{"tensorboard": False, "threads": 1, "eval_tokens": 2048},
}


class Quiet:
    """A watcher that remembers."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self.lines: list[str] = []

    def update(self, row: dict[str, Any]) -> None:
        self.rows.append(row)

    def say(self, line: str) -> None:
        self.lines.append(line)


def tables(model: dict[str, Any] | None = None, mixing: dict[str, Any] | None = None, **train: Any) -> dict[str, Any]:
    return {"model": {**MODEL, **(model or {})}, "mixing": mixing or {}, "train": {**TRAIN, **train}}


def run(recipe: dict[str, Any], tokens: Tokens, out: Path) -> dict[str, Any]:
    return Pretraining(recipe, tokens.folder, out).run(Quiet())


def losses(folder: Path) -> list[tuple[int, float, float]]:
    return [(row["step"], row["loss"], row["grad_norm"]) for row in read_log(folder).steps]


@pytest.fixture(scope="module")
def trained(small_tokens: Tokens, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An unbroken run."""
    out = tmp_path_factory.mktemp("trained") / "model"
    run(tables(ledger=True), small_tokens, out)
    return out


def test_a_run_learns_and_leaves_what_it_says(trained: Path, small_tokens: Tokens) -> None:
    rows = read_log(trained)
    assert [row["step"] for row in rows.steps] == list(range(25))
    assert rows.steps[-1]["loss"] < rows.steps[0]["loss"] - 0.3
    assert rows.steps[-1]["tokens"] == 12_800
    assert {row["domain"] for row in rows.evaluations} == {"novels", "web", None}
    result = json.loads((trained / "run.json").read_text())
    assert result["steps"] == 25
    assert result["valid"][-1]["bits_per_byte"] == rows.evaluations[-1]["bits_per_byte"]
    for name in ("config.json", "model.safetensors", "report.html", "samples.json", "recipe.resolved.toml"):
        assert (trained / name).is_file(), name
    assert len(list((trained / "ledger").glob("*.parquet"))) == 1
    assert json.loads((trained / "samples.json").read_text())[0]["text"] is not None
    opened = open_model(trained)
    assert opened.tokenizer is not None
    assert opened.step == 25
    assert opened.eos_id == small_tokens.eos_id


def test_bits_per_byte_are_those_of_the_evaluation(trained: Path, small_tokens: Tokens) -> None:
    from trainer.data import text_bytes_per_token

    row = next(row for row in read_log(trained).evaluations if row["domain"] == "web")
    expected = row["loss"] / 0.6931471805599453 / text_bytes_per_token(small_tokens, "web")
    assert row["bits_per_byte"] == pytest.approx(expected, rel=1e-9)


def test_the_same_recipe_gives_the_same_bytes(trained: Path, small_tokens: Tokens, tmp_path: Path) -> None:
    run(tables(), small_tokens, tmp_path / "again")
    assert losses(tmp_path / "again") == losses(trained)
    assert (tmp_path / "again/model.safetensors").read_bytes() == (trained / "model.safetensors").read_bytes()


def test_a_finished_run_stays(trained: Path, small_tokens: Tokens) -> None:
    before = (trained / "model.safetensors").stat().st_mtime_ns
    watcher = Quiet()
    result = Pretraining(tables(ledger=True), small_tokens.folder, trained).run(watcher)
    assert result["steps"] == 25
    assert "to the end already" in watcher.lines[0]
    assert (trained / "model.safetensors").stat().st_mtime_ns == before


def test_an_interrupted_run_goes_on_bit_by_bit(
    trained: Path, small_tokens: Tokens, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped after step 13, between two checkpoints and two reads of the log."""
    original = loops.Loop._update

    def stopping(self: loops.Loop, batch: Any) -> None:
        original(self, batch)
        if self.step == 13 and self.first_step == 0:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(loops.Loop, "_update", stopping)
    with pytest.raises(KeyboardInterrupt):
        run(tables(), small_tokens, tmp_path / "model")
    assert read_log(tmp_path / "model").steps[-1]["step"] == 13
    watcher = Quiet()
    Pretraining(tables(), small_tokens.folder, tmp_path / "model").run(watcher)
    assert watcher.lines == ["going on from step 14 of 25"]
    assert losses(tmp_path / "model") == losses(trained)
    assert (tmp_path / "model/model.safetensors").read_bytes() == (trained / "model.safetensors").read_bytes()


def recipe_file(folder: Path, **train: Any) -> Path:
    from jacorpus.recipe import to_toml

    path = folder / "recipe.toml"
    path.write_text(to_toml({"name": "small", **tables(**train)}))
    return path


def test_killed_at_any_time_it_goes_on_bit_by_bit(trained: Path, small_tokens: Tokens, tmp_path: Path) -> None:
    """A process killed for good, somewhere after its first checkpoint, perhaps while it writes one."""
    recipe, out = recipe_file(tmp_path), tmp_path / "model"
    words = [*("train", "pretrain", recipe, "--tokens", small_tokens.folder, "--out", out, "-q")]
    command = [sys.executable, "-m", "cli.main", *map(str, words)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    begun = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 120
    while not list((out / "checkpoints").glob("step-*")) and time.monotonic() < deadline and begun.poll() is None:
        time.sleep(0.005)
    begun.kill()
    begun.wait()
    subprocess.run(command, cwd=ROOT, env=environment, check=True)
    assert losses(out) == losses(trained)
    assert (out / "model.safetensors").read_bytes() == (trained / "model.safetensors").read_bytes()


def test_a_longer_plan_goes_on_from_a_finished_run(small_tokens: Tokens, tmp_path: Path) -> None:
    recipe = tables(schedule="constant")
    run(recipe, small_tokens, tmp_path / "a")
    run(tables(schedule="constant", tokens=15_360), small_tokens, tmp_path / "a")
    run(tables(schedule="constant", tokens=15_360), small_tokens, tmp_path / "b")
    assert losses(tmp_path / "a")[:25] == losses(tmp_path / "b")[:25]
    assert [step for step, _, _ in losses(tmp_path / "a")] == list(range(30))


def test_micro_batches_change_rounding_alone(trained: Path, small_tokens: Tokens, tmp_path: Path) -> None:
    run(tables(micro_tokens=128), small_tokens, tmp_path / "model")
    for (_, loss, norm), (_, other, other_norm) in zip(losses(tmp_path / "model"), losses(trained), strict=True):
        assert loss == pytest.approx(other, rel=2e-3)
        assert norm == pytest.approx(other_norm, rel=3e-2)


def test_computing_layers_again_changes_nothing(trained: Path, small_tokens: Tokens, tmp_path: Path) -> None:
    run(tables(checkpointing=True), small_tokens, tmp_path / "model")
    assert losses(tmp_path / "model") == losses(trained)


def test_steps_that_are_not_finite_change_nothing_and_ten_of_them_stop(
    small_tokens: Tokens, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    poison(monkeypatch, lambda number: number >= 12)
    with pytest.raises(JacorpusError, match="10 steps in a row") as error:
        run(tables(log_every=2), small_tokens, tmp_path / "model")
    assert "rewind = true" in str(error.value)
    rows = read_log(tmp_path / "model")
    assert rows.steps[-1]["skipped"] == 10
    assert [row["step"] for row in rows.events if row["event"] == "skip"] == list(range(12, 22))


def poison(monkeypatch: pytest.MonkeyPatch, bad: Any) -> None:
    """Losses of some batches are infinite."""
    from trainer.running import FeedSource

    original = FeedSource.batch

    def batch(self: FeedSource, number: int) -> Any:
        found = original(self, number)
        if bad(number):
            found.weight_BT[0, 0] = float("inf")
        return found

    monkeypatch.setattr(FeedSource, "batch", batch)


def test_rewind_goes_back_and_past_the_bad_data(
    small_tokens: Tokens, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    poison(monkeypatch, lambda number: 11 <= number < 21)
    result = run(tables(log_every=1, rewind=True, tokens=20_480), small_tokens, tmp_path / "model")
    rows = read_log(tmp_path / "model")
    rewinds = [(row["step"], row["past"]) for row in rows.events if row["event"] == "rewind"]
    assert rewinds == [(10, 21)], "to the checkpoint before the bad stretch, not to one inside it, and past its data"
    assert (result["rewinds"], result["steps"], result["tokens"]) == (1, 40 - 11, 20_480)
    assert [row["step"] for row in rows.steps] == list(range(29))
    assert torch.isfinite(torch.tensor(rows.steps[-1]["loss"]))


def test_an_injected_spike_is_skipped(small_tokens: Tokens, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = loops.grad_norm
    seen = []

    def spiking(parameters: Any) -> torch.Tensor:
        seen.append(1)
        return original(parameters) * (1000 if len(seen) == 40 else 1)

    monkeypatch.setattr(loops, "grad_norm", spiking)
    result = run(tables(tokens=23_040), small_tokens, tmp_path / "model")
    assert result["skipped"] == 1
    assert [row["step"] for row in read_log(tmp_path / "model").events if row["event"] == "skip"] == [39]


def test_muon_learns_too(small_tokens: Tokens, tmp_path: Path) -> None:
    run(tables(optimizer="muon"), small_tokens, tmp_path / "model")
    found = losses(tmp_path / "model")
    assert found[-1][1] < found[0][1] - 0.3


def test_selective_loss_takes_a_trained_reference(trained: Path, small_tokens: Tokens, tmp_path: Path) -> None:
    run(tables(select={"reference": str(trained), "ratio": 0.5}), small_tokens, tmp_path / "model")
    assert losses(tmp_path / "model")[-1][1] < losses(tmp_path / "model")[0][1]


def test_training_goes_on_from_a_model_with_full_attention(trained: Path, small_tokens: Tokens, tmp_path: Path) -> None:
    recipe = tables(seq_len=256, tokens=2048)
    recipe["model"] = {"init": str(trained), "full_attention": True, "rope_base": 1e6}
    run(recipe, small_tokens, tmp_path / "long")
    opened = open_model(tmp_path / "long")
    assert [layer.mixer for layer in opened.config.layers] == ["mamba", "full"]
    assert opened.config.layers[1].rope_base == 1e6
    assert losses(tmp_path / "long")[0][1] < losses(trained)[5][1], "it begins where the other ended"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"model": {"init": "nowhere"}}, "nowhere"),
        ({"mixing": {"weights": {"webb": 1}}}, "did you mean `web`"),
        ({"mixing": {"weights": {"web": -1}}}, "0 or more"),
        ({"mixing": {"weights": {"web": 0}}}, "all are 0"),
        ({"mixing": {"wieghts": {}}}, "no key `wieghts`"),
        ({"model": {"d_mode": 8}}, "did you mean `d_model`"),
        ({"model": {"vocab_size": 7}}, "vocab_size"),
        ({"train": {"batch_tokens": 500}}, "multiple"),
        ({"train": {"select": {"reference": "nowhere"}}}, "nowhere holds no trained model"),
    ],
)
def test_what_is_wrong_is_told_before_the_first_step(
    change: dict, told: str, small_tokens: Tokens, tmp_path: Path
) -> None:
    recipe = {key: {**table, **change.get(key, {})} for key, table in tables().items()}
    if "init" in recipe["model"]:
        recipe["model"] = change["model"]
    with pytest.raises((RecipeError, InputError)) as error:
        Pretraining(recipe, small_tokens.folder, tmp_path / "model")
    assert told in str(error.value)
    assert not (tmp_path / "model").exists()


def test_a_missing_shard_is_told_at_the_start(small_tokens: Tokens, tmp_path: Path) -> None:
    copy = tmp_path / "tokens"
    shutil.copytree(small_tokens.folder, copy)
    shard = next((copy / "shards").glob("web-train-*"))
    shard.rename(tmp_path / "aside")
    with pytest.raises(InputError, match=r"is missing; copy it again"):
        Pretraining(tables(), copy, tmp_path / "model")
    shard.write_bytes((tmp_path / "aside").read_bytes()[:-100])
    with pytest.raises(InputError, match="the manifest says"):
        Pretraining(tables(), copy, tmp_path / "model")


@pytest.mark.parametrize(
    ("change", "told"),
    [({"model": {"d_model": 64}}, "d_model was 32, is 64"), ({"train": {"seed": 1}}, "seed = 42")],
)
def test_a_run_of_another_model_or_data_is_left_alone(
    change: dict, told: str, trained: Path, small_tokens: Tokens, tmp_path: Path
) -> None:
    out = tmp_path / "copy"
    shutil.copytree(trained, out)
    recipe = {key: {**table, **change.get(key, {})} for key, table in tables().items()}
    with pytest.raises(InputError) as error:
        run(recipe, small_tokens, out)
    assert told in str(error.value)
    assert (out / "model.safetensors").read_bytes() == (trained / "model.safetensors").read_bytes()


def test_shards_of_another_tokenizer_do_not_go_on(trained: Path, small_tokens: Tokens, tmp_path: Path) -> None:
    copy = tmp_path / "tokens"
    shutil.copytree(small_tokens.folder, copy)
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["tokenizer"]["fingerprint"] = "0" * 64
    (copy / "manifest.json").write_text(json.dumps(manifest))
    out = tmp_path / "model"
    shutil.copytree(trained, out)
    with pytest.raises(InputError, match="another tokenizer"):
        Pretraining(tables(tokens=20_480), copy, out).run(Quiet())
    recipe = tables()
    recipe["model"] = {"init": str(trained)}
    with pytest.raises(InputError, match="another tokenizer"):
        Pretraining(recipe, copy, tmp_path / "new")


def test_two_runs_do_not_share_a_folder(small_tokens: Tokens, tmp_path: Path) -> None:
    import fcntl

    (tmp_path / "model").mkdir()
    with open(tmp_path / "model/.lock", "wb") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        with pytest.raises(JacorpusError, match="another run is training"):
            run(tables(), small_tokens, tmp_path / "model")


def test_force_removes_a_run_and_nothing_else(trained: Path, small_tokens: Tokens, tmp_path: Path) -> None:
    out = tmp_path / "copy"
    shutil.copytree(trained, out)
    Pretraining(tables(), small_tokens.folder, out).clear()
    assert not out.exists()
    out.mkdir()
    (out / "thesis.txt").write_text("dear")
    with pytest.raises(InputError, match="nothing was removed"):
        Pretraining(tables(), small_tokens.folder, out).clear()


@pytest.mark.parametrize(
    ("recipe", "told"),
    [
        (tables({"seed": "a"}), "seed must be"),
        (tables(tokens=0, phase=[{"tokens": 512, "mixture": {"wbe": 1}}]), "did you mean `web`"),
        (tables(mixing={"method": "mixmin"}), "there is none.*mix optimize"),
        (tables(warmup=2), "lower warmup"),
    ],
)
def test_a_recipe_is_checked_before_anything_runs(
    small_tokens: Tokens, tmp_path: Path, recipe: dict[str, Any], told: str
) -> None:
    with pytest.raises(RecipeError, match=told):
        Pretraining(recipe, small_tokens.folder, tmp_path / "model")


def _optimized(recipe: dict[str, Any], tokens: Tokens, place: Path) -> None:
    """A mixture's file as `mix optimize` leaves it, without optimizing."""
    domains = Domains.from_manifest(tokens.manifest)
    facts = {"settings_that_decide": deciding(settings_of(recipe))}
    fingerprint = tokens.manifest["tokenizer"]["fingerprint"]
    Mixture({"novels": 0.25, "web": 0.75}, domains, "token", fingerprint, "k", "x", facts).write(place)


def test_an_optimized_mixture_is_trained_on(small_tokens: Tokens, tmp_path: Path) -> None:
    recipe = tables(mixing={"method": "mixmin", "target": {"web": 1.0}})
    _optimized(recipe, small_tokens, tmp_path / "mixture.json")
    run = Pretraining(recipe, small_tokens.folder, tmp_path / "model", tmp_path)
    assert run.mixture == {"novels": 0.25, "web": 0.75}
    assert run.notes == []
    changed = tables(mixing={"method": "mixmin", "target": {"novels": 1.0}})
    with pytest.raises(RecipeError, match="made for other wishes"):
        Pretraining(changed, small_tokens.folder, tmp_path / "model", tmp_path)
    longer = tables(mixing={"method": "mixmin", "target": {"web": 1.0}}, tokens=25_600)
    with pytest.raises(RecipeError, match="made for other wishes"):
        Pretraining(longer, small_tokens.folder, tmp_path / "model", tmp_path)
    forced = Pretraining(changed, small_tokens.folder, tmp_path / "model", tmp_path / "mixture.json", True)
    assert forced.mixture == run.mixture
    reported = tables(mixing={"method": "mixmin", "target": {"web": 1.0}, "compare": ["mixmax"], "judge": 2})
    assert Pretraining(reported, small_tokens.folder, tmp_path / "model", tmp_path).mixture == run.mixture
