from pathlib import Path

import numpy as np
import pytest
import torch

from jacorpus.errors import InputError
from tests.trainer.opened_model import random_model
from tests.trainer.posttrain.test_sequences import rows
from trainer.posttrain import refcache
from trainer.posttrain.logprobs import sequence_logps
from trainer.posttrain.refcache import reference_logps, swapped, weights_digest
from trainer.posttrain.sequences import padded

GIVEN = rows(4, (9, 4, 17, 2, 12, 30, 5))


def test_cached_equals_computed_and_is_not_computed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = random_model(50)
    key = weights_digest(model.state_dict())
    first = reference_logps(model, GIVEN, key, tmp_path, 64)
    plain = [sequence_logps(model, padded([row]))[0].item() for row in GIVEN]
    assert np.abs(first - plain).max() < 1e-4
    monkeypatch.setattr(refcache, "_scored", lambda *_: pytest.fail("computed again"))
    assert (reference_logps(model, GIVEN, key, tmp_path, 64) == first).all()
    assert (reference_logps(model, GIVEN[:3], key, tmp_path, 64) == first[:3]).all()


def test_another_weight_mask_or_id_finds_nothing(tmp_path: Path) -> None:
    model = random_model(50)
    key = weights_digest(model.state_dict())
    reference_logps(model, GIVEN, key, tmp_path, 64)
    said: list[int] = []
    with torch.no_grad():
        model.embed.weight[0, 0] += 1e-3
    changed = weights_digest(model.state_dict())
    assert changed != key
    reference_logps(model, GIVEN, changed, tmp_path, 64, lambda done, total: said.append(done))
    assert said
    said.clear()
    masked = [type(row)(row.ids, ~row.trained) for row in GIVEN]
    reference_logps(model, masked, key, tmp_path, 64, lambda done, total: said.append(done))
    assert said


def test_a_kill_leaves_the_same_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped after some batches were written, the rest is made in the same batches: equal to the last bit."""
    model = random_model(50)
    key = weights_digest(model.state_dict())
    whole = reference_logps(model, GIVEN, key, tmp_path / "whole", 40)
    monkeypatch.setattr(refcache, "PART", 1)
    scored, calls = refcache._scored, []

    def dies(*given):  # type: ignore[no-untyped-def]
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return scored(*given)

    monkeypatch.setattr(refcache, "_scored", dies)
    with pytest.raises(KeyboardInterrupt):
        reference_logps(model, GIVEN, key, tmp_path / "cut", 40)
    assert list((tmp_path / "cut").rglob("*.arrow"))
    assert (reference_logps(model, GIVEN, key, tmp_path / "cut", 40) == whole).all()


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    model = random_model(50)
    reference_logps(model, GIVEN, "k", tmp_path, 64)
    next(tmp_path.rglob("*.arrow")).write_bytes(b"no")
    with pytest.raises(InputError, match=r"can't be read .* remove it"):
        reference_logps(model, GIVEN, "k", tmp_path, 64)


def test_weights_come_back(tmp_path: Path) -> None:
    model, other = random_model(50), random_model(50, seed=1)
    before = weights_digest(model.state_dict())
    with swapped(model, other.state_dict()):
        assert weights_digest(model.state_dict()) == weights_digest(other.state_dict())
    assert weights_digest(model.state_dict()) == before
