"""Pruning: what gives 0 goes without a trace, what does most is missed most, and the pattern of layers stays."""

from dataclasses import replace

import pytest
import torch

from jacorpus.errors import RecipeError
from tokenizer_lab.tokens import Tokens
from trainer.batch import TokenBatch
from trainer.config import LayerConfig, ModelConfig
from trainer.held_out import HeldOutText
from trainer.importance import Importance, calibration, measure
from trainer.model import Model
from trainer.opened import open_model
from trainer.pretrain import Pretraining
from trainer.prune import Shares, prune
from trainer.reuse import deepen

VOCAB = 50
PAIR = (LayerConfig("mamba", 24), LayerConfig("window", 16, heads=4, kv_heads=2, window=5))


def grown(layers: int = 4, **change: object) -> Model:
    """A random float64 hybrid, far from uniform."""
    sizes = {"head_dim": 4, "mamba_heads": 4, "mamba_head_dim": 4, "d_state": 4, "dt_rank": 4, "norm_eps": 1e-30}
    config = ModelConfig(VOCAB, 16, PAIR * (layers // 2), **{**sizes, **change})  # type: ignore[arg-type]
    model = Model(config).init(3).double().requires_grad_(False)
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    return model


def batch(rows: int = 4, length: int = 12) -> TokenBatch:
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(VOCAB, (rows, length + 1), generator=generator)
    document = (torch.arange(length) >= 7).int().repeat(rows, 1)
    zero = torch.zeros(rows, dtype=torch.int32)
    return TokenBatch(ids[:, :-1], ids[:, 1:], torch.ones(rows, length), document, zero)


def away(model: Model, small: Model) -> float:
    """Largest difference of logits."""
    b = batch()
    one, other = (m.logits(m(b.tokens_BT, b.documents())) for m in (model, small))
    return float((one - other).detach().abs().max())


def silence(model: Model) -> None:
    """Have units of every width but d_model give 0: in each layer others."""
    for i, layer in enumerate(model.layers):
        config = model.config.layers[i]
        layer.mlp.gate_up_proj.weight[config.d_ff + torch.arange(i % 2, config.d_ff, 2)] = 0
        if config.mixer == "mamba":
            layer.mixer.in_proj.weight.view(4, 2, 4, -1)[[i % 4, (i + 1) % 4], 1] = 0  # of x; z may be anything
        else:
            layer.mixer.qkv_proj.weight.view(8, 4, -1)[6 + i % 2] = 0  # v of a group


def test_units_that_give_0_go_without_a_trace() -> None:
    model = grown()
    silence(model)
    small = prune(model, measure(model, [batch()]), Shares(ffn=0.5, heads=0.5, mamba=0.5))
    assert small.config.mamba_heads == 2
    assert [(la.d_ff, la.heads, la.kv_heads) for la in small.config.layers[:2]] == [(16, 0, 0), (8, 2, 1)]
    assert small.config.parameters() == sum(p.numel() for p in small.parameters())
    assert away(model, small) <= 1e-12


@pytest.mark.parametrize("change", [{}, {"qk_norm": "shared"}, {"qk_norm": "none", "post_norm": False, "tied": False}])
def test_channels_that_are_0_go_without_a_trace(change: dict[str, object]) -> None:
    model, gone = grown(**change), [1, 4, 5, 6, 9, 11, 14, 15]
    model.embed.weight[:, gone] = 0
    for layer in model.layers:
        for last in (layer.mlp.down_proj, getattr(layer.mixer, "o_proj", None) or layer.mixer.out_proj):
            last.weight[gone] = 0
    importance = measure(model, [batch()])
    small = prune(model, importance, Shares(hidden=0.5))
    assert small.config.d_model == 8
    assert away(model, small) <= 1e-12
    # the twin that only slices: RMS norms over fewer channels make everything smaller
    sliced = {name: torch.full_like(each, 1.0) for name, each in importance.energy.items()}
    assert away(model, prune(model, replace(importance, energy=sliced), Shares(hidden=0.5))) > 0.1


def test_blocks_that_add_nothing_go_and_the_alternation_stays() -> None:
    model = grown()
    deep = deepen(model, 8)
    small = prune(deep, measure(deep, [batch()]), Shares(layers=0.5))
    assert small.config == model.config
    assert away(model, small) <= 1e-12
    assert away(deep, small) <= 1e-12


def test_heads_of_a_single_group_go_one_by_one() -> None:
    layers = (LayerConfig("full", 16, heads=4, kv_heads=1),) * 2
    model = Model(ModelConfig(VOCAB, 16, layers, head_dim=4)).init(0).double().requires_grad_(False)
    for layer in model.layers:
        layer.mixer.o_proj.weight[:, 4:12] = 0  # two heads that nobody reads
    importance = measure(model, [batch()])
    importance.heads[:] = [torch.tensor([1.0, 0, 0, 1])] * 2
    small = prune(model, importance, Shares(heads=0.5))
    assert [(layer.heads, layer.kv_heads) for layer in small.config.layers] == [(2, 1)] * 2
    assert away(model, small) <= 1e-12


@pytest.fixture(scope="module")
def trained(small_tokens: Tokens, tmp_path_factory: pytest.TempPathFactory) -> tuple[Model, Importance, HeldOutText]:
    """A model that learned something, what matters in it, and text to judge by."""
    model = {"layers": ["mamba", "window"], "repeat": 3, "d_model": 32, "d_ff": 64, "head_dim": 8, "kv_heads": 4}
    train = {"tokens": 65_536, "batch_tokens": 1024, "seq_len": 128, "lr": 1e-2, "warmup": 0.1, "log_every": 50}
    train |= {"checkpoint_every": 1000, "tensorboard": False, "threads": 1, "eval_tokens": 0}
    out = tmp_path_factory.mktemp("pruned") / "run"

    class Silent:
        def update(self, row: object) -> None: ...

        def say(self, line: str) -> None: ...

    Pretraining({"model": {**model, "window": 16, "d_state": 8}, "train": train}, small_tokens.folder, out).run(
        Silent()
    )
    found = open_model(out).model
    held_out = HeldOutText(small_tokens, list(small_tokens.domains), 128, 8, 8192, None)
    return found, measure(found, calibration(small_tokens, 128, 8192)), held_out


def loss(model: Model, text: HeldOutText) -> float:
    found = text.measured(model).values()
    return sum(each.loss * each.tokens for each in found) / sum(each.tokens for each in found)


def changed(importance: Importance, change: object) -> Importance:
    """Another order of the units."""
    assert callable(change)
    ffn, heads = ([change(each) for each in of] for of in (importance.ffn, importance.heads))
    blocks = change(torch.tensor(importance.blocks)).tolist()
    return replace(importance, ffn=ffn, heads=heads, hidden=change(importance.hidden), blocks=blocks)


@pytest.mark.parametrize("kind", ["ffn", "mamba", "heads", "hidden", "layers"])
def test_what_does_most_is_missed_most(kind: str, trained: tuple[Model, Importance, HeldOutText]) -> None:
    """Negative control: keeping the least important or, in the mean, random units is worse."""
    model, importance, text = trained
    shares = Shares(**{kind: 0.5 if kind != "layers" else 0.67})
    generator = torch.Generator().manual_seed(0)
    kept = loss(prune(model, importance, shares), text)
    worst = loss(prune(model, changed(importance, torch.neg), shares), text)
    random = [
        changed(importance, lambda each: torch.rand(each.shape, generator=generator, dtype=torch.float64))
        for _ in range(4)
    ]
    mean = sum(loss(prune(model, each, shares), text) for each in random) / len(random)
    whole = loss(model, text)
    assert whole < kept < worst
    if kind != "heads":  # of this model's few heads none matters much: random ones lie in between by chance alone
        assert kept < mean < worst


def test_the_same_calibration_every_time(small_tokens: Tokens) -> None:
    one, again = (calibration(small_tokens, 64, 2000, seed=5) for _ in range(2))
    assert all(torch.equal(a.tokens_BT, b.tokens_BT) for a, b in zip(one, again, strict=True))
    assert sum(each.tokens_BT.numel() for each in one) >= 2000


@pytest.mark.parametrize(
    ("shares", "sentence"),
    [({}, "nothing would be pruned"), ({"ffn": 0.0}, "share of ffn"), ({"heads": 1.5}, "share of heads")],
)
def test_shares_that_make_no_sense(shares: dict[str, float], sentence: str) -> None:
    with pytest.raises(RecipeError, match=sentence):
        Shares(**shares)


def test_layers_without_a_pattern_stay() -> None:
    model = grown(2)
    with pytest.raises(RecipeError, match="repeat no shorter pattern"):
        prune(model, measure(model, [batch()]), Shares(layers=0.5))
