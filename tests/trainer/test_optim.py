"""The optimizer: against its readable twins, on skipped steps, by name, in checkpoints."""

import copy

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from jacorpus.errors import InputError, RecipeError
from trainer.optim import OptimConfig, Optimizer, adamw_naive, decays, grad_norm, orthogonal, orthogonalizes
from trainer.spikes import SpikeGuard

SHAPES = {
    "embed.weight": (20, 8),
    "layers.0.pre_mixer_norm.weight": (8,),
    "layers.0.mixer.in_proj.weight": (32, 8),
    "layers.0.mixer.bcdt_proj.weight": (12, 16),
    "layers.0.mixer.conv_weight": (16, 1, 4),
    "layers.0.mixer.A_log": (2,),
    "layers.0.mixer.D": (2,),
    "layers.0.mixer.dt_bias": (2,),
    "layers.0.mixer.dt_norm_weight": (4,),
    "layers.0.mlp.gate_up_proj.weight": (24, 8),
    "layers.1.mixer.qkv_proj.weight": (16, 8),
    "layers.1.mixer.q_weight": (2, 4),
    "layers.1.mixer.k_weight": (1, 4),
    "layers.1.mlp.gate_up_proj.weight": (24, 8),
    "layers.1.mlp.down_proj.weight": (8, 12),
    "final_norm.weight": (8,),
    "head.weight": (20, 8),
}
NO = torch.tensor(False)
YES = torch.tensor(True)
ONE = torch.tensor(1.0)


def weights(seed: int = 0, dtype: torch.dtype = torch.float32) -> dict[str, nn.Parameter]:
    generator = torch.Generator().manual_seed(seed)
    return {n: nn.Parameter(torch.randn(s, generator=generator, dtype=dtype)) for n, s in SHAPES.items()}


def give_grads(parameters: dict[str, nn.Parameter], seed: int, bad: float | None = None) -> None:
    generator = torch.Generator().manual_seed(1000 + seed)
    for parameter in parameters.values():
        parameter.grad = torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)
        if bad is not None:
            parameter.grad.view(-1)[0] = bad


def values(optimizer: Optimizer, parameters: dict[str, nn.Parameter]) -> dict[str, torch.Tensor]:
    state = optimizer.state_dict()
    found = {f"weight {n}": p.detach().clone() for n, p in parameters.items()}
    for kind in ("exp_avg", "exp_avg_sq", "momentum"):
        found |= {f"{kind} {n}": moment.clone() for n, moment in state[kind].items()}
    return {**found, "step": state["step"].clone()}


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_what_decays_and_what_muon_takes() -> None:
    parameters = weights()
    assert {n for n, p in parameters.items() if decays(n, p)} == {
        n for n in SHAPES if n.endswith("_proj.weight") or n == "head.weight"
    }
    assert {n for n, p in parameters.items() if orthogonalizes(n, p)} == {n for n in SHAPES if "_proj" in n}
    wrapped = {f"model.{n}": p for n, p in parameters.items()}
    assert {n for n, p in wrapped.items() if decays(n, p)} == {
        f"model.{n}" for n, p in parameters.items() if decays(n, p)
    }


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_fused_adamw_is_its_readable_twin(dtype: torch.dtype) -> None:
    parameters, config = weights(dtype=dtype), OptimConfig()
    expected = {n: (p.detach().clone(), torch.zeros_like(p), torch.zeros_like(p)) for n, p in parameters.items()}
    optimizer = Optimizer(parameters.items(), config)
    for step, scale in enumerate((1.0, 0.37, 1.0, 0.9), 1):
        give_grads(parameters, step)
        for name, (weight, first, second) in expected.items():
            decay = config.weight_decay if decays(name, weight) else 0.0
            grad = parameters[name].grad * scale
            expected[name] = adamw_naive(weight, grad, first, second, step, 1e-2 / step, config, decay)
        optimizer.step(1e-2 / step, NO, torch.tensor(scale))
    tolerance = {"rtol": 1e-5, "atol": 1e-6} if dtype == torch.float32 else {"rtol": 1e-6, "atol": 1e-7}
    state = optimizer.state_dict()
    for name, (weight, first, second) in expected.items():
        torch.testing.assert_close(parameters[name].detach(), weight, **tolerance)
        torch.testing.assert_close(state["exp_avg"][name], first, **tolerance)
        torch.testing.assert_close(state["exp_avg_sq"][name], second, **tolerance)


def test_fused_adamw_is_torchs() -> None:
    parameters, twins = weights(), weights()
    optimizer = Optimizer(parameters.items(), OptimConfig())
    groups = [
        {"params": [p for n, p in twins.items() if decays(n, p) is decay], "weight_decay": 0.1 * decay}
        for decay in (True, False)
    ]
    other = torch.optim.AdamW(groups, lr=1e-2, betas=(0.9, 0.95), eps=1e-8, fused=True)
    for step in range(5):
        give_grads(parameters, step)
        give_grads(twins, step)
        optimizer.step(1e-2, NO, ONE)
        other.step()
    assert all(torch.equal(parameters[name], twins[name]) for name in SHAPES)


def test_muon_is_torchs_up_to_its_bf16() -> None:
    """torch.optim.Muon decays with its own rate, so decay is off; it orthogonalizes in bf16, ours in float32 here."""
    names = [n for n in SHAPES if "_proj" in n]
    parameters, twins = weights(), weights()
    before = {n: parameters[n].detach().clone() for n in names}
    optimizer = Optimizer(parameters.items(), OptimConfig("muon", weight_decay=0.0))
    other = torch.optim.Muon([twins[n] for n in names], lr=0.02, weight_decay=0.0)
    for step in range(3):
        give_grads(parameters, step)
        give_grads(twins, step)
        optimizer.step(4e-4, NO, ONE)
        other.step()
    for name in names:
        ours, theirs = parameters[name] - before[name], twins[name] - before[name]
        assert (ours - theirs).norm() < 0.03 * theirs.norm(), name


@pytest.mark.parametrize("kind", ["adamw", "muon"])
def test_a_skipped_step_changes_no_bit(kind: str) -> None:
    """Even the first one, even with NaN in every gradient and in the clip factor."""
    parameters = weights()
    optimizer = Optimizer(parameters.items(), OptimConfig(kind))
    for step in range(3):
        before = values(optimizer, parameters)
        for bad in (None, float("nan"), float("inf")):
            give_grads(parameters, step, bad)
            optimizer.step(1e-2, YES, torch.tensor(float("nan") if bad else 1.0))
            assert same(before, values(optimizer, parameters))
        give_grads(parameters, step)
        optimizer.step(1e-2, NO, ONE)
        after = values(optimizer, parameters)
        assert all(value.isfinite().all() for value in after.values())
        assert not any(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize("kind", ["adamw", "muon"])
def test_a_run_with_skipped_steps_is_the_run_without_them(kind: str) -> None:
    runs = []
    for skipping in (True, False):
        parameters = weights()
        optimizer = Optimizer(parameters.items(), OptimConfig(kind))
        for step in range(6):
            if skipping and step in (0, 3, 4):
                give_grads(parameters, 77, float("nan"))
                optimizer.step(1e-2, YES, ONE)
            give_grads(parameters, step)
            optimizer.step(1e-2, NO, ONE)
        runs.append(values(optimizer, parameters))
    assert same(*runs)


@pytest.mark.parametrize("kind", ["adamw", "muon"])
def test_two_runs_are_equal_and_a_resumed_one_too(kind: str) -> None:
    def run(stop: int | None) -> dict[str, torch.Tensor]:
        parameters = weights()
        optimizer = Optimizer(parameters.items(), OptimConfig(kind))
        for step in range(8):
            if step == stop:
                state, data = (
                    copy.deepcopy(optimizer.state_dict()),
                    {n: p.detach().clone() for n, p in parameters.items()},
                )
                parameters = {n: nn.Parameter(d) for n, d in data.items()}
                optimizer = Optimizer(parameters.items(), OptimConfig(kind))
                optimizer.load_state_dict(state)
            give_grads(parameters, step)
            optimizer.step(1e-2, NO, torch.tensor(0.5))
        return values(optimizer, parameters)

    assert same(run(None), run(None))
    assert same(run(None), run(4))


@pytest.mark.parametrize("shape", [(3, 16, 16), (2, 48, 16), (2, 16, 48), (4, 7, 33), (1, 5, 1)])
def test_orthogonal_brings_singular_values_near_one(shape: tuple[int, int, int]) -> None:
    stack = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    result = orthogonal(stack, 5)
    assert result.shape == stack.shape
    sizes = torch.linalg.svdvals(result)
    given = torch.linalg.svdvals(stack)
    large = given > 0.02 * given.amax(1, keepdim=True)  # what is almost 0 needs more rounds
    assert sizes.max() < 1.25
    assert sizes[large].min() > 0.5
    left, _, right = torch.linalg.svd(stack, full_matrices=False)
    exact = left @ right
    assert (result * exact).sum() > 0.9 * result.norm() * exact.norm()


def test_stacked_matrices_are_as_alone() -> None:
    stack = torch.randn(5, 24, 40, generator=torch.Generator().manual_seed(0))
    alone = torch.cat([orthogonal(matrix[None], 5) for matrix in stack])
    torch.testing.assert_close(orthogonal(stack, 5), alone, rtol=1e-5, atol=1e-5)


def test_a_zero_gradient_stays_zero_and_a_scale_changes_nothing() -> None:
    assert not orthogonal(torch.zeros(2, 4, 4), 5).any()
    stack = torch.randn(2, 8, 8, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(orthogonal(1000 * stack, 5), orthogonal(stack, 5), rtol=1e-4, atol=1e-5)


def test_large_stacks_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = []
    for most in (1 << 28, 200):
        monkeypatch.setattr("trainer.optim.STACK_ELEMENTS", most)
        parameters = weights()
        optimizer = Optimizer(parameters.items(), OptimConfig("muon"))
        give_grads(parameters, 0)
        optimizer.step(1e-3, NO, ONE)
        runs.append(values(optimizer, parameters))
    for name, value in runs[0].items():
        torch.testing.assert_close(value, runs[1][name], rtol=1e-4, atol=1e-5)


def test_a_matrix_decays_alike_under_either_optimizer() -> None:
    for kind in ("adamw", "muon"):
        parameters = weights()
        name = "layers.0.mixer.in_proj.weight"
        before = parameters[name].detach().clone()
        optimizer = Optimizer(parameters.items(), OptimConfig(kind))
        for parameter in parameters.values():
            parameter.grad = torch.zeros_like(parameter)
        optimizer.step(1e-2, NO, ONE)
        torch.testing.assert_close(parameters[name].detach(), before * (1 - 1e-3))


def test_a_parameter_without_a_gradient_is_left_alone() -> None:
    for kind in ("adamw", "muon"):
        parameters = weights()
        before = {n: p.detach().clone() for n, p in parameters.items()}
        optimizer = Optimizer(parameters.items(), OptimConfig(kind))
        give_grads(parameters, 0)
        without = ["layers.0.mlp.gate_up_proj.weight", "layers.0.mixer.D"]
        for name in without:
            parameters[name].grad = None
        optimizer.step(1e-2, NO, ONE)
        assert {n for n in SHAPES if torch.equal(before[n], parameters[n])} == set(without)


def test_the_norm_is_of_all_gradients() -> None:
    parameters = weights()
    give_grads(parameters, 0)
    every = torch.cat([p.grad.flatten() for p in parameters.values()])
    norm = grad_norm(parameters.values())
    assert norm.dtype == torch.float32
    torch.testing.assert_close(norm, every.norm())
    assert torch.equal(norm, grad_norm(parameters.values()))
    parameters["embed.weight"].grad[0, 0] = float("nan")
    assert grad_norm(parameters.values()).isnan()


@pytest.mark.parametrize("kind", ["adamw", "muon"])
def test_nothing_waits_for_the_device(kind: str) -> None:
    """On a GPU each of these operations would."""

    class NoValues(TorchDispatchMode):
        def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
            name = operation.name()
            assert not any(word in name for word in ("_local_scalar_dense", "nonzero", "masked_select")), name
            return operation(*args, **(kwargs or {}))

    parameters, guard = weights(), SpikeGuard(torch.device("cpu"))
    optimizer = Optimizer(parameters.items(), OptimConfig(kind))
    give_grads(parameters, 0)
    with NoValues():
        norm = grad_norm(parameters.values())
        optimizer.step(1e-3, guard.judge(ONE, norm), (1 / norm).clamp(max=1.0))
        with pytest.raises(AssertionError):
            norm.item()


def test_frozen_parameters_have_no_state() -> None:
    parameters = weights()
    parameters["embed.weight"].requires_grad_(False)
    assert "embed.weight" not in Optimizer(parameters.items(), OptimConfig()).state_dict()["exp_avg"]
    for parameter in parameters.values():
        parameter.requires_grad_(False)
    with pytest.raises(RecipeError, match="nothing to train"):
        Optimizer(parameters.items(), OptimConfig())


def test_state_of_another_optimizer_is_refused() -> None:
    first, second = (Optimizer(weights().items(), OptimConfig(kind)) for kind in ("adamw", "muon"))
    with pytest.raises(InputError, match="another optimizer"):
        second.load_state_dict(first.state_dict())


@pytest.mark.parametrize(
    "settings",
    [{"kind": "adam"}, {"betas": (1.0, 0.9)}, {"eps": 0.0}, {"momentum": 1.0}, {"weight_decay": -1.0}, {"ns_steps": 0}],
)
def test_nonsense_is_refused(settings: dict) -> None:
    with pytest.raises(RecipeError):
        OptimConfig(**settings)
