"""Safetensors files, read and written tensor by tensor without loading a model: numpy alone, bfloat16 included.

A file is 8 bytes (length of the header, little endian), the header (JSON: name -> dtype, shape, byte range) and the
data. A folder is one ``model.safetensors``, or shards named by ``model.safetensors.index.json``.

Legend: V rows (ids), D columns.
"""

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jacorpus.errors import InputError

INDEX = "model.safetensors.index.json"
COPY_BYTES = 16 << 20
DTYPES: dict[str, np.dtype[Any]] = {
    "BF16": np.dtype("<u2"),
    "F16": np.dtype("<f2"),
    "F32": np.dtype("<f4"),
    "F64": np.dtype("<f8"),
}
"""Kinds that embeddings may have; bfloat16 is kept as its 16 bits."""


@dataclass(frozen=True)
class Tensor:
    """Where one tensor lies. dtype: the file's name for it. start, end: bytes in the file."""

    file: Path
    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int

    def raw(self) -> np.ndarray:
        """The tensor as it is stored (bfloat16 as uint16). Raises InputError for a kind that holds no embeddings."""
        if self.dtype not in DTYPES:
            raise InputError(f"{self.file}: {self.name} is {self.dtype}; expected one of {', '.join(DTYPES)}")
        with open(self.file, "rb") as stream:
            stream.seek(self.start)
            data = np.frombuffer(stream.read(self.end - self.start), DTYPES[self.dtype])
        return data.reshape(self.shape)


def header(path: Path) -> dict[str, Tensor]:
    """The tensors of one file, in its order. Raises InputError for a file that is cut off or no safetensors file."""
    size = path.stat().st_size
    with open(path, "rb") as stream:
        head = stream.read(8)
        length = struct.unpack("<Q", head)[0] if len(head) == 8 else size
        if length + 8 > size:
            raise InputError(
                f"{path} is no safetensors file, or is cut off: its header does not fit into {size:,} bytes"
            )
        try:
            content = json.loads(stream.read(length))
            found = {
                name: Tensor(path, name, t["dtype"], tuple(t["shape"]), *(8 + length + at for at in t["data_offsets"]))
                for name, t in content.items()
                if name != "__metadata__"
            }
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(f"{path} is no safetensors file: its header is no table of tensors ({error})") from error
    if found and max(tensor.end for tensor in found.values()) > size:
        raise InputError(
            f"{path} is cut off: it should have {max(t.end for t in found.values()):,} bytes, not {size:,}"
        )
    return found


def metadata(path: Path) -> dict[str, str]:
    """The file's free-form notes."""
    with open(path, "rb") as stream:
        content = json.loads(stream.read(struct.unpack("<Q", stream.read(8))[0]))
    notes: dict[str, str] = content.get("__metadata__", {})
    return notes


def shards(path: Path) -> list[Path]:
    """The files of a model: itself, or those of the folder. Raises InputError where one is missing."""
    if path.is_file():
        return [path]
    if (path / INDEX).is_file():
        names = sorted(set(json.loads((path / INDEX).read_text("utf-8"))["weight_map"].values()))
        missing = [name for name in names if not (path / name).is_file()]
        if missing:
            raise InputError(f"{path / INDEX} names {', '.join(missing)}, and the folder lacks it")
        return [path / name for name in names]
    found = sorted(path.glob("*.safetensors")) if path.is_dir() else []
    if len(found) != 1:
        what = f"{len(found)} .safetensors files and no {INDEX}" if found else "no .safetensors file"
        raise InputError(f"{path} holds {what}; expected model.safetensors, or shards with their index")
    return found


def tensors(path: Path) -> dict[str, Tensor]:
    """Every tensor of a model."""
    return {name: tensor for shard in shards(path) for name, tensor in header(shard).items()}


def to_float32(raw: np.ndarray, dtype: str) -> np.ndarray:
    """float32 of stored values."""
    if dtype == "BF16":
        return (raw.astype(np.uint32) << 16).view(np.float32)
    return raw.astype(np.float32)


def from_float32(values: np.ndarray, dtype: str) -> np.ndarray:
    """Stored values of float32, rounded to the nearest (bfloat16: ties to even)."""
    if dtype == "BF16":
        bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
        rounded = ((bits.astype(np.uint64) + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)
        return np.where(np.isnan(values), np.uint16(0x7FC0), rounded)
    return values.astype(DTYPES[dtype])


def copy_with(path: Path, target: Path, changed: Mapping[str, np.ndarray]) -> None:
    """The file with some tensors replaced (as stored, same kind); all others byte for byte, in their order."""
    old = header(path)
    table: dict[str, Any] = {"__metadata__": metadata(path)} if metadata(path) else {}
    at = 0
    ordered = sorted(old.values(), key=lambda tensor: tensor.start)
    for tensor in ordered:
        new = changed.get(tensor.name)
        size = tensor.end - tensor.start if new is None else new.nbytes
        shape = list(tensor.shape if new is None else new.shape)
        table[tensor.name] = {"dtype": tensor.dtype, "shape": shape, "data_offsets": [at, at + size]}
        at += size
    head = json.dumps(table, separators=(",", ":")).encode()
    head += b" " * (-len(head) % 8)
    with open(path, "rb") as source, open(target, "wb") as out:
        out.write(struct.pack("<Q", len(head)) + head)
        for tensor in ordered:
            if tensor.name in changed:
                out.write(np.ascontiguousarray(changed[tensor.name]).tobytes())
                continue
            source.seek(tensor.start)
            left = tensor.end - tensor.start
            while left:
                left -= out.write(source.read(min(left, COPY_BYTES)))
