from dataclasses import fields, replace

import pytest
import torch

from trainer.batch import TokenBatch


@pytest.fixture
def batch() -> TokenBatch:
    tokens = torch.arange(20).view(5, 4)
    document = torch.tensor([[0, 0, 1, 1]] * 5, dtype=torch.int32)
    return TokenBatch(tokens, tokens + 1, torch.ones(5, 4), document, torch.arange(5, dtype=torch.int32))


TENSORS = [field.name for field in fields(TokenBatch) if field.name != "extra"]


def test_rows(batch: TokenBatch) -> None:
    part = batch.rows(1, 3)
    for name in TENSORS:
        assert torch.equal(getattr(part, name), getattr(batch, name)[1:3])


def test_what_an_objective_needs_beside_travels_along(batch: TokenBatch) -> None:
    more = replace(batch, extra={"advantage_BT": torch.arange(20.0).view(5, 4), "weight_B": torch.full((5,), 0.5)})
    part = more.rows(1, 3).to("cpu")
    assert torch.equal(part.extra["advantage_BT"], more.extra["advantage_BT"][1:3])
    found = batch.weight(), more.weight(), part.weight()
    assert tuple(map(float, found)) == (20, 2.5, 1)  # rows weigh in place of tokens


def test_micro_batches_are_all_rows_in_order(batch: TokenBatch) -> None:
    pieces = list(batch.micro_batches(2))
    assert [len(piece.domain_B) for piece in pieces] == [2, 2, 1]
    assert torch.equal(torch.cat([piece.tokens_BT for piece in pieces]), batch.tokens_BT)
    assert len(list(batch.micro_batches(9))) == 1


def test_to_keeps_values_and_types(batch: TokenBatch) -> None:
    moved = batch.to("cpu")
    for name in TENSORS:
        assert torch.equal(getattr(moved, name), getattr(batch, name))
        assert getattr(moved, name).dtype == getattr(batch, name).dtype
    assert moved.to("meta").tokens_BT.device.type == "meta"


def test_documents(batch: TokenBatch) -> None:
    assert batch.documents().start_BT.int().tolist() == [[1, 0, 1, 0]] * 5
    assert not batch.documents().one
