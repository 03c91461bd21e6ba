"""Checkpoints: whole or not there, through kills, full disks and damage; for one rank and for two."""

import errno
import json
import os
import random
import resource
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn

from jacorpus.errors import InputError, RecipeError, StorageError
from tests.conftest import ROOT
from trainer.checkpoint import META, Checkpoints
from trainer.optim import OptimConfig, Optimizer, grad_norm
from trainer.rng import capture_rng, restore_rng

SIZE = 1000


def state(value: float) -> dict[str, Any]:
    return {
        "model": {"layers.0.weight": torch.full((SIZE, 8), float(value)), "scale": torch.tensor(float(value))},
        "rng": capture_rng(),
    }


def loaded(checkpoints: Checkpoints, step: int) -> tuple[float, dict[str, Any]]:
    """The value of a step, the same everywhere, and its extra."""
    found = state(-1.0)
    extra = checkpoints.load(step, found)
    values = torch.cat([tensor.flatten() for tensor in found["model"].values()]).unique()
    assert len(values) == 1
    return values.item(), extra


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_what_is_saved_is_loaded_in_place(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path / "runs" / "checkpoints")
    assert checkpoints.latest() is None
    given = state(3.0)
    checkpoints.save(1000, given, {"step": 1000, "plan": "abc", "nested": {"x": [1, 2.5, None]}})
    given["model"]["layers.0.weight"].zero_()  # training goes on
    given["model"]["scale"].zero_()
    checkpoints.wait()
    assert names(checkpoints.folder) == ["step-00001000"]
    assert checkpoints.latest() == 1000
    assert checkpoints.about(1000)["plan"] == "abc"
    value, extra = loaded(Checkpoints(checkpoints.folder), 1000)
    assert value == 3.0
    assert extra == {"step": 1000, "plan": "abc", "nested": {"x": [1, 2.5, None]}}


def test_parts_of_a_checkpoint_can_be_loaded(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(5, state(2.0), {})
    part = {"model": state(0.0)["model"]}
    checkpoints.load(5, part)
    assert part["model"]["scale"] == 2.0


def test_old_ones_go_and_some_stay(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, keep=2, keep_every=40)
    for step in range(10, 130, 10):
        checkpoints.save(step, state(step), {})
    checkpoints.wait()
    assert checkpoints.steps() == [40, 80, 110, 120]
    assert len(names(tmp_path)) == 4


def test_a_step_saved_again_is_replaced(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, keep=1)
    for value in (1.0, 2.0):
        checkpoints.save(7, state(value), {"value": value})
    checkpoints.wait()
    assert names(tmp_path) == ["step-00000007"]
    assert loaded(checkpoints, 7) == (2.0, {"value": 2.0})


def test_a_kill_between_the_two_renames_of_a_replacement(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, keep=1)
    checkpoints.save(7, state(1.0), {})
    checkpoints.wait()
    (tmp_path / "step-00000007").rename(tmp_path / "step-00000007.replaced-123")
    assert checkpoints.steps() == [7]
    assert loaded(checkpoints, 7)[0] == 1.0
    checkpoints.save(7, state(2.0), {})
    checkpoints.wait()
    checkpoints.save(7, state(3.0), {})
    checkpoints.wait()
    assert names(tmp_path) == ["step-00000007"]
    assert loaded(checkpoints, 7)[0] == 3.0


def _cut(place: Path) -> None:
    file = next(place.glob("*.distcp"))
    os.truncate(file, file.stat().st_size // 2)


@pytest.mark.parametrize(
    "damage",
    [
        _cut,
        lambda place: next(place.glob("*.distcp")).unlink(),
        lambda place: (place / ".metadata").unlink(),
        lambda place: (place / META).unlink(),
        lambda place: (place / META).write_text("{"),
        lambda place: (place / META).write_text("[]"),
        lambda place: place.rename(place.with_name(f"{place.name}.tmp-99")),
    ],
)
def test_what_is_not_whole_is_passed_over(tmp_path: Path, damage: Any) -> None:
    checkpoints = Checkpoints(tmp_path)
    for step in (1, 2):
        checkpoints.save(step, state(step), {})
    checkpoints.wait()
    damage(tmp_path / "step-00000002")
    assert checkpoints.latest() == 1
    assert loaded(checkpoints, 1)[0] == 1
    with pytest.raises(InputError, match="no whole checkpoint of step 2; there are: 1"):
        checkpoints.load(2, state(0))


def test_garbage_of_the_right_size_is_an_error_with_advice(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    for step, name in ((1, ".metadata"), (2, "__0_0.distcp")):
        checkpoints.save(step, state(step), {})
        checkpoints.wait()
        file = tmp_path / f"step-{step:08d}" / name
        file.write_bytes(bytes(file.stat().st_size))
        with pytest.raises(InputError, match="damaged"):
            checkpoints.load(step, state(0))


def test_other_names_in_the_folder_are_no_checkpoints(tmp_path: Path) -> None:
    for name in ("step-1", "step-00000001x", "notes"):
        (tmp_path / name).mkdir()
    (tmp_path / "step-00000009").write_text("a file")
    assert Checkpoints(tmp_path).latest() is None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"scale": torch.zeros(3)},
            r"model\.scale is \[\] in the checkpoint .*step-00000001, \[3\] in this run; go on",
        ),
        ({"scale": torch.tensor(1)}, r"model\.scale is torch\.float32 .* torch\.int64 in this run"),
        ({"more": torch.zeros(2)}, r"has no tensor model\.more"),
        ({"scale": None}, r"has a tensor model\.scale, which .* doesn't know"),
    ],
)
def test_another_model_is_refused_by_name(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, state(1.0), {})
    other = state(0.0)
    other["model"] = {n: t for n, t in {**other["model"], **change}.items() if t is not None}
    with pytest.raises(InputError, match=words):
        checkpoints.load(1, other)
    assert not other["model"]["layers.0.weight"].any(), "nothing was loaded"


def test_nonsense_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="keep"):
        Checkpoints(tmp_path, keep=0)
    with pytest.raises(TypeError, match=r"model\.step is a int"):
        Checkpoints(tmp_path).save(1, {"model": {"step": 3}}, {})
    with pytest.raises(TypeError):
        Checkpoints(tmp_path).save(1, {}, {"x": object()})
    assert names(tmp_path) == []


def test_a_full_disk_is_one_sentence_and_harms_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torch.distributed.checkpoint import FileSystemWriter

    def full(self: Any, plan: Any, planner: Any) -> None:
        raise RuntimeError("unexpected pos 704 vs 598") from OSError(errno.ENOSPC, "No space left on device")

    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, state(1.0), {})
    checkpoints.wait()
    with monkeypatch.context() as patch:
        patch.setattr(FileSystemWriter, "write_data", full)
        checkpoints.save(2, state(2.0), {})
        with pytest.raises(StorageError, match=r"^the disk is full: the checkpoint of step 2 .*step 1 is whole"):
            checkpoints.save(3, state(3.0), {})
    assert names(tmp_path) == ["step-00000001"]
    checkpoints.wait()  # told once
    checkpoints.save(3, state(3.0), {})
    checkpoints.wait()
    assert checkpoints.steps() == [1, 3]


def test_a_really_refused_write(tmp_path: Path) -> None:
    """A limit on the size of files stands for the full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, state(1.0), {})
    checkpoints.wait()
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (16_000, before[1]))
        checkpoints.save(2, state(2.0), {})
        with pytest.raises(StorageError, match=r"^writing was refused \(File too large\): the checkpoint of step 2"):
            checkpoints.wait()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert names(tmp_path) == ["step-00000001"]


def test_a_tiny_disk(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", str(disk)]
    if os.geteuid() or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("needs the right to mount")
    try:
        checkpoints = Checkpoints(disk / "checkpoints", keep=5)
        with pytest.raises(StorageError, match="the disk is full"):  # noqa: PT012
            for step in range(1, 9):
                checkpoints.save(step, state(step), {})
        last = checkpoints.latest()
        assert last is not None
        assert loaded(checkpoints, last)[0] == last
        assert not [name for name in names(disk / "checkpoints") if "tmp" in name]
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_no_place_to_write(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="can't be written"):
        Checkpoints(tmp_path / "file" / "checkpoints").save(1, state(1.0), {})


KILLED = """
    import os, signal, sys, time
    from pathlib import Path
    import torch
    from torch.distributed.checkpoint import FileSystemWriter
    from tests.trainer.test_checkpoint import state
    from trainer.checkpoint import Checkpoints

    folder, how = Path(sys.argv[1]), sys.argv[2]
    checkpoints = Checkpoints(folder, keep=2)
    step = (checkpoints.latest() or 0) + 1
    if how == "during":
        checkpoints.save(step, state(step), {"step": step})
        checkpoints.wait()
        step += 1
        write = FileSystemWriter.write_data
        def killed(self, plan, planner):
            write(self, plan, planner)
            os.kill(os.getpid(), signal.SIGKILL)
        FileSystemWriter.write_data = killed
        checkpoints.save(step, state(step), {"step": step})
        time.sleep(60)
    if how == "ends":
        checkpoints.save(step, state(step), {"step": step})
        sys.exit()
    print("ready", flush=True)
    while True:
        checkpoints.save(step, state(step), {"step": step})
        step += 1
"""


def _start(folder: Path, how: str) -> "subprocess.Popen[str]":
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    code = [sys.executable, "-c", textwrap.dedent(KILLED), str(folder), how]
    return subprocess.Popen(code, env=environment, stdout=subprocess.PIPE, text=True)


def test_a_kill_during_a_write_leaves_the_one_before(tmp_path: Path) -> None:
    with _start(tmp_path, "during") as process:
        assert process.wait(60) == -signal.SIGKILL
    assert any(".tmp-" in name for name in names(tmp_path)), "it was being written"
    checkpoints = Checkpoints(tmp_path)
    assert checkpoints.latest() == 1
    assert loaded(checkpoints, 1) == (1.0, {"step": 1})
    checkpoints.save(2, state(2.0), {})
    checkpoints.wait()
    assert names(tmp_path) == ["step-00000001", "step-00000002"]


def test_a_program_that_ends_finishes_its_last_checkpoint(tmp_path: Path) -> None:
    with _start(tmp_path, "ends") as process:
        assert process.wait(60) == 0
    assert loaded(Checkpoints(tmp_path), 1) == (1.0, {"step": 1})


@pytest.mark.slow
def test_kills_at_any_moment(tmp_path: Path) -> None:
    moments, last = random.Random(0), 0
    for _ in range(5):
        with _start(tmp_path, "any") as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            time.sleep(1.0 + moments.random())
            process.kill()
        checkpoints = Checkpoints(tmp_path)
        step = checkpoints.latest()
        assert step is not None
        assert step > last
        for whole in checkpoints.steps():
            assert loaded(checkpoints, whole) == (whole, {"step": whole})
        last = step


def test_random_numbers_go_on(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    torch.rand(5)
    checkpoints.save(1, {"rng": capture_rng()}, {})
    expected = torch.rand(7)
    torch.rand(1000)
    found = {"rng": capture_rng()}
    checkpoints.load(1, found)
    restore_rng(found["rng"])
    assert torch.equal(torch.rand(7), expected)


class Net(nn.Module):
    """Shapes that two ranks can't halve, and a parameter that one rank has nothing of."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.in_proj = nn.Linear(6, 7, bias=False)
        self.out_proj = nn.Linear(7, 6, bias=False)
        self.final_norm = nn.LayerNorm(1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.out_proj(torch.tanh(self.in_proj(x))) * self.final_norm.weight


class Run:
    """A few steps of training, the same for any number of ranks up to rounding."""

    def __init__(self, kind: str, folder: Path) -> None:
        self.net = Net()
        if dist.is_initialized():
            from torch.distributed.fsdp import fully_shard

            fully_shard(self.net)
        self.optimizer = Optimizer(self.net.named_parameters(), OptimConfig(kind, muon_lr_scale=1.0))
        self.checkpoints = Checkpoints(folder / kind)

    def state(self) -> dict[str, Any]:
        return {"model": dict(self.net.state_dict()), "optimizer": self.optimizer.state_dict()}

    def train(self, steps: range) -> Tensor:
        norm = torch.zeros(())
        for step in steps:
            data = torch.randn(4, 6, generator=torch.Generator().manual_seed(step))
            if dist.is_initialized():
                data = data.chunk(dist.get_world_size())[dist.get_rank()]
            self.net(data).square().mean().backward()
            norm = grad_norm(self.net.parameters())
            bad = torch.tensor(step == 3)
            self.optimizer.step(0.01, bad, torch.where(bad, torch.nan, torch.tensor(0.7)))
            self.net.zero_grad()
        return norm

    def whole(self) -> dict[str, Tensor]:
        """All values, gathered."""
        from torch.distributed.tensor import DTensor

        flat = dict(self.net.state_dict())
        for kind, moments in self.optimizer.state_dict().items():
            flat |= {f"{kind}.{n}": m for n, m in moments.items()} if isinstance(moments, dict) else {kind: moments}
        return {n: (t.full_tensor() if isinstance(t, DTensor) else t).detach().clone() for n, t in flat.items()}


def run_whole_and_resumed(folder: Path, read: Path, rank: int) -> None:
    """Train 4 steps, save, 2 more; resume from ``read``, 2 steps; leave what came out in ``folder``."""
    found = {}
    for kind in ("adamw", "muon"):
        first = Run(kind, folder)
        first.train(range(4))
        first.checkpoints.save(4, first.state(), {"kind": kind})
        norm = first.train(range(4, 6))  # while it is being written
        first.checkpoints.wait()
        second = Run(kind, read)
        assert second.checkpoints.load(4, second.state()) == {"kind": kind}
        found[kind] = {"norm": norm, "whole": first.whole(), "loaded": second.whole()}
        second.train(range(4, 6))
        found[kind]["resumed"] = second.whole()
    if rank == 0:
        torch.save(found, folder / "found.pt")


def two_ranks(rank: int, folder: Path, read: Path) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    try:
        run_whole_and_resumed(folder, folder, rank)
        if rank == 0:
            (folder / "found.pt").rename(folder / "own.pt")
        dist.barrier()
        again = folder / "again"
        again.mkdir(exist_ok=True)
        run_whole_and_resumed(again, read, rank)
        _errors_on_all_ranks(folder, rank)
    finally:
        dist.destroy_process_group()


def _errors_on_all_ranks(folder: Path, rank: int) -> None:
    """One rank's full disk is told on both; both go on."""
    from torch.distributed.checkpoint import FileSystemWriter

    run, write = Run("adamw", folder / "errors"), FileSystemWriter.write_data

    def full(self: Any, plan: Any, planner: Any) -> None:
        raise RuntimeError("unexpected pos") from OSError(errno.ENOSPC, "No space left on device")

    run.checkpoints.save(1, run.state(), {})
    run.checkpoints.wait()
    FileSystemWriter.write_data = full if rank == 1 else write
    try:
        run.checkpoints.save(2, run.state(), {})
        with pytest.raises(StorageError, match="the disk is full: the checkpoint of step 2"):
            run.checkpoints.wait()
    finally:
        FileSystemWriter.write_data = write
    run.checkpoints.save(3, run.state(), {})
    run.checkpoints.wait()
    assert run.checkpoints.steps() == [1, 3]
    other = run.state()
    other["model"]["more"] = torch.zeros(1)
    with pytest.raises(InputError, match=r"model\.more"):
        run.checkpoints.load(3, other)


def test_one_rank_and_two_read_each_others_checkpoints(tmp_path: Path) -> None:
    import torch.multiprocessing as processes

    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    run_whole_and_resumed(one, one, 0)
    alone = torch.load(one / "found.pt")
    processes.spawn(two_ranks, (two, one), nprocs=2)
    together, crossed = torch.load(two / "own.pt"), torch.load(two / "again" / "found.pt")
    for kind in ("adamw", "muon"):
        assert json.loads((two / kind / "step-00000004" / META).read_text())["ranks"] == 2
        torch.testing.assert_close(alone[kind]["norm"], together[kind]["norm"])
        for name, value in alone[kind]["whole"].items():
            assert torch.equal(value, alone[kind]["resumed"][name]), "same number of ranks: equal"
            assert torch.equal(together[kind]["whole"][name], together[kind]["resumed"][name]), "same number: equal"
            assert torch.equal(alone[kind]["loaded"][name], crossed[kind]["loaded"][name]), "two load what one wrote"
            torch.testing.assert_close(value, together[kind]["whole"][name], rtol=1e-3, atol=1e-4)
        run = Run(kind, two)
        run.checkpoints.load(4, run.state())
        for name, value in run.whole().items():
            assert torch.equal(value, together[kind]["loaded"][name]), "one loads what two wrote"


def test_bytes_that_changed_on_the_disk_are_told(tmp_path: Path) -> None:
    """The sizes are right, and the format itself would load them."""
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, {"model": {"weight": torch.arange(4096.0)}}, {})
    checkpoints.wait()
    file = max((tmp_path / "step-00000001").glob("*.distcp"), key=lambda path: path.stat().st_size)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(bytes(content))
    with pytest.raises(InputError, match="other bytes than were written"):
        checkpoints.load(1, {"model": {"weight": torch.zeros(4096)}})
