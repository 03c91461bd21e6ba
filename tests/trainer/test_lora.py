"""Adapters: what they compute, alone and merged; their files; stages that train them."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

from jacorpus.errors import InputError, RecipeError
from tests.trainer.export import tiny
from tests.trainer.posttrain.test_stages import LETTERS, SMALL, Dies, chats, context, pairs, weights
from tests.trainer.posttrain.toys import Silent, model_folder
from trainer.adapter_files import load_adapter, save_adapter
from trainer.cache import Cache
from trainer.lora import (
    LoraConfig,
    adapters,
    add_lora,
    config_from_table,
    disabled,
    has_adapter,
    merge_adapter,
    merged,
    plain,
)
from trainer.model import Linear, Model
from trainer.opened import open_model
from trainer.posttrain.preference import Preference
from trainer.posttrain.sft import Sft

__all__ = ["chats", "pairs"]
ALL = ("qkv_proj", "o_proj", "in_proj", "bcdt_proj", "dt_proj", "out_proj", "gate_up_proj", "down_proj")
BOTH = pytest.mark.parametrize("dora", [False, True], ids=["lora", "dora"])


def hybrid() -> Model:
    kinds = tiny.layer("mamba"), tiny.layer("window", 9), tiny.layer("mamba"), tiny.layer("full")
    return tiny.model_of(tiny.plamo2(layers=kinds)).requires_grad_(False)


def moved(model: Model, dora: bool, targets: tuple[str, ...] = ALL, rank: int = 4) -> Model:
    """With adapters far from their start."""
    add_lora(model, LoraConfig(rank, 2.0 * rank, dora, targets))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for _, module in adapters(model):
            module.lora_B += 0.02 * torch.randn(module.lora_B.shape, generator=generator)
            if dora:
                module.magnitude *= 1 + 0.05 * torch.randn(module.magnitude.shape, generator=generator)
    return model


TOKENS = torch.randint(0, tiny.V, (2, 24), generator=torch.Generator().manual_seed(0))


@torch.no_grad()
def logits(model: Model) -> torch.Tensor:
    return model.logits(model(TOKENS))


def apart(found: torch.Tensor, wanted: torch.Tensor) -> float:
    """The largest difference, as a share of the largest logit where that is over 1."""
    return float((found - wanted).abs().max()) / max(1.0, float(wanted.abs().max()))


@BOTH
def test_the_start_changes_nothing(dora: bool) -> None:
    model = hybrid()
    before = logits(model)
    names = add_lora(model, LoraConfig(4, dora=dora, targets=ALL))
    assert len(names) == 4 * 2 + 2 * 2 + 2 * 4
    assert float((logits(model) - before).abs().max()) <= (1e-6 if dora else 0.0)
    trained = {name.rpartition(".")[2] for name, p in model.named_parameters() if p.requires_grad}
    assert trained == {"lora_A", "lora_B", *(["magnitude"] if dora else [])}


@BOTH
def test_merged_is_the_adapter(dora: bool) -> None:
    base = hybrid()
    before, model = logits(base), moved(hybrid(), dora)
    wanted = logits(model)
    assert float((wanted - before).abs().max()) > 0.1
    other = Model(model.config)
    other.load_state_dict(merged(model))
    assert apart(logits(other), wanted) <= 5e-6
    exact = moved(hybrid().double(), dora)
    assert float((logits(other.double().init(0)) - logits(exact)).abs().max()) > 0.1
    other.load_state_dict(merged(exact))
    assert float((logits(other) - logits(exact)).abs().max()) <= 1e-12
    with disabled(model):
        with disabled(model):
            pass
        assert torch.equal(logits(model), before)
    assert torch.equal(logits(model), wanted)
    own = dict(base.named_parameters())
    assert all(torch.equal(own[name], tensor) for name, tensor in plain(model).items())
    merge_adapter(model)
    assert not has_adapter(model)
    assert type(model.get_submodule("layers.0.mixer.in_proj")) is Linear
    assert apart(logits(model), wanted) <= 5e-6
    assert model.state_dict().keys() == other.state_dict().keys()


@BOTH
def test_decoding_is_the_forward_pass(dora: bool) -> None:
    model = moved(hybrid(), dora)
    wanted = logits(model)
    cache = Cache(model.config, 2, 24, "cpu", torch.float32)
    found = [model.prefill(TOKENS[:, :8], None, cache)]
    found += [model.step(TOKENS[:, at], cache) for at in range(8, 24)]
    assert apart(torch.stack(found, 1), wanted[:, 7:]) <= 5e-6


@BOTH
def test_a_planted_change_is_found(dora: bool) -> None:
    """A change of rank 3 on a projection, from outputs alone; the control: an adapter of rank 2 can't."""

    def off(rank: int) -> float:
        torch.manual_seed(0)
        model = hybrid()
        module: Any = model.get_submodule("layers.1.mlp.down_proj")
        outputs, inputs = module.weight.shape
        planted = module.weight + 0.1 * torch.randn(outputs, 3) @ torch.randn(3, inputs)
        wanted = planted * (1 + 0.1 * torch.rand(outputs, 1)) if dora else planted
        add_lora(model, LoraConfig(rank, rank, dora, ("down_proj",)))
        x = torch.randn(512, inputs)
        y = F.linear(x, wanted)
        optimizer = torch.optim.Adam([p for p in module.parameters() if p.requires_grad], 0.1)
        falling = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 1200)
        for _ in range(1200):
            optimizer.zero_grad()
            F.mse_loss(module(x), y).backward()
            optimizer.step()
            falling.step()
        return float((module.merged() - wanted).norm() / (wanted - module.weight).norm())

    assert off(3) <= 1e-3
    assert off(2) > 0.05


def test_doras_norm_is_an_output_rows() -> None:
    model = moved(hybrid(), dora=True)
    _, module = next(adapters(model))
    v = module.weight + module.scale * module.lora_B @ module.lora_A
    by_hand = torch.stack([m * row / (row @ row).sqrt() for m, row in zip(module.magnitude, v, strict=True)])
    assert float((module.merged() - by_hand.detach()).abs().max()) <= 1e-6
    x = torch.randn(5, v.shape[1], generator=torch.Generator().manual_seed(2))
    assert apart(module(x).detach(), (x @ by_hand.T).detach()) <= 5e-6
    control = (v / v.norm(dim=0) * module.weight.norm(dim=0)).detach()  # one number an input
    assert apart(x @ control.T, (x @ by_hand.T).detach()) > 0.1


def test_an_average_of_factors_is_none_of_products() -> None:
    """Off by -a (1 - a) (B1 - B0) (A1 - A0), to rounding; a dense average of products is right."""
    generator = torch.Generator().manual_seed(0)
    a0, a1 = (torch.randn(4, 30, generator=generator).double() for _ in "ab")
    b0, b1 = (torch.randn(20, 4, generator=generator).double() for _ in "ab")
    a = 0.6
    right = (1 - a) * b0 @ a0 + a * b1 @ a1
    factors = torch.lerp(b0, b1, a) @ torch.lerp(a0, a1, a)
    assert float((factors - right).abs().max()) > 1
    assert float((factors - right + a * (1 - a) * (b1 - b0) @ (a1 - a0)).abs().max()) < 1e-12


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ({"targets": ["head"]}, "head is no target"),
        ({"targets": ["conv_weight"]}, "`conv_weight` is no projection"),
        ({"targets": ["qkv_prj"]}, "`qkv_prj`.*qkv_proj"),
        ({"rnk": 3}, "unknown key `rnk`.*rank"),
        ({"rank": 0}, "rank must be"),
        ({"alpha": -1}, "alpha over 0"),
        ({"rank": "4"}, "rank must be"),
    ],
)
def test_bad_tables_are_named(table: dict[str, Any], told: str) -> None:
    with pytest.raises(RecipeError, match=told):
        config_from_table(table)


def test_models_without_a_target_are_refused() -> None:
    with pytest.raises(RecipeError, match="has none of in_proj"):
        add_lora(tiny.model_of(tiny.llama()), LoraConfig(targets=("in_proj",)))
    model = moved(hybrid(), dora=False)
    with pytest.raises(RecipeError, match="has an adapter already"):
        add_lora(model, LoraConfig())


FAMILIES = {"plamo2": tiny.plamo2, "plamo3": tiny.plamo3, "llama": tiny.llama, "qwen3": tiny.qwen3, "own": tiny.odd}


@BOTH
@pytest.mark.parametrize("family", FAMILIES)
def test_files_hold_all(family: str, dora: bool, tmp_path: Path) -> None:
    model = moved(tiny.model_of(FAMILIES[family]()), dora)
    save_adapter(model, tmp_path)
    save_adapter(model, tmp_path / "again")
    for path in tmp_path.glob("adapter*"):
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes()
    other = tiny.model_of(FAMILIES[family]())
    assert load_adapter(other, tmp_path) == [name for name, _ in adapters(model)]
    assert torch.equal(logits(other), logits(model))
    assert all(torch.equal(p, other.state_dict()[name]) for name, p in model.state_dict().items())
    about = json.loads((tmp_path / "adapter_config.json").read_bytes())
    assert (about["r"], about["lora_alpha"], about["use_dora"]) == (4, 8.0, dora)
    assert ("q_proj" in about["target_modules"]) == (family in ("llama", "qwen3"))


def changed(folder: Path, change: Any, **about: Any) -> Path:
    tensors = load_file(folder / "adapter_model.safetensors")
    change(tensors)
    save_file(tensors, folder / "adapter_model.safetensors")
    path = folder / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_bytes()), **about}))
    return folder


NAME = "base_model.model.model.layers.0.self_attn."


def test_parts_that_are_missing_do_nothing(tmp_path: Path) -> None:
    """PEFT's usual targets, q_proj and v_proj alone, if they share A."""
    model = moved(tiny.model_of(tiny.llama()), False, ("qkv_proj",))
    save_adapter(model, tmp_path)

    def without_k(tensors: dict[str, torch.Tensor]) -> None:
        for name in [name for name in tensors if "k_proj" in name]:
            del tensors[name]

    other = tiny.model_of(tiny.llama())
    load_adapter(other, changed(tmp_path, without_k))
    config, layer = other.config, other.config.layers[0]
    q, k = layer.heads * config.head_dim, layer.kv_heads * config.head_dim
    module: Any = other.get_submodule("layers.0.mixer.qkv_proj")
    assert not module.delta()[q : q + k].any()
    wanted: Any = model.get_submodule("layers.0.mixer.qkv_proj")
    assert torch.equal(module.delta()[:q], wanted.delta()[:q])


@pytest.mark.parametrize(
    ("change", "about", "told"),
    [
        (lambda t: t.pop(f"{NAME}q_proj.lora_B.weight"), {}, "q_proj.lora_B.weight is missing"),
        (lambda t: t.update(x=torch.ones(1)), {}, "x has no place in this model"),
        (lambda t: t.clear(), {}, "it adapts nothing"),
        (lambda t: None, {"r": 8}, r"has shape \[4, 64\]"),
        (lambda t: None, {"use_rslora": True}, "use_rslora True is not supported"),
        (lambda t: None, {"peft_type": "IA3"}, "peft_type 'IA3'"),
    ],
)
def test_files_that_do_not_fit_are_refused(change: Any, about: dict[str, Any], told: str, tmp_path: Path) -> None:
    save_adapter(moved(tiny.model_of(tiny.llama()), False, ("qkv_proj",)), tmp_path)
    other = tiny.model_of(tiny.llama())
    with pytest.raises(InputError, match=told):
        load_adapter(other, changed(tmp_path, change, **about))
    assert not has_adapter(other)
    with pytest.raises(InputError, match="holds no adapter"):
        load_adapter(other, tmp_path / "missing")
    with pytest.raises(RecipeError, match="no adapter to save"):
        save_adapter(other, tmp_path / "none")


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return model_folder(tmp_path_factory.mktemp("start"), LETTERS, width=32)


LORA = {"rank": 4, "alpha": 8.0}
KINDS = {
    "sft": lambda chats, pairs: Sft(data=(chats,), epochs=3, lora=LORA, **SMALL),
    "dora": lambda chats, pairs: Sft(data=(chats,), epochs=3, lora={**LORA, "dora": True}, **SMALL),
    "preference": lambda chats, pairs: Preference(data=(pairs,), steps=8, lora=LORA, **SMALL),
    "tr-dpo": lambda chats, pairs: Preference(data=(pairs,), steps=8, sync_every=2, sync_alpha=0.6, lora=LORA, **SMALL),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_stage_trains_an_adapter_and_a_kill_changes_no_bit(
    kind: str, start: Path, tmp_path: Path, chats: str, pairs: str
) -> None:
    stage = KINDS[kind](chats, pairs)
    whole = stage.run(context(start, tmp_path / "whole"))
    for step in (1, 4):
        with pytest.raises(KeyboardInterrupt):
            stage.run(context(start, tmp_path / "cut", Dies(step)))
    assert stage.run(context(start, tmp_path / "cut")) == whole
    assert weights(tmp_path / "cut") == weights(tmp_path / "whole")
    for name in ("adapter_model.safetensors", "adapter_config.json"):
        assert (tmp_path / "cut/adapter" / name).read_bytes() == (tmp_path / "whole/adapter" / name).read_bytes()
    model, base = open_model(tmp_path / "whole").model, open_model(start).model
    load_adapter(base, tmp_path / "whole/adapter")
    assert all(torch.equal(model.state_dict()[name], tensor) for name, tensor in merged(base).items())
    first = open_model(start).model.state_dict()
    same = {name for name, tensor in model.state_dict().items() if torch.equal(tensor, first[name])}
    assert {name.rpartition(".")[0].rpartition(".")[2] for name in first.keys() - same} == {
        *("qkv_proj", "o_proj", "in_proj", "out_proj", "gate_up_proj", "down_proj")
    }


def test_a_moving_reference_of_an_adapter_is_the_dense_one(
    start: Path, tmp_path: Path, pairs: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """(1 - a) rho + a theta over merged weights, by hand at every move; base and adapter come back bit for bit."""
    from trainer.posttrain import preference

    seen: list[tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]] = []
    move = preference.Moving._move

    def watched(self: Any, cycle: int) -> None:
        held = {name: p.clone() for name, p in self.model.state_dict().items()}
        theta = {name: tensor.clone() for name, tensor in merged(self.model).items()}
        move(self, cycle)
        seen.append((theta, load_file(self._path(cycle))))
        assert all(torch.equal(p, held[name]) for name, p in self.model.state_dict().items())

    monkeypatch.setattr(preference.Moving, "_move", watched)
    KINDS["tr-dpo"]("", pairs).run(context(start, tmp_path / "out", Silent()))
    rho: Any = open_model(start).model.state_dict()
    assert len(seen) == 3
    for theta, found in seen:
        rho = {name: 0.4 * rho[name].double() + 0.6 * tensor.double() for name, tensor in theta.items()}
        assert max(float((found[name] - tensor).abs().max()) for name, tensor in rho.items()) < 1e-6
    off = [float((found[name] - theta[name]).abs().max()) for theta, found in seen for name in theta]
    assert max(off) > 1e-4  # the control: not the policy itself
