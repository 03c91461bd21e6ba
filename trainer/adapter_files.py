"""Adapters on disk, as PEFT reads and writes them: for the export of the model (trainer.export) that they adapt.

    FOLDER/adapter_config.json         rank, alpha, targets
    FOLDER/adapter_model.safetensors   base_model.model.NAME.lora_A.weight, .lora_B.weight, .lora_magnitude_vector

NAME is a projection's in the export. Where an export cuts one of ours in parts (Llama's q, k, v), each part gets the
whole A and its rows of B and of the magnitude. On the way back, parts of one A share it; those with an A of their own,
as PEFT trains them, stand one below the other in A and side by side in B: a larger rank, the same product.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
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
}
"""What we can't hold any other way."""
OFF = (
    *("alora_invocation_tokens", "layer_replication", "target_parameters", "trainable_token_indices", "lora_bias"),
    *("use_qalora", "use_bdlora", "kasa_config", "velora_config", "arrow_config", "megatron_config"),
)
"""Other ways to compute, of PEFT: they are no plain product, or belong to other weights than the model's own."""
STARTS = (None, True, False, "gaussian", "orthogonal", "eva")
"""Values of init_lora_weights that leave the model's weights as they are; PiSSA, OLoRA, CorDA, LoftQ change them."""


def save_adapter(model: Model, folder: Path) -> None:
    """Write a model's adapters. Raises RecipeError where it has none, StorageError."""
    tensors: dict[str, torch.Tensor] = {}
    targets, ranks, alphas, dora = set(), dict[str, int](), dict[str, float](), False
    for name, module in adapters(model):
        for part, rows in _parts(model, name):
            start = PREFIX + part
            tensors[start + A] = module.lora_A
            tensors[start + B] = module.lora_B[rows]
            if hasattr(module, "magnitude"):
                tensors[start + MAGNITUDE] = module.magnitude[rows]
            targets.add(part.rpartition(".")[2])
            ranks[re.escape(part)] = rank = len(module.lora_A)
            alphas[re.escape(part)] = module.scale * rank
        dora = hasattr(module, "magnitude")
    if not ranks:
        raise RecipeError("the model has no adapter to save; add one first")
    rank, alpha = min(ranks.values()), min(alphas.values())
    config = {
        **{"r": rank, "lora_alpha": alpha, "use_dora": dora},
        "rank_pattern": {part: value for part, value in ranks.items() if value != rank},
        "alpha_pattern": {part: value for part, value in alphas.items() if value != alpha},
    }
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
                found[name] = _joined(folder, about, module, there, tensors)
    if tensors or not found:
        what = f"{min(tensors)} has no place in this model" if tensors else "it adapts nothing"
        raise InputError(f"{folder / WEIGHTS}: {what}; load it on the model it was trained for")
    model.requires_grad_(False)
    for name, (rank, scale, values) in found.items():
        module = model.get_submodule(name)
        assert isinstance(module, Linear)
        adapt(module, name, replace(config, rank=rank, alpha=scale * rank))
        for each, place, value in values:
            getattr(module, each).data[place] = value.to(module.weight)
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
    for key in OFF:
        if about.get(key):
            raise InputError(f"{folder / CONFIG}: {key} {about[key]!r} is not supported; leave it out")
    if (start := about.get("init_lora_weights")) not in STARTS:
        raise InputError(
            f"{folder / CONFIG}: init_lora_weights {start!r} changes the model's own weights, which the adapter goes "
            f"with; save it as a plain one (save_pretrained's path_initial_model_for_weight_conversion)"
        )
    return about, tensors


def _by_name(about: dict[str, Any], key: str, pattern: str, part: str) -> Any:
    """A number of one part: PEFT's patterns are regular expressions of how names end."""
    given = (about.get(pattern) or {}).items()
    return next((value for end, value in given if re.fullmatch(rf"(.*\.)?({end})", part)), about[key])


def _joined(
    folder: Path,
    about: dict[str, Any],
    module: Linear,
    there: list[tuple[str, slice]],
    tensors: dict[str, torch.Tensor],
) -> tuple[int, float, list[tuple[str, Any, torch.Tensor]]]:
    """(rank, scale, [(lora_A, lora_B or magnitude, where in it, values)]) of a projection, taken out of ``tensors``;
    parts that the file leaves out stay as an adapter starts, without effect."""
    (outputs, inputs), whole = module.weight.shape, 0.0
    found: list[tuple[str, Any, torch.Tensor]] = []
    blocks: list[tuple[slice, torch.Tensor]] = []
    for part, rows in there:
        size, inner = len(range(outputs)[rows]), part.removeprefix(PREFIX)
        rank = _by_name(about, "r", "rank_pattern", inner)
        scale = _by_name(about, "lora_alpha", "alpha_pattern", inner) / rank
        shapes = {A: (rank, inputs), B: (size, rank)} | ({MAGNITUDE: (size,)} if about.get("use_dora") else {})
        values: dict[str, torch.Tensor] = {}
        for ending, shape in shapes.items():
            value = tensors.pop(part + ending, None)
            if value is None or value.shape != shape:
                what = "is missing" if value is None else f"has shape {list(value.shape)}"
                raise InputError(f"{folder / WEIGHTS}: {part}{ending} {what}, {list(shape)} is needed for this model")
            values[ending] = value
        own = next((place for place, a in blocks if torch.equal(a, values[A])), None)
        if own is None:
            end = blocks[-1][0].stop if blocks else 0
            own = slice(end, end + rank)
            blocks.append((own, values[A]))
            found.append(("lora_A", own, values[A]))
        whole = whole or scale
        found.append(("lora_B", (rows, own), values[B] if scale == whole else values[B] * (scale / whole)))
        found += [("magnitude", rows, values[MAGNITUDE])] if MAGNITUDE in values else []
    return blocks[-1][0].stop, whole, found
