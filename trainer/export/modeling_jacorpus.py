"""The remote-code file of exported folders: models of jacorpus for transformers 5, in plain torch, for any device.

It needs torch and transformers, nothing else, and is copied into the folder beside config.json (``auto_map``). A window
counts keys seen back: a query sees itself and W keys before it. Padding (attention_mask 0) changes no result.

Letters: B rows, T new tokens, S keys, D d_model, H query heads, K key/value heads, P head size, M Mamba heads, C = M*P,
N d_state, R dt rank, F feed-forward, V vocabulary.
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from transformers import GenerationMixin, PreTrainedModel
from transformers.utils import ModelOutput

from .configuration_jacorpus import JacorpusConfig, Plamo2Config, Plamo3Config

CHUNK = 64
QUERIES = 1024


class Memory:
    """What decoding remembers. layers: keys and values, or conv inputs and state. mask: bool [B, tokens so far]."""

    def __init__(self) -> None:
        self.layers: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
        self.mask: torch.Tensor | None = None

    is_compileable = False

    def get_seq_length(self, layer_idx: int = 0) -> int:
        return 0 if self.mask is None else self.mask.shape[1]

    def reorder_cache(self, beam_idx: torch.Tensor) -> None:
        """Rows in another order, for beam search."""
        self.layers = {
            i: (a.index_select(0, beam_idx), b.index_select(0, beam_idx)) for i, (a, b) in self.layers.items()
        }
        self.mask = None if self.mask is None else self.mask.index_select(0, beam_idx)


@dataclass
class Output(ModelOutput):
    loss: torch.Tensor | None = None
    logits: torch.Tensor | None = None
    cache: Memory | None = None
    hidden_states: tuple[torch.Tensor, ...] | None = None

    @property
    def past_key_values(self) -> Memory | None:
        return self.cache


def _rms(x: torch.Tensor, scale: torch.Tensor | None, eps: float) -> torch.Tensor:
    wide = x.double() if x.dtype == torch.float64 else x.float()
    y = wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + eps)
    return y if scale is None else y * scale


class Norm(nn.Module):
    """RMS norm; the weight is a delta on the offset."""

    def __init__(self, width: int, offset: float, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(width))
        self.offset, self.eps = offset, eps

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weight = self.weight if x.dtype == torch.float64 else self.weight.float()
        return _rms(x, self.offset + weight, self.eps).to(x.dtype)


def _rotated(x_BTHP: torch.Tensor, position_BT: torch.Tensor, base: float, scaling: Any) -> torch.Tensor:
    """RoPE of the half-split form; scaling: Llama 3.1's table or None."""
    if not base:
        return x_BTHP
    size = x_BTHP.shape[-1]
    angle = base ** (-torch.arange(0, size, 2, dtype=torch.float64, device=x_BTHP.device) / size)
    if scaling is not None:
        low, high = scaling["low_freq_factor"], scaling["high_freq_factor"]
        turns = scaling["original_max_position_embeddings"] * angle / (2 * math.pi)
        smooth = ((turns - low) / (high - low)).clamp(0, 1)
        angle = (1 - smooth) * angle / scaling["factor"] + smooth * angle
    turn = (position_BT.double()[..., None] * angle)[:, :, None]
    cos, sin = turn.cos().to(x_BTHP.dtype), turn.sin().to(x_BTHP.dtype)
    a, b = x_BTHP.chunk(2, -1)
    return torch.cat((a * cos - b * sin, b * cos + a * sin), -1)


class Attention(nn.Module):
    def __init__(self, shape: dict[str, Any], layer: dict[str, Any]) -> None:
        super().__init__()
        self.layer, self.kind = layer, shape["qk_norm"]
        self.eps, self.scaling, self.size = shape["norm_eps"], shape["rope_scaling"], shape["head_dim"]
        heads, kv_heads, size = layer["heads"], layer["kv_heads"], self.size
        self.qkv_proj = nn.Linear(shape["d_model"], (heads + 2 * kv_heads) * size, bias=False)
        self.o_proj = nn.Linear(heads * size, shape["d_model"], bias=False)
        if self.kind == "per_head":
            self.q_weight = nn.Parameter(torch.ones(heads, size))
            self.k_weight = nn.Parameter(torch.ones(kv_heads, size))
        elif self.kind == "shared":
            self.q_norm, self.k_norm = (Norm(size, 1.0, self.eps) for _ in range(2))

    def forward(
        self, x: torch.Tensor, mask: torch.Tensor, position: torch.Tensor, memory: Memory, i: int
    ) -> torch.Tensor:
        heads, kv_heads, window = self.layer["heads"], self.layer["kv_heads"], self.layer["window"]
        qkv = self.qkv_proj(x).unflatten(-1, (-1, self.size))
        q, k, v = qkv.split((heads, kv_heads, kv_heads), 2)
        wide = torch.float64 if x.dtype == torch.float64 else torch.float32
        q, k = q.to(wide), k.to(wide)
        if self.kind == "per_head":
            q, k = _rms(q, self.q_weight, self.eps), _rms(k, self.k_weight, self.eps)
        elif self.kind == "shared":
            q, k = self.q_norm(q), self.k_norm(k)
        q, k = (_rotated(t, position, self.layer["rope_base"], self.scaling).to(x.dtype) for t in (q, k))
        if i in memory.layers:
            k, v = (torch.cat((old, new), 1) for old, new in zip(memory.layers[i], (k, v), strict=True))
        keep = k.shape[1] if window is None else min(window, k.shape[1])
        memory.layers[i] = k[:, k.shape[1] - keep :], v[:, v.shape[1] - keep :]
        return self.o_proj(_attend(q, k, v, mask[:, -k.shape[1] :], window).flatten(2))


def _attend(
    q_BTHP: torch.Tensor, k_BSKP: torch.Tensor, v_BSKP: torch.Tensor, mask_BS: torch.Tensor, window: int | None
) -> torch.Tensor:
    """The T queries are the last of S tokens; some at a time, so that masks stay small."""
    q, k, v = (t.transpose(1, 2) for t in (q_BTHP, k_BSKP, v_BSKP))
    tokens, keys = q.shape[2], k.shape[2]
    found = []
    for first in range(keys - tokens, keys, QUERIES):
        last = min(first + QUERIES, keys)
        low = 0 if window is None else max(0, first - window)
        query, key = (torch.arange(*ends, device=q.device) for ends in ((first, last), (low, last)))
        back = query[:, None] - key[None]
        near = back >= 0 if window is None else (back >= 0) & (back <= window)
        seen = (near & mask_BS[:, None, low:last]) | (back == 0)  # padding sees itself: a row of none would be NaN
        part = q[:, :, first - keys + tokens : last - keys + tokens]
        key_part, value_part = k[:, :, low:last], v[:, :, low:last]
        found.append(F.scaled_dot_product_attention(part, key_part, value_part, seen[:, None], enable_gqa=True))
    return torch.cat(found, 2).transpose(1, 2)


class Mamba(nn.Module):
    def __init__(self, shape: dict[str, Any], layer: dict[str, Any]) -> None:
        super().__init__()
        self.heads, self.size, self.n = shape["mamba_heads"], shape["mamba_head_dim"], shape["d_state"]
        width, rank, self.taps, self.eps = self.heads * self.size, shape["dt_rank"], shape["d_conv"], shape["norm_eps"]
        self.in_proj = nn.Linear(shape["d_model"], 2 * width, bias=False)
        self.conv1d = nn.Conv1d(width, width, self.taps, groups=width, bias=False)
        self.bcdt_proj = nn.Linear(width, 2 * self.n + rank, bias=False)
        self.dt_proj = nn.Linear(rank, self.heads, bias=False)
        self.out_proj = nn.Linear(width, shape["d_model"], bias=False)
        self.A_log, self.D, self.dt_bias = (nn.Parameter(torch.zeros(self.heads)) for _ in range(3))
        self.dt_norm_weight = nn.Parameter(torch.ones(rank))
        self.B_norm_weight, self.C_norm_weight = (nn.Parameter(torch.ones(self.n)) for _ in range(2))

    def forward(
        self, u: torch.Tensor, mask: torch.Tensor, position: torch.Tensor, memory: Memory, i: int
    ) -> torch.Tensor:
        wide = torch.float64 if u.dtype == torch.float64 else torch.float32
        there = mask[:, -u.shape[1] :, None]
        z, x = self.in_proj(u).unflatten(-1, (self.heads, 2 * self.size)).chunk(2, -1)
        x = torch.where(there, x.flatten(2), 0).to(wide)
        conv, state = memory.layers.get(i) or (x.new_zeros(len(x), self.taps - 1, x.shape[2]), None)
        inputs = torch.cat((conv, x), 1)
        weight = self.conv1d.weight.to(wide)
        x = F.silu(F.conv1d(inputs.transpose(1, 2), weight, groups=x.shape[2])).transpose(1, 2)
        b, c, dt = self.bcdt_proj(x.to(u.dtype)).split((self.n, self.n, len(self.dt_norm_weight)), -1)
        weights = self.B_norm_weight, self.C_norm_weight, self.dt_norm_weight
        b, c, dt = (_rms(t, w, self.eps) for t, w in zip((b, c, dt), weights, strict=True))
        dt = self.dt_proj(dt.to(u.dtype)).to(wide)
        delta = torch.where(there, F.softplus(dt + self.dt_bias.to(wide)), 0)  # 0: the state passes padding by
        x = x.unflatten(-1, (self.heads, self.size))
        y, state = _scan(x, delta, -torch.exp(self.A_log.to(wide)), b, c, state)
        memory.layers[i] = inputs[:, inputs.shape[1] - self.taps + 1 :], state
        y = (y + self.D.to(wide)[:, None] * x) * F.silu(z.to(wide))
        return self.out_proj(y.flatten(2).to(u.dtype))


def _scan(
    x_BTMP: torch.Tensor,
    delta_BTM: torch.Tensor,
    a_M: torch.Tensor,
    b_BTN: torch.Tensor,
    c_BTN: torch.Tensor,
    state: torch.Tensor | None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """S = exp(delta a) S + delta x b^T; y = S c. Inside a chunk as a masked product, from chunk to chunk by S."""
    rows, tokens, heads, size = x_BTMP.shape
    state = x_BTMP.new_zeros(rows, heads, size, b_BTN.shape[-1]) if state is None else state
    found = []
    for first in range(0, tokens, CHUNK):
        cut = slice(first, first + CHUNK)
        x, delta, b, c = x_BTMP[:, cut], delta_BTM[:, cut], b_BTN[:, cut], c_BTN[:, cut]
        total = (delta * a_M).cumsum(1)
        earlier = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool, device=x.device).tril()
        spread = (total[:, :, None] - total[:, None]).masked_fill(~earlier[..., None], float("-inf")).exp()
        weight = spread * (c @ b.transpose(1, 2))[..., None]
        y = torch.einsum("bijm,bjmp->bimp", weight, x * delta[..., None])
        found.append(y + torch.einsum("bin,bmpn,bim->bimp", c, state, total.exp()))
        rest = (total[:, -1:] - total).exp() * delta
        state = total[:, -1].exp()[..., None, None] * state + torch.einsum("bjmp,bjn->bmpn", x * rest[..., None], b)
    return torch.cat(found, 1), state


class Mlp(nn.Module):
    def __init__(self, shape: dict[str, Any], layer: dict[str, Any]) -> None:
        super().__init__()
        self.gated = shape["mlp"] == "swiglu"
        self.gate_up_proj = nn.Linear(shape["d_model"], (2 if self.gated else 1) * layer["d_ff"], bias=False)
        self.down_proj = nn.Linear(layer["d_ff"], shape["d_model"], bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.gate_up_proj(x)
        if not self.gated:
            return self.down_proj(F.gelu(x, approximate="tanh"))
        gate, up = x.chunk(2, -1)
        return self.down_proj(F.silu(gate) * up)


class Layer(nn.Module):
    def __init__(self, shape: dict[str, Any], layer: dict[str, Any], number: int) -> None:
        super().__init__()
        width, eps, self.number = shape["d_model"], shape["norm_eps"], number
        self.mixer = (Mamba if layer["mixer"] == "mamba" else Attention)(shape, layer)
        self.mlp = Mlp(shape, layer)
        self.pre_mixer_norm, self.pre_mlp_norm = (Norm(width, 1.0, eps) for _ in range(2))
        after = shape["post_norm"]
        self.post_mixer_norm = Norm(width, 1 / 5, eps) if after else nn.Identity()
        self.post_mlp_norm = Norm(width, 1 / 5**1.5, eps) if after else nn.Identity()

    def forward(self, x: torch.Tensor, mask: torch.Tensor, position: torch.Tensor, memory: Memory) -> torch.Tensor:
        x = x + self.post_mixer_norm(self.mixer(self.pre_mixer_norm(x), mask, position, memory, self.number))
        return x + self.post_mlp_norm(self.mlp(self.pre_mlp_norm(x)))


class Decoder(nn.Module):
    def __init__(self, shape: dict[str, Any]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Layer(shape, layer, i) for i, layer in enumerate(shape["layers"]))


class Trunk(nn.Module):
    def __init__(self, shape: dict[str, Any]) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(shape["vocab_size"], shape["d_model"])
        self.layers = Decoder(shape)
        self.norm = Norm(shape["d_model"], 1.0, shape["norm_eps"])


class _CausalLM(PreTrainedModel, GenerationMixin):
    base_model_prefix = "model"
    _no_split_modules = ["Layer"]  # noqa: RUF012
    _tied_weights_keys = {"lm_head.weight": "model.embed_tokens.weight"}  # noqa: RUF012
    _keep_in_fp32_modules_strict = ["A_log", "D", "dt_bias"]  # noqa: RUF012
    _supports_sdpa = True
    _is_stateful = True

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        shape = config.shape()
        self.model = Trunk(shape)
        rows = (
            shape["vocab_size"]
            if config.tie_word_embeddings
            else config.head_rows or -(-shape["vocab_size"] // 16) * 16
        )
        self.lm_head = nn.Linear(shape["d_model"], rows, bias=False)
        self.post_init()

    def get_input_embeddings(self) -> nn.Embedding:
        return self.model.embed_tokens

    def set_input_embeddings(self, value: Any) -> None:
        self.model.embed_tokens = value

    def get_output_embeddings(self) -> nn.Linear:
        return self.lm_head

    def set_output_embeddings(self, value: nn.Linear) -> None:
        self.lm_head = value

    @classmethod
    def _supports_default_dynamic_cache(cls) -> bool:
        return False  # ``Memory`` is the cache

    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        cache: Memory | None = None,
        past_key_values: Memory | None = None,
        inputs_embeds: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int = 0,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        **kwargs: Any,
    ) -> Any:
        x = self.model.embed_tokens(input_ids) if inputs_embeds is None else inputs_embeds
        given, memory = cache or past_key_values, cache or past_key_values or Memory()
        memory.mask = _whole_mask(memory.mask, attention_mask, x)
        if position_ids is None:
            position_ids = (memory.mask.long().cumsum(1) - 1).clamp(min=0)[:, -x.shape[1] :]
        seen = [x]
        for layer in self.model.layers.layers:
            x = layer(x, memory.mask, position_ids, memory)
            seen.append(x)
        x = self.model.norm(x)
        logits = self.lm_head(x[:, -logits_to_keep:] if logits_to_keep else x)[..., : self.config.vocab_size].float()
        loss = None
        if labels is not None:
            loss = F.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten().to(logits.device))
        wanted = self.config.use_cache and not self.training if use_cache is None else use_cache
        states = (*seen[:-1], x) if output_hidden_states else None
        output = Output(loss, logits, memory if wanted or given is not None else None, states)
        return output if return_dict is None or return_dict else output.to_tuple()

    def prepare_inputs_for_generation(
        self, input_ids: torch.Tensor, cache: Any = None, past_key_values: Any = None, **kwargs: Any
    ) -> dict[str, Any]:
        memory = cache or past_key_values
        done = memory.get_seq_length() if memory is not None else 0
        inputs: dict[str, Any] = {"input_ids": input_ids[:, done:], "cache": memory, "use_cache": True}
        if kwargs.get("inputs_embeds") is not None and not done:
            inputs = {"inputs_embeds": kwargs["inputs_embeds"], "cache": memory, "use_cache": True}
        return inputs | {"attention_mask": kwargs.get("attention_mask"), "logits_to_keep": 1}

    def _update_model_kwargs_for_generation(
        self, outputs: Any, model_kwargs: dict[str, Any], *args: Any, **kwargs: Any
    ) -> Any:
        model_kwargs = super()._update_model_kwargs_for_generation(outputs, model_kwargs, *args, **kwargs)
        return model_kwargs | {"cache": outputs.cache, "past_key_values": outputs.cache}  # its names: from 5.2x, before


def _whole_mask(before: torch.Tensor | None, given: torch.Tensor | None, x: torch.Tensor) -> torch.Tensor:
    """bool [B, all tokens so far]: which are no padding."""
    done = 0 if before is None else before.shape[1]
    new = torch.ones(x.shape[:2], dtype=torch.bool, device=x.device)
    if given is not None and given.ndim != 2:
        raise ValueError("attention_mask must be [rows, tokens] of 0 (padding) and 1")
    if given is not None and given.shape[1] == done + x.shape[1]:
        return given.to(x.device).bool()
    if given is not None and given.shape[1] == x.shape[1]:
        new = given.to(x.device).bool()
    elif given is not None:
        raise ValueError(f"attention_mask has {given.shape[1]} columns for {done} + {x.shape[1]} tokens")
    return new if before is None else torch.cat((before, new), 1)


class Plamo2ForCausalLM(_CausalLM):
    config_class = Plamo2Config


class Plamo3ForCausalLM(_CausalLM):
    config_class = Plamo3Config


class JacorpusForCausalLM(_CausalLM):
    config_class = JacorpusConfig
