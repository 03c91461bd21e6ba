"""The backward kernels of ssd where they could go wrong unseen: fast decays, tokens that do nothing, gaps in memory."""

import torch

from tests.trainer.kernels.triton.conftest import DEVICE, NAMES, error, ssd_inputs, ssd_run, starts, triton_ssd
from trainer.kernels.ssd import ssd_naive


def test_slow_and_fast_decays() -> None:
    """A memory of a thousand tokens and one of less than a token: no large numbers cancel in the decays' gradients."""
    inputs, start = ssd_inputs(1, 130, 2, 16, 16), starts(1, 130, (0, 70))
    inputs["a"] = torch.tensor([-0.01, -32.0]).double()
    wanted = ssd_run(ssd_naive, inputs, start, torch.float64, True)
    found = ssd_run(triton_ssd, inputs, start, torch.float32, True, DEVICE)
    for head in range(2):
        assert error(found["da"][head], wanted["da"][head]) < 1e-4
        assert error(found["ddt"][..., head], wanted["ddt"][..., head]) < 2e-5


def test_padding_gives_nothing() -> None:
    """dt = -inf and x = 0: no gradient for dt, the state passes untouched, nothing is NaN."""
    inputs, start = ssd_inputs(1, 70, 1, 16, 16), starts(1, 70)
    inputs["dt"][:, 60:] = -torch.inf
    inputs["x"][:, 60:] = 0
    found = ssd_run(triton_ssd, inputs, start, torch.float32, True, DEVICE)
    assert not any(value.isnan().any() for value in found.values())
    assert not found["ddt"][:, 60:].any()
    part = [inputs[name][:, :60] if inputs[name].ndim > 1 else inputs[name] for name in NAMES]
    assert error(found["end"], ssd_naive(*part, start[:, :60], inputs["state"])[1]) < 1e-6


def test_gradients_that_are_expanded() -> None:
    """The gradient of a sum has strides of 0."""
    inputs, start = ssd_inputs(1, 20, 1, 16, 16), starts(1, 20)
    grads = []
    for op, kind, device in ((ssd_naive, torch.float64, "cpu"), (triton_ssd, torch.float32, DEVICE)):
        given = [inputs[name].detach().clone().to(device, kind).requires_grad_() for name in NAMES]
        op(*given, start.to(device))[0].sum().backward()
        grads.append([value.grad for value in given])
    assert max(error(found, wanted) for wanted, found in zip(*grads, strict=True)) < 1e-5


def test_parts_come_from_the_table() -> None:
    from trainer.kernels.triton import ssd_backward, tables

    assert ssd_backward.tables is tables
    assert all(tables.launch(name, torch.device("cpu")).part for name in ("ssd_dstates", "ssd_grad", "ssd_ddecay"))
