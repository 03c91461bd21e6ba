"""Grown models compute what the small one did."""

from dataclasses import replace

import pytest
import torch

from jacorpus.errors import RecipeError
from tests.trainer.export import tiny
from trainer.export.guard import check
from trainer.reuse import deepen, widen

CONFIGS = {
    "plamo2": tiny.plamo2(),
    "untied": tiny.plamo2(tied=False),
    "plamo3": tiny.plamo3(),
    "llama": tiny.llama(),
    "qwen3": tiny.qwen3(tied=False),
    "odd": tiny.odd(),
}


@pytest.mark.parametrize("factor", [1, 2, 3])
@pytest.mark.parametrize("name", CONFIGS)
def test_widening_keeps_the_logits(name: str, factor: int) -> None:
    model, tokens = tiny.model_of(CONFIGS[name]), tiny.prompt(50)
    wide = widen(model, factor)
    assert wide.config.d_model == factor * model.config.d_model
    assert wide.config.parameters() == sum(p.numel() for p in wide.parameters())
    torch.testing.assert_close(tiny.logits_of(wide, tokens), tiny.logits_of(model, tokens), rtol=0, atol=1e-5)


def test_the_rank_of_dt_follows_the_width() -> None:
    model = tiny.model_of(tiny.plamo2(d_model=1024))
    wide = widen(model, 2)
    assert (model.config.dt_rank, wide.config.dt_rank) == (64, 128)
    assert check(wide.config, "gguf", 40) == []
    torch.testing.assert_close(
        tiny.logits_of(wide, tokens := tiny.prompt(9)), tiny.logits_of(model, tokens), rtol=0, atol=1e-4
    )


def test_noise_parts_clones_a_little() -> None:
    model, tokens = tiny.model_of(tiny.plamo2()), tiny.prompt(50)
    off = (tiny.logits_of(widen(model, 2, noise=1e-3), tokens) - tiny.logits_of(model, tokens)).abs().max()
    assert 1e-5 < off < 0.1
    again = (widen(model, 2, noise=1e-3, seed=3), widen(model, 2, noise=1e-3, seed=3))
    assert all(torch.equal(a, b) for a, b in zip(*(m.parameters() for m in again), strict=True))


@pytest.mark.parametrize("name", CONFIGS)
def test_deepening_keeps_the_logits_exactly(name: str) -> None:
    model, tokens = tiny.model_of(CONFIGS[name]), tiny.prompt(50)
    count = len(model.config.layers)
    for layers in (count, count + 1, 2 * count):
        deep = deepen(model, layers)
        assert deep.config.layers == tuple(model.config.layers[i % count] for i in range(layers))
        assert torch.equal(tiny.logits_of(deep, tokens), tiny.logits_of(model, tokens))


def test_silent_layers_learn() -> None:
    deep = deepen(tiny.model_of(tiny.plamo2()), 8)
    deep.logits(deep(tiny.prompt(20))).square().mean().backward()
    assert deep.layers[7].post_mlp_norm.weight.grad.abs().max() > 0
    assert deep.layers[4].post_mixer_norm.weight.grad.abs().max() > 0


def test_growing_backwards_is_refused() -> None:
    model = tiny.model_of(tiny.plamo2())
    with pytest.raises(RecipeError, match="4 layers"):
        deepen(model, 3)
    with pytest.raises(RecipeError, match="not by 0"):
        widen(model, 0)
    assert replace(model.config) == widen(model, 1).config
