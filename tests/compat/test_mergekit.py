"""mergekit beside our merges, on exports of Llama's kind, which it knows."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests.trainer.export import tiny
from trainer.export import export
from trainer.merge import merge

pytest.importorskip("mergekit", reason="needs the package mergekit")

CASES: dict[str, tuple[dict[str, Any], dict[str, Any], tuple[float, ...]]] = {
    "linear": ({"merge_method": "linear"}, {}, (0.7, 0.3)),
    "task": ({"merge_method": "task_arithmetic", "parameters": {"lambda": 0.8}}, {"scale": 0.8}, (0.7, 0.3)),
    "ties": (
        {"merge_method": "ties", "parameters": {"lambda": 0.8, "density": 0.25}},
        {"density": 0.25, "scale": 0.8},
        (),
    ),
    "stock": ({"merge_method": "model_stock"}, {}, ()),
}


@pytest.mark.parametrize("method", CASES)
def test_the_same_weights(method: str, tmp_path: Path) -> None:
    from mergekit.config import MergeConfiguration
    from mergekit.merge import run_merge
    from mergekit.options import MergeOptions

    table, options, weights = CASES[method]
    start = tiny.model_of(tiny.llama(tied=False))
    names = ["base", "one", "two"]
    for number, name in enumerate(names):
        model = tiny.model_of(tiny.llama(tied=False))
        generator = torch.Generator().manual_seed(number)
        with torch.no_grad():
            for mine, p in model.named_parameters():
                noise = 0.02 * torch.randn(p.shape, generator=generator)
                p.copy_(start.state_dict()[mine] + (noise if number else 0))
        export(model, tmp_path / name, "hf", dtype="fp32", context_length=512)
    models = [tmp_path / name for name in names[1:]]
    listed = [
        {"model": str(path), "parameters": {"weight": weights[i] if weights else 0.5}} for i, path in enumerate(models)
    ]
    based = {} if method == "linear" else {"base_model": str(tmp_path / "base")}
    config = MergeConfiguration.model_validate({**table, **based, "models": listed, "dtype": "float32"})
    run_merge(config, str(tmp_path / "theirs"), MergeOptions(copy_tokenizer=False, quiet=True))
    merge(method, models, weights, tmp_path / "base" if based else None, options, 0, tmp_path / "ours")
    wanted: dict[str, torch.Tensor] = {}
    for path in (tmp_path / "theirs").glob("*.safetensors"):
        wanted |= load_file(path)
    found = load_file(tmp_path / "ours/model.safetensors")
    assert found.keys() == wanted.keys()
    fused = ("q_proj", "k_proj", "v_proj", "gate_proj", "up_proj")  # one matrix of ours: shares and angles are its own
    for name, tensor in wanted.items():
        if method in ("linear", "task") or not any(part in name for part in fused):
            last_bit = tensor.abs() * torch.finfo(torch.float32).eps  # norms are near 1, where 3e-8 is no float32
            bar = (3e-8 + last_bit) if method == "linear" else 3e-7 + last_bit
            assert bool(((found[name] - tensor).abs() <= bar).all()), name
    assert json.loads((tmp_path / "ours/merge.json").read_bytes())["method"] == method
