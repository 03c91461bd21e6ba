"""Softmax cross-entropy of logits: loss, lse and the gradient in place, against torch in float64."""

import pytest
import torch

from tests.trainer.kernels.triton.conftest import DEVICE, error, on_gpu


def wanted(
    logits: torch.Tensor, targets: torch.Tensor, dloss: torch.Tensor, dlse: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    logits = logits.detach().double().requires_grad_()
    lse = logits.logsumexp(-1)
    loss = lse - logits.gather(1, targets[:, None])[:, 0]
    ((loss * dloss).sum() + (lse * dlse).sum()).backward()
    assert logits.grad is not None
    return loss.detach(), lse.detach(), logits.grad


def check(tokens: int, vocabulary: int, kind: torch.dtype, tolerance: float, spread: float = 3.0) -> None:
    from trainer.kernels.triton.linear_ce import softmax_ce, softmax_ce_bwd

    torch.manual_seed(vocabulary)
    logits = (spread * torch.randn(tokens, vocabulary)).to(kind)
    targets = torch.randint(vocabulary, (tokens,))
    targets[0], targets[-1] = 0, vocabulary - 1
    dloss, dlse = torch.randn(tokens), torch.randn(tokens)
    loss, lse, grad = wanted(logits, targets, dloss, dlse)
    given = [value.to(DEVICE) for value in (logits, targets, dloss, dlse)]
    found_loss, found_lse = softmax_ce(given[0], given[1])
    assert found_loss.dtype == found_lse.dtype == torch.float32
    assert torch.equal(given[0].cpu(), logits), "the forward pass leaves the logits alone"
    found = softmax_ce_bwd(given[0], found_lse, *given[1:])
    assert found.data_ptr() == given[0].data_ptr()
    # The loss of a sure token is the difference of two large numbers: it is as exact as those are.
    assert float((found_loss.double().cpu() - loss).abs().max()) < 1e-6 * max(1.0, float(lse.abs().max()))
    assert error(found_lse, lse) < 1e-6
    assert error(found, grad) < tolerance


@pytest.mark.parametrize("vocabulary", [1, 63, 64, 65, 200])
def test_float32(vocabulary: int) -> None:
    check(3, vocabulary, torch.float32, 1e-6)


def test_float16_and_large_logits() -> None:
    check(3, 130, torch.float16, 1e-3)
    check(3, 130, torch.float32, 1e-5, spread=300.0)


@on_gpu
def test_bfloat16() -> None:
    check(1000, 100_000, torch.bfloat16, 8e-3)


def test_rows_with_gaps_and_none_at_all() -> None:
    from trainer.kernels.triton.linear_ce import softmax_ce, softmax_ce_bwd

    wide = torch.randn(4, 100, device=DEVICE)
    kept, part = wide.clone(), wide[:, :70]
    targets = torch.arange(4, device=DEVICE)
    loss, lse = softmax_ce(part, targets)
    one = torch.ones(4, device=DEVICE)
    softmax_ce_bwd(part, lse, targets, one, 0 * one)
    assert error(loss, wanted(kept[:, :70].cpu(), targets.cpu(), one.cpu(), one.cpu())[0]) < 1e-6
    assert torch.equal(wide[:, 70:], kept[:, 70:])
    assert float(wide[:, :70].sum(1).abs().max()) < 1e-5
    assert softmax_ce(wide[:0], targets[:0])[0].shape == (0,)


def test_registered_as_torch_expects() -> None:
    from trainer.kernels.triton.linear_ce import _in_place, softmax_ce_fwd

    logits, targets = torch.randn(3, 70, device=DEVICE), torch.tensor([0, 5, 69], device=DEVICE)
    torch.library.opcheck(softmax_ce_fwd, (logits.requires_grad_(), targets))
    logits, one = logits.detach(), torch.ones(3, device=DEVICE)
    torch.library.opcheck(_in_place, (logits, one, targets, one, one))


def test_differentiable_in_one_graph() -> None:
    from trainer.kernels.triton.linear_ce import softmax_ce

    targets = torch.tensor([0, 5, 69], device=DEVICE)

    def total(logits: torch.Tensor) -> torch.Tensor:
        loss, lse = softmax_ce(2 * logits, targets)
        return (loss + 0.1 * lse.square()).sum()

    eager = torch.randn(3, 70, device=DEVICE, requires_grad=True)
    traced = eager.detach().clone().requires_grad_()
    total(eager).backward()
    torch.compile(total, fullgraph=True, backend="aot_eager")(traced).backward()
    assert eager.grad is not None
    assert traced.grad is not None
    assert torch.equal(eager.grad, traced.grad)
