from dataclasses import fields

import pytest
import torch

from trainer.batch import TokenBatch


@pytest.fixture
def batch() -> TokenBatch:
    tokens = torch.arange(20).view(5, 4)
    document = torch.tensor([[0, 0, 1, 1]] * 5, dtype=torch.int32)
    return TokenBatch(tokens, tokens + 1, torch.ones(5, 4), document, torch.arange(5, dtype=torch.int32))


def test_rows(batch: TokenBatch) -> None:
    part = batch.rows(1, 3)
    for field in fields(TokenBatch):
        assert torch.equal(getattr(part, field.name), getattr(batch, field.name)[1:3])


def test_micro_batches_are_all_rows_in_order(batch: TokenBatch) -> None:
    pieces = list(batch.micro_batches(2))
    assert [len(piece.domain_B) for piece in pieces] == [2, 2, 1]
    assert torch.equal(torch.cat([piece.tokens_BT for piece in pieces]), batch.tokens_BT)
    assert len(list(batch.micro_batches(9))) == 1


def test_to_keeps_values_and_types(batch: TokenBatch) -> None:
    moved = batch.to("cpu")
    for field in fields(TokenBatch):
        assert torch.equal(getattr(moved, field.name), getattr(batch, field.name))
        assert getattr(moved, field.name).dtype == getattr(batch, field.name).dtype
    assert moved.to("meta").tokens_BT.device.type == "meta"


def test_documents(batch: TokenBatch) -> None:
    assert batch.documents().start_BT.int().tolist() == [[1, 0, 1, 0]] * 5
    assert not batch.documents().one
