"""What the forward kernels of ssd keep for the backward pass, against sums written out."""

import torch
import torch.nn.functional as F

from tests.trainer.kernels.triton.conftest import DEVICE, NAMES, error, ssd_inputs, starts
from trainer.kernels.ssd import ssd_naive


def test_decays_and_states_before_chunks() -> None:
    from trainer.kernels.triton import ssd_forward, tables
    from trainer.kernels.triton.ssd import ssd_fwd

    tokens, size = 130, tables.SSD_BLOCK
    inputs, start = ssd_inputs(2, tokens, 3, 16, 16), starts(2, tokens, (0, 5), (0, 64), (1, 127))
    given = [inputs[name].float().to(DEVICE) for name in NAMES]
    _, end, delta, total, number, states = ssd_fwd(*given, start.to(DEVICE), None)
    steps = F.softplus(inputs["dt"] + inputs["bias"])
    assert error(delta[:, :, :tokens].transpose(1, 2), steps) < 1e-6
    assert not delta[:, :, tokens:].any(), "nothing happens after the row's end"
    log, summed, began = steps * inputs["a"], torch.zeros(2, 3), torch.zeros(2, dtype=torch.int32)
    start[:, 0] = False
    for t in range(tokens):
        fresh = start[:, t] | torch.tensor(t % size == 0)
        summed = torch.where(fresh[:, None], 0, summed) + log[:, t]
        began = start[:, t].int() + (began if t % size else 0)
        assert error(total[:, :, t], summed) < 1e-6
        assert torch.equal(number[:, t].cpu(), began)
    for chunk in range(1, states.shape[1]):
        part = [inputs[n][:, : chunk * size] if inputs[n].ndim > 1 else inputs[n] for n in NAMES]
        _, wanted = ssd_naive(*part, start[:, : chunk * size])
        assert error(states[:, chunk].transpose(-1, -2), wanted) < 3e-6
    assert ssd_forward.dot_type(given[0]) == ssd_forward.tl.float32
    assert end.shape == (2, 3, 16, 16)


def test_softplus_keeps_small_steps() -> None:
    """log(1 + exp(-30)) in float32 would be 0; a dt of -inf, as padding has, gives 0."""
    from trainer.kernels.triton.ssd import ssd_fwd

    inputs = ssd_inputs(1, 6, 1, 16, 16)
    inputs["dt"] = torch.tensor([-30.0, -9.0, 0.0, 19.0, 40.0, -torch.inf]).view(1, 6, 1).double()
    inputs["bias"] *= 0
    given = [inputs[name].float().to(DEVICE) for name in NAMES]
    delta = ssd_fwd(*given, starts(1, 6).to(DEVICE), None)[2][0, 0, :6].cpu()
    wanted = F.softplus(inputs["dt"])[0, :, 0]
    assert torch.allclose(delta.double(), wanted, rtol=1e-6, atol=0)
