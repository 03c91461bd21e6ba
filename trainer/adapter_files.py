"""Adapters on disk, as PEFT reads and writes them: for the export of the model (trainer.export) that they adapt.

    FOLDER/adapter_config.json         rank, alpha, targets
    FOLDER/adapter_model.safetensors   base_model.model.NAME.lora_A.weight, .lora_B.weight, .lora_magnitude_vector

NAME is a projection's in the export. Where an export cuts one of ours in parts (Llama's q, k, v), each part gets the
whole A and its rows of B and of the magnitude; such parts are joined again where they have one A.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from jacorpus.errors import InputError, RecipeError
from jacorpus.shards import storage_errors
from jacorpus.store import write_json
from trainer.export.guard import family_of
from trainer.export.names import pieces
from trainer.lora import TARGETS, LoraConfig, adapt, adapters, has_adapter
from trainer.model import Linear, Model
from trainer.opened import save_tensors

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
PREFIX = "base_model.model."
A, B, MAGNITUDE = ".lora_A.weight", ".lora_B.weight", ".lora_magnitude_vector"
FIXED: dict[str, Any] = {
    "peft_type": "LORA",
    "bias": "none",
    "use_rslora": False,
    "fan_in_fan_out": False,
    "modules_to_save": None,
    "layers_to_transform": None,
    "rank_pattern": {},
    "alpha_pattern": {},
}
"""What we can't hold any other way."""


def save_adapter(model: Model, folder: Path) -> None:
    """Write a model's adapters. Raises RecipeError where it has none, StorageError."""
    tensors: dict[str, torch.Tensor] = {}
    targets, config = set(), None
    for name, module in adapters(model):
        for part, rows in _parts(model, name):
            start = PREFIX + part
            tensors[start + A] = module.lora_A
            tensors[start + B] = module.lora_B[rows]
            if hasattr(module, "magnitude"):
                tensors[start + MAGNITUDE] = module.magnitude[rows]
            targets.add(part.rpartition(".")[2])
        rank = len(module.lora_A)
        config = {"r": rank, "lora_alpha": module.scale * rank, "use_dora": hasattr(module, "magnitude")}
    if config is None:
        raise RecipeError("the model has no adapter to save; add one first")
    about = {"base_model_name_or_path": None, "task_type": "CAUSAL_LM", "inference_mode": True, "lora_dropout": 0.0}
    folder = Path(folder)
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / CONFIG, {**FIXED, **about, **config, "target_modules": sorted(targets)})
        scratch = folder / f".{WEIGHTS}"
        whole = {name: tensor.detach().to("cpu", torch.float32, copy=True) for name, tensor in tensors.items()}
        save_tensors({name: tensor.contiguous() for name, tensor in whole.items()}, scratch, {"format": "pt"})
        scratch.replace(folder / WEIGHTS)


def load_adapter(model: Model, folder: Path) -> list[str]:
    """Put the adapters of a folder on a plain model and freeze all else. Returns the projections' names.

    Raises InputError where the folder holds none, or one that this model can't have; the model is then as before.
    """
    folder = Path(folder)
    if has_adapter(model):
        raise RecipeError("the model has an adapter already; merge it first")
    about, tensors = _read(folder)
    config = LoraConfig(about["r"], about["lora_alpha"], bool(about.get("use_dora")))
    found = {}
    for name, module in model.named_modules():
        if isinstance(module, Linear) and name.rpartition(".")[2] in TARGETS:
            there = [(PREFIX + part, rows) for part, rows in _parts(model, name) if PREFIX + part + A in tensors]
            if there:
                found[name] = _joined(folder, name, module, config, there, tensors)
    if tensors or not found:
        what = f"{min(tensors)} has no place in this model" if tensors else "it adapts nothing"
        raise InputError(f"{folder / WEIGHTS}: {what}; load it on the model it was trained for")
    model.requires_grad_(False)
    for name, values in found.items():
        module = model.get_submodule(name)
        assert isinstance(module, Linear)
        adapt(module, name, config)
        for each, rows, value in values:
            getattr(module, each).data[rows] = value.to(module.weight)
    return list(found)


def _parts(model: Model, name: str) -> Iterator[tuple[str, slice]]:
    """(name in the export, rows of ours) of a projection."""
    for piece in pieces(model.config, family_of(model.config, "hf"), f"{name}.weight"):
        yield piece.name.removesuffix(".weight"), slice(*piece.rows) if piece.rows else slice(None)


def _read(folder: Path) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        about = json.loads((folder / CONFIG).read_bytes())
        tensors = load_file(folder / WEIGHTS)
        _ = about["r"], about["lora_alpha"]
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise InputError(f"{folder} holds no adapter in PEFT's format ({error}); name the folder of one") from error
    for key, value in FIXED.items():
        if about.get(key, value) != value and (about[key] or value):
            raise InputError(f"{folder / CONFIG}: {key} {about[key]!r} is not supported; {value!r} is")
    return about, tensors


def _joined(
    folder: Path,
    name: str,
    module: Linear,
    config: LoraConfig,
    there: list[tuple[str, slice]],
    tensors: dict[str, torch.Tensor],
) -> list[tuple[str, slice, torch.Tensor]]:
    """(lora_A, lora_B or magnitude, rows, values) of a projection, taken out of ``tensors``; parts that the file leaves
    out stay as an adapter starts, without effect."""
    outputs, inputs = module.weight.shape
    found: list[tuple[str, slice, torch.Tensor]] = []
    for part, rows in there:
        size = len(range(outputs)[rows])
        shapes = {A: (config.rank, inputs), B: (size, config.rank)} | ({MAGNITUDE: (size,)} if config.dora else {})
        for ending, shape in shapes.items():
            value = tensors.pop(part + ending, None)
            if value is None or value.shape != shape:
                what = "is missing" if value is None else f"has shape {list(value.shape)}"
                raise InputError(f"{folder / WEIGHTS}: {part}{ending} {what}, {list(shape)} is needed for this model")
            if ending != A:
                found.append(("lora_B" if ending == B else "magnitude", rows, value))
            elif not found:
                found.append(("lora_A", slice(None), value))
            elif not torch.equal(found[0][2], value):
                parts = ", ".join(each.rpartition(".")[2] for each, _ in there)
                raise InputError(
                    f"{folder / WEIGHTS}: {parts} have each an A of their own, and {name}, which is one projection "
                    f"here, has one; merge the adapter where it was trained"
                )
    return found
