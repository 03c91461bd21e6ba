"""Adapters in PEFT: what it wrote computes the same here, and what we wrote computes the same there."""

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.compat.conftest import assert_equal_logits
from tests.compat.conftest import open_export as open_in
from tests.trainer.export import tiny
from trainer.adapter_files import load_adapter, save_adapter
from trainer.export import export
from trainer.lora import LoraConfig, adapters, add_lora, disabled, merged
from trainer.model import Model

peft = pytest.importorskip("peft", reason="needs the package peft: pip install -e '.[compat]'")

HYBRID = "in_proj", "qkv_proj", "out_proj", "o_proj", "bcdt_proj", "dt_proj", "gate_up_proj", "down_proj"
MODELS = {"plamo2": tiny.plamo2(), "jacorpus": tiny.odd(), "llama": tiny.llama(tied=False), "qwen3": tiny.qwen3()}


def open_export(folder: Path) -> Any:
    """In float64: what is left is no rounding."""
    return open_in(folder, torch.float64)


def shaken(model: torch.nn.Module, seed: int) -> None:
    """Adapters off their start: B and the magnitude drawn, so that a wrong row or scale shows."""
    generator = torch.Generator().manual_seed(seed)
    for name, p in model.named_parameters():
        if "lora_B" in name:
            p.data.copy_(0.3 * torch.randn(p.shape, generator=generator))
        elif "magnitude" in name:
            p.data.mul_(1 + 0.3 * torch.rand(p.shape, generator=generator))


def base(name: str, where: Path) -> tuple[Model, Path]:
    model = tiny.model_of(MODELS[name]).requires_grad_(False)
    export(model, where / "export", "hf", dtype="fp32")
    return model, where / "export"


def close(found: torch.Tensor, wanted: torch.Tensor, name: str) -> None:
    """transformers' own Llama and Qwen 3 take norms in float32 whatever their type."""
    if name in ("llama", "qwen3"):
        assert (found - wanted).abs().max() <= 5e-6
    else:
        assert_equal_logits(found, wanted)


@torch.no_grad()
def theirs(model: Any, tokens_BT: torch.Tensor) -> torch.Tensor:
    return model.eval().double()(input_ids=tokens_BT).logits


@pytest.mark.parametrize("dora", [False, True], ids=["lora", "dora"])
@pytest.mark.parametrize("name", MODELS)
def test_peft_computes_what_we_saved(name: str, dora: bool, tmp_path: Path) -> None:
    model, folder = base(name, tmp_path)
    tokens = tiny.prompt(20)
    plain = tiny.logits_of(model, tokens).double()
    add_lora(model, LoraConfig(rank=4, alpha=12.0, dora=dora))
    shaken(model, 1)
    save_adapter(model, tmp_path / "adapter")
    model.double()
    wrapped = peft.PeftModel.from_pretrained(open_export(folder), tmp_path / "adapter")
    ours = tiny.logits_of(model, tokens)
    close(theirs(wrapped, tokens), ours, name)
    assert (ours - plain).abs().max() > 0.1  # the control: an adapter that counts
    again = tiny.model_of(MODELS[name])
    load_adapter(again, tmp_path / "adapter")
    again.double()
    assert torch.equal(tiny.logits_of(again, tokens), ours)
    again.load_state_dict({**dict(again.named_parameters()), **merged(model)})
    with disabled(again):
        close(tiny.logits_of(again, tokens), theirs(wrapped.merge_and_unload(), tokens), name)


@pytest.mark.parametrize("dora", [False, True], ids=["lora", "dora"])
@pytest.mark.parametrize("name", ["plamo2", "jacorpus"])
def test_we_compute_what_peft_saved(name: str, dora: bool, tmp_path: Path) -> None:
    model, folder = base(name, tmp_path)
    config = peft.LoraConfig(r=4, lora_alpha=12, use_dora=dora, target_modules=list(HYBRID))
    wrapped = peft.get_peft_model(open_in(folder), config)
    shaken(wrapped, 2)
    wrapped.save_pretrained(tmp_path / "adapter")
    names = load_adapter(model, tmp_path / "adapter")
    model.double()
    assert names == [name for name, _ in adapters(model)]
    tokens = tiny.prompt(20)
    wanted = theirs(wrapped, tokens)
    close(tiny.logits_of(model, tokens), wanted, name)
    for _, module in adapters(model):
        module.scale *= 2
    assert (tiny.logits_of(model, tokens) - wanted).abs().max() > 1e-2  # the control: another alpha


@pytest.mark.parametrize("dora", [False, True], ids=["lora", "dora"])
@pytest.mark.parametrize("targets", [("q_proj", "v_proj"), ("q_proj", "k_proj", "v_proj", "up_proj", "o_proj")])
def test_parts_with_an_a_of_their_own_are_joined(targets: tuple[str, ...], dora: bool, tmp_path: Path) -> None:
    model, folder = base("llama", tmp_path)
    config = peft.LoraConfig(r=3, lora_alpha=12, use_dora=dora, target_modules=list(targets))
    wrapped = peft.get_peft_model(open_in(folder), config)
    shaken(wrapped, 3)
    wrapped.save_pretrained(tmp_path / "adapter")
    load_adapter(model, tmp_path / "adapter")
    save_adapter(model, tmp_path / "again")
    model.double()
    tokens = tiny.prompt(20)
    ours = tiny.logits_of(model, tokens)
    close(ours, theirs(wrapped, tokens), "llama")
    back = peft.PeftModel.from_pretrained(open_export(folder), tmp_path / "again")
    close(theirs(back, tokens), ours, "llama")
