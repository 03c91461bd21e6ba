"""PEFT on an export: it reads our adapters, computes what we compute, and we read what it writes."""

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.compat.conftest import open_export
from tests.trainer.export import tiny
from tests.trainer.test_lora import BOTH, FAMILIES, TOKENS, apart, logits, moved
from trainer.adapter_files import load_adapter, save_adapter
from trainer.export import export

peft = pytest.importorskip("peft", reason="needs the package peft: pip install -e '.[compat]'")
BAR = 5e-6


def saved(family: str, dora: bool, folder: Path) -> tuple[Any, Any]:
    """(the base in transformers, ours with adapters), the base and the adapter below ``folder``."""
    model = tiny.model_of(FAMILIES[family]()).requires_grad_(False)
    export(model, folder / "base", "hf", dtype="fp32", context_length=512)
    save_adapter(moved(model, dora), folder / "adapter")
    return open_export(folder / "base"), model


@torch.no_grad()
def theirs(model: Any) -> torch.Tensor:
    return model(TOKENS).logits[..., : tiny.V]


@BOTH
@pytest.mark.parametrize("family", FAMILIES)
def test_peft_computes_what_we_do(family: str, dora: bool, tmp_path: Path) -> None:
    base, model = saved(family, dora, tmp_path)
    plain = theirs(base)
    found = peft.PeftModel.from_pretrained(base, tmp_path / "adapter").eval()
    wanted = logits(model)
    assert apart(theirs(found), wanted) <= BAR
    assert apart(plain, wanted) > 0.02  # the control: without the adapter
    assert apart(theirs(found.merge_and_unload()), wanted) <= BAR


@BOTH
def test_we_read_what_peft_writes(dora: bool, tmp_path: Path) -> None:
    base, _ = saved("plamo2", dora, tmp_path)
    targets = ["in_proj", "qkv_proj", "down_proj"]
    found = peft.get_peft_model(base, peft.LoraConfig(r=3, lora_alpha=7, use_dora=dora, target_modules=targets))
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, weight in found.named_parameters():
            if "lora_B" in name or "magnitude" in name:
                weight += 0.02 * torch.randn(weight.shape, generator=generator)
    found.eval().save_pretrained(tmp_path / "made")
    model = tiny.model_of(FAMILIES["plamo2"]()).requires_grad_(False)
    load_adapter(model, tmp_path / "made")
    assert apart(logits(model), theirs(found)) <= BAR
