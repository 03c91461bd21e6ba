"""The training log: rows, the cut at a resume, what TensorBoard and Weights & Biases are given."""

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from jacorpus.errors import InputError, RecipeError, StorageError
from trainer.log import Log, read_log, scalars


def rows_of(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text("utf-8").splitlines()]


def train(log: Log, steps: range, loss: float = 3.0) -> None:
    """A run that evaluates and saves a checkpoint at every fifth update."""
    for step in steps:
        log.step({"step": step, "loss": loss, "tokens": 100 * (step + 1)})
        if step % 5 == 4:
            log.evaluated(step, None, 1.5, loss)
            log.event(step, "checkpoint")


def timeless(rows: list[dict]) -> list[dict]:
    return [{key: value for key, value in row.items() if key != "wall_s"} for row in rows]


def test_each_row_is_on_disk_when_written(tmp_path: Path) -> None:
    log = Log(tmp_path / "run", tensorboard=False)
    row = log.step({"step": 0, "loss": 2.5, "bits_per_byte_by_domain": {"青空": 1.25}})
    assert rows_of(tmp_path / "run") == [row]
    assert row["wall_s"] >= 0
    log.close()


def test_numbers_are_plain_and_those_not_finite_are_null(tmp_path: Path) -> None:
    numpy, torch = pytest.importorskip("numpy"), pytest.importorskip("torch")
    with Log(tmp_path, tensorboard=False) as log:
        log.step(
            {"step": 0, "loss": torch.tensor(2.5), "lr": numpy.float32(0.5), "grad_norm": float("inf"), "mfu": None}
        )
        log.event(0, "skip", loss=float("nan"))
    first, second = timeless(rows_of(tmp_path))
    assert first == {"step": 0, "loss": 2.5, "lr": 0.5, "grad_norm": None, "mfu": None}
    assert second == {"step": 0, "event": "skip", "loss": None}


@pytest.mark.parametrize("killed_after", [5, 7, 9])
def test_a_resumed_log_reads_like_an_unbroken_one(tmp_path: Path, killed_after: int) -> None:
    with Log(tmp_path / "whole", tensorboard=False) as log:
        train(log, range(12))
    with Log(tmp_path / "cut", tensorboard=False) as log:
        train(log, range(killed_after))
    with (tmp_path / "cut" / "log.jsonl").open("a") as file:
        file.write('{"step": 9, "lo')  # the process was killed as it wrote
    with Log(tmp_path / "cut", 5, tensorboard=False) as log:
        train(log, range(5, 12))
    assert timeless(rows_of(tmp_path / "cut")) == timeless(rows_of(tmp_path / "whole"))


def test_a_new_run_starts_a_new_log(tmp_path: Path) -> None:
    for _ in range(2):
        with Log(tmp_path, tensorboard=False) as log:
            train(log, range(3))
    assert [row["step"] for row in rows_of(tmp_path)] == [0, 1, 2]


def test_time_goes_on_where_the_kept_rows_end(tmp_path: Path) -> None:
    lines = [{"step": step, "loss": 1.0, "wall_s": 100.0 * (step + 1)} for step in range(4)]
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    with Log(tmp_path, 2, tensorboard=False) as log:
        assert 200 <= log.wall_s < 260
        assert log.step({"step": 2})["wall_s"] >= 200


def test_a_rewind_keeps_both_tries_and_reading_gives_the_last(tmp_path: Path) -> None:
    with Log(tmp_path, tensorboard=False) as log:
        train(log, range(8), loss=9.0)
        log.event(7, "rewind", to=3)
        train(log, range(3, 7), loss=2.0)
    read = read_log(tmp_path)
    assert [(row["step"], row["loss"]) for row in read.steps] == [(step, 9.0 if step < 3 else 2.0) for step in range(7)]
    assert [row["loss"] for row in read.evaluations] == [2.0]
    with Log(tmp_path, 5, tensorboard=False) as log:  # killed, back to the checkpoint of the second try
        assert [row["step"] for row in read_log(tmp_path).steps] == list(range(5))
        assert any(row["event"] == "rewind" for row in read_log(tmp_path).events)


def test_other_ranks_write_nothing(tmp_path: Path) -> None:
    with Log(tmp_path / "run", rank=1) as log:
        train(log, range(6))
    assert not (tmp_path / "run").exists()


def test_curves_have_their_names() -> None:
    row = {"step": 3, "wall_s": 2.0, "loss": 1.5, "lr": 0.1, "mfu": None, "bits_per_byte_by_domain": {"web": 1.25}}
    curves = {"train/loss": 1.5, "optimizer/lr": 0.1, "speed/wall_s": 2.0, "train/bits_per_byte/web": 1.25}
    assert scalars(row) == curves
    valid = {"step": 3, "split": "valid", "domain": "web", "bits_per_byte": 1.5, "loss": 2.0, "wall_s": 2.0}
    assert scalars(valid) == {"valid/bits_per_byte/web": 1.5, "valid/loss/web": 2.0}
    assert scalars({**valid, "domain": None}) == {"valid/bits_per_byte": 1.5, "valid/loss": 2.0}
    assert scalars({"step": 3, "event": "skip", "loss": 9.0}) == {}


def test_tensorboard_shows_the_last_process_from_its_first_step(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    with Log(tmp_path) as log:
        train(log, range(8), loss=9.0)
    with Log(tmp_path, 5) as log:
        train(log, range(5, 10), loss=2.0)
    events = accumulator.EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [(e.step, e.value) for e in events.Scalars("train/loss")] == [(s, 9.0 if s < 5 else 2.0) for s in range(10)]
    assert [e.step for e in events.Scalars("valid/bits_per_byte")] == [4, 9]


class FakeWandb(SimpleNamespace):
    """What the log asks of wandb."""

    def __init__(self) -> None:
        super().__init__(asked=[], logged=[], metrics=[], finished=0)

    def init(self, **asked: object) -> "FakeWandb":
        self.asked.append(asked)
        return self

    def define_metric(self, name: str, **options: str) -> None:
        self.metrics.append((name, options))

    def log(self, numbers: dict) -> None:
        self.logged.append(numbers)

    def finish(self) -> None:
        self.finished += 1


def test_wandb_goes_on_with_its_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeWandb()
    monkeypatch.setitem(sys.modules, "wandb", fake)
    monkeypatch.setattr("trainer.log.importlib.util.find_spec", lambda name: name == "wandb")
    for first in (0, 3, 0):
        with Log(tmp_path, first, tensorboard=False, wandb="ja", settings={"model": {"d_model": 64}}) as log:
            log.step({"step": first, "loss": 2.5})
            log.event(first, "checkpoint")
    ids = [asked["id"] for asked in fake.asked]
    assert ids[0] == ids[1] != ids[2]
    assert fake.asked[0]["project"] == "ja"
    assert fake.asked[0]["config"] == {"model": {"d_model": 64}}
    assert [(one["step"], one["train/loss"]) for one in fake.logged] == [(0, 2.5), (3, 2.5), (0, 2.5)]
    assert ("*", {"step_metric": "step"}) in fake.metrics
    assert fake.finished == 3


def test_without_wandb_the_error_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainer.log.importlib.util.find_spec", lambda name: None)
    with pytest.raises(RecipeError, match="pip install wandb"):
        Log(tmp_path, wandb="ja", rank=1)


def test_a_folder_that_is_a_file_is_no_place_for_a_log(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("")
    with pytest.raises(StorageError, match="another --out"):
        Log(tmp_path / "run")


def test_reading_says_where_a_log_is_broken(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no log"):
        read_log(tmp_path)
    (tmp_path / "log.jsonl").write_text('{"step": 0}\n{"step"\n{"step": 2}\n')
    with pytest.raises(InputError, match=r"log\.jsonl:2"):
        read_log(tmp_path)


def test_the_module_imports_nothing_heavy() -> None:
    code = "import sys, trainer.log; print([m for m in ('torch', 'numpy', 'pyarrow') if m in sys.modules])"
    root = Path(__file__).parents[2]
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root, check=True)
    assert answer.stdout.strip() == "[]"
