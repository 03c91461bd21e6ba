"""The equalities a model rests on, measured against bars: padded rows and rows alone, packed documents and documents
apart, cached decoding and the whole forward pass, in both types. The control: without isolation packing fails the bar.

Letters: B rows, T tokens, V vocabulary.
"""

import pytest
import torch
import torch.nn.functional as F

from tests.trainer.export import tiny
from trainer.cache import Cache
from trainer.config import ModelConfig
from trainer.documents import Documents
from trainer.model import Model

KINDS = tiny.layer("mamba"), tiny.layer("window", 9), tiny.layer("mamba"), tiny.layer("full")
CONFIGS = {"hybrid": tiny.plamo2(layers=KINDS), "attention": tiny.plamo3(window=9), "odd": tiny.odd()}
BARS = {torch.float32: 2e-6, torch.float64: 1e-12}
LENGTHS = (1, 1, 62, 3, 65, 8, 64)


def off(found: torch.Tensor, wanted: torch.Tensor) -> float:
    """The largest difference as a part of the bar; float32's bar grows with the largest logit."""
    size = max(1.0, float(wanted.abs().max())) if wanted.dtype == torch.float32 else 1.0
    return float((found - wanted).abs().max()) / (BARS[wanted.dtype] * size)


@pytest.fixture(params=[(c, d) for c in CONFIGS for d in BARS], ids=lambda p: f"{p[0]}-{str(p[1])[6:]}")
def model(request: pytest.FixtureRequest) -> Model:
    torch.set_num_threads(1)
    name, dtype = request.param
    config: ModelConfig = CONFIGS[name]
    return tiny.model_of(config).requires_grad_(False).to(dtype)


def of_documents(model: Model, tokens_BT: torch.Tensor, number_BT: torch.Tensor) -> torch.Tensor:
    return model.logits(model(tokens_BT, Documents(number_BT.int())))


def test_packed_documents_are_documents_apart(model: Model) -> None:
    tokens = tiny.prompt(sum(LENGTHS), 1)
    number = torch.repeat_interleave(torch.arange(len(LENGTHS)), torch.tensor(LENGTHS))[None]
    apart = torch.cat([tiny.logits_of(model, piece) for piece in tokens.split(LENGTHS, 1)], 1)
    assert off(of_documents(model, tokens, number), apart) <= 1
    assert off(tiny.logits_of(model, tokens), apart) > 1000


@pytest.mark.parametrize("left", [True, False], ids=["left", "right"])
def test_padded_rows_are_rows_alone(model: Model, left: bool) -> None:
    """Padding is a document of its own, before or behind; the control takes it for text."""
    rows = [tiny.prompt(n, 1, seed=n)[0] for n in (3, 71, 1, 20)]
    width = max(map(len, rows))
    sides = [(width - len(row), 0) if left else (0, width - len(row)) for row in rows]
    tokens = torch.stack([F.pad(row, side, value=7) for row, side in zip(rows, sides, strict=True)])
    there = torch.stack([F.pad(torch.ones_like(row), side) for row, side in zip(rows, sides, strict=True)])
    found = of_documents(model, tokens, there if left else 1 - there)
    blind = tiny.logits_of(model, tokens)
    alone = torch.cat([tiny.logits_of(model, row[None])[0] for row in rows])
    assert off(found[there.bool()], alone) <= 1
    if left:
        assert off(blind[there.bool()], alone) > 1000


def test_cached_decoding_is_the_whole_forward_pass(model: Model) -> None:
    """The control: a prompt whose state was forgotten."""
    tokens, dtype = tiny.prompt(90), next(model.parameters()).dtype
    whole = tiny.logits_of(model, tokens)
    for prompt in (1, 9, 10, 64, 80):
        cache = Cache(model.config, 2, 90, "cpu", dtype)
        found = [model.prefill(tokens[:, :prompt], None, cache)]
        found += [model.step(tokens[:, t], cache) for t in range(prompt, 90)]
        assert off(torch.cat((whole[:, : prompt - 1], torch.stack(found, 1)), 1), whole) <= 1
    forgetful = Cache(model.config, 2, 90, "cpu", dtype)
    model.prefill(tokens[:, 79:80], None, forgetful)
    assert off(model.step(tokens[:, 80], forgetful), whole[:, 80]) > 1000
