"""The model: embedding, layers of a mixer (Mamba or attention) and an MLP between norms, a head.

    x = x + post_mixer(mixer(pre_mixer(x)));   x = x + post_mlp(mlp(pre_mlp(x)))

One class for every layout (see trainer.config): which mixer a layer has is the only difference between layers. A batch
holds packed documents; ``Documents`` tells where they begin, and no operation looks across.

Letters: B rows, T tokens of a row, D d_model, H query heads, K key/value heads, P head size, M Mamba heads, C = M*P,
N d_state, R dt rank, F feed-forward, V vocabulary.

| tensor | start |
|---|---|
| projections, embedding, head | normal, standard deviation 0.02 |
| norms, stored as deltas on an offset | 0 |
| q_weight, k_weight; norms of B, C, dt; D | 1 |
| A_log | log(1 .. M) |
| dt_bias | inverse softplus of a step drawn log-uniformly in [0.001, 0.1], at least 0.0001 |
| conv_weight | uniform within 1 / sqrt(d_conv), as torch's own convolutions |

Source: vLLM plamo2.py; the convolution's start is not told there.
"""

import hashlib
import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint

from trainer.batch import TokenBatch
from trainer.cache import Cache, KeyState, MambaState
from trainer.config import POST_MIXER_OFFSET, POST_MLP_OFFSET, PRE_OFFSET, LayerConfig, ModelConfig
from trainer.documents import Documents
from trainer.kernels.attention import attention, attention_step
from trainer.kernels.attention import prepare as prepare_attention
from trainer.kernels.bcdt_prep import bcdt_prep
from trainer.kernels.conv_silu import conv_silu_and_gate, conv_silu_step
from trainer.kernels.linear_ce import linear_ce
from trainer.kernels.norm import rms_norm, sandwich_norm
from trainer.kernels.qk_norm_rope import qk_norm_rope, rope_tables
from trainer.kernels.ssd import ssd, ssd_step
from trainer.kernels.swiglu import swiglu

INIT_STD = 0.02
DT_RANGE = 1e-3, 1e-1
DT_FLOOR = 1e-4


class Linear(nn.Module):
    """x W^T without bias, in the type of x: master weights may be wider than what is computed with."""

    def __init__(self, outputs: int, inputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.linear(x, self.weight.to(x.dtype))


class Norm(nn.Module):
    """RMS norm; ``weight`` is a delta on the offset of its place."""

    def __init__(self, width: int, offset: float, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(width))
        self.offset, self.eps = offset, eps

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return rms_norm(x, self.weight, self.offset, self.eps)


class Mlp(nn.Module):
    """Gated (swiglu) or plain (gelu); gate_up_proj holds the gate first."""

    def __init__(self, config: ModelConfig, layer: LayerConfig) -> None:
        super().__init__()
        self.gated = config.mlp == "swiglu"
        self.gate_up_proj = Linear((2 if self.gated else 1) * layer.d_ff, config.d_model)
        self.down_proj = Linear(config.d_model, layer.d_ff)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        middle = self.gate_up_proj(x)  # [..., 2F]
        return self.down_proj(swiglu(middle) if self.gated else F.gelu(middle, approximate="tanh"))


class Attention(nn.Module):
    """Grouped-query attention with QK norm and RoPE, over a window or over all of the document."""

    def __init__(self, config: ModelConfig, layer: LayerConfig) -> None:
        super().__init__()
        self.config, self.layer = config, layer
        heads, kv_heads, size = layer.heads, layer.kv_heads, config.head_dim
        self.qkv_proj = Linear((heads + 2 * kv_heads) * size, config.d_model)
        self.o_proj = Linear(config.d_model, heads * size)
        if config.qk_norm == "per_head":
            self.q_weight = nn.Parameter(torch.empty(heads, size))
            self.k_weight = nn.Parameter(torch.empty(kv_heads, size))
        elif config.qk_norm == "shared":
            self.q_norm_weight = nn.Parameter(torch.empty(size))
            self.k_norm_weight = nn.Parameter(torch.empty(size))

    def qkv(
        self, x: torch.Tensor, tables: tuple[torch.Tensor, torch.Tensor] | None
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Normalized, turned q [..., H, P] and k [..., K, P], and v [..., K, P]."""
        per_head = self.config.qk_norm == "per_head"
        q_weight, k_weight = {
            "per_head": lambda: (self.q_weight, self.k_weight),
            "shared": lambda: (self.q_norm_weight, self.k_norm_weight),
            "none": lambda: (None, None),
        }[self.config.qk_norm]()
        sizes = self.layer.heads, self.layer.kv_heads
        offset = 0.0 if per_head else 1.0
        return qk_norm_rope(self.qkv_proj(x), *sizes, q_weight, k_weight, offset, self.config.norm_eps, tables)

    def tables(self, position: torch.Tensor, wide: torch.dtype) -> tuple[torch.Tensor, torch.Tensor] | None:
        """cos and sin for positions; None where this layer turns nothing."""
        if not self.layer.rope_base:
            return None
        return rope_tables(position, self.config.head_dim, self.layer.rope_base, self.config.rope_scaling, wide)

    def prepare(self, x_BTD: torch.Tensor, documents: Documents) -> None:
        """Make what layers share, outside of compiled graphs: in them, the first layer would be another graph."""
        self._shared_tables(x_BTD, documents)
        prepare_attention(documents, self.layer.window, x_BTD)

    def _shared_tables(self, x_BTD: torch.Tensor, documents: Documents) -> tuple[torch.Tensor, torch.Tensor] | None:
        key = "rope", self.layer.rope_base, (wide := _wide(x_BTD))
        return documents.once(key, lambda: self.tables(documents.position_BT, wide))

    def forward(self, x_BTD: torch.Tensor, documents: Documents, state: KeyState | None = None) -> torch.Tensor:
        q, k, v = self.qkv(x_BTD, self._shared_tables(x_BTD, documents))
        if state is not None:
            _fill(state, k, v, documents)
        return self.o_proj(attention(q, k, v, documents, self.layer.window).flatten(2))

    def step(self, x_BD: torch.Tensor, cache: Cache, state: KeyState) -> torch.Tensor:
        """One token a row; its key and value go into the ring."""
        q, k, v = self.qkv(x_BD, self.tables(cache.position_B, _wide(x_BD)))
        slot = (cache.time % state.k_BSKP.shape[1]).reshape(1)
        state.k_BSKP.index_copy_(1, slot, k[:, None].to(state.k_BSKP.dtype))
        state.v_BSKP.index_copy_(1, slot, v[:, None].to(state.v_BSKP.dtype))
        state.seen_BS.index_fill_(1, slot, True)
        return self.o_proj(attention_step(q, state.k_BSKP, state.v_BSKP, state.seen_BS).flatten(1))


def _wide(x: torch.Tensor) -> torch.dtype:
    return torch.float64 if x.dtype == torch.float64 else torch.float32


def _fill(state: KeyState, k: torch.Tensor, v: torch.Tensor, documents: Documents) -> None:
    """Put the last tokens of a prompt into the ring, each into the slot of its time."""
    tokens, slots = k.shape[1], state.k_BSKP.shape[1]
    first = max(0, tokens - slots)
    place = torch.arange(first, tokens, device=k.device) % slots
    last = documents.document_BT[:, -1:]
    state.k_BSKP[:, place] = k[:, first:].detach().to(state.k_BSKP.dtype)
    state.v_BSKP[:, place] = v[:, first:].detach().to(state.v_BSKP.dtype)
    state.seen_BS[:, place] = documents.document_BT[:, first:] == last


class Mamba(nn.Module):
    """Mamba 2's recurrence behind projections of Mamba 1's kind; float32 between in_proj and out_proj."""

    def __init__(self, config: ModelConfig, layer: LayerConfig) -> None:
        super().__init__()
        self.config = config
        width, heads, n, rank = config.d_inner, config.mamba_heads, config.d_state, config.dt_rank
        self.in_proj = Linear(2 * width, config.d_model)
        self.bcdt_proj = Linear(2 * n + rank, width)
        self.dt_proj = Linear(heads, rank)
        self.out_proj = Linear(config.d_model, width)
        self.conv_weight = nn.Parameter(torch.empty(width, 1, config.d_conv))
        self.A_log = nn.Parameter(torch.empty(heads))
        self.D = nn.Parameter(torch.empty(heads))
        self.dt_bias = nn.Parameter(torch.empty(heads))
        self.dt_norm_weight = nn.Parameter(torch.empty(rank))
        self.B_norm_weight = nn.Parameter(torch.empty(n))
        self.C_norm_weight = nn.Parameter(torch.empty(n))

    def _bcdt(self, x: torch.Tensor, like: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """B [..., N], C [..., N], dt [..., M] (before bias and softplus) of the convolved x [..., M, P]."""
        bcdt = self.bcdt_proj(x.flatten(-2).to(like.dtype))
        weights = self.B_norm_weight, self.C_norm_weight, self.dt_norm_weight
        b, c, dt = bcdt_prep(bcdt, *weights, self.config.norm_eps)
        return b, c, self.dt_proj(dt)

    def prepare(self, u_BTD: torch.Tensor, documents: Documents) -> None:
        """Make what layers share, outside of compiled graphs."""
        _ = documents.start_BT, documents.position_BT

    def forward(self, u_BTD: torch.Tensor, documents: Documents, state: MambaState | None = None) -> torch.Tensor:
        heads, size = self.config.mamba_heads, self.config.mamba_head_dim
        zx = self.in_proj(u_BTD).unflatten(-1, (heads, 2 * size))  # in each head z, then x
        x, z, conv = conv_silu_and_gate(zx, self.conv_weight, documents)  # [B, T, M, P]
        b, c, dt = self._bcdt(x, u_BTD)
        a_M, start = -torch.exp(self.A_log), documents.start_BT
        y, ssm = ssd(x, dt, a_M, b, c, self.D, z, self.dt_bias, start, one=documents.one)
        if state is not None:
            state.conv_BCS.copy_(conv)
            state.ssm_BMPN.copy_(ssm.detach())
        return self.out_proj(y.flatten(2).to(u_BTD.dtype))

    def step(self, u_BD: torch.Tensor, cache: Cache, state: MambaState) -> torch.Tensor:
        """One token a row; the state moves on in place."""
        heads, size = self.config.mamba_heads, self.config.mamba_head_dim
        zx = self.in_proj(u_BD).unflatten(-1, (heads, 2 * size))
        x, conv = conv_silu_step(zx, self.conv_weight, state.conv_BCS)
        b, c, dt = self._bcdt(x, u_BD)
        a_M = -torch.exp(self.A_log)
        y, ssm = ssd_step(x, dt, a_M, b, c, self.D, zx[..., :size], self.dt_bias, state.ssm_BMPN)
        state.conv_BCS.copy_(conv)
        state.ssm_BMPN.copy_(ssm)
        return self.out_proj(y.flatten(1).to(u_BD.dtype))


class Layer(nn.Module):
    """Mixer and MLP, each between its norms."""

    def __init__(self, config: ModelConfig, layer: LayerConfig) -> None:
        super().__init__()
        width, eps = config.d_model, config.norm_eps
        self.post_norm = config.post_norm
        self.pre_mixer_norm = Norm(width, PRE_OFFSET, eps)
        self.mixer: Any = (Mamba if layer.mixer == "mamba" else Attention)(config, layer)
        self.pre_mlp_norm = Norm(width, PRE_OFFSET, eps)
        self.mlp = Mlp(config, layer)
        if self.post_norm:
            self.post_mixer_norm = Norm(width, POST_MIXER_OFFSET, eps)
            self.post_mlp_norm = Norm(width, POST_MLP_OFFSET, eps)

    def forward(
        self, x_BTD: torch.Tensor, documents: Documents, state: KeyState | MambaState | None = None
    ) -> torch.Tensor:
        return self._around(x_BTD, self.mixer(self.pre_mixer_norm(x_BTD), documents, state))

    def step(self, x_BD: torch.Tensor, cache: Cache, state: KeyState | MambaState) -> torch.Tensor:
        """One token a row."""
        return self._around(x_BD, self.mixer.step(self.pre_mixer_norm(x_BD), cache, state))

    def _around(self, x: torch.Tensor, branch: torch.Tensor) -> torch.Tensor:
        """x with the mixer's branch, then the MLP's, added."""
        if not self.post_norm:
            x = x + branch
            return x + self.mlp(self.pre_mlp_norm(x))
        post, pre = self.post_mixer_norm, self.pre_mlp_norm
        x, h = sandwich_norm(x, branch, post.weight, post.offset, pre.weight, pre.offset, pre.eps)
        return x + self.post_mlp_norm(self.mlp(h))


class Model(nn.Module):
    """A language model. ``compute_dtype``: what activations and products are in; None for the type of the weights.

    checkpointing: keep a layer's input alone for the backward pass and compute the layer again.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.compute_dtype: torch.dtype | None = None
        self.checkpointing = False
        self.embed = nn.Embedding(config.vocab_size, config.d_model)
        self.layers = nn.ModuleList(Layer(config, layer) for layer in config.layers)
        self.final_norm = Norm(config.d_model, PRE_OFFSET, config.norm_eps)
        self.head = None if config.tied else Linear(config.vocab_size, config.d_model)

    @torch.no_grad()
    def init(self, seed: int) -> "Model":
        """Set every weight as in the table above. Each draws from a generator of (seed, its name), so that weights
        depend neither on the order of layers nor on how the model is cut over devices."""
        for name, parameter in self.named_parameters():
            parameter.copy_(_initial(name, parameter.shape, seed).to(parameter.dtype))
        return self

    @property
    def head_weight(self) -> torch.Tensor:
        """[V, D]."""
        return self.embed.weight if self.head is None else self.head.weight

    def _embedded(self, tokens: torch.Tensor) -> torch.Tensor:
        x = F.embedding(tokens, self.embed.weight)
        return x if self.compute_dtype is None else x.to(self.compute_dtype)

    def forward(
        self, tokens_BT: torch.Tensor, documents: Documents | None = None, cache: Cache | None = None
    ) -> torch.Tensor:
        """The last hidden state [B, T, D], after the final norm. documents: None for one document a row."""
        documents = documents or Documents.single(tokens_BT.shape[0], tokens_BT.shape[1], tokens_BT.device)
        x = self._embedded(tokens_BT)
        layers: Any = self.layers
        for layer in layers:
            layer.mixer.prepare(x, documents)
        for number, layer in enumerate(layers):
            if self.checkpointing and torch.is_grad_enabled():
                x = checkpoint(layer, x, documents, use_reentrant=False)
            else:
                x = layer(x, documents, cache.layers[number] if cache else None)
        return self.final_norm(x)

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """[..., V] in float32 (float64 for float64)."""
        logits = F.linear(hidden, self.head_weight.to(hidden.dtype))
        return logits if logits.dtype == torch.float64 else logits.float()

    def loss(self, batch: TokenBatch) -> tuple[torch.Tensor, torch.Tensor]:
        """Cross-entropy and log of the sum of exponentials of each token, [B, T] each; no weights, no reduction."""
        hidden = self(batch.tokens_BT, batch.documents())
        loss, lse = linear_ce(hidden.flatten(0, 1), self.head_weight, batch.targets_BT.flatten())
        return loss.view_as(batch.weight_BT), lse.view_as(batch.weight_BT)

    @torch.no_grad()
    def prefill(self, tokens_BT: torch.Tensor, document_BT: torch.Tensor | None, cache: Cache) -> torch.Tensor:
        """Logits [B, V] after prompts that end together, and the cache filled. Shorter prompts are padded on the left
        with an earlier document: documents do not see each other, so padding changes nothing."""
        if document_BT is None:
            document_BT = torch.zeros_like(tokens_BT, dtype=torch.int32)
        documents = Documents(document_BT)
        hidden = self(tokens_BT, documents, cache)
        cache.position_B.copy_(documents.position_BT[:, -1] + 1)
        cache.time.fill_(tokens_BT.shape[1])
        return self.logits(hidden[:, -1])

    @torch.no_grad()
    def step(self, tokens_B: torch.Tensor, cache: Cache) -> torch.Tensor:
        """Logits [B, V] after one more token a row. Changes the cache in place, waits for no device."""
        x = self._embedded(tokens_B)
        layers: Any = self.layers
        for layer, state in zip(layers, cache.layers, strict=True):
            x = layer.step(x, cache, state)
        cache.position_B.add_(1)
        cache.time.add_(1)
        return self.logits(self.final_norm(x))


def _initial(name: str, shape: torch.Size, seed: int) -> torch.Tensor:
    """The start of one weight, float32."""
    digest = hashlib.sha256(f"{seed} {name}".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)
    last = name.rpartition(".")[2]
    kinds: dict[str, Callable[[], torch.Tensor]] = {
        "A_log": lambda: torch.arange(1, shape[0] + 1, dtype=torch.float32).log(),
        "dt_bias": lambda: _dt_bias(shape, generator),
        "conv_weight": lambda: (2 * torch.rand(shape, generator=generator) - 1) * shape[-1] ** -0.5,
        **dict.fromkeys(("q_norm_weight", "k_norm_weight"), lambda: torch.zeros(shape)),
        **dict.fromkeys(
            ("D", "q_weight", "k_weight", "B_norm_weight", "C_norm_weight", "dt_norm_weight"),
            lambda: torch.ones(shape),
        ),
    }
    if last in kinds:
        return kinds[last]()
    if len(shape) == 1:  # norms
        return torch.zeros(shape)
    return torch.randn(shape, generator=generator) * INIT_STD


def _dt_bias(shape: torch.Size, generator: torch.Generator) -> torch.Tensor:
    """The number whose softplus is a step drawn log-uniformly."""
    low, high = map(math.log, DT_RANGE)
    step = torch.exp(torch.rand(shape, generator=generator) * (high - low) + low).clamp(min=DT_FLOOR)
    return step + torch.log(-torch.expm1(-step))
