"""The remote-code file of exported folders: models of jacorpus for transformers 5, in plain torch, for any device.

It needs torch and transformers, nothing else, and is copied into the folder beside config.json (``auto_map``). A window
counts keys seen back: a query sees itself and W keys before it. Padding at either end (attention_mask 0) changes no
result. A row may hold several documents, none of which sees another. All projections are called as modules, so that
adapters put in their place are heard.

Letters: B rows, T new tokens, S keys, D d_model, H query heads, K key/value heads, P head size, M Mamba heads, C = M*P,
N d_state, R dt rank, F feed-forward, V vocabulary.
"""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from transformers import GenerationMixin, PreTrainedModel
from transformers.modeling_layers import GradientCheckpointingLayer

from .configuration_jacorpus import JacorpusConfig, Plamo2Config, Plamo3Config
from .places_jacorpus import Frame, Hidden, Memory, Output, frame_of, starts_of

CHUNK = 64
QUERIES = 1024


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

    def forward(self, x: torch.Tensor, frame: Frame, memory: Memory | None, i: int) -> torch.Tensor:
        heads, kv_heads, window = self.layer["heads"], self.layer["kv_heads"], self.layer["window"]
        qkv = self.qkv_proj(x).unflatten(-1, (-1, self.size))
        q, k, v = qkv.split((heads, kv_heads, kv_heads), 2)
        wide = torch.float64 if x.dtype == torch.float64 else torch.float32
        q, k = q.to(wide), k.to(wide)
        if self.kind == "per_head":
            q, k = _rms(q, self.q_weight, self.eps), _rms(k, self.k_weight, self.eps)
        elif self.kind == "shared":
            q, k = self.q_norm(q), self.k_norm(k)
        q, k = (_rotated(t, frame.position, self.layer["rope_base"], self.scaling).to(x.dtype) for t in (q, k))
        if memory is not None:
            if i in memory.layers:
                k, v = (torch.cat((old, new), 1) for old, new in zip(memory.layers[i], (k, v), strict=True))
            keep = k.shape[1] if window is None else min(window, k.shape[1])
            memory.layers[i] = k[:, k.shape[1] - keep :], v[:, v.shape[1] - keep :]
        return self.o_proj(_attend(q, k, v, frame.document[:, -k.shape[1] :], window).flatten(2))


def _attend(
    q_BTHP: torch.Tensor, k_BSKP: torch.Tensor, v_BSKP: torch.Tensor, document_BS: torch.Tensor, window: int | None
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
        same = document_BS[:, first:last, None] == document_BS[:, None, low:last]
        seen = near & same  # padding sees padding, itself at least: a row of none would be NaN
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

    def forward(self, u: torch.Tensor, frame: Frame, memory: Memory | None, i: int) -> torch.Tensor:
        wide = torch.float64 if u.dtype == torch.float64 else torch.float32
        there = frame.there[..., None]
        z, x = self.in_proj(u).unflatten(-1, (self.heads, 2 * self.size)).chunk(2, -1)
        x = torch.where(there, x.flatten(2), 0).to(wide)
        held = None if memory is None else memory.layers.get(i)
        conv, state = held or (x.new_zeros(len(x), self.taps - 1, x.shape[2]), None)
        x, conv = self._convolved(x, conv, frame)
        b, c, dt = self.bcdt_proj(x.to(u.dtype)).split((self.n, self.n, len(self.dt_norm_weight)), -1)
        weights = self.B_norm_weight, self.C_norm_weight, self.dt_norm_weight
        b, c, dt = (_rms(t, w, self.eps) for t, w in zip((b, c, dt), weights, strict=True))
        dt = self.dt_proj(dt.to(u.dtype)).to(wide)
        delta = torch.where(there, F.softplus(dt + self.dt_bias.to(wide)), 0)  # 0: the state passes padding by
        x = x.unflatten(-1, (self.heads, self.size))
        y, state = _scan(x, delta, -torch.exp(self.A_log.to(wide)), b, c, state, frame)
        if memory is not None:
            memory.layers[i] = conv, state
        y = (y + self.D.to(wide)[:, None] * x) * F.silu(z.to(wide))
        return self.out_proj(y.flatten(2).to(u.dtype))

    def _convolved(self, x: torch.Tensor, conv: torch.Tensor, frame: Frame) -> tuple[torch.Tensor, torch.Tensor]:
        """silu(convolution) [B, T, C], and the inputs the next call begins with. Between documents lie zeros enough
        that no tap reaches from one into the next."""
        weight, gap = self.conv1d.weight.to(x.dtype), self.taps - 1
        if not frame.cut:
            inputs = torch.cat((conv, x), 1)
            y = F.conv1d(inputs.transpose(1, 2), weight, groups=x.shape[2]).transpose(1, 2)
            return F.silu(y), inputs[:, inputs.shape[1] - gap :]
        later = (frame.run - frame.before[:, None]) * gap
        place = torch.arange(x.shape[1], device=x.device) + later
        wider = x.new_zeros(len(x), x.shape[1] + int(later.max()), x.shape[2])
        inputs = torch.cat((conv, wider.scatter(1, place[..., None].expand_as(x), x)), 1)
        y = F.conv1d(inputs.transpose(1, 2), weight, groups=x.shape[2]).transpose(1, 2)
        ends = place[:, -1:] + 1 + torch.arange(gap, device=x.device)
        return F.silu(_taken(y, place)), _taken(inputs, ends)


def _taken(x_BTC: torch.Tensor, place_BT: torch.Tensor) -> torch.Tensor:
    """Each row's tokens at its places."""
    return x_BTC.gather(1, place_BT[..., None].expand(-1, -1, x_BTC.shape[2]))


def _scan(
    x_BTMP: torch.Tensor,
    delta_BTM: torch.Tensor,
    a_M: torch.Tensor,
    b_BTN: torch.Tensor,
    c_BTN: torch.Tensor,
    state: torch.Tensor | None,
    frame: Frame,
) -> tuple[torch.Tensor, torch.Tensor]:
    """S = exp(delta a) S + delta x b^T; y = S c. Inside a chunk as a masked product, from chunk to chunk by S. Where a
    document begins, S is 0: what another document brings is masked in each of the four products."""
    rows, tokens, heads, size = x_BTMP.shape
    held = frame.before
    state = x_BTMP.new_zeros(rows, heads, size, b_BTN.shape[-1]) if state is None else state
    found = []
    for first in range(0, tokens, CHUNK):
        cut = slice(first, first + CHUNK)
        x, delta, b, c = x_BTMP[:, cut], delta_BTM[:, cut], b_BTN[:, cut], c_BTN[:, cut]
        total = (delta * a_M).cumsum(1)
        earlier = torch.ones(1, x.shape[1], x.shape[1], dtype=torch.bool, device=x.device).tril()
        grown, left, kept = total.exp(), (total[:, -1:] - total).exp() * delta, total[:, -1].exp()
        if frame.cut:
            run, last = frame.run[:, cut], frame.run[:, cut][:, -1]
            earlier = earlier & (run[:, :, None] == run[:, None])
            grown, left = grown * (run == held[:, None])[..., None], left * (run == last[:, None])[..., None]
            kept, held = kept * (last == held)[:, None], last
        spread = (total[:, :, None] - total[:, None]).masked_fill(~earlier[..., None], float("-inf")).exp()
        weight = spread * (c @ b.transpose(1, 2))[..., None]
        y = torch.einsum("bijm,bjmp->bimp", weight, x * delta[..., None])
        found.append(y + torch.einsum("bin,bmpn,bim->bimp", c, state, grown))
        state = kept[..., None, None] * state + torch.einsum("bjmp,bjn->bmpn", x * left[..., None], b)
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


class Layer(GradientCheckpointingLayer):
    def __init__(self, shape: dict[str, Any], layer: dict[str, Any], number: int) -> None:
        super().__init__()
        width, eps, self.number = shape["d_model"], shape["norm_eps"], number
        self.mixer = (Mamba if layer["mixer"] == "mamba" else Attention)(shape, layer)
        self.mlp = Mlp(shape, layer)
        self.pre_mixer_norm, self.pre_mlp_norm = (Norm(width, 1.0, eps) for _ in range(2))
        after = shape["post_norm"]
        self.post_mixer_norm = Norm(width, 1 / 5, eps) if after else nn.Identity()
        self.post_mlp_norm = Norm(width, 1 / 5**1.5, eps) if after else nn.Identity()

    def forward(self, x: torch.Tensor, frame: Frame, memory: Memory | None) -> torch.Tensor:
        x = x + self.post_mixer_norm(self.mixer(self.pre_mixer_norm(x), frame, memory, self.number))
        return x + self.post_mlp_norm(self.mlp(self.pre_mlp_norm(x)))


class Decoder(nn.Module):
    def __init__(self, shape: dict[str, Any]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Layer(shape, layer, i) for i, layer in enumerate(shape["layers"]))


class Trunk(nn.Module):
    """All but the head, with the arguments of a whole model: losses that take the head into themselves call it."""

    gradient_checkpointing = False

    def __init__(self, config: Any) -> None:
        super().__init__()
        shape = config.shape()
        self.config = config
        self.embed_tokens = nn.Embedding(shape["vocab_size"], shape["d_model"])
        self.layers = Decoder(shape)
        self.norm = Norm(shape["d_model"], 1.0, shape["norm_eps"])

    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        cache: Memory | None = None,
        past_key_values: Memory | None = None,
        inputs_embeds: torch.Tensor | None = None,
        use_cache: bool | None = None,
        output_hidden_states: bool | None = None,
        cu_seqlens: torch.Tensor | None = None,
        seq_idx: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> Hidden:
        x = self.embed_tokens(input_ids) if inputs_embeds is None else inputs_embeds
        given = cache if cache is not None else past_key_values
        if not isinstance(given, Memory | None):
            kind = type(given).__name__
            raise TypeError(f"the cache must be the one this model gives back, got {kind}; leave it out")
        wanted = self.config.use_cache and not self.training if use_cache is None else use_cache
        again = self.gradient_checkpointing and self.training and torch.is_grad_enabled()
        memory = given if given is not None else Memory() if wanted and not again else None
        ends = kwargs.get("cu_seq_lens_q") if cu_seqlens is None else cu_seqlens
        frame = frame_of(x, memory, attention_mask, position_ids, starts_of(x, ends, seq_idx))
        seen = []
        for layer in self.layers.layers:
            seen.append(x)
            x = layer(x, frame, memory)
        x = self.norm(x)
        asked = self.config.output_hidden_states if output_hidden_states is None else output_hidden_states
        return Hidden(x, memory, (*seen, x) if asked else None)


class _CausalLM(PreTrainedModel, GenerationMixin):
    base_model_prefix = "model"
    _no_split_modules = ["Layer"]  # noqa: RUF012
    _tied_weights_keys = {"lm_head.weight": "model.embed_tokens.weight"}  # noqa: RUF012
    _keep_in_fp32_modules_strict = ["A_log", "D", "dt_bias"]  # noqa: RUF012
    _supports_sdpa = True
    supports_gradient_checkpointing = True
    _is_stateful = True

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        shape = config.shape()
        self.model = Trunk(config)
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
        logits_to_keep: int | torch.Tensor = 0,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        **kwargs: Any,
    ) -> Any:
        cache = cache if cache is not None else past_key_values
        words = {"use_cache": use_cache, "output_hidden_states": output_hidden_states, **kwargs}
        hidden = self.model(input_ids, attention_mask, position_ids, cache, inputs_embeds=inputs_embeds, **words)
        keep = slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep
        logits = self.lm_head(hidden.last_hidden_state[:, keep])[..., : self.config.vocab_size]
        logits = logits if logits.dtype == torch.float64 else logits.float()
        loss = None
        if labels is not None or kwargs.get("shift_labels") is not None:
            loss = self.loss_function(logits=logits, labels=labels, vocab_size=self.config.vocab_size, **kwargs)
        output = Output(loss, logits, hidden.cache, hidden.hidden_states)
        return output if return_dict is None or return_dict else output.to_tuple()

    def prepare_inputs_for_generation(
        self,
        input_ids: torch.Tensor,
        cache: Any = None,
        past_key_values: Any = None,
        inputs_embeds: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        memory = cache if cache is not None else past_key_values
        done = memory.get_seq_length() if memory is not None else 0
        inputs: dict[str, Any] = {"cache": memory, "use_cache": kwargs.get("use_cache", True), "logits_to_keep": 1}
        inputs["attention_mask"] = attention_mask
        if inputs_embeds is not None and not done:  # ids, where they come, follow the embeddings
            embedded = self.model.embed_tokens(input_ids)
            return inputs | {"inputs_embeds": torch.cat((inputs_embeds, embedded.to(inputs_embeds.dtype)), 1)}
        new = kwargs.get("next_sequence_length") if done else None
        if new is None:  # the ids are of the whole text, or new ones alone
            whole = input_ids.shape[1] if attention_mask is None else attention_mask.shape[1]
            new = whole - done if whole > done else input_ids.shape[1]
        return inputs | {"input_ids": input_ids[:, max(0, input_ids.shape[1] - new) :]}

    def _update_model_kwargs_for_generation(
        self, outputs: Any, model_kwargs: dict[str, Any], *args: Any, **kwargs: Any
    ) -> Any:
        model_kwargs = super()._update_model_kwargs_for_generation(outputs, model_kwargs, *args, **kwargs)
        return model_kwargs | {"cache": outputs.cache, "past_key_values": outputs.cache}  # its names: from 5.2x, before


class Plamo2ForCausalLM(_CausalLM):
    config_class = Plamo2Config


class Plamo3ForCausalLM(_CausalLM):
    config_class = Plamo3Config


class JacorpusForCausalLM(_CausalLM):
    config_class = JacorpusConfig
