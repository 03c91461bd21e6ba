"""Load a Hugging Face folder into our model: PLaMo 2 and 3, Llama, dense Qwen 3, and our own exports.

    model = load_model("plamo-2-1b", torch.float32)

config.json decides the layout; whatever it asks for that we don't compute is an error that names it, never ignored.
Every tensor of the model must be there in its shape, and every tensor of the files must have a place.

Letters: D d_model, F feed-forward, H query heads, K key/value heads, P head size, V vocabulary, W window.
"""

import json
from pathlib import Path
from typing import Any

import torch

from jacorpus.errors import InputError, RecipeError
from trainer.config import LayerConfig, ModelConfig, RopeScaling
from trainer.export.names import ARCHITECTURES, incoming
from trainer.model import Model

SUPPORTED = "supported are PLaMo 2, PLaMo 3, Llama and dense Qwen 3 (" + ", ".join(ARCHITECTURES.values()) + ")"
IGNORED = ("rotary_emb.inv_freq",)


def load_pretrained(folder: str | Path) -> tuple[ModelConfig, dict[str, torch.Tensor]]:
    """(configuration, weights by our names, in the types of the files). Raises InputError where the folder is no
    checkpoint, asks for something we don't compute, or lacks a tensor."""
    folder = Path(folder)
    family, config = _configuration(folder)
    files = _Tensors(folder)
    if config.tied is False and "lm_head.weight" not in files.places:
        raise InputError(f"{folder}: config.json says the head is not tied, and no file holds lm_head.weight")
    with torch.device("meta"):
        shapes = {name: parameter.shape for name, parameter in Model(config).named_parameters()}
    state, used = {}, {"lm_head.weight"}
    for name, shape in shapes.items():
        tensor, names = incoming(config, family, name, files.read)
        used.update(names)
        if tensor.shape != shape:
            raise InputError(
                f"{folder}: {', '.join(names)} has shape {tuple(tensor.shape)}, and config.json asks for {tuple(shape)}"
            )
        state[name] = tensor
    left = sorted(name for name in files.places if name not in used and not name.endswith(IGNORED))
    if left:
        raise InputError(
            f"{folder}: {len(left)} tensors have no place in a {family} model, the first is {left[0]}; {SUPPORTED}, "
            "without biases, adapters or experts"
        )
    return config, state


def load_model(folder: str | Path, dtype: torch.dtype = torch.float32) -> Model:
    """The model of a folder, its weights in one type."""
    config, state = load_pretrained(folder)
    with torch.device("meta"):
        model = Model(config)
    model.load_state_dict({name: tensor.to(dtype) for name, tensor in state.items()}, assign=True)
    return model


class _Tensors:
    """The tensors of a folder, read one at a time. places: name -> file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        index, single = folder / "model.safetensors.index.json", folder / "model.safetensors"
        if index.is_file():
            self.places = {name: folder / file for name, file in _json(index)["weight_map"].items()}
        elif single.is_file():
            self.places = dict.fromkeys(self._open(single).keys(), single)
        else:
            hint = (
                "; pytorch_model.bin is not read, convert it to safetensors first" if list(folder.glob("*.bin")) else ""
            )
            raise InputError(f"{folder} holds no model.safetensors and no model.safetensors.index.json{hint}")
        self._opened: dict[Path, Any] = {}

    def _open(self, path: Path) -> Any:
        from safetensors import SafetensorError, safe_open

        try:
            return safe_open(path, framework="pt")
        except (OSError, SafetensorError) as error:
            raise InputError(f"{path} is missing or damaged ({error}); fetch it again") from error

    def read(self, name: str) -> torch.Tensor:
        return self._file(name).get_tensor(name)

    def header(self, name: str) -> tuple[str, list[int]]:
        """(type in safetensors' word, shape), without the numbers."""
        about = self._file(name).get_slice(name)
        return about.get_dtype(), about.get_shape()

    def _file(self, name: str) -> Any:
        path = self.places.get(name)
        if path is None:
            raise InputError(f"{self.folder}: no file holds the tensor {name}, which its config.json calls for")
        if path not in self._opened:
            self._opened[path] = self._open(path)
        if name not in self._opened[path].keys():  # noqa: SIM118
            raise InputError(f"{path} does not hold {name}, though the index says so; fetch it again")
        return self._opened[path]


def _json(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} can't be read ({error}); a Hugging Face folder of a model was expected") from error


def _configuration(folder: Path) -> tuple[str, ModelConfig]:
    table = _json(folder / "config.json")
    kind, names = table.get("model_type"), table.get("architectures") or ["none"]
    readers = {"plamo2": _plamo2, "plamo3": _plamo3, "llama": _llama, "qwen3": _qwen3, "jacorpus": _own}
    if kind == "plamo" and "mamba_step" in table:  # as the first files of PLaMo 2 had it
        kind = "plamo2"
    if kind not in readers:
        raise InputError(f"{folder}: model_type `{kind}`, architectures {', '.join(names)}: {SUPPORTED}")
    for key in ("attention_bias", "mlp_bias"):
        if table.get(key):
            raise InputError(f"{folder}: config.json sets {key}, and our projections have no biases; {SUPPORTED}")
    try:
        return kind, readers[kind](folder, table)
    except KeyError as error:
        raise InputError(f"{folder}: config.json lacks the field {error}") from error
    except (RecipeError, TypeError, ValueError) as error:
        raise InputError(f"{folder}: config.json describes no model of ours: {error}") from error


def _shared(table: dict[str, Any], tied: bool) -> dict[str, Any]:
    names = {"vocab_size": "vocab_size", "d_model": "hidden_size"}
    found = {ours: table[theirs] for ours, theirs in names.items()}
    return {**found, "norm_eps": table.get("rms_norm_eps", 1e-6), "tied": table.get("tie_word_embeddings", tied)}


def _attention(table: dict[str, Any], mixer: Any, window: int | None, base: float) -> LayerConfig:
    heads = table["num_attention_heads"]
    kv_heads = table.get("num_key_value_heads") or heads
    return LayerConfig(mixer, table["intermediate_size"], heads, kv_heads, window, float(base))


def _rope(folder: Path, table: dict[str, Any]) -> tuple[float, RopeScaling | None]:
    """(base, llama3's scaling or None), from the fields of transformers 4 or 5."""
    rope = {**(table.get("rope_scaling") or {}), **(table.get("rope_parameters") or {})}
    kind = rope.get("rope_type", rope.get("type", "default"))
    base = rope.get("rope_theta", table.get("rope_theta", 10_000.0))
    if kind == "default":
        return float(base), None
    if kind != "llama3":
        raise InputError(f"{folder}: RoPE scaling `{kind}` is not supported; default and llama3 are")
    keys = ("factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings")
    return float(base), RopeScaling(*(rope[key] for key in keys))


def _plamo2(folder: Path, table: dict[str, Any]) -> ModelConfig:
    count, step = table["num_hidden_layers"], table.get("mamba_step", 2)
    base, scaling = _rope(folder, table)
    enabled, full = table.get("mamba_enabled", True), set(table.get("full_attention_idx") or ())
    window = table.get("attention_window_size", table.get("sliding_window")) or 2048
    layers = []
    for i in range(count):
        mamba = i != count - 1 if count <= step // 2 else i % step != step // 2
        if enabled and mamba:
            layers.append(LayerConfig("mamba", table["intermediate_size"]))
        else:
            layers.append(_attention(table, "full" if i in full else "window", None if i in full else window, base))
    return ModelConfig(
        layers=tuple(layers),
        head_dim=table["hidden_size_per_head"],
        mamba_heads=table["mamba_num_heads"] if enabled else 0,
        mamba_head_dim=table["hidden_size_per_head"] if enabled else 0,
        d_state=table.get("mamba_d_state", 64),
        d_conv=table.get("mamba_d_conv", 4),
        dt_rank=max(64, table["hidden_size"] // 16),
        rope_scaling=scaling,
        **_shared(table, True),
    )


def _plamo3(folder: Path, table: dict[str, Any]) -> ModelConfig:
    if table.get("rope_scaling_factor", 1) != 1:
        raise InputError(f"{folder}: rope_scaling_factor {table['rope_scaling_factor']} (YaRN) is not supported")
    base, scaling = _rope(folder, table)
    window, pattern = table.get("sliding_window") or table["window_size"], table.get("sliding_window_pattern", 8)
    local = table.get("rope_local_theta", 10_000.0)
    layers = [
        _attention(table, "full", None, base) if (i + 1) % pattern == 0 else _attention(table, "window", window, local)
        for i in range(table["num_hidden_layers"])
    ]
    shared = _shared(table, True)
    return ModelConfig(
        layers=tuple(layers), head_dim=table["head_dim"], qk_norm="shared", rope_scaling=scaling, **shared
    )


def _plain(folder: Path, table: dict[str, Any], qk_norm: Any, head_dim: int) -> ModelConfig:
    if table.get("hidden_act", "silu") != "silu":
        raise InputError(f"{folder}: hidden_act `{table['hidden_act']}` is not supported; silu is")
    sliding = table.get("use_sliding_window") or "sliding_attention" in (table.get("layer_types") or ())
    if sliding:
        raise InputError(f"{folder}: sliding windows are not supported in {table['model_type']} folders")
    base, scaling = _rope(folder, table)
    layers = (_attention(table, "full", None, base),) * table["num_hidden_layers"]
    shared = _shared(table, False)
    return ModelConfig(
        layers=layers, head_dim=head_dim, qk_norm=qk_norm, post_norm=False, rope_scaling=scaling, **shared
    )


def _llama(folder: Path, table: dict[str, Any]) -> ModelConfig:
    if table.get("pretraining_tp", 1) != 1:
        raise InputError(f"{folder}: pretraining_tp {table['pretraining_tp']} is not supported; 1 is")
    size = table.get("head_dim") or table["hidden_size"] // table["num_attention_heads"]
    return _plain(folder, table, "none", size)


def _qwen3(folder: Path, table: dict[str, Any]) -> ModelConfig:
    return _plain(folder, table, "shared", table.get("head_dim", 128))


def _own(folder: Path, table: dict[str, Any]) -> ModelConfig:
    return ModelConfig.from_dict(table["jacorpus"])
