"""Training on from a trained model: [model] with ``init``, and what may change on the way.

    [model]
    init = "out/base/model"     # a run's folder, or a Hugging Face folder: PLaMo 2 and 3, Llama, Qwen 3
    full_attention = true       # window layers see the whole document from now on; the same tensors
    rope_base = 1_000_000.0     # of all attention layers
    window = 4096               # of window layers
    widen = 2                   # each width times 2, the same function (trainer.reuse)
    deepen = 32                 # so many layers, the same function

So is long context trained: full attention, a larger RoPE base, a longer seq_len in [train], from a checkpoint.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from jacorpus.errors import InputError, RecipeError, nearest
from tokenizer_lab.tokens import Tokens
from trainer.config import LayerConfig, ModelConfig

KEYS = ("init", "full_attention", "rope_base", "window", "widen", "deepen")


def continued(table: dict[str, Any], tokens: Tokens) -> tuple[ModelConfig, Callable[[], dict[str, torch.Tensor]]]:
    """(configuration, how to get the weights) of training on from ``init``.

    Raises RecipeError for a key that a trained model fixes, InputError where there is no model or it was trained with
    another tokenizer than the shards.
    """
    for key in table:
        if key not in KEYS:
            raise RecipeError(
                f"[model] with `init` takes its shape from there; `{key}` can't be set{nearest(key, KEYS)}"
            )
    from trainer.opened import open_model

    if not isinstance(table["init"], str):
        raise RecipeError(f"[model] init must be the folder of a trained model, got {table['init']!r}")
    path = Path(table["init"])
    opened = open_model(path)
    same_tokenizer(path, opened, tokens)
    model = opened.model
    if "widen" in table or "deepen" in table:
        from trainer.reuse import deepen, widen

        model = widen(model, _whole(table, "widen")) if "widen" in table else model
        model = deepen(model, _whole(table, "deepen")) if "deepen" in table else model
    config = replace(model.config, layers=tuple(changed(layer, table) for layer in model.config.layers))
    return config, model.state_dict


def changed(layer: LayerConfig, table: dict[str, Any]) -> LayerConfig:
    """A layer as the table wants it from now on; its tensors are the same."""
    if layer.mixer == "mamba":
        return layer
    if "rope_base" in table:
        base = table["rope_base"]
        if not isinstance(base, int | float) or isinstance(base, bool) or not 0 <= base < math.inf:
            raise RecipeError(f"[model] rope_base must be a number, 0 or more, got {base!r}")
        layer = replace(layer, rope_base=float(base))
    if not isinstance(full := table.get("full_attention", False), bool):
        raise RecipeError(f"[model] full_attention must be true or false, got {full!r}")
    if full:
        if "window" in table:
            raise RecipeError("[model] has both full_attention and window; leave one out")
        return replace(layer, mixer="full", window=None)
    if layer.mixer == "window" and "window" in table:
        return replace(layer, window=_whole(table, "window"))
    return layer


def _whole(table: dict[str, Any], key: str) -> int:
    value = table[key]
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise RecipeError(f"[model] {key} must be a whole number over 0, got {value!r}")
    return value


def same_tokenizer(path: Path, opened: Any, tokens: Tokens) -> None:
    """Ids mean the same to the model and the shards."""
    entry = tokens.manifest["tokenizer"]
    theirs = opened.tokenizer.fingerprint if opened.tokenizer is not None else None
    if theirs is not None and theirs != entry["fingerprint"]:
        raise InputError(
            f"{path} was trained with another tokenizer (fingerprint {theirs[:12]}) than made {tokens.folder} "
            f"({entry['name']}, {entry['fingerprint'][:12]}); encode the corpus with the model's tokenizer: "
            f"jacorpus tokenizer encode ... --tokenizer {path}"
        )
    if opened.config.vocab_size < tokens.vocab_size:
        raise InputError(
            f"{path} has {opened.config.vocab_size:,} ids and {tokens.folder} uses {tokens.vocab_size:,}; "
            f"encode the corpus with the model's tokenizer"
        )
