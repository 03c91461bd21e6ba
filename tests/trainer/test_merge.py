"""Merging: every method against numbers worked out by hand, and beside each a wrong twin that the same check tells."""

import json
import weakref
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch.utils._python_dispatch import TorchDispatchMode

from jacorpus.errors import InputError, RecipeError
from tests.trainer.export import tiny
from tests.trainer.opened_model import PAIR, random_model, token_folder
from trainer.config import LayerConfig
from trainer.export import export
from trainer.merge import average, merge, merged_weights
from trainer.merge_methods import METHODS, agreeing_mean, dropped, linear, slerp, stock_share, trimmed
from trainer.model import Model
from trainer.opened import open_model, save_model

T = torch.tensor


def wide(*numbers: float) -> torch.Tensor:
    return T(numbers, dtype=torch.float64)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A base and three models, with one tokenizer and chat template."""
    where = tmp_path_factory.mktemp("merge")
    tokens = token_folder(where / "data")
    entry, made = tokens.manifest["tokenizer"], []
    for number in range(4):
        folder = where / f"model-{number}"
        model = random_model(entry["vocab_size"], 0)
        with torch.no_grad():
            for name, p in model.named_parameters():
                digit = torch.Generator().manual_seed(hash_of(name) + number)
                p.add_(0.02 * number * torch.randn(p.shape, generator=digit))
        save_model(folder, model, entry, entry["eos_id"], 7, tokens.folder)
        about = json.loads((folder / "config.json").read_bytes())
        about["chat"] = {"name": "mine", "template": "{% generation %}{% endgeneration %}", "stop_id": 2}
        (folder / "config.json").write_text(json.dumps(about))
        made.append(folder)
    return made


def hash_of(name: str) -> int:
    return sum(ord(letter) * (i + 1) for i, letter in enumerate(name)) * 10


def loaded(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def test_linear_is_the_weighted_mean(folders: list[Path]) -> None:
    a, b = loaded(folders[1]), loaded(folders[2])
    found = merged_weights("linear", folders[1:3], (1.0, 3.0), None, {}, 0)
    assert list(found) == list(dict(Model(open_model(folders[1]).config).named_parameters()))
    for name, tensor in found.items():
        assert torch.equal(tensor, (0.25 * a[name].double() + 0.75 * b[name].double()).float())
        assert (tensor - (a[name] + 3 * b[name])).abs().max() > 1e-3  # the control: not divided by the weights' sum


def test_slerp_keeps_the_norm_and_divides_the_angle() -> None:
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.nn.functional.normalize(torch.randn(999, generator=generator).double(), dim=0) for _ in "ab")
    whole = torch.acos(a @ b)
    for share in (0.1, 0.5, 0.9):
        found = slerp((a, b), (1 - share, share))
        assert abs(float(found.norm()) - 1) < 1e-12
        assert float(torch.acos(a @ found)) == pytest.approx(share * float(whole), abs=1e-9)
    assert float(linear((a, b), (1, 1)).norm()) < 0.8  # the control
    assert torch.equal(slerp((a, a), (1, 1)), a)


def test_ties_by_hand() -> None:
    """Three changes of five entries; the share .6 keeps three of each."""
    changes = [wide(1, -2, 3, 0.1, 0.2), wide(2, 1, -4, 0.1, -0.3), wide(3, 0.2, -1, 0.5, 0.1)]
    kept = [trimmed(change, 0.6) for change in changes]
    assert torch.equal(
        torch.stack(kept), torch.stack([wide(1, -2, 3, 0, 0), wide(2, 1, -4, 0, 0), wide(3, 0, -1, 0.5, 0)])
    )
    wanted = wide(2, -2, -2.5, 0.5, 0)
    assert torch.equal(agreeing_mean(kept, (1, 1, 1)), wanted)
    both = torch.stack(kept)
    control = both.sum(0) / (both != 0).sum(0).clamp(min=1)  # no election of signs
    assert torch.equal(control, wide(2, -0.5, -2 / 3, 0.5, 0))
    assert float(agreeing_mean(kept, (3, 1, 1))[2]) == 3  # 9 against 5: the weights elect too


def test_dare_keeps_the_mean() -> None:
    uniform = torch.rand(1_000_000, generator=torch.Generator().manual_seed(0))
    found = dropped(torch.ones(1_000_000, dtype=torch.float64), 0.9, uniform)
    assert float(found.mean()) == pytest.approx(1, abs=0.01)  # a deviation of .003
    assert float((found != 0).double().mean()) == pytest.approx(0.1, abs=0.002)
    assert abs(float((found != 0).double().mean()) - 1) > 0.8  # the control: without 1 / (1 - p)


def test_dares_draws_have_keys_of_their_own(folders: list[Path]) -> None:
    """The same for a tensor whatever else is merged, other for another seed, tensor or model."""
    base, one = loaded(folders[0]), loaded(folders[1])
    options = {"drop": 0.5}

    def kept(chosen: list[Path], weights: tuple[float, ...], seed: int = 0) -> dict[str, torch.Tensor]:
        found = merged_weights("dare_linear", chosen, weights, folders[0], options, seed)
        return {name: (tensor - base[name]).abs() > 1e-6 for name, tensor in found.items()}

    first = kept([folders[1], folders[2]], (1.0, 0.0))
    assert all(torch.equal(each, first[name]) for name, each in kept([folders[1], folders[3]], (1.0, 0.0)).items())
    name = "layers.0.mlp.gate_up_proj.weight"
    changed = (one[name] - base[name]).abs() > 1e-6
    assert float(first[name].float().mean()) == pytest.approx(0.5 * float(changed.float().mean()), abs=0.05)
    others = kept([folders[1], folders[2]], (1.0, 0.0), 1), kept([folders[2], folders[1]], (0.0, 1.0))
    assert all(float((first[name] ^ other[name]).float().mean()) > 0.4 for other in others)


def test_stock_finds_a_planted_center() -> None:
    """Models around a center, each off by noise: the share that comes nearest the center is the one found."""
    generator = torch.Generator().manual_seed(0)
    center = torch.randn(20_000, generator=generator).double()
    changes = [center + 0.7 * torch.randn(20_000, generator=generator).double() for _ in range(5)]
    mean, share = linear(changes, [1.0] * 5), stock_share(changes)
    best = float((mean @ center) / (mean @ mean))
    assert share == pytest.approx(best, abs=0.003)
    assert 0.90 < share < 0.92
    assert (share * mean - center).norm() < (mean - center).norm() * 0.97  # the control: t = 1
    assert stock_share([center, torch.zeros_like(center)]) == 0
    assert stock_share([center, -center]) == 0


@pytest.mark.parametrize("method", METHODS)
def test_a_merge_opens_with_all_that_the_first_had(method: str, folders: list[Path], tmp_path: Path) -> None:
    base = folders[0] if METHODS[method].change else None
    result = merge(method, folders[1:3], (), base, {}, 3, tmp_path / "out")
    opened, first = open_model(tmp_path / "out"), open_model(folders[1])
    wanted = merged_weights(method, folders[1:3], (), base, {}, 3)
    assert all(torch.equal(tensor, wanted[name]) for name, tensor in opened.model.state_dict().items())
    assert opened.need_tokenizer().fingerprint == first.need_tokenizer().fingerprint
    assert (opened.chat, opened.eos_id) == (first.chat, first.eos_id)
    assert opened.config.tied
    assert "head.weight" not in wanted
    record = json.loads((tmp_path / "out/merge.json").read_bytes())
    assert {**record, "out": str(tmp_path / "out"), "parameters": opened.config.parameters()} == result
    assert len(record["models"][0]["sha256"]["model.safetensors"]) == 64
    assert ("base" in record) == (base is not None)
    before = (tmp_path / "out/model.safetensors").read_bytes()
    with pytest.raises(InputError, match="exists already"):
        merge(method, folders[1:3], (), base, {}, 3, tmp_path / "out")
    merge(method, folders[1:3], (), base, {}, 3, tmp_path / "out", force=True)
    assert (tmp_path / "out/model.safetensors").read_bytes() == before


def test_equal_models_stay_what_they_are(folders: list[Path]) -> None:
    one = loaded(folders[1])
    for method in METHODS:
        options = {"density": 1.0} if method == "ties" else {"drop": 0.0} if method.startswith("dare") else {}
        found = merged_weights(method, [folders[1]] * 2, (), folders[0], options, 0)
        assert max(float((tensor - one[name]).abs().max()) for name, tensor in found.items()) < 1e-6, method


@pytest.mark.parametrize("make", [tiny.plamo2, tiny.plamo3, tiny.llama, tiny.qwen3, tiny.odd])
def test_exports_become_an_export(make: Any, tmp_path: Path) -> None:
    """In the first's own types and names, its tables untouched; runs of the same shape join in."""
    models = [tiny.model_of(make(), seed) for seed in (0, 1)]
    for number, model in enumerate(models):
        export(model, tmp_path / f"{number}", "hf", dtype="bf16", context_length=512)
    save_model(tmp_path / "run", models[1])
    merge("linear", [tmp_path / "0", tmp_path / "1"], (), None, {}, 0, tmp_path / "out")
    found, first, second = (loaded(tmp_path / name) for name in ("out", "0", "1"))
    assert {n: (t.dtype, t.shape) for n, t in found.items()} == {n: (t.dtype, t.shape) for n, t in first.items()}
    for name, tensor in found.items():
        wanted = (first[name].double() + second[name].double()) / 2
        assert (tensor.double() - wanted).abs().max() <= wanted.abs().max() / 128
    for name in ("config.json", "generation_config.json"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "0" / name).read_bytes()
    assert open_model(tmp_path / "out").config == open_model(tmp_path / "0").config
    mixed = merged_weights("linear", [tmp_path / "0", tmp_path / "run"], (), None, {}, 0)
    whole = open_model(tmp_path / "out").model.state_dict()
    assert max(float((whole[name] - tensor).abs().max()) for name, tensor in mixed.items()) < 0.02


class Counted(TorchDispatchMode):
    """Bytes of the tensors alive, at most: those that operations made while it was on."""

    def __init__(self) -> None:
        super().__init__()
        self.alive, self.most = 0, 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        given = {each.data_ptr() for each in args if isinstance(each, torch.Tensor)}
        if isinstance(made, torch.Tensor) and made.device.type == "cpu" and made.data_ptr() not in given:
            size = made.numel() * made.element_size()
            self.alive += size
            self.most = max(self.most, self.alive)
            weakref.finalize(made, self.gone, size)
        return made

    def gone(self, size: int) -> None:
        self.alive -= size


@pytest.fixture(scope="module")
def deep(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A base and two models of many layers."""
    where = tmp_path_factory.mktemp("deep")
    for number in range(3):
        save_model(where / f"{number}", random_model(90, number, PAIR * 14))
    return [where / f"{number}" for number in range(3)]


@pytest.mark.parametrize("method", ["linear", "slerp", "ties", "dare_ties", "stock"])
def test_a_few_tensors_are_in_memory_at_a_time(method: str, deep: list[Path], tmp_path: Path) -> None:
    base, *models = deep
    shapes = [p.numel() for p in open_model(base).model.parameters()]
    with Counted() as counted:
        merge(method, models, (), base, {}, 0, tmp_path / "out")
    largest, whole = 8 * max(shapes), 4 * sum(shapes)
    assert counted.most <= 13 * largest
    assert counted.most < whole / 2
    if method == "linear":
        with Counted() as counted:  # the control
            merged_weights(method, models, (), base, {}, 0)
        assert counted.most > whole


def test_checkpoints_of_a_run_are_averaged(tmp_path: Path) -> None:
    from trainer.checkpoint import Checkpoints

    models = {step: random_model(90, step) for step in (10, 20, 30)}
    save_model(tmp_path, models[30])
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    for step, model in models.items():
        checkpoints.save(step, {"model": {f"model.{n}": p.data for n, p in model.named_parameters()}}, {})
    checkpoints.wait()
    found = average(tmp_path, (10, 30))
    for name, tensor in found.items():
        both = [models[step].state_dict()[name].double() for step in (10, 30)]
        assert torch.equal(tensor, ((both[0] + both[1]) / 2).float())
    with pytest.raises(InputError, match="no whole checkpoint of step 15"):
        average(tmp_path, (10, 15))
    with pytest.raises(RecipeError, match="name the steps"):
        average(tmp_path, ())


@pytest.mark.parametrize(
    ("change", "kind", "told"),
    [
        ({"method": "tie"}, RecipeError, "no merge method `tie`.*ties"),
        ({"options": {"densty": 0.5}}, RecipeError, "no option `densty`.*density"),
        ({"options": {"density": 0.0}}, RecipeError, "density over 0, at most 1, got 0.0"),
        ({"method": "dare_ties", "options": {"drop": 1}}, RecipeError, "drop 0 or more, below 1"),
        ({"weights": (1.0,)}, RecipeError, "1 weights for 2 models"),
        ({"method": "linear", "weights": (1.0, -1.0)}, RecipeError, "sum of weights"),
        ({"weights": (1.0, -0.5)}, RecipeError, "weights must be over 0"),
        ({"base": None}, RecipeError, "ties needs the base"),
        ({"method": "stock", "weights": (1.0, 2.0)}, RecipeError, "leave weights out"),
        ({"method": "slerp", "folders": 3}, RecipeError, "slerp takes two models, got 3"),
        ({"folders": 1}, RecipeError, "two models or more, got 1"),
    ],
)
def test_words_without_a_meaning_are_named(change: dict[str, Any], kind: Any, told: str, folders: list[Path]) -> None:
    given = {"method": "ties", "folders": 2, "weights": (), "base": folders[0], "options": {}, "seed": 0, **change}
    chosen = folders[1 : 1 + given["folders"]]
    with pytest.raises(kind, match=told):
        merged_weights(given["method"], chosen, *(given[name] for name in ("weights", "base", "options", "seed")))


def test_models_that_do_not_fit_are_refused(folders: list[Path], tmp_path: Path) -> None:
    about = json.loads((folders[1] / "config.json").read_bytes())
    vocab = about["model"]["vocab_size"]

    def other(name: str, change: dict[str, Any], model: Model | None = None) -> Path:
        save_model(tmp_path / name, model or random_model(vocab))
        path = tmp_path / name / "config.json"
        path.write_text(json.dumps({**about, "model": json.loads(path.read_bytes())["model"], **change}))
        return tmp_path / name

    def told(second: Path, sentence: str, method: str = "linear") -> None:
        with pytest.raises(InputError, match=sentence):
            merge(method, [folders[1], second], (), folders[0], {}, 0, tmp_path / "out")
        assert not (tmp_path / "out").exists()
        assert not list(tmp_path.glob(".out*"))

    told(other("long", {}, random_model(vocab, layers=(*PAIR, LayerConfig("mamba", 48)))), "differ in layers")
    told(other("wide", {}, random_model(vocab + 1)), "differ in vocab_size")
    told(other("words", {"tokenizer": {**about["tokenizer"], "fingerprint": "x"}}), "tokenizers differ")
    told(other("chat", {"chat": {**about["chat"], "template": "y"}}), "chat templates differ")
    told(other("q", {"quantization": {"bits": 8}}), "is quantized")
    told(tmp_path / "missing", "is no folder")
    (other("cut", {}) / "model.safetensors").unlink()
    told(tmp_path / "cut", "no model.safetensors")
    save_model(tmp_path / "shape", random_model(vocab + 1))
    about_model = {**json.loads((tmp_path / "shape/config.json").read_bytes()), "model": about["model"]}
    (tmp_path / "shape/config.json").write_text(json.dumps(about_model))
    told(tmp_path / "shape", "embed.weight is float32")
    save_model(tmp_path / "whole", random_model(vocab))
    save_file({n: each.int() for n, each in loaded(tmp_path / "whole").items()}, tmp_path / "whole/model.safetensors")
    with pytest.raises(InputError, match="is I32, and F64"):
        merge("linear", [tmp_path / "whole"] * 2, (), None, {}, 0, tmp_path / "out")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine.txt").write_text("kept")
    with pytest.raises(InputError, match="no merged model"):
        merge("linear", folders[1:3], (), None, {}, 0, tmp_path / "out", force=True)
    assert safe_open(folders[1] / "model.safetensors", "pt").metadata() == {"step": "7"}
