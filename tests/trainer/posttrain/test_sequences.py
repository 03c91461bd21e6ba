from dataclasses import dataclass

import numpy as np
import pytest
import torch

from tests.trainer.opened_model import PAIR, random_model
from trainer.batch import TokenBatch
from trainer.config import LayerConfig
from trainer.posttrain.logprobs import sequence_logps, token_logps
from trainer.posttrain.sequences import Packed, packed, packing, padded, shuffled

FULL = LayerConfig("full", 48, heads=2, kv_heads=1)


@dataclass(frozen=True)
class Row:
    ids: np.ndarray
    trained: np.ndarray


def rows(seed: int, sizes: tuple[int, ...]) -> list[Row]:
    rng = np.random.default_rng(seed)
    found = []
    for size in sizes:
        trained = rng.random(size) < 0.6
        trained[0], trained[-1] = False, True
        found.append(Row(rng.integers(0, 50, size), trained))
    return found


def test_a_mask_belongs_to_the_token_that_is_scored() -> None:
    one = Row(np.array([5, 6, 7, 8]), np.array([False, False, True, True]))
    batch = padded([one, Row(np.array([1, 2]), np.array([False, True]))])
    assert batch.tokens_BT.tolist() == [[5, 6, 7], [1, 0, 0]]
    assert batch.targets_BT.tolist() == [[6, 7, 8], [2, 0, 0]]
    assert batch.weight_BT.tolist() == [[0, 1, 1], [1, 0, 0]]


@pytest.mark.parametrize(("dtype", "bound"), [(torch.float64, 1e-12), (torch.float32, 2e-6)])
def test_packed_and_padded_give_what_each_sequence_has_alone(dtype: torch.dtype, bound: float) -> None:
    model = random_model(50, layers=(*PAIR, FULL)).to(dtype)
    given = rows(1, (9, 4, 17, 2, 12))
    alone = torch.stack([sequence_logps(model, padded([row]))[0][0] for row in given])
    together, sizes = sequence_logps(model, padded(given))
    assert (alone - together).abs().max() <= bound * max(1.0, alone.abs().max().item())
    assert sizes.tolist() == [int(row.trained[1:].sum()) for row in given]
    batch = packed([given], 48)
    logps = token_logps(model, batch)[0]
    sums = [logps[batch.document_BT[0] == number].sum() for number in range(5)]
    assert (alone - torch.stack(sums)).abs().max() <= bound * max(1.0, alone.abs().max().item())
    mixed = TokenBatch(
        batch.tokens_BT, batch.targets_BT, batch.weight_BT, torch.zeros_like(batch.document_BT), batch.domain_B
    )
    seen = token_logps(model, mixed)[0]  # the wrong twin: documents that see each other
    assert (logps - seen).abs().max() > 1e-2


def test_packing_uses_each_sequence_once_and_fits() -> None:
    sizes = [int(n) for n in np.random.default_rng(0).integers(1, 41, 500)]
    plan = packing(sizes, shuffled(500, 1, 0).tolist(), 64)
    assert sorted(number for row in plan for number in row) == list(range(500))
    assert all(sum(sizes[number] for number in row) <= 64 for row in plan)
    assert sum(sizes) / (64 * len(plan)) > 0.99


def test_batches_are_a_function_of_their_number() -> None:
    given = rows(2, tuple(range(2, 30)))
    source = Packed(given, 32, 3, 2, seed=7)
    again = Packed(given, 32, 3, 2, seed=7)
    for step in (source.steps - 1, 0, 1):
        assert torch.equal(source.batch(step).tokens_BT, again.batch(step).tokens_BT)
    total = sum(source.batch(step).weight_BT.sum() for step in range(source.steps))
    assert total == 2 * sum(row.trained[1:].sum() for row in given)
    assert not torch.equal(source.batch(0).tokens_BT, Packed(given, 32, 3, 2, seed=8).batch(0).tokens_BT)
    assert Packed(given, 32, 3, 2, seed=7, most=2).steps == 2


def test_log_probs_have_the_gradient_of_all_logits_at_once() -> None:
    model = random_model(50).requires_grad_(True)
    batch = padded(rows(3, (9, 14)))
    token_logps(model, batch).sum().backward()
    mine = model.embed.weight.grad
    assert mine is not None
    model.embed.weight.grad = None
    logits = model.logits(model(batch.tokens_BT, batch.documents())).log_softmax(-1)
    (logits.gather(2, batch.targets_BT[..., None])[..., 0] * batch.weight_BT).sum().backward()
    assert torch.allclose(mine, model.embed.weight.grad, atol=1e-4, rtol=1e-4)
