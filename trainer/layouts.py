"""A recipe's [model] table to a ModelConfig: named layouts, and sizes that follow from one dial, d_model.

    [model]
    layout = "plamo2"        # samba is the same; plamo3, attention, llama, qwen3
    layers = 16              # how many, by the layout's pattern; or a list: ["mamba", "window", {mixer = "full"}]
    d_model = 2048           # heads, kv_heads, head_dim, d_ff, mamba_heads, ... follow unless written
    window = 2048

Patterns: plamo2 (arXiv 2406.07522 with Mamba 2's recurrence) has attention in the second of every two layers, in the
last alone where there are no more than ``step // 2``; plamo3 has full attention in every eighth, windows elsewhere;
attention, llama and qwen3 have full attention throughout.
"""

import math
from dataclasses import fields
from typing import Any

from jacorpus.errors import RecipeError, nearest
from trainer.config import MIXERS, LayerConfig, ModelConfig, RopeScaling

LAYOUTS = ("plamo2", "samba", "plamo3", "attention", "llama", "qwen3")
_LAYER_KEYS = tuple(field.name for field in fields(LayerConfig))
_SIZES = (
    *("d_model", "vocab_size", "heads", "kv_heads", "head_dim", "d_ff", "mamba_heads", "mamba_head_dim"),
    *("d_state", "d_conv", "dt_rank", "window", "repeat", "pattern"),
)
_REST = ("layout", "layers", "rope_base", "full_rope_base", "qk_norm", "post_norm", "tied", "mlp", "norm_eps")
KEYS = (*_SIZES, *_REST, "rope_scaling", "init", "seed")


def model_from_table(table: dict[str, Any], vocab_size: int) -> ModelConfig:
    """The model a [model] table asks for. vocab_size: of the tokenizer, taken where the table names none.

    Raises RecipeError for unknown keys and sizes that don't fit.
    """
    for key in table:
        if key not in KEYS:
            raise RecipeError(f"[model] has no key `{key}`{nearest(key, KEYS)}")
    layout = table.get("layout", "plamo2")
    if layout not in LAYOUTS:
        raise RecipeError(f'[model] layout = "{layout}" is unknown{nearest(str(layout), LAYOUTS)}')
    for key in _SIZES:
        if key in table:
            _whole(key, table[key])
    sizes = _sizes(table, layout)
    layers = tuple(_layer(entry, table, layout, sizes) for entry in _entries(table, layout))
    shared = layout in ("plamo3", "qwen3")
    normed = {"llama": "none"}.get(layout, "shared" if shared else "per_head")
    plain = layout in ("llama", "qwen3")
    config = ModelConfig(
        vocab_size=table.get("vocab_size", vocab_size),
        d_model=sizes["d_model"],
        layers=layers,
        head_dim=sizes["head_dim"],
        mamba_heads=sizes["mamba_heads"],
        mamba_head_dim=sizes["mamba_head_dim"],
        d_state=table.get("d_state", 64),
        d_conv=table.get("d_conv", 4),
        dt_rank=table.get("dt_rank", max(64, sizes["d_model"] // 16)),
        qk_norm=_choice(table, "qk_norm", normed, ("per_head", "shared", "none")),
        post_norm=_flag(table, "post_norm", not plain),
        tied=_flag(table, "tied", True),
        mlp=_choice(table, "mlp", "swiglu", ("swiglu", "gelu")),
        norm_eps=_number(table, "norm_eps", 1e-6),
        rope_scaling=_scaling(table.get("rope_scaling")),
    )
    if config.vocab_size < vocab_size:
        raise RecipeError(
            f"[model] vocab_size {config.vocab_size:,} is below the tokenizer's {vocab_size:,} ids; leave it out"
        )
    return config


def _sizes(table: dict[str, Any], layout: str) -> dict[str, int]:
    """Sizes that follow from d_model where they are not written."""
    d_model = table.get("d_model", 2048)
    head_dim = table.get("head_dim", 128 if d_model >= 1024 else 64 if d_model >= 256 else 32)
    if "heads" not in table and d_model % head_dim:
        raise RecipeError(f"[model] d_model {d_model} is no multiple of head_dim {head_dim}; write `heads` or another")
    heads = table.get("heads", d_model // head_dim)
    few = 1 if heads <= 16 else max(n for n in (4, 2, 1) if heads % n == 0)
    kv_heads = table.get("kv_heads", heads if layout == "llama" else few)
    mamba_head_dim = table.get("mamba_head_dim", head_dim)
    return {
        "d_model": d_model,
        "head_dim": head_dim,
        "heads": heads,
        "kv_heads": kv_heads,
        "d_ff": table.get("d_ff", 4 * d_model),
        "mamba_head_dim": mamba_head_dim,
        "mamba_heads": table.get("mamba_heads", max(1, 2 * d_model // mamba_head_dim)),
    }


def _entries(table: dict[str, Any], layout: str) -> list[Any]:
    """One entry a layer: a mixer's name, or a table."""
    layers = table.get("layers", 16)
    if isinstance(layers, list):
        if not layers:
            raise RecipeError("[model] layers is an empty list")
        return layers * table.get("repeat", 1)
    if not isinstance(layers, int) or isinstance(layers, bool) or layers < 1:
        raise RecipeError(f"[model] layers must be a number over 0 or a list of mixers, got {layers!r}")
    if "repeat" in table:
        raise RecipeError("[model] repeat goes with a list of layers")
    step = table.get("pattern", 8 if layout == "plamo3" else 2)
    if layout in ("plamo2", "samba"):
        if layers <= step // 2:
            return ["mamba"] * (layers - 1) + ["window"]
        return ["window" if i % step == step // 2 else "mamba" for i in range(layers)]
    if layout == "plamo3":
        return ["full" if (i + 1) % step == 0 else "window" for i in range(layers)]
    return ["full"] * layers


def _layer(entry: Any, table: dict[str, Any], layout: str, sizes: dict[str, int]) -> LayerConfig:
    own = {"mixer": entry} if isinstance(entry, str) else entry
    if not isinstance(own, dict) or own.get("mixer") not in MIXERS:
        raise RecipeError(f"[model] layers: {entry!r} is no layer; write {', '.join(MIXERS)} or {{mixer = ...}}")
    for key in own:
        if key not in _LAYER_KEYS:
            raise RecipeError(f"[model] layers: unknown key `{key}`{nearest(key, _LAYER_KEYS)}")
    for key, value in own.items():
        if key in ("d_ff", "heads", "kv_heads", "window"):
            _whole(f"layers: {key}", value)
    d_ff = own.get("d_ff", sizes["d_ff"])
    if own["mixer"] == "mamba":
        return LayerConfig("mamba", d_ff)
    base = _number(table, "rope_base", 10_000.0)
    if own["mixer"] == "full":
        base = _number(table, "full_rope_base", 150_000.0 if layout == "plamo3" and "rope_base" not in table else base)
    window = own.get("window", table.get("window", 128 if layout == "plamo3" else 2048))
    return LayerConfig(
        own["mixer"],
        d_ff,
        own.get("heads", sizes["heads"]),
        own.get("kv_heads", sizes["kv_heads"]),
        window if own["mixer"] == "window" else None,
        _number(own, "rope_base", base),
    )


def _choice(table: dict[str, Any], key: str, default: str, known: tuple[str, ...]) -> Any:
    value = table.get(key, default)
    if value not in known:
        raise RecipeError(f"[model] {key} must be one of {', '.join(known)}, got {value!r}")
    return value


def _flag(table: dict[str, Any], key: str, default: bool) -> bool:
    value = table.get(key, default)
    if not isinstance(value, bool):
        raise RecipeError(f"[model] {key} must be true or false, got {value!r}")
    return value


def _number(table: dict[str, Any], key: str, default: float) -> float:
    value = table.get(key, default)
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < math.inf:
        raise RecipeError(f"[model] {key} must be a number, 0 or more, got {value!r}")
    return float(value)


def _whole(key: str, value: Any) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise RecipeError(f"[model] {key} must be a whole number over 0, got {value!r}")


def _scaling(table: Any) -> RopeScaling | None:
    if table is None:
        return None
    keys = {field.name for field in fields(RopeScaling)}
    given = {key: _number(table, key, 0.0) for key in table if key in keys} if isinstance(table, dict) else {}
    if set(given) != keys or table.get("rope_type", "llama3") != "llama3" or not all(given.values()):
        raise RecipeError(f"[model] rope_scaling: only rope_type llama3 with {', '.join(sorted(keys))} is known")
    original = int(given.pop("original_max_position_embeddings"))
    return RopeScaling(**given, original_max_position_embeddings=original)
