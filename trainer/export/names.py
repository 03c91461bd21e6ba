"""What an export calls a model and its tensors: the family whose config.json can hold it, PLaMo's and Llama's names.

Families: ``plamo2`` (Mamba and attention, QK norm with a weight for each head), ``plamo3`` (attention, one QK norm for
all heads), ``llama``, ``qwen3`` (no norms after the branches), and ``jacorpus``, our own, for what the four can't hold.
Norms: PLaMo's files hold deltas, as we do; Llama's and Qwen's hold the whole scale, 1 + delta.

Letters: D d_model, H query heads, K key/value heads, P head size, F feed-forward, V vocabulary.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import torch

from trainer.config import ModelConfig

FAMILIES = ("plamo2", "plamo3", "llama", "qwen3", "jacorpus")
ARCHITECTURES = {
    "plamo2": "Plamo2ForCausalLM",
    "plamo3": "Plamo3ForCausalLM",
    "llama": "LlamaForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
    "jacorpus": "JacorpusForCausalLM",
}

_LAYER = re.compile(r"layers\.(\d+)\.(.+)")
_WHOLE = {"embed.weight": "model.embed_tokens.weight", "final_norm.weight": "model.norm.weight"}
_PLAMO = {
    "mixer.conv_weight": "mixer.conv1d.weight",
    "mixer.q_norm_weight": "mixer.q_norm.weight",
    "mixer.k_norm_weight": "mixer.k_norm.weight",
}
_LLAMA = {
    "pre_mixer_norm.weight": "input_layernorm.weight",
    "pre_mlp_norm.weight": "post_attention_layernorm.weight",
    "mixer.o_proj.weight": "self_attn.o_proj.weight",
    "mixer.q_norm_weight": "self_attn.q_norm.weight",
    "mixer.k_norm_weight": "self_attn.k_norm.weight",
    "mlp.down_proj.weight": "mlp.down_proj.weight",
}
FP32 = ("A_log", "D", "dt_bias")
"""Kept in float32 whatever the type of an export: they set the decay, where 8 bits of mantissa are too few."""


@dataclass(frozen=True)
class Piece:
    """One tensor of a file: its name there, the rows of our tensor it holds (None: all), whether 1 is added."""

    name: str
    rows: tuple[int, int] | None = None
    scale: bool = False


def pieces(config: ModelConfig, family: str, name: str) -> list[Piece]:
    """Where one of our tensors goes in a file of a family."""
    plain = family in ("llama", "qwen3")
    if name == "head.weight":
        return [Piece("lm_head.weight")]
    if name in _WHOLE:
        return [Piece(_WHOLE[name], scale=plain and name == "final_norm.weight")]
    found = _LAYER.fullmatch(name)
    assert found, name
    number, rest = int(found[1]), found[2]
    if not plain:
        return [Piece(f"model.layers.layers.{number}.{_PLAMO.get(rest, rest)}")]
    start, layer = f"model.layers.{number}.", config.layers[number]
    if rest == "mixer.qkv_proj.weight":
        q, k = layer.heads * config.head_dim, layer.kv_heads * config.head_dim
        ends = {"q_proj": (0, q), "k_proj": (q, q + k), "v_proj": (q + k, q + 2 * k)}
        return [Piece(f"{start}self_attn.{part}.weight", rows) for part, rows in ends.items()]
    if rest == "mlp.gate_up_proj.weight":
        ends = {"gate_proj": (0, layer.d_ff), "up_proj": (layer.d_ff, 2 * layer.d_ff)}
        return [Piece(f"{start}mlp.{part}.weight", rows) for part, rows in ends.items()]
    return [Piece(start + _LLAMA[rest], scale="norm" in rest)]


def outgoing(
    config: ModelConfig,
    family: str,
    state: Iterable[tuple[str, torch.Tensor]],
    dtype: torch.dtype | None,
    fp32: bool,
    head_rows: int,
) -> Iterator[tuple[str, torch.Tensor]]:
    """Tensors of a file, by name. dtype: None leaves it. fp32: A_log, D, dt_bias stay float32. head_rows: rows of an
    untied head, filled up with 0."""
    for name, tensor in state:
        for piece in pieces(config, family, name):
            part = tensor.detach()
            part = part if piece.rows is None else part[slice(*piece.rows)]
            part = part.float() + 1 if piece.scale else part
            if name == "head.weight" and head_rows > len(part):
                part = torch.cat((part, part.new_zeros(head_rows - len(part), part.shape[1])))
            narrow = dtype is not None and not (fp32 and name.rpartition(".")[2] in FP32)
            yield piece.name, part.to("cpu", dtype if narrow else torch.float32).contiguous()


def incoming(
    config: ModelConfig, family: str, name: str, read: Callable[[str], torch.Tensor]
) -> tuple[torch.Tensor, list[str]]:
    """(one of our tensors in float32 or as stored, the names it was read from). read: a file's tensor by its name."""
    parts, names = [], []
    for piece in pieces(config, family, name):
        part = read(piece.name)
        parts.append(part.float() - 1 if piece.scale else part)
        names.append(piece.name)
    whole = parts[0] if len(parts) == 1 else torch.cat(parts)
    return (whole[: config.vocab_size] if name == "head.weight" else whole), names
