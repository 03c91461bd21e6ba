"""Proxy runs: a mixture's losses, and runs whose mixture a controller chooses."""

import math
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from jacorpus.errors import InputError, JacorpusError, RecipeError
from tests.trainer.token_shards import token_folder
from tokenizer_lab.tokens import Tokens
from trainer import proxy as proxies
from trainer.proxy import HeldOut, Proxy, ProxySettings, Steered
from trainer.steering import Steering

SMALL = ProxySettings(
    model={"d_model": 32, "d_ff": 48, "head_dim": 16, "window": 16, "d_state": 8},
    lr=4e-3,
    **{"tokens": 4096, "batch_tokens": 512, "seq_len": 64, "valid_tokens": 2048, "checkpoint_every": 50},
)


class Multiplicative:
    """DoReMi's kind of update. wants: alignment follows gradients, loss the clipped excess or the loss itself."""

    def __init__(self, wants: str = "loss", rate: float = 0.5) -> None:
        self.wants, self.rate = wants, rate
        self.weights: dict[str, float] = {}
        self.heard: list[dict[str, Any]] = []

    def identity(self) -> dict[str, Any]:
        return {"method": "multiplicative", "wants": self.wants, "rate": self.rate}

    def update(self, stats: dict[str, Any]) -> dict[str, float]:
        self.heard.append(stats)
        drive = stats["alignment"] if self.wants == "alignment" else stats.get("clipped_excess", stats["loss"])
        top = max(drive.values())
        new = {n: self.weights.get(n, 1.0) * math.exp(self.rate * (value - top)) for n, value in drive.items()}
        total = math.fsum(new[name] for name in sorted(new))
        self.weights = {name: weight / total for name, weight in new.items()}
        return self.weights

    def state_dict(self) -> dict[str, Any]:
        return {"weights": self.weights}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.weights = state["weights"]


class Fixed(Multiplicative):
    """The same answer always."""

    def __init__(self, weights: dict[str, float]) -> None:
        super().__init__()
        self.weights = weights

    def update(self, stats: dict[str, Any]) -> dict[str, float]:
        self.heard.append(stats)
        return self.weights


@pytest.fixture(scope="module")
def proxy(small_tokens: Tokens) -> Proxy:
    return Proxy(small_tokens.folder, settings=SMALL)


@pytest.fixture(scope="module")
def apart(tmp_path_factory: pytest.TempPathFactory) -> Tokens:
    """Three domains that have no id in common, each of a short cycle of its own."""

    def cycle(first: int, count: int) -> list[list[int]]:
        return [[first + (start + i) % 8 for i in range(40)] for start in range(count)]

    domains = {
        name: {"train": cycle(first, 30), "valid": cycle(first, 5)} for name, first in (("a", 1), ("b", 11), ("c", 21))
    }
    return token_folder(tmp_path_factory.mktemp("apart") / "tokens", domains, vocab_size=32)


def test_a_mixture_has_losses_by_name(proxy: Proxy) -> None:
    told: list[tuple[str, int, int]] = []
    found = proxy.losses({"web": 3, "novels": 1}, progress=lambda *at: told.append(at))
    assert list(found) == ["novels", "web"]
    assert all(isinstance(each, HeldOut) and 0 < each.loss < math.log(400) for each in found.values())
    assert all(0 < each.error < 1 and each.tokens > 500 for each in found.values())
    assert told[-1] == ("proxy", 4096, 4096)
    assert proxy.losses({"novels": 0.25, "web": 0.75}) == found, "the same mixture, bit for bit"
    assert proxy.losses({"novels": 0.25, "web": 0.75}, seed=1) != found


def test_bits_per_byte_follow_from_the_loss(proxy: Proxy, small_tokens: Tokens) -> None:
    from trainer.data import text_bytes_per_token

    for name, each in proxy.losses({"web": 1}, tokens=512).items():
        expected = each.loss / math.log(2) / text_bytes_per_token(small_tokens, name)
        assert each.bits_per_byte == pytest.approx(expected, rel=1e-12)


def test_a_model_knows_what_it_was_trained_on(apart: Tokens) -> None:
    proxy = Proxy(apart.folder, settings=replace(SMALL, lr=0.02, tokens=8192))
    one, other = proxy.losses({"a": 1}), proxy.losses({"b": 0.5, "c": 0.5})
    assert one["a"].loss < 0.5 < one["b"].loss
    assert other["b"].loss < 1.0 < other["a"].loss
    assert other["c"].loss < 1.0


def test_finished_runs_are_read_again(small_tokens: Tokens, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mixtures = [{"web": 1.0, "novels": share} for share in (0.5, 1.0, 2.0)]
    first = Proxy(small_tokens.folder, settings=SMALL, cache=tmp_path)
    whole = [first.losses(mixture, tokens=1024) for mixture in mixtures[:2]]
    assert len(list(tmp_path.glob("losses-*.json"))) == 2
    assert not list(tmp_path.glob("*/")), "no checkpoints"
    trained = []
    original = proxies.Loop.execute
    monkeypatch.setattr(proxies.Loop, "execute", lambda self: (trained.append(1), original(self))[1])
    again = Proxy(small_tokens.folder, settings=SMALL, cache=tmp_path)
    assert [again.losses(mixture, tokens=1024) for mixture in mixtures][:2] == whole
    assert trained == [1], "one was new"
    again.losses(mixtures[0], tokens=1024, seed=1)
    Proxy(small_tokens.folder, settings=replace(SMALL, lr=1e-3), cache=tmp_path).losses(mixtures[0], tokens=1024)
    assert trained == [1, 1, 1], "another seed, another setting: another run"
    next(tmp_path.glob("losses-*.json")).write_text("{")
    assert [again.losses(mixture, tokens=1024) for mixture in mixtures][:2] == whole


def test_an_interrupt_ends_a_run_at_once(small_tokens: Tokens, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = proxies.Loop._update

    def stopping(self: Any, batch: Any) -> None:
        original(self, batch)
        if self.step == 3:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(proxies.Loop, "_update", stopping)
    with pytest.raises(KeyboardInterrupt):
        Proxy(small_tokens.folder, settings=SMALL, cache=tmp_path).losses({"web": 1})
    assert not list(tmp_path.iterdir())


def test_settings_of_the_process_come_back(proxy: Proxy) -> None:
    before = torch.get_num_threads()
    torch.use_deterministic_algorithms(False)
    proxy.losses({"web": 1}, tokens=512)
    assert torch.get_num_threads() == before
    assert not torch.are_deterministic_algorithms_enabled()


def steered(apart: Tokens, controller: Any, cache: Path | None = None, **given: Any) -> Steered:
    settings = replace(SMALL, batch_tokens=64 * 6, tokens=64 * 6 * 12)
    return Proxy(apart.folder, settings=settings, cache=cache).steer(controller, **given)


@pytest.mark.parametrize("wants", ["loss", "alignment"])
def test_each_step_hears_of_each_domain_by_name(apart: Tokens, wants: str) -> None:
    controller = Multiplicative(wants)
    found = steered(apart, controller, target={"b": 1.0})
    assert [stats["step"] for stats in controller.heard] == list(range(len(found.trajectory)))
    rows = 6 if wants == "loss" else 9
    for stats in controller.heard:
        assert set(stats["tokens"]) == set(stats["loss"]) == {"a", "b", "c"}
        assert all(stats["tokens"].values())
        assert 0.9 * rows * 64 < sum(stats["tokens"].values()) <= rows * 64
        assert 0 < stats["lr"] <= SMALL.lr
        assert ("alignment" in stats) == (wants == "alignment")
    assert found.last == controller.weights
    assert found.mean["a"] == pytest.approx(sum(row[0] for row in found.trajectory) / len(found.trajectory))
    assert set(found.losses) == {"a", "b", "c"}


def test_what_is_minimized_is_the_weighted_sum_of_domains_means(apart: Tokens, monkeypatch: pytest.MonkeyPatch) -> None:
    """Gradients of one backward pass, with rows of domains in other proportions than the weights."""
    weights = {"a": 0.7, "b": 0.3, "c": 0.0}
    seen = checked(monkeypatch)
    settings = replace(SMALL, batch_tokens=640, tokens=640, precision="fp32")
    Proxy(apart.folder, settings=settings).steer(Fixed(weights), rows={"a": 0.2, "b": 0.5, "c": 0.3})
    loop, batch, grads = seen
    loss_BT, lse_BT = loop.job.module.model.loss(batch)
    total = torch.zeros(())
    for number, name in enumerate(loop.names):
        counts = batch.weight_BT * (batch.domain_B == number)[:, None]
        total = total + weights[name] * (counts * (loss_BT + SMALL.z_loss * lse_BT**2)).sum() / counts.sum()
    expected = torch.autograd.grad(total, list(loop.parameters.values()))
    for got, right in zip(grads, expected, strict=True):
        torch.testing.assert_close(got, right, rtol=2e-4, atol=2e-7)


def checked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """[loop, batch, gradients] of the first step, kept from the update."""
    seen: list[Any] = []
    original = Steering._gradients

    def watching(self: Steering, batch: Any) -> Any:
        found = original(self, batch)
        if not seen:
            seen.extend([self, batch, [p.grad.clone() for p in self.parameters.values()]])
            for parameter in self.parameters.values():
                parameter.grad.zero_()  # no update: the model stays what the gradients are of
        return found

    monkeypatch.setattr(Steering, "_gradients", watching)
    monkeypatch.setattr("trainer.optim.Optimizer.step", lambda *_: None)
    return seen


def test_products_are_those_of_domains_gradients(apart: Tokens, monkeypatch: pytest.MonkeyPatch) -> None:
    seen, controller = checked(monkeypatch), Multiplicative("alignment")
    settings = replace(SMALL, tokens=768, batch_tokens=768, precision="fp32")
    proxy = Proxy(apart.folder, ["a", "b"], settings)
    proxy.steer(controller, target={"a": 1.0, "c": 3.0})
    loop, batch, _ = seen
    stats, parameters = controller.heard[0], list(loop.parameters.values())
    assert set(stats["loss"]) == set(stats["products"]) == {"a", "b"}
    assert set(stats["products"]["a"]) == {"a", "b", "c"}, "a target of no weight of its own"

    def gradient(rows: torch.Tensor) -> torch.Tensor:
        loss_BT, lse_BT = loop.job.module.model.loss(batch)
        counts = torch.zeros_like(batch.weight_BT)
        counts[rows] = batch.weight_BT[rows]
        mean = (counts * (loss_BT + SMALL.z_loss * lse_BT**2)).sum() / counts.sum()
        return torch.cat([g.flatten() for g in torch.autograd.grad(mean, parameters)]).double()

    rows = {name: (batch.domain_B == n).nonzero()[:, 0] for n, name in enumerate(loop.names)}
    whole = {name: gradient(mine) for name, mine in rows.items()}
    products = {"b": whole["a"] @ whole["b"], "c": whole["a"] @ whole["c"]}
    products["a"] = gradient(rows["a"][::2]) @ gradient(rows["a"][1::2])
    for name, expected in products.items():
        assert stats["products"]["a"][name] == pytest.approx(expected.item(), rel=1e-3)
    expected = 0.25 * products["a"] + 0.75 * products["c"]
    assert stats["alignment"]["a"] == pytest.approx(expected.item(), rel=1e-3)
    assert stats["gradient_norm"]["b"] == pytest.approx(whole["b"].norm().item(), rel=1e-3)


@pytest.mark.parametrize("reference", ["per_domain", {"a": 1.0, "b": 2.0, "c": 3.0}])
def test_excess_is_measured_over_references(apart: Tokens, reference: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = replace(SMALL, batch_tokens=384, tokens=64 * 6 * 12, precision="fp32", lr=0.01)
    proxy, told = Proxy(apart.folder, settings=settings), []
    same = proxy.reference({"c": 1.0} if reference == "per_domain" else reference)
    controller, seen = Multiplicative(), []
    original = Steering._gradients
    monkeypatch.setattr(Steering, "_gradients", lambda self, b: (seen.append((self, b)), original(self, b))[1])
    proxy.steer(controller, reference=reference, progress=lambda what, *_: told.append(what))
    first, last = controller.heard[0], controller.heard[-1]
    own = [f"reference {name}" for name in "abc"] if reference == "per_domain" else ["reference"]
    assert list(dict.fromkeys(told)) == [*own, "steered"]
    loop, batch = seen[0]
    counts = batch.weight_BT * (batch.domain_B == loop.names.index("c"))[:, None]
    expected = first["loss"]["c"] - ((counts * same.loss(batch)[0]).sum() / counts.sum()).item()
    assert first["excess"]["c"] == pytest.approx(expected, rel=1e-4)
    assert first["excess"]["a"] > last["excess"]["a"]
    assert all(last["clipped_excess"][name] >= max(0.0, last["excess"][name]) for name in "abc")


def test_weights_move_to_the_domain_that_lags(apart: Tokens) -> None:
    """a's reference is a good model, that of the others a model that knows nothing of them."""
    found = steered(apart, Multiplicative(rate=1.0), reference={"a": 1.0})
    assert found.last["a"] > 0.9


@pytest.mark.parametrize("wants", ["loss", "alignment"])
def test_a_stopped_run_goes_on_to_the_same_weights(
    apart: Tokens, wants: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reference = {"a": 1.0} if wants == "loss" else None
    whole = steered(apart, Multiplicative(wants), tmp_path / "whole", reference=reference)
    assert not list((tmp_path / "whole").glob("*/")), "checkpoints go when a run has ended"
    original = Steering._update

    def stopping(self: Steering, batch: Any) -> None:
        original(self, batch)
        if self.step == 4 and self.first_step == 0:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(Steering, "_update", stopping)
    with pytest.raises(KeyboardInterrupt):
        steered(apart, Multiplicative(wants), tmp_path / "cut", reference=reference)
    second = Multiplicative(wants)
    again = steered(apart, second, tmp_path / "cut", reference=reference)
    assert second.heard[0]["step"] == 5
    assert again.trajectory == whole.trajectory
    assert again.losses == whole.losses
    third = Multiplicative(wants)
    assert steered(apart, third, tmp_path / "cut", reference=reference).trajectory == whole.trajectory
    assert third.heard == [], "a finished run is read"


def test_names_of_domains_change_nothing(apart: Tokens, tmp_path: Path) -> None:
    """Neither the order of a mixture nor of the list of domains."""
    proxy = Proxy(apart.folder, ["c", "a", "b"], SMALL)
    assert proxy.losses({"c": 1, "a": 2}, tokens=1024) == Proxy(apart.folder, settings=SMALL).losses(
        {"a": 2, "c": 1, "b": 0}, tokens=1024
    )


def test_a_trained_model_can_be_the_reference(small_run: Path, small_tokens: Tokens) -> None:
    proxy = Proxy(small_tokens.folder, settings=replace(SMALL, tokens=1024))
    controller = Multiplicative()
    proxy.steer(controller, reference=small_run)
    assert controller.heard[0]["clipped_excess"]["web"] >= 0


@pytest.mark.parametrize(
    ("weights", "told"),
    [
        ({"a": 1.0, "b": 1.0}, "c is on one side alone"),
        ({"a": 1.0, "b": float("nan"), "c": 0.0}, "are no mixture"),
        ({"a": 0.0, "b": 0.0, "c": 0.0}, "are no mixture"),
        ({"a": 1.0, "b": 1.0, "c": -1.0}, "are no mixture"),
    ],
)
def test_weights_that_are_no_mixture_are_told(apart: Tokens, weights: dict[str, float], told: str) -> None:
    with pytest.raises(JacorpusError, match=told):
        steered(apart, Fixed(weights))


def test_what_is_wrong_is_told_before_training(apart: Tokens, tmp_path: Path) -> None:
    proxy = Proxy(apart.folder, settings=SMALL)
    with pytest.raises(RecipeError, match=r"the mixture names `aa`.*did you mean `a`"):
        proxy.losses({"aa": 1.0})
    with pytest.raises(RecipeError, match="above 0"):
        proxy.losses({"a": 0.0})
    with pytest.raises(InputError, match="no domain `d`"):
        Proxy(apart.folder, ["a", "d"], SMALL)
    with pytest.raises(InputError, match="no domain `d`"):
        proxy.steer(Multiplicative("alignment"), target={"d": 1.0})
    with pytest.raises(RecipeError, match="a target needs shares"):
        proxy.steer(Multiplicative("alignment"), target={})
    with pytest.raises(RecipeError, match="each domain a share"):
        proxy.steer(Multiplicative(), rows={"a": 1.0})
    with pytest.raises(RecipeError, match="d_mode"):
        Proxy(apart.folder, settings=replace(SMALL, model={"d_mode": 1}))
    with pytest.raises(RecipeError, match="lr must be over 0"):
        replace(SMALL, lr=0.0)
    half = token_folder(tmp_path / "half", {"a": {"train": [[1, 2, 3]]}, "b": {"valid": [[1, 2, 3]]}}, vocab_size=8)
    with pytest.raises(InputError, match=r"`a` .* has no valid text"):
        Proxy(half.folder, settings=SMALL)
    with pytest.raises(InputError, match=r"`b` .* has no train text"):
        Proxy(half.folder, ["b"], SMALL)
