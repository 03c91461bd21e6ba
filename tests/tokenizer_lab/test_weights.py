"""Safetensors files against the library, bfloat16, shards, broken files."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from jacorpus.errors import InputError
from tokenizer_lab.weights import INDEX, copy_with, from_float32, header, metadata, shards, tensors, to_float32


def _file(path: Path) -> Path:
    rng = np.random.default_rng(0)
    content = {
        "b.weight": rng.standard_normal((4, 3)).astype(np.float16),
        "a.weight": rng.standard_normal((5, 2)).astype(np.float32),
        "empty": np.zeros((0, 3), np.float32),
        "steps": np.arange(3, dtype=np.int64),
    }
    save_file(content, path, metadata={"format": "np"})
    return path


def test_reads_what_the_library_wrote(tmp_path: Path) -> None:
    path = _file(tmp_path / "m.safetensors")
    expected = load_file(path)
    found = header(path)
    assert set(found) == set(expected)
    for name in ("a.weight", "b.weight", "empty"):
        assert found[name].raw().tolist() == expected[name].tolist()
    with pytest.raises(InputError, match="steps is I64"):
        found["steps"].raw()
    assert metadata(path) == {"format": "np"}


def test_the_library_reads_what_is_written(tmp_path: Path) -> None:
    path, target = _file(tmp_path / "m.safetensors"), tmp_path / "n.safetensors"
    longer = np.arange(14, dtype=np.float32).reshape(7, 2)
    copy_with(path, target, {"a.weight": longer})
    before, after = load_file(path), load_file(target)
    assert after.pop("a.weight").tolist() == longer.tolist()
    assert metadata(target) == {"format": "np"}
    for name, tensor in after.items():
        assert (tensor.dtype, tensor.tobytes()) == (before[name].dtype, before[name].tobytes())
    copy_with(path, target, {})
    assert {n: t.tobytes() for n, t in load_file(target).items()} == {n: t.tobytes() for n, t in before.items()}


@settings(max_examples=200, deadline=None)
@given(st.lists(st.floats(width=32), min_size=1, max_size=8))
def test_bfloat16_rounds_to_the_nearest(values: list[float]) -> None:
    exact = np.array(values, np.float32)
    stored = from_float32(exact, "BF16")
    assert stored.dtype == np.uint16
    back = to_float32(stored, "BF16")
    assert from_float32(back, "BF16").tolist() == stored.tolist()
    finite = np.isfinite(exact) & (np.abs(exact) < 3e38) & (np.abs(exact) > 1e-30)
    assert (np.abs(back[finite] - exact[finite]) <= np.abs(exact[finite]) * 2**-8).all()
    assert np.isnan(back).tolist() == np.isnan(exact).tolist()


def test_bfloat16_ties_go_to_even() -> None:
    middle = np.array([0x3F808000, 0x3F818000], np.uint32).view(np.float32)
    assert [hex(v) for v in from_float32(middle, "BF16").tolist()] == ["0x3f80", "0x3f82"]


def test_shards_are_named_by_the_index(tmp_path: Path) -> None:
    save_file({"a": np.ones(2, np.float32)}, tmp_path / "1.safetensors")
    save_file({"b": np.ones(3, np.float32)}, tmp_path / "2.safetensors")
    with pytest.raises(InputError, match=r"2 \.safetensors files and no"):
        shards(tmp_path)
    index = {"metadata": {}, "weight_map": {"a": "1.safetensors", "b": "2.safetensors"}}
    (tmp_path / INDEX).write_text(json.dumps(index), "utf-8")
    assert {name: tensor.shape for name, tensor in tensors(tmp_path).items()} == {"a": (2,), "b": (3,)}
    (tmp_path / "2.safetensors").unlink()
    with pytest.raises(InputError, match=r"names 2\.safetensors"):
        shards(tmp_path)
    with pytest.raises(InputError, match=r"no \.safetensors file"):
        shards(tmp_path / "nothing")


@pytest.mark.parametrize("data", [b"", b"abc", b"\xff" * 40, b"\x02\0\0\0\0\0\0\0[]", b"\x02\0\0\0\0\0\0\0{x"])
def test_broken_files_are_named(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "broken.safetensors"
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"broken\.safetensors is"):
        header(path)


def test_a_file_cut_off_is_named(tmp_path: Path) -> None:
    path = _file(tmp_path / "m.safetensors")
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(InputError, match="cut off"):
        header(path)
