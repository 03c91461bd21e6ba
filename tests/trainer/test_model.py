import math
from dataclasses import replace
from typing import Any

import pytest
import torch

from tests.trainer.kernels.twins import assert_near
from trainer.batch import TokenBatch
from trainer.cache import Cache
from trainer.config import LayerConfig, ModelConfig, RopeScaling
from trainer.documents import Documents
from trainer.layouts import model_from_table
from trainer.model import Model

V = 97
MAMBA = LayerConfig("mamba", 40)
WINDOW = LayerConfig("window", 40, heads=4, kv_heads=2, window=6)
FULL = LayerConfig("full", 40, heads=4, kv_heads=1)
SIZES: dict[str, Any] = {"head_dim": 8, "mamba_heads": 3, "mamba_head_dim": 8, "d_state": 8, "dt_rank": 4}

LISTS: dict[str, ModelConfig] = {
    "mamba, window": ModelConfig(V, 32, (MAMBA, WINDOW) * 2, **SIZES),
    "mamba, full": ModelConfig(V, 32, (MAMBA, FULL) * 2, **SIZES),
    "plamo3": ModelConfig(V, 32, (WINDOW, replace(FULL, rope_base=150_000.0)) * 2, **SIZES, qk_norm="shared"),
    "attention": ModelConfig(V, 32, (FULL,) * 3, **SIZES, qk_norm="none", post_norm=False, tied=False),
    "samba": model_from_table({"layout": "samba", "layers": 4, "d_model": 32, "head_dim": 8, "window": 5}, V),
}


def lively(config: ModelConfig, dtype: torch.dtype = torch.float64, seed: int = 0) -> Model:
    """A model none of whose weights is where it starts; logits of size one."""
    model = Model(config).init(seed).to(dtype)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            scale = 2.0 if name.startswith(("embed", "head")) else 0.3 if weight.ndim == 1 else 1.5
            noise = torch.randn(weight.shape, generator=generator, dtype=torch.float64).to(dtype)
            weight.add_(noise * (scale * 0.1))
    return model


def ids(rows: int, tokens: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(0, V, (rows, tokens), generator=torch.Generator().manual_seed(seed))


def batch(rows: int = 2, tokens: int = 70, seed: int = 0, lengths: tuple[int, ...] = (30, 1, 39)) -> TokenBatch:
    tokens_BT = ids(rows, tokens, seed)
    document = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths))[:tokens]
    weight = torch.ones(rows, tokens)
    weight[:, torch.tensor(lengths).cumsum(0).clamp(max=tokens) - 1] = 0
    return TokenBatch(
        tokens_BT,
        tokens_BT.roll(-1, 1),
        weight,
        document.int().expand(rows, -1).contiguous(),
        torch.zeros(rows, dtype=torch.int32),
    )


def gradients(model: Model, given: TokenBatch) -> dict[str, torch.Tensor]:
    """Of the weighted loss with z-loss; with the loss itself."""
    model.zero_grad()
    loss, lse = model.loss(given)
    total = (given.weight_BT * (loss + 1e-3 * lse.square())).mean()
    total.backward()
    found = {name: weight.grad for name, weight in model.named_parameters() if weight.grad is not None}
    return {"loss": loss.detach(), **found}


# counts and the start


def test_counts_of_plamo_2() -> None:
    small = model_from_table({"layout": "plamo2", "layers": 16, "d_model": 2048}, 100_000)
    assert small.parameters() == 1_291_441_920
    large = model_from_table({"layout": "plamo2", "layers": 32, "d_model": 4096}, 100_000)
    assert (large.layers[1].heads, large.layers[1].kv_heads, large.mamba_heads) == (32, 4, 64)
    assert large.parameters() / 1e9 == pytest.approx(9.118, abs=5e-4)
    with torch.device("meta"):
        assert sum(weight.numel() for weight in Model(small).parameters()) == 1_291_441_920


@pytest.mark.parametrize("name", LISTS)
def test_count_is_that_of_the_tensors(name: str) -> None:
    for config in (LISTS[name], replace(LISTS[name], mlp="gelu", tied=not LISTS[name].tied)):
        assert sum(weight.numel() for weight in Model(config).parameters()) == config.parameters()


def test_start() -> None:
    model = Model(model_from_table({"layers": 2, "d_model": 256, "head_dim": 64}, 4000)).init(1)
    weights = dict(model.named_parameters())
    for name, weight in weights.items():
        last = name.rpartition(".")[2]
        if last == "weight" and weight.ndim == 2:
            assert weight.std().item() == pytest.approx(0.02, rel=0.05), name
            assert abs(weight.mean().item()) < 1e-3, name
        elif name.endswith("norm.weight"):
            assert not weight.any(), name
        elif last in ("q_weight", "k_weight", "D") or last.endswith("_norm_weight"):
            assert (weight == 1).all(), name
    heads = model.config.mamba_heads
    assert torch.equal(weights["layers.0.mixer.A_log"].exp().round(), torch.arange(1, heads + 1).float())
    step = torch.nn.functional.softplus(weights["layers.0.mixer.dt_bias"])
    assert (step >= 0.99e-3).all()
    assert (step <= 0.101).all()
    conv = weights["layers.0.mixer.conv_weight"]
    assert conv.abs().max() <= 0.5
    assert conv.std().item() == pytest.approx(0.5 / math.sqrt(3), rel=0.1)


def test_steps_are_spread_log_uniformly() -> None:
    config = replace(LISTS["mamba, full"], mamba_heads=4000, mamba_head_dim=1)
    step = torch.nn.functional.softplus(Model(config).init(0).layers[0].mixer.dt_bias)  # type: ignore[union-attr]
    quartiles = step.log10().quantile(torch.tensor([0.25, 0.5, 0.75]))
    torch.testing.assert_close(quartiles, torch.tensor([-2.5, -2.0, -1.5]), atol=0.05, rtol=0)


def test_a_weights_start_depends_on_seed_and_name_alone() -> None:
    short = dict(Model(LISTS["mamba, window"]).init(3).named_parameters())
    long = dict(Model(ModelConfig(V, 32, (MAMBA, WINDOW) * 4, **SIZES)).init(3).named_parameters())
    for name, weight in short.items():
        assert torch.equal(weight, long[name]), name
    other = dict(Model(LISTS["mamba, window"]).init(4).named_parameters())
    drawn = [n for n, w in short.items() if w.ndim == 2 and "q_weight" not in n and "k_weight" not in n]
    for name in drawn:
        assert not torch.equal(short[name], other[name]), name
    a, b = short["layers.0.mlp.down_proj.weight"], short["layers.2.mlp.down_proj.weight"]
    assert abs(torch.corrcoef(torch.stack((a.flatten(), b.flatten())))[0, 1].item()) < 0.1


@pytest.mark.parametrize("name", LISTS)
def test_the_same_twice(name: str) -> None:
    first, second = (gradients(Model(LISTS[name]).init(0), batch()) for _ in range(2))
    for key, value in first.items():
        assert torch.equal(value, second[key]), key


def test_the_start_predicts_nothing() -> None:
    loss, _ = Model(LISTS["mamba, window"]).init(0).loss(batch())
    assert loss.mean().item() == pytest.approx(math.log(V), rel=0.02)


# documents


def from_embedding(model: Model, x_BTD: torch.Tensor, documents: Documents) -> torch.Tensor:
    """Logits of what the embedding gave."""
    model._embedded = lambda tokens: x_BTD  # type: ignore[method-assign, assignment]
    return model.logits(model(torch.zeros(x_BTD.shape[:2], dtype=torch.int64), documents))


@pytest.mark.parametrize("cut", [1, 64, 70])
@pytest.mark.parametrize("name", LISTS)
def test_documents_do_not_see_each_other(name: str, cut: int) -> None:
    """Another first document: logits and input gradients of the second are the same to the bit, and none of its
    gradient reaches the first."""
    model = lively(LISTS[name], torch.float32)
    documents = Documents(torch.tensor([[0] * cut + [1] * (130 - cut)]))
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1, 130, 32, generator=generator)
    weight = torch.randn(130 - cut, V, generator=generator)
    found = []
    for scale in (1.0, -3.0, 1e6):
        given = x.clone()
        given[:, :cut] *= scale
        logits = from_embedding(model, given.requires_grad_(), documents)[0, cut:]
        (gradient,) = torch.autograd.grad((logits * weight).sum(), given)
        assert not gradient[:, :cut].any()
        found.append((logits.detach(), gradient[:, cut:]))
    for logits, gradient in found[1:]:
        assert torch.equal(logits, found[0][0])
        assert torch.equal(gradient, found[0][1])


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 2e-6)])
@pytest.mark.parametrize("name", LISTS)
def test_packed_equals_separate(name: str, dtype: torch.dtype, tolerance: float) -> None:
    model = lively(LISTS[name], dtype)
    lengths = (1, 1, 62, 3, 65, 8)
    tokens = ids(1, sum(lengths))
    document = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths))[None]
    with torch.no_grad():
        packed = model.logits(model(tokens, Documents(document)))[0].split(lengths)
        apart = [model.logits(model(piece))[0] for piece in tokens.split(lengths, 1)]
    for a, b in zip(packed, apart, strict=True):
        assert_near(a, b, tolerance)


@pytest.mark.parametrize("name", LISTS)
def test_gradients_of_packed_are_the_sum_of_separate(name: str) -> None:
    model, given = lively(LISTS[name]), batch(1, 70)
    packed = gradients(model, given)
    total: dict[str, torch.Tensor] = {}
    for first, last in ((0, 30), (30, 31), (31, 70)):
        piece = given._each(lambda t, f=first, e=last: t[:, f:e] if t.ndim == 2 else t)
        for key, value in gradients(model, piece).items():
            if key != "loss":
                total[key] = total.get(key, 0) + value * (last - first) / 70
    for key, value in total.items():
        assert_near(packed[key], value, 1e-12, key)


def test_a_later_token_changes_nothing_before() -> None:
    for config in LISTS.values():
        model, tokens = lively(config, torch.float32), ids(1, 130)
        other = tokens.clone()
        other[:, 100:] = ids(1, 30, 9)
        with torch.no_grad():
            assert torch.equal(model(tokens)[:, :100], model(other)[:, :100])


# decoding


@pytest.mark.parametrize("name", LISTS)
def test_steps_equal_the_whole(name: str) -> None:
    """After prompts of several lengths; rings turn several times."""
    model, tokens = lively(LISTS[name]), ids(2, 40)
    with torch.no_grad():
        wanted = model.logits(model(tokens))
    for prompt in (1, 2, 5, 6, 7, 8, 20):
        cache = Cache(model.config, 2, 40, "cpu", torch.float64)
        assert_near(model.prefill(tokens[:, :prompt], None, cache), wanted[:, prompt - 1], 1e-12)
        for t in range(prompt, 40):
            assert_near(model.step(tokens[:, t], cache), wanted[:, t], 1e-12, f"prompt {prompt}, token {t}")


@pytest.mark.parametrize("name", LISTS)
def test_prompts_padded_on_the_left_equal_single_ones(name: str) -> None:
    model, lengths, after = lively(LISTS[name]), (3, 11, 1, 8), 12
    prompts = [ids(1, n, n) for n in lengths]
    next_ids = ids(len(lengths), after, 99)
    width = max(lengths)
    tokens, document = torch.zeros(4, width, dtype=torch.int64), torch.zeros(4, width, dtype=torch.int32)
    for row, prompt in enumerate(prompts):
        tokens[row, width - prompt.shape[1] :] = prompt[0]
        document[row, width - prompt.shape[1] :] = 1
    cache = Cache(model.config, 4, width + after, "cpu", torch.float64)
    found = [model.prefill(tokens, document, cache), *(model.step(next_ids[:, t], cache) for t in range(after))]
    for row, prompt in enumerate(prompts):
        alone = Cache(model.config, 1, width + after, "cpu", torch.float64)
        wanted = [model.prefill(prompt, None, alone)]
        wanted += [model.step(next_ids[row : row + 1, t], alone) for t in range(after)]
        for a, b in zip(found, wanted, strict=True):
            assert_near(a[row : row + 1], b, 1e-12, f"prompt of {prompt.shape[1]}")


def test_decoding_in_bfloat16_is_near() -> None:
    model, tokens = lively(LISTS["mamba, window"], torch.float32), ids(2, 30)
    with torch.no_grad():
        wanted = model.logits(model(tokens))[:, -1]
    model.compute_dtype = torch.bfloat16
    cache = Cache(model.config, 2, 30, "cpu", torch.bfloat16)
    model.prefill(tokens[:, :10], None, cache)
    for t in range(10, 30):
        found = model.step(tokens[:, t], cache)
    assert found.dtype == torch.float32
    assert_near(found, wanted, 0.1)


# types, memory, compilation


@pytest.mark.parametrize("name", LISTS)
def test_bfloat16_is_finite_and_near(name: str) -> None:
    model, given = lively(LISTS[name], torch.float32), batch()
    wanted = gradients(model, given)
    model.compute_dtype = torch.bfloat16
    found = gradients(model, given)
    assert found["loss"].dtype == torch.float32
    assert (found["loss"] - wanted["loss"]).abs().mean() < 0.02
    for key, value in wanted.items():
        assert found[key].dtype == torch.float32
        assert found[key].isfinite().all(), key
        if key != "loss":
            cosine = torch.nn.functional.cosine_similarity(found[key].flatten(), value.flatten(), 0)
            assert cosine > 0.98, (key, cosine)


@pytest.mark.parametrize("kind", [None, torch.bfloat16])
@pytest.mark.parametrize("name", LISTS)
def test_checkpointing_changes_no_bit(name: str, kind: torch.dtype | None) -> None:
    model, given = Model(LISTS[name]).init(0), batch()
    model.compute_dtype = kind
    wanted = gradients(model, given)
    model.checkpointing = True
    found = gradients(model, given)
    for key, value in wanted.items():
        assert torch.equal(found[key], value), key


@pytest.mark.parametrize("layer", [MAMBA, WINDOW, FULL], ids=["mamba", "window", "full"])
def test_a_layer_compiles_whole(layer: LayerConfig) -> None:
    torch.compiler.reset()
    model = lively(ModelConfig(V, 32, (layer,), **SIZES))
    compiled = torch.compile(model.layers[0], fullgraph=True, backend="aot_eager")
    for document in ([[0] * 70], [[0] * 31 + [1] * 39]):
        x = torch.randn(1, 70, 32, dtype=torch.float64, requires_grad=True)
        wanted, found = (f(x, Documents(torch.tensor(document))) for f in (model.layers[0], compiled))
        assert_near(found, wanted, 1e-12)
        pair = [torch.autograd.grad(y.square().sum(), [x, *model.layers[0].parameters()]) for y in (found, wanted)]
        for a, b in zip(*pair, strict=True):
            assert_near(a, b, 1e-11)


def test_one_graph_for_each_kind_of_layer() -> None:
    """What layers share is made before them; else the first of a kind would be compiled apart."""
    torch.compiler.reset()
    torch._dynamo.utils.counters.clear()
    model = lively(ModelConfig(V, 32, (MAMBA, WINDOW) * 3, **SIZES), torch.float32)
    given = batch()
    wanted = gradients(model, given)
    for layer in model.layers:
        layer.compile(backend="aot_eager")
    found = gradients(model, given)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 2
    assert not torch._dynamo.utils.counters["graph_break"]
    for key, value in wanted.items():
        assert_near(found[key], value, 1e-5, key)


@pytest.mark.slow
def test_compiled_by_inductor() -> None:
    torch.compiler.reset()
    model, given = lively(LISTS["mamba, window"], torch.float32), batch()
    wanted = gradients(model, given)
    for layer in model.layers:
        layer.compile()
    found = gradients(model, given)
    for key, value in wanted.items():
        assert_near(found[key], value, 1e-4, key)


# options


OPTIONS: dict[str, dict[str, Any]] = {
    "shared norm of q and k": {"qk_norm": "shared"},
    "no norm of q and k": {"qk_norm": "none"},
    "gelu": {"mlp": "gelu"},
    "no post norms": {"post_norm": False},
    "untied": {"tied": False},
    "wide convolution": {"d_conv": 7},
    "narrow convolution": {"d_conv": 2},
    "llama3 positions": {"rope_scaling": RopeScaling(8.0, 1.0, 4.0, 16)},
    "no rotation": {"layers": (MAMBA, replace(WINDOW, rope_base=0.0), replace(FULL, rope_base=0.0))},
    "as many kv heads": {"layers": (MAMBA, replace(WINDOW, kv_heads=4), replace(FULL, kv_heads=4))},
    "sizes by layer": {"layers": (replace(MAMBA, d_ff=8), replace(WINDOW, heads=2, window=2), replace(FULL, d_ff=80))},
}


@pytest.mark.parametrize("option", OPTIONS)
def test_each_option(option: str) -> None:
    """Counts right, every weight learns, steps equal the whole."""
    base = ModelConfig(V, 32, (MAMBA, WINDOW, FULL), **SIZES)
    config = replace(base, **OPTIONS[option])
    model = lively(config)
    assert sum(weight.numel() for weight in model.parameters()) == config.parameters()
    found = gradients(model, batch())
    for name, _ in model.named_parameters():
        assert found[name].any(), name
    tokens = ids(2, 20)
    with torch.no_grad():
        wanted = model.logits(model(tokens))
    cache = Cache(config, 2, 20, "cpu", torch.float64)
    model.prefill(tokens[:, :9], None, cache)
    for t in range(9, 20):
        assert_near(model.step(tokens[:, t], cache), wanted[:, t], 1e-12)
    plain = lively(base)
    with torch.no_grad():
        assert not torch.equal(wanted, plain.logits(plain(tokens)))


def test_without_rotation_places_are_no_matter() -> None:
    """Attention alone, without rotation, over a set: the last token sees the same whatever the order before it."""
    model = lively(ModelConfig(V, 32, (replace(FULL, rope_base=0.0),), **SIZES))
    tokens = ids(1, 9)
    with torch.no_grad():
        one, other = (model(torch.cat((t, tokens[:, -1:]), 1))[:, -1] for t in (tokens, tokens.flip(1)))
    assert_near(one, other, 1e-13)


def test_a_layer_is_its_equation() -> None:
    """x + post_mixer(mixer(pre_mixer(x))), then the same with the MLP; offsets 1, 1/5, 1, 1/5^1.5."""
    model = lively(LISTS["mamba, window"])
    x, documents = torch.randn(1, 9, 32, dtype=torch.float64), Documents.single(1, 9)

    def norm(y: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
        return y / (y.square().mean(-1, keepdim=True) + 1e-6).sqrt() * scale

    for layer in model.layers:
        w: Any = layer
        middle = x + norm(w.mixer(norm(x, 1 + w.pre_mixer_norm.weight), documents), 0.2 + w.post_mixer_norm.weight)
        gate, up = (norm(middle, 1 + w.pre_mlp_norm.weight) @ w.mlp.gate_up_proj.weight.T).chunk(2, -1)
        mlp = (gate * gate.sigmoid() * up) @ w.mlp.down_proj.weight.T
        wanted = middle + norm(mlp, 5**-1.5 + w.post_mlp_norm.weight)
        assert_near(layer(x, documents), wanted, 1e-12)


def test_loss_is_the_cross_entropy_of_the_logits() -> None:
    for name in ("mamba, window", "attention"):  # tied, untied
        model, given = lively(LISTS[name]), batch()
        loss, lse = model.loss(given)
        logits = model.logits(model(given.tokens_BT, given.documents()))
        wanted = torch.nn.functional.cross_entropy(logits.transpose(1, 2), given.targets_BT, reduction="none")
        assert_near(loss, wanted, 1e-12)
        assert_near(lse, logits.logsumexp(-1), 1e-12)


def test_names_of_the_tensors() -> None:
    names = {name for name, _ in Model(LISTS["mamba, window"]).named_parameters()}
    layer = {
        f"layers.{i}.{norm}_norm.weight"
        for i in range(4)
        for norm in ("pre_mixer", "post_mixer", "pre_mlp", "post_mlp")
    }
    mlp = {f"layers.{i}.mlp.{part}_proj.weight" for i in range(4) for part in ("gate_up", "down")}
    mamba = {f"layers.{i}.mixer.{p}_proj.weight" for i in (0, 2) for p in ("in", "bcdt", "dt", "out")}
    small = ("conv_weight", "A_log", "D", "dt_bias", "dt_norm_weight", "B_norm_weight", "C_norm_weight")
    mamba |= {f"layers.{i}.mixer.{p}" for i in (0, 2) for p in small}
    attention = {
        f"layers.{i}.mixer.{p}" for i in (1, 3) for p in ("qkv_proj.weight", "o_proj.weight", "q_weight", "k_weight")
    }
    assert names == {"embed.weight", "final_norm.weight"} | layer | mlp | mamba | attention
