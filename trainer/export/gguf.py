"""GGUF files of PLaMo-2 and PLaMo-3 models for llama.cpp, through the ``gguf`` package.

What llama.cpp's converter does to a Hugging Face folder is done here to our tensors: norms are stored whole (offset +
delta), A is -exp(A_log), the convolution loses its middle axis, dt_bias is the bias of dt_proj, Mamba layers have 0
key/value heads, group_count is 0 and time_step_rank the number of Mamba heads. Windows of plamo3 count the
query's own token. Matrices get the asked type; vectors, the convolution and QK norms stay float32.
Source: ggml-org/llama.cpp conversion/plamo.py, src/models/plamo2.cpp, src/models/plamo3.cpp (read).
"""

import errno
from pathlib import Path
from typing import Any

import torch

from trainer.config import POST_MIXER_OFFSET, POST_MLP_OFFSET, ModelConfig
from trainer.export.guard import full_pattern
from trainer.export.names import pieces
from trainer.export.tokenizer import GgufVocabulary
from trainer.model import Model

_RENAMES = {
    ".dt_bias": ".dt_proj.bias",
    ".q_weight": ".q.weight",
    ".k_weight": ".k.weight",
    **{f".{name}_norm_weight": f".{name}_norm.weight" for name in ("dt", "B", "C")},
}
_OFFSETS = {"post_mixer_norm": POST_MIXER_OFFSET, "post_mlp_norm": POST_MLP_OFFSET}
_WHOLE = ("pre_mixer_norm.weight", "pre_mlp_norm.weight", "final_norm.weight", "q_norm_weight", "k_norm_weight")


def write_gguf(
    model: Model,
    config: ModelConfig,
    family: str,
    path: Path,
    dtype: torch.dtype,
    context_length: int,
    vocabulary: GgufVocabulary | None,
    ids: dict[str, int | None],
) -> None:
    """Write one file. config: with one window for all window layers. vocabulary: None writes a file without one."""
    import gguf

    kinds = gguf.LlamaFileType
    file_type = {torch.float32: kinds.ALL_F32, torch.float16: kinds.MOSTLY_F16, torch.bfloat16: kinds.MOSTLY_BF16}
    writer = gguf.GGUFWriter(path, family)
    writer.add_file_type(file_type[dtype])
    _parameters(writer, config, family, context_length)
    _vocabulary(writer, config, vocabulary, ids)
    arch = gguf.MODEL_ARCH.PLAMO2 if family == "plamo2" else gguf.MODEL_ARCH.PLAMO3
    names = gguf.get_tensor_name_map(arch, len(config.layers))
    for name, tensor in model.named_parameters():
        _tensor(writer, names, pieces(config, family, name)[0].name, name, tensor.detach().float().cpu(), dtype)
    try:
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
    except OSError as error:
        if error.errno is not None:
            raise
        raise OSError(errno.ENOSPC, str(error), str(path)) from error  # numpy tells of a short write without a number


def _parameters(writer: Any, config: ModelConfig, family: str, context_length: int) -> None:
    attention = [layer for layer in config.layers if layer.mixer != "mamba"]
    writer.add_vocab_size(config.vocab_size)
    writer.add_context_length(context_length)
    writer.add_embedding_length(config.d_model)
    writer.add_block_count(len(config.layers))
    writer.add_feed_forward_length(config.layers[0].d_ff)
    writer.add_key_length(config.head_dim)
    writer.add_value_length(config.head_dim)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_layer_norm_rms_eps(config.norm_eps)
    if family == "plamo2":
        # A layer is Mamba where its kv count is 0. Its head count is written like all others: with 0 heads in layer
        # 0, llama.cpp takes a RoPE size of 0 and never comes back (seen in llama-cpp-python 0.3.36).
        writer.add_head_count([attention[0].heads] * len(config.layers))
        writer.add_head_count_kv([layer.kv_heads for layer in config.layers])
        writer.add_rope_freq_base(attention[0].rope_base)
        writer.add_ssm_state_size(config.d_state)
        writer.add_ssm_conv_kernel(config.d_conv)
        writer.add_ssm_time_step_rank(config.mamba_heads)
        writer.add_ssm_inner_size(config.d_inner)
        writer.add_ssm_group_count(0)
        return
    bases = {layer.mixer: layer.rope_base for layer in attention}
    writer.add_head_count(attention[0].heads)
    writer.add_head_count_kv(attention[0].kv_heads)
    writer.add_rope_freq_base(bases.get("full", attention[0].rope_base))
    window = next((layer.window for layer in attention if layer.window), None)
    if window is not None:
        writer.add_sliding_window(window + 1)
        writer.add_sliding_window_pattern(full_pattern(config))
        writer.add_rope_freq_base_swa(bases["window"])


def _vocabulary(writer: Any, config: ModelConfig, found: GgufVocabulary | None, ids: dict[str, int | None]) -> None:
    if found is None:
        writer.add_tokenizer_model("none")
        return
    writer.add_tokenizer_model("plamo2")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(found.tokens)
    writer.add_token_scores(found.scores)
    writer.add_token_types(found.types)
    writer.add_add_space_prefix(False)
    writer.add_add_bos_token(False)
    for role, id in found.ids.items():
        getattr(writer, f"add_{role}_token_id")(id)


def _tensor(writer: Any, names: Any, stored: str, name: str, tensor: torch.Tensor, dtype: torch.dtype) -> None:
    import gguf

    for end, other in _RENAMES.items():
        stored = stored.removesuffix(end) + other if stored.endswith(end) else stored
    target = names.get_name(stored, try_suffixes=(".weight", ".bias"))
    assert target, f"gguf knows no name for {stored}"
    if name.endswith("A_log"):
        tensor = -torch.exp(tensor)
    elif name.endswith("conv_weight"):
        tensor = tensor[:, 0]
    elif name.endswith(_WHOLE):
        tensor = tensor + 1
    else:
        tensor = tensor + _OFFSETS.get(name.split(".")[-2], 0.0) if tensor.ndim == 1 else tensor
    matrix = tensor.ndim == 2 and not name.endswith(("conv_weight", "q_weight", "k_weight"))
    if matrix and dtype == torch.bfloat16:
        raw = tensor.to(torch.bfloat16).contiguous().view(torch.uint8).numpy()
        writer.add_tensor(target, raw, raw_dtype=gguf.GGMLQuantizationType.BF16)
    else:
        writer.add_tensor(target, tensor.to(dtype if matrix else torch.float32).contiguous().numpy())
