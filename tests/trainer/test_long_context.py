"""From windows to full attention: what the switch keeps, and that training on with it carries further."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from benchmarks.long_context import LONG, Sizes, document, once, token_folder
from tests.trainer.opened_model import random_model
from trainer.config import LayerConfig
from trainer.continued import changed
from trainer.documents import Documents
from trainer.model import Model

WINDOW = 12
LAYERS = (LayerConfig("mamba", 48), LayerConfig("window", 48, heads=2, kv_heads=1, window=WINDOW)) * 2


def pair(table: dict) -> tuple[Model, Model]:
    """A model with windows, and the same weights as a [model] table changes them."""
    windows = random_model(64, layers=LAYERS)
    full = Model(replace(windows.config, layers=tuple(changed(layer, table) for layer in windows.config.layers)))
    full.load_state_dict(windows.state_dict())
    return windows, full


def rows(length: int) -> torch.Tensor:
    return torch.randint(0, 64, (3, length), generator=torch.Generator().manual_seed(1))


def test_the_switch_keeps_the_function_within_the_window() -> None:
    windows, full = pair({"full_attention": True})
    assert [layer.mixer for layer in full.config.layers] == ["mamba", "full"] * 2
    tokens = rows(WINDOW + 1)
    torch.testing.assert_close(full.logits(full(tokens)), windows.logits(windows(tokens)), rtol=0, atol=1e-5)


def test_packed_documents_shorter_than_the_window_see_no_difference() -> None:
    windows, full = pair({"full_attention": True})
    tokens, documents = rows(60), Documents((torch.arange(60) // 10).int().expand(3, 60).contiguous())
    torch.testing.assert_close(full(tokens, documents), windows(tokens, documents), rtol=0, atol=1e-5)


def test_beyond_the_window_and_under_another_base_it_is_another_function() -> None:
    windows, full = pair({"full_attention": True})
    tokens = rows(3 * WINDOW)
    apart = (full(tokens) - windows(tokens)).abs().amax((0, 2))
    assert apart[: WINDOW + 1].max() < 1e-5 < 1e-3 < apart[WINDOW + 1 :].max()
    _, turned = pair(LONG)
    assert (turned(tokens) - full(tokens)).abs().max() > 1e-3


def test_documents_ask_only_for_what_they_have_told() -> None:
    import numpy as np

    for seed in range(20):
        ids, told = document(128, np.random.default_rng(seed)), {}
        assert len(ids) == 128
        for at, kind in enumerate(ids):
            if kind == 0:
                told[ids[at + 1]] = ids[at + 3]
            if kind == 2 and at + 2 < len(ids):
                assert told[ids[at + 1]] == ids[at + 2]


def test_a_recipe_trains_on_with_full_attention(tmp_path: Path) -> None:
    """Few steps: the way through shards, two runs and the measure."""
    sizes = Sizes(window=8, short=64, long=64, short_tokens=2048, long_tokens=2048, distances=(16, 48), asked=8)
    found = once(tmp_path, sizes, seed=1)["accuracy"]
    assert set(found) == {"before", "switched", "full", "windows"}
    assert all(0 <= share <= 1 for each in found.values() for share in each.values())


def test_the_same_seed_makes_the_same_shards(tmp_path: Path) -> None:
    a, b = (token_folder(tmp_path / name, 32, 512, seed=3) / "shards/needles-train-00000.arrow" for name in "ab")
    assert a.read_bytes() == b.read_bytes()


@pytest.mark.slow
def test_full_attention_finds_what_windows_lose(tmp_path: Path) -> None:
    sizes = Sizes(long=256, short_tokens=600_000, long_tokens=100_000, distances=(16, 128), asked=64)
    found = once(tmp_path, sizes, seed=1)["accuracy"]
    assert found["before"]["16"] > 0.9
    assert found["full"]["128"] > 0.9
    assert max(found[name]["128"] for name in ("before", "windows")) < 0.3
