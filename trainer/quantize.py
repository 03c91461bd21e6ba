"""Weights in 8 or 4 bits: the integers by torchao, the file ours, so that a smaller folder opens everywhere.

    int8   one scale a row of a matrix
    int4   one scale a group of GROUP weights of a row, two integers a byte

``w = q * scale``, symmetric, no weight off by more than half a step. Quantized are the feed-forward and attention
matrices, embedding and head if asked for. Mamba's mixer (what enters, drives and leaves the state) stays in 16 bits,
for its errors add up over a text; vectors stay as they are. What is computed with are the restored weights: the file
is smaller, memory and speed are those of the type that a model is opened in.

    FOLDER/config.json         "quantization": {"bits", "group", "embeddings"}
    FOLDER/model.safetensors   NAME.int8 or NAME.int4 beside NAME.scale in place of NAME; the others bfloat16, float32

torchao is needed to quantize, not to open. Letters: N rows, K columns, G groups of a row.
"""

import math
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from jacorpus.errors import JacorpusError, RecipeError
from jacorpus.shards import storage_errors
from jacorpus.store import write_json
from tokenizer_lab.tokens import Tokens
from trainer.model import Model
from trainer.opened import CONFIG, WEIGHTS, Opened, save_tensors

GROUP = 64
"""Weights of a row that share a scale in 4 bits, at most: 4.5 bits a weight."""

FEWEST = 8
"""A matrix whose columns only smaller groups divide stays in 16 bits."""

MATRICES = ("gate_up_proj.weight", "down_proj.weight", "qkv_proj.weight", "o_proj.weight")
EMBEDDINGS = ("embed.weight", "head.weight")


def quantized(model: Model, bits: int, embeddings: bool = False) -> dict[str, torch.Tensor]:
    """The tensors of a quantized file, by name.

    Raises RecipeError for other bits than 8 and 4, JacorpusError where torchao is not installed.
    """
    if bits not in (8, 4):
        raise RecipeError(f"weights are quantized to 8 or 4 bits, not to {bits}")
    chosen = MATRICES + (EMBEDDINGS if embeddings else ())
    found: dict[str, torch.Tensor] = {}
    for name, parameter in model.named_parameters():
        weight = parameter.detach().cpu().float()
        group = weight.shape[-1] if bits == 8 else math.gcd(GROUP, weight.shape[-1])
        if not name.endswith(chosen) or group < FEWEST:
            wide = weight.ndim != 2 or name.endswith(("q_weight", "k_weight"))  # small, and read in 32 bits
            found[name] = weight.clone() if wide else weight.bfloat16()
            continue
        q, scale = integers(weight, bits, group)
        found[f"{name}.int{bits}"] = q if bits == 8 else packed(q)
        found[f"{name}.scale"] = scale
    return found


def integers(weight_NK: torch.Tensor, bits: int, group: int) -> tuple[torch.Tensor, torch.Tensor]:
    """(int8 [N, K] within the range of ``bits``, float32 scales [N, G]) by torchao's symmetric grid."""
    try:
        from torchao.quantization import MappingType
        from torchao.quantization.quant_primitives import choose_qparams_affine, quantize_affine
    except ImportError as error:
        raise JacorpusError(
            f"quantization needs torchao ({error}); install it with pip install 'jacorpus[quantize]'"
        ) from error
    low, high = -(1 << bits - 1), (1 << bits - 1) - 1
    shape, eps = (1, group), torch.finfo(torch.float32).tiny
    scale, zero = choose_qparams_affine(weight_NK, MappingType.SYMMETRIC, shape, torch.int8, low, high, eps=eps)
    q = quantize_affine(weight_NK, shape, scale, zero, torch.int8, low, high)
    return q, scale.view(len(weight_NK), -1)


def packed(q_NK: torch.Tensor) -> torch.Tensor:
    """int8 in [-8, 7] as uint8 [N, K / 2]: the even column in the low four bits."""
    low_high = (q_NK.to(torch.int16) & 15).to(torch.uint8)
    return low_high[:, ::2] | low_high[:, 1::2] << 4


def unpacked(packed_NK: torch.Tensor) -> torch.Tensor:
    """The inverse of ``packed``, int8."""
    both = torch.stack((packed_NK & 15, packed_NK >> 4), -1).flatten(1).to(torch.int8)
    return torch.where(both > 7, both - 16, both)


def restored(weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The weights of a model's file as float32 where it holds quantized ones; another file's as they are."""
    if not any(name.endswith(".scale") for name in weights):
        return dict(weights)
    found = {}
    for name, tensor in weights.items():
        whole, _, kind = name.rpartition(".")
        if kind in ("int8", "int4"):
            q, scale = tensor if kind == "int8" else unpacked(tensor), weights[f"{whole}.scale"]
            found[whole] = (q.float().unflatten(1, (scale.shape[1], -1)) * scale[..., None]).flatten(1)
        elif kind != "scale":
            found[name] = tensor.float()
    return found


def save_quantized(folder: Path, opened: Opened, bits: int, embeddings: bool, tokens: Tokens) -> dict[str, Any]:
    """Write a folder that ``open_model`` opens. tokens: shards of the model's tokenizer, which is copied from there.

    Returns bytes of the file and of the same weights in 16 bits, and how many are quantized. Raises what ``quantized``
    raises.
    """
    tensors, entry = quantized(opened.model, bits, embeddings), tokens.manifest["tokenizer"]
    facts = {"bits": bits, "group": GROUP if bits == 4 else None, "embeddings": embeddings}
    about = {"kind": "model", "model": opened.config.to_dict(), "quantization": facts, "tokenizer": entry}
    about |= {"eos_id": tokens.eos_id if opened.eos_id is None else opened.eos_id}
    about |= {"max_position_embeddings": opened.seq_len} if opened.seq_len else {}
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        if entry["path"]:
            inside = Path(entry["path"]).parent
            shutil.copytree(tokens.folder / inside, folder / inside, dirs_exist_ok=True)
        write_json(folder / CONFIG, about)
        scratch = folder / f".{WEIGHTS}.{os.getpid()}"
        save_tensors(tensors, scratch, None if opened.step is None else {"step": str(opened.step)})
        scratch.replace(folder / WEIGHTS)
        size = (folder / WEIGHTS).stat().st_size
    sizes = {name: parameter.numel() for name, parameter in opened.model.named_parameters()}
    count = sum(number for name, number in sizes.items() if f"{name}.scale" in tensors)
    return {**facts, "bytes": size, "bytes_16_bit": 2 * sum(sizes.values()), "quantized": count}
