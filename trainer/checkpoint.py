"""Checkpoints: written beside training, whole or not there, readable by any number of ranks.

    step-00001000/            torch.distributed.checkpoint's files, and
        meta.json             step, the caller's extra, size and checksum of each file; written last
    step-00002000.tmp-123/    being written, or left by a run that was killed: never read, removed at the next save
    step-00001000.replaced-123/   the older of two of one step, until the newer has its name

``save`` copies the state to CPU memory and returns; a thread writes it, flushes it to the disk, adds meta.json and
renames the folder. A run killed at any moment thus leaves the last checkpoint as it was. Under torchrun each rank
writes its shards into the one folder (which all must see); traffic goes over a gloo group of its own, so that it never
waits for, or mixes with, training's collectives. What fails in the thread is raised by the next ``save`` or ``wait``,
on all ranks alike.
"""

import errno
import json
import os
import re
import shutil
import threading
import warnings
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from jacorpus.errors import InputError, JacorpusError, RecipeError, StorageError

META = "meta.json"

_BLOCK_BYTES = 1 << 22

_NAME = re.compile(r"step-(\d{8,})(\.replaced-\d+)?")

_ALONE = ".*assuming the intent is to (save|load) in a single process.*"
"""What torch warns of where there is no process group: that is what is meant."""


class Checkpoints:
    """The checkpoints of one run. All ranks call save, wait and load together; latest, steps and about only read.

    keep: newest ones that stay. keep_every: those whose step is a multiple of it stay for good (0: none).
    """

    def __init__(self, folder: Path, keep: int = 3, keep_every: int = 0) -> None:
        if keep < 1 or keep_every < 0:
            raise RecipeError(f"[train] keep must be 1 or more, got {keep}; one checkpoint is needed to go on from")
        self.folder, self.keep, self.keep_every = folder, keep, keep_every
        self._thread: threading.Thread | None = None
        self._problem: str | None = None
        self._gloo: Any = None

    def save(self, step: int, state: dict[str, Any], extra: dict[str, Any]) -> None:
        """Begin to write ``state`` (dicts of dicts of tensors) and ``extra`` (JSON) as the checkpoint of ``step``.

        The state may change once this returns. Waits for the save before; raises StorageError where that one failed,
        or nothing can be written.
        """
        import torch.distributed.checkpoint as dcp

        self.wait()
        meta = json.loads(json.dumps({"step": step, "extra": extra, "ranks": _ranks(), "torch": torch.__version__}))
        flat = dict(_flat(state))
        temporary = Path(self._together(lambda: self._begin(step)))
        warnings.filterwarnings("ignore", message=_ALONE)
        writing = dcp.async_save(flat, storage_writer=_writer(temporary), process_group=self._group())
        # Not a daemon: a program that ends in order finishes its last checkpoint.
        self._thread = threading.Thread(target=self._finish, args=(step, temporary, writing, meta))
        self._thread.start()

    def wait(self) -> None:
        """Until nothing is being written. Raises StorageError where the last save failed; the next may succeed."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        problem, self._problem = self._problem, None
        if problem is not None:
            raise StorageError(problem)

    def steps(self) -> list[int]:
        """Steps with a whole checkpoint, ascending."""
        names = [_NAME.fullmatch(path.name) for path in self.folder.glob("step-*")]
        return sorted({step for name in names if name and self._find(step := int(name[1])) is not None})

    def latest(self) -> int | None:
        """The last step with a whole checkpoint; None where there is none."""
        return max(self.steps(), default=None)

    def about(self, step: int) -> dict[str, Any]:
        """The ``extra`` saved with a step. Raises InputError where it has no whole checkpoint."""
        meta = _meta(self._whole(step))
        assert meta is not None
        return meta["extra"]

    def load(self, step: int, state: dict[str, Any]) -> dict[str, Any]:
        """Load a step into the tensors of ``state``, in place, and return its ``extra``.

        Of each of state's top keys, the checkpoint must have the same tensors; other top keys it may have too.
        Sharded tensors take their part, whatever number of ranks wrote. Raises InputError where they don't fit.
        """
        import torch.distributed.checkpoint as dcp
        from torch.distributed.checkpoint.api import CheckpointException

        self.wait()
        place, flat = self._whole(step), dict(_flat(state))
        self._together(lambda: _check_sums(place))
        reader = dcp.FileSystemReader(place)
        warnings.filterwarnings("ignore", message=_ALONE)
        try:
            saved = reader.read_metadata().state_dict_metadata
        except Exception as error:  # it is a pickle: anything may come of a damaged one
            raise InputError(_damaged(place, error)) from error
        _check(place, flat, {name: about for name, about in saved.items() if name.partition(".")[0] in state})
        try:
            dcp.load(flat, storage_reader=reader, process_group=self._group())
        except (CheckpointException, OSError, RuntimeError) as error:
            raise InputError(_damaged(place, error)) from error
        return self.about(step)

    def _whole(self, step: int) -> Path:
        place = self._find(step)
        if place is None:
            there = ", ".join(f"{known:,}" for known in self.steps()) or "none"
            raise InputError(f"{self.folder} has no whole checkpoint of step {step:,}; there are: {there}")
        return place

    def _find(self, step: int) -> Path | None:
        """The folder of a step, if whole: the newest first, then one that a killed run was replacing."""
        name = f"step-{step:08d}"
        places = [self.folder / name, *sorted(self.folder.glob(f"{name}.replaced-*"))]
        return next((place for place in places if _meta(place) is not None), None)

    def _begin(self, step: int) -> str:
        """Clear what killed runs left, and make the folder to write into."""
        with self._told(step):
            self.folder.mkdir(parents=True, exist_ok=True)
            for path in self.folder.glob("step-*.tmp-*"):
                shutil.rmtree(path, ignore_errors=True)
            for path in self.folder.glob("step-*.replaced-*"):
                if _meta(self.folder / path.name.partition(".")[0]) is not None:
                    shutil.rmtree(path, ignore_errors=True)
            temporary = self.folder / f"step-{step:08d}.tmp-{os.getpid()}"
            temporary.mkdir()
        return str(temporary)

    def _finish(self, step: int, temporary: Path, writing: Any, meta: dict[str, Any]) -> None:
        """In the thread: wait for this rank's files, agree with the others, publish or remove."""
        try:
            problems: list[str | None] = [None]
            try:
                with self._told(step):
                    writing.result()
            except StorageError as error:
                problems = [str(error)]
            if _ranks() > 1:
                mine, problems = problems[0], [None] * _ranks()
                dist.all_gather_object(problems, mine, group=self._group())
            first = next((each for each in problems if each is not None), None)
            with self._told(step):  # another rank's sudden end shows here
                self._together(lambda: self._publish(step, temporary, meta, first))
        except StorageError as error:
            self._problem = str(error)

    def _publish(self, step: int, temporary: Path, meta: dict[str, Any], problem: str | None) -> None:
        """Give a whole checkpoint its name, and remove old ones; remove what is not whole."""
        try:
            if problem is not None:
                raise StorageError(problem)
            with self._told(step):
                _seal(temporary, meta)
                target = self.folder / f"step-{step:08d}"
                replaced = target.with_name(f"{target.name}.replaced-{os.getpid()}")
                if target.exists():
                    os.rename(target, replaced)
                os.rename(temporary, target)
                _flush(self.folder)
        except StorageError:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        shutil.rmtree(replaced, ignore_errors=True)
        for old in self.steps()[: -self.keep]:
            if old != step and not (self.keep_every and old % self.keep_every == 0):
                self._remove(old)

    def _remove(self, step: int) -> None:
        """Renamed first, so that one half removed is never taken for a checkpoint."""
        doomed = self.folder / f"step-{step:08d}.tmp-{os.getpid()}"
        try:
            os.rename(self.folder / f"step-{step:08d}", doomed)
        except OSError:
            return  # an old one that stays does no harm
        shutil.rmtree(doomed, ignore_errors=True)

    @contextmanager
    def _told(self, step: int) -> Iterator[None]:
        """Turn what goes wrong while a step is written into one sentence."""
        from torch.distributed.checkpoint.api import CheckpointException

        try:
            yield
        except (Exception, CheckpointException) as error:
            if isinstance(error, StorageError):
                raise
            known = [whole for whole in self.steps() if whole != step]
            rest = f"that of step {known[-1]:,} is whole" if known else "there is no other"
            reason, remedy = _reason(error)
            raise StorageError(
                f"{reason}: the checkpoint of step {step:,} can't be written below {self.folder}; {rest}; "
                f"{remedy} and run the same command again"
            ) from error

    def _group(self) -> Any:
        """The group of checkpoint traffic; None where this process is alone. Made once, by all ranks together."""
        if self._gloo is None and _ranks() > 1:
            self._gloo = dist.new_group(backend="gloo")
        return self._gloo

    def _together(self, work: Callable[[], Any]) -> Any:
        """What rank 0's ``work`` returns, on all ranks; a JacorpusError of it is raised on all."""
        if _ranks() == 1:
            return work()
        answer: list[Any] = [None, None]
        if dist.get_rank() == 0:
            try:
                answer[0] = work()
            except JacorpusError as error:
                answer[1] = error
        dist.broadcast_object_list(answer, src=0, group=self._group())
        if answer[1] is not None:
            raise answer[1]
        return answer[0]


def _ranks() -> int:
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def _flat(state: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Tensor]]:
    for key, value in state.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        elif isinstance(value, Tensor):
            yield f"{prefix}{key}", value
        else:
            raise TypeError(
                f"{prefix}{key} is a {type(value).__name__}; a state holds tensors, other facts go to extra"
            )


def _meta(place: Path) -> dict[str, Any] | None:
    """meta.json of a checkpoint with every file whole, else None."""
    try:
        meta = json.loads((place / META).read_bytes())
        whole = all((place / name).stat().st_size == size for name, size in meta["files"].items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return meta if whole else None


def _seal(temporary: Path, meta: dict[str, Any]) -> None:
    """Write meta.json. Raises StorageError where files are missing that a rank says it wrote."""
    from torch.distributed.checkpoint import FileSystemReader

    files = sorted(temporary.iterdir())
    sizes = {path.name: path.stat().st_size for path in files}
    stored = FileSystemReader(temporary).read_metadata().storage_data
    if missing := {about.relative_path for about in stored.values()} - sizes.keys():
        raise StorageError(
            f"{min(missing)} of another rank is not in {temporary}: the ranks don't write into the same folder; "
            "put the output folder on a file system that all machines share"
        )
    with open(temporary / META, "w", encoding="utf-8") as stream:
        json.dump({**meta, "files": sizes, "crc32": {path.name: _crc32(path) for path in files}}, stream)
        stream.flush()
        os.fsync(stream.fileno())
    _flush(temporary)


def _crc32(path: Path) -> int:
    """Of a file's bytes: tells damage, not malice."""
    found = 0
    with open(path, "rb") as stream:
        while block := stream.read(_BLOCK_BYTES):
            found = zlib.crc32(block, found)
    return found


def _check_sums(place: Path) -> None:
    """Raises InputError where a file of the right size has other bytes than were written."""
    for name, wanted in (_meta(place) or {}).get("crc32", {}).items():
        if _crc32(place / name) != wanted:
            raise InputError(_damaged(place, ValueError(name)))


def _flush(folder: Path) -> None:
    """Bring a folder's names to the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _writer(place: Path) -> Any:
    """torch's writer, whose errors keep their number."""
    from torch.distributed.checkpoint import FileSystemWriter

    class Writer(FileSystemWriter):
        def write_data(self, plan: Any, planner: Any) -> Any:
            try:
                return super().write_data(plan, planner)
            except Exception as error:
                # torch's zip writer hides the disk's error under one of its own, and what lies under is lost on the
                # way to other ranks.
                raise _root(error) from error

    return Writer(place)


def _root(error: BaseException) -> BaseException:
    """The OSError below an error; the error itself where there is none."""
    below: BaseException | None = error
    while below is not None and not isinstance(below, OSError):
        failures = getattr(below, "failures", None)  # torch's errors by rank
        below = next(iter(failures.values()))[0] if failures else below.__cause__ or below.__context__
    return below or error


def _reason(error: BaseException) -> tuple[str, str]:
    """Why, and what to do about it."""
    root = _root(error)
    if not isinstance(root, OSError):
        last = (str(root).strip() or type(root).__name__).splitlines()[-1]
        return f"writing failed ({last})", "see to that"
    if root.errno in (errno.ENOSPC, errno.EDQUOT):
        return "the disk is full", "make room there"
    return f"writing was refused ({root.strerror or root})", "allow it"


def _damaged(place: Path, error: BaseException) -> str:
    return (
        f"{place} is damaged ({type(_root(error)).__name__}): its files have other bytes than were written; "
        "remove this folder and run the same command again to go on from the one before"
    )


def _check(place: Path, wanted: dict[str, Tensor], saved: dict[str, Any]) -> None:
    """Raises InputError naming the first tensor that the other side lacks, or has in another shape or type."""
    advice = "go on with the recipe it was written with, or train into another folder"
    for name in sorted(wanted.keys() ^ saved.keys()):
        lacks = "has no" if name in wanted else "has a"
        mine = "this run's model or optimizer needs" if name in wanted else "this run's model or optimizer doesn't know"
        raise InputError(f"the checkpoint {place} {lacks} tensor {name}, which {mine}; {advice}")
    for name, tensor in wanted.items():
        there = saved[name]
        shape, kind = list(there.size), there.properties.dtype
        if shape != list(tensor.shape):
            raise InputError(f"{name} is {shape} in the checkpoint {place}, {list(tensor.shape)} in this run; {advice}")
        if kind != tensor.dtype:
            raise InputError(f"{name} is {kind} in the checkpoint {place}, {tensor.dtype} in this run; {advice}")
