"""Folders in the form of Hugging Face: config.json, safetensors, generation_config.json, our modeling file.

PLaMo's families load in transformers with ``trust_remote_code=True`` (the modeling file needs torch alone), in mlx-lm
and in vLLM by their own code; Llama's and Qwen3's load everywhere without.
"""

import json
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from jacorpus.errors import InputError
from trainer.config import ModelConfig
from trainer.export.guard import full_pattern, mamba_step
from trainer.export.names import ARCHITECTURES, outgoing
from trainer.model import Model
from trainer.opened import save_tensors

SHARD_BYTES = 5_000_000_000
CODE = ("configuration_jacorpus.py", "modeling_jacorpus.py", "places_jacorpus.py")
DEFAULT_WINDOW = 2048
"""What the window's field says where no layer has one."""


def config_json(
    config: ModelConfig, family: str, target: str, context_length: int, dtype: torch.dtype, ids: dict[str, int | None]
) -> dict[str, Any]:
    """The fields of config.json. ids: bos, eos and pad token ids, by role."""
    attention = [layer for layer in config.layers if layer.mixer != "mamba"]
    table: dict[str, Any] = {
        "architectures": [ARCHITECTURES[family]],
        "model_type": family,
        **{f"{role}_token_id": id for role, id in ids.items()},
        "hidden_size": config.d_model,
        "max_position_embeddings": context_length,
        "num_hidden_layers": len(config.layers),
        "rms_norm_eps": config.norm_eps,
        "tie_word_embeddings": config.tied,
        "torch_dtype": str(dtype).removeprefix("torch."),
        "use_cache": True,
        "vocab_size": config.vocab_size,
    }
    if family in ("plamo2", "plamo3", "jacorpus"):
        name = ARCHITECTURES[family].removesuffix("ForCausalLM")
        code = {
            "AutoConfig": f"{CODE[0][:-3]}.{name}Config",
            "AutoModelForCausalLM": f"{CODE[1][:-3]}.{name}ForCausalLM",
        }
        table["auto_map"] = code
        if not config.tied and head_rows(config, family, target) == config.vocab_size:
            table["head_rows"] = config.vocab_size
    if family == "jacorpus":
        return table | {"jacorpus": config.to_dict()}
    table |= {
        "intermediate_size": config.layers[0].d_ff,
        "num_attention_heads": attention[0].heads,
        "num_key_value_heads": attention[0].kv_heads,
    }
    return table | {"plamo2": _plamo2, "plamo3": _plamo3}.get(family, _llama)(config, target)


def _plamo2(config: ModelConfig, target: str) -> dict[str, Any]:
    windows = {layer.window for layer in config.layers if layer.window}
    full = [i for i, layer in enumerate(config.layers) if layer.mixer == "full"]
    window = min(windows, default=DEFAULT_WINDOW)
    sliding: int | None = window if windows else None
    if target == "vllm":  # its windows count the query's own token, and it has one for all attention layers
        sliding = window + 1 if windows and not full else None
    return {
        "attention_window_size": window,
        "full_attention_idx": full,
        "hidden_size_per_head": config.head_dim,
        "linear_type": "normal",
        "mamba_chunk_size": 256,
        "mamba_d_conv": config.d_conv,
        "mamba_d_state": config.d_state,
        "mamba_enabled": config.has_mamba,
        "mamba_num_heads": config.mamba_heads or 1,
        "mamba_step": mamba_step(config),
        "rope_theta": next(layer.rope_base for layer in config.layers if layer.mixer != "mamba"),
        "sliding_window": sliding,
    }


def _plamo3(config: ModelConfig, target: str) -> dict[str, Any]:
    bases = {layer.mixer: layer.rope_base for layer in config.layers}
    return {
        "head_dim": config.head_dim,
        "linear_type": "normal",
        "rope_local_theta": bases.get("window", 10_000.0),
        "rope_theta": bases.get("full", bases.get("window")),
        "sliding_window_pattern": full_pattern(config),
        "window_size": min((layer.window for layer in config.layers if layer.window), default=DEFAULT_WINDOW),
    }


def _llama(config: ModelConfig, target: str) -> dict[str, Any]:
    scaling = config.rope_scaling
    return {
        "attention_bias": False,
        "head_dim": config.head_dim,
        "hidden_act": "silu",
        "mlp_bias": False,
        "rope_scaling": None if scaling is None else {"rope_type": "llama3", **vars(scaling)},
        "rope_theta": config.layers[0].rope_base,
    }


def head_rows(config: ModelConfig, family: str, target: str) -> int:
    """Rows of an untied head in the file. PLaMo's own code takes multiples of 16, all other programs V."""
    padded = target == "hf" and family in ("plamo2", "plamo3")
    return -(-config.vocab_size // 16) * 16 if padded else config.vocab_size


def write_folder(
    model: Model, config: ModelConfig, family: str, target: str, folder: Path, dtype: torch.dtype, table: dict[str, Any]
) -> None:
    """Everything but the tokenizer. config: with windows as the target takes them. table: of ``config_json``."""
    _write_json(folder / "config.json", table)
    generation = {key: value for key, value in table.items() if key.endswith("_token_id") and value is not None}
    _write_json(folder / "generation_config.json", generation)
    if "auto_map" in table:
        for name in CODE:
            shutil.copyfile(Path(__file__).parent / name, folder / name)
    rows, fp32 = head_rows(config, family, target), target != "mlx"
    write_safetensors(outgoing(config, family, model.named_parameters(), dtype, fp32, rows), folder)


def write_chat(folder: Path, chat: Mapping[str, Any]) -> None:
    """What a chat model was trained to read, into an exported folder: chat_template.jinja, which ``AutoTokenizer``
    finds, and the end of a turn beside eos in generation_config.json.

    chat: ``template``, Jinja text with generation tags around what the assistant says, and ``stop_id``, the id that
    ends a turn. Raises InputError where the tags are missing: training on the assistant's words alone would train
    on nothing.
    """
    template = chat["template"]
    if not re.search(r"{%-?\s*generation\b", template):
        raise InputError(
            f"chat template {chat.get('name', '')} marks no words of the assistant; put them between "
            "{% generation %} and {% endgeneration %}"
        )
    (folder / "chat_template.jinja").write_text(template, "utf-8")
    path = folder / "generation_config.json"
    table = json.loads(path.read_bytes())
    ends = [table.get("eos_token_id"), chat["stop_id"]]
    _write_json(path, table | {"eos_token_id": list(dict.fromkeys(id for id in ends if id is not None))})


def _write_json(path: Path, table: dict[str, Any]) -> None:
    path.write_text(json.dumps(table, ensure_ascii=False, indent=2, sort_keys=True) + "\n", "utf-8")


def write_safetensors(tensors: Iterator[tuple[str, torch.Tensor]], folder: Path, most: int = SHARD_BYTES) -> list[Path]:
    """Write tensors as they come, at most ``most`` bytes a file; an index where there are several files."""
    written: list[tuple[Path, list[str]]] = []
    total = held_bytes = 0
    held: dict[str, torch.Tensor] = {}

    def flush() -> None:
        path = folder / f"part-{len(written)}.safetensors"
        save_tensors(held, path, {"format": "pt"})
        written.append((path, list(held)))
        held.clear()

    for name, tensor in tensors:
        size = tensor.numel() * tensor.element_size()
        if held and held_bytes + size > most:
            flush()
            held_bytes = 0
        held[name] = tensor
        held_bytes, total = held_bytes + size, total + size
    flush()
    return _named(written, total, folder)


def _named(written: list[tuple[Path, list[str]]], total: int, folder: Path) -> list[Path]:
    """Give the parts the names that loaders look for."""
    if len(written) == 1:
        return [written[0][0].rename(folder / "model.safetensors")]
    paths, places = [], {}
    for number, (path, names) in enumerate(written, 1):
        paths.append(path.rename(folder / f"model-{number:05d}-of-{len(written):05d}.safetensors"))
        places.update(dict.fromkeys(names, paths[-1].name))
    _write_json(folder / "model.safetensors.index.json", {"metadata": {"total_size": total}, "weight_map": places})
    return paths
