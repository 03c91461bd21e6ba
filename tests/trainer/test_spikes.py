"""Spikes: what is left out, what enters the history, and that a resumed guard judges alike."""

import copy

import pytest
import torch

from trainer.spikes import MINIMUM, SHIFT, SpikeGuard

CPU = torch.device("cpu")


def judge(guard: SpikeGuard, loss: float, norm: float = 1.0) -> bool:
    return bool(guard.judge(torch.tensor(loss), torch.tensor(norm)))


def trained(steps: int = 200, seed: int = 0, **settings) -> SpikeGuard:
    """A guard after so many ordinary steps, of which none is a spike."""
    guard, generator = SpikeGuard(CPU, **settings), torch.Generator().manual_seed(seed)
    for step in range(steps):
        noise = torch.randn(2, generator=generator)
        assert not guard.judge(3 + 2 / (step + 1) + 0.05 * noise[0], 1 + 0.1 * noise[1])
    return guard


@pytest.mark.parametrize(("loss", "norm"), [(9.0, 1.0), (3.0, 50.0), (3.6, 1.0)])
def test_a_spike_of_loss_or_norm_is_left_out(loss: float, norm: float) -> None:
    guard = trained()
    assert judge(guard, loss, norm)
    assert not judge(guard, 3.0)
    assert guard.read() == {"skipped": 1, "bad_in_a_row": 0}


def test_every_injected_spike_is_skipped_and_nothing_else() -> None:
    guard, generator = SpikeGuard(CPU), torch.Generator().manual_seed(1)
    spikes = {100, 101, 102, 250, 300, 301, 777, 999}
    skipped = {
        step
        for step in range(1000)
        if guard.judge(
            3 + 0.05 * torch.randn((), generator=generator) + (2.0 if step in spikes else 0.0),
            1 + 0.1 * torch.randn((), generator=generator),
        )
    }
    assert skipped == spikes


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("enabled", [True, False])
def test_what_is_not_finite_is_left_out_from_the_first_step(bad: float, enabled: bool) -> None:
    guard = SpikeGuard(CPU, enabled=enabled)
    assert judge(guard, bad)
    assert judge(guard, 3.0, bad)
    assert guard.read() == {"skipped": 2, "bad_in_a_row": 2}
    assert not judge(guard, 3.0)
    assert guard.read() == {"skipped": 2, "bad_in_a_row": 0}


def test_a_loss_that_float32_cannot_hold_is_not_finite() -> None:
    guard = SpikeGuard(CPU)
    assert guard.judge(torch.tensor(1e300, dtype=torch.float64), torch.tensor(1.0))


def test_only_non_finite_steps_when_off() -> None:
    assert not judge(trained(enabled=False), 1e9, 1e9)


def test_no_spike_is_called_before_enough_is_known() -> None:
    for known, spike in ((MINIMUM - 1, False), (MINIMUM, True)):
        assert judge(trained(known), 1e6) is spike


def test_skipped_steps_do_not_enter_the_history() -> None:
    guard = trained()
    before = {name: tensor.clone() for name, tensor in guard.state_dict().items()}
    for bad in (float("nan"), 50.0, float("inf")):
        assert judge(guard, bad)
    after = guard.state_dict()
    assert torch.equal(before["history"], after["history"])
    assert torch.equal(before["accepted"], after["accepted"])


def test_the_bar_is_of_the_last_window() -> None:
    """Against a plain list, over several turns of the ring."""
    window, sigmas = 40, 3.0
    guard, generator = SpikeGuard(CPU, window, sigmas), torch.Generator().manual_seed(3)
    kept: list[torch.Tensor] = []
    for _ in range(300):
        value = torch.rand(2, generator=generator) ** 4
        last = torch.stack(kept[-window:]) if kept else torch.zeros(0, 2)
        over = len(last) >= MINIMUM and bool((value > last.mean(0) + sigmas * last.std(0)).any())
        assert bool(guard.judge(value[0], value[1])) is over
        if not over:
            kept.append(value)
    assert len(kept) < 300


def test_a_lasting_rise_is_a_new_level() -> None:
    guard = trained()
    answers = [judge(guard, 6.0 + 0.01 * (i % 3)) for i in range(100)]
    assert answers == [True] * (SHIFT - 1) + [False] * (101 - SHIFT)
    assert judge(guard, 9.0)


def test_non_finite_steps_do_not_count_towards_a_new_level() -> None:
    guard = trained()
    assert all(judge(guard, float("nan")) for _ in range(3 * SHIFT))
    assert guard.read()["bad_in_a_row"] == 3 * SHIFT
    assert judge(guard, 9.0)


def test_equal_values_forbid_no_small_rise() -> None:
    guard = SpikeGuard(CPU)
    for _ in range(60):
        judge(guard, 2.0)
    assert not judge(guard, 2.001)
    assert judge(guard, 2.01)


def test_a_resumed_guard_judges_as_the_first_would() -> None:
    guard = trained()
    judge(guard, 9.0)
    resumed = SpikeGuard(CPU)
    resumed.load_state_dict(copy.deepcopy(guard.state_dict()))
    generator = torch.Generator().manual_seed(9)
    values = 3 + 0.2 * torch.randn(400, 2, generator=generator)
    answers = [(judge(guard, *pair), judge(resumed, *pair)) for pair in values.tolist()]
    assert all(first == second for first, second in answers)
    assert any(first for first, _ in answers)
    assert guard.read() == resumed.read()
    assert torch.equal(guard.state_dict()["history"], resumed.state_dict()["history"])


def test_a_run_of_bad_steps_can_be_forgotten() -> None:
    guard = trained()
    judge(guard, float("nan"))
    guard.forget_run()
    assert guard.read() == {"skipped": 1, "bad_in_a_row": 0}
