"""The work folder: finished tasks by key, their parts, and outcomes a rerun has to know.

work/done/KEY.json      what the task gave: counts, and the name, size and digest of each part
work/parts/KE/KEY/      its parts; the folder appears whole or not at all
work/outcomes/KEY.json  documents that killed or hung a worker: they are failed from the start next time
"""

import fcntl
import json
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from jacorpus.errors import JacorpusError
from jacorpus.shards import storage_errors


class Store:
    """Parts and done marks of one output folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def part(self, key: str, name: str = "") -> Path:
        """Where a finished task's part lies."""
        return self.root / "parts" / key[:2] / key / name

    def done(self, key: str) -> dict[str, Any] | None:
        """What the task gave, if it finished and its parts are still whole in size."""
        try:
            result = json.loads((self.root / "done" / f"{key}.json").read_bytes())
        except (OSError, ValueError):
            return None
        for name, info in result["parts"].items():
            path = self.part(key, name)
            if not path.is_file() or path.stat().st_size != info["bytes"]:
                return None
        return result

    @contextmanager
    def writing(self, key: str) -> Iterator[Path]:
        """A scratch folder that becomes the task's parts when the block ends well. A full disk is a StorageError."""
        scratch = self.root / "scratch" / f"{key[:16]}-{uuid.uuid4().hex[:8]}"
        with storage_errors(self.root):
            scratch.mkdir(parents=True)
            try:
                yield scratch
                target = self.part(key)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.rmtree(target, ignore_errors=True)
                os.replace(scratch, target)
            finally:
                shutil.rmtree(scratch, ignore_errors=True)

    def finish(self, key: str, result: dict[str, Any]) -> dict[str, Any]:
        """Record a task as done. Only now do its parts count."""
        with storage_errors(self.root):
            write_json(self.root / "done" / f"{key}.json", result)
        return result

    def outcomes(self, key: str) -> dict[bytes, tuple[str, str, str]]:
        """Documents to fail without trying: id -> (stage, reason, detail)."""
        try:
            stored = json.loads((self.root / "outcomes" / f"{key}.json").read_bytes())
        except (OSError, ValueError):
            return {}
        return {bytes.fromhex(identity): tuple(fate) for identity, fate in stored.items()}

    def add_outcome(self, key: str, identity: bytes, fate: tuple[str, str, str]) -> None:
        """Remember that this document can't be processed."""
        known = {k.hex(): list(v) for k, v in self.outcomes(key).items()}
        known[identity.hex()] = list(fate)
        write_json(self.root / "outcomes" / f"{key}.json", known)

    def clear_scratch(self) -> None:
        """Remove what killed tasks left half-written."""
        shutil.rmtree(self.root / "scratch", ignore_errors=True)

    def keep_only(self, keys: set[str]) -> None:
        """Forget tasks of earlier recipes."""
        for mark in (self.root / "done").glob("*.json"):
            if mark.stem not in keys:
                mark.unlink()
                shutil.rmtree(self.part(mark.stem), ignore_errors=True)

    def size(self) -> int:
        """Size of all parts on disk."""
        return sum(p.stat().st_size for p in (self.root / "parts").rglob("*") if p.is_file())

    def lock(self) -> IO[bytes]:
        """Hold the folder against a second run. Raises JacorpusError when one is at work."""
        with storage_errors(self.root):
            self.root.mkdir(parents=True, exist_ok=True)
            stream = open(self.root / "lock", "wb")  # noqa: SIM115
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            stream.close()
            raise JacorpusError(
                f"another run is writing to {self.root.parent}; wait for it or choose another --out"
            ) from None
        return stream


def write_json(path: Path, value: Any) -> None:
    """Write JSON so that readers see the old file or the new one, never half."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    try:
        temporary.write_text(json.dumps(value, ensure_ascii=False, indent=1, sort_keys=False) + "\n", "utf-8")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
