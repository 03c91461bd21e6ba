"""DeRa: exact for one token, an approximation over sequences, and on models what generate gives at both ends."""

from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch

from benchmarks.closed_forms import decoding
from jacorpus.errors import InputError, RecipeError
from tests.trainer.losses.closed_form import held, near
from tests.trainer.opened_model import random_model
from trainer.decoding.dera import APPROXIMATES, dera_generate, sweep
from trainer.generate import generate
from trainer.sampling import Sampling

PROMPTS = [[7], [3, 9, 1, 40], [5, 6]]
DRAWN = Sampling(max_tokens=10, top_p=0.95, repetition_penalty=1.1, seed=4)


def alone(model, options=DRAWN, rows=32):
    found = [[] for _ in PROMPTS]
    for row, token in generate(model, PROMPTS, options, rows=rows):
        found[row].append(token)
    return tuple(map(tuple, found))


@pytest.fixture(scope="module")
def models():
    return random_model(50).double(), random_model(50, seed=1).double()


def test_one_token_is_exact() -> None:
    assert held(decoding.dera_one()).negative == near(0.82, 2)


def test_sequences_are_approximated() -> None:
    assert not held(decoding.dera_sequences()).more["exact"]


def test_the_ends_are_model_and_reference(models) -> None:
    aligned, reference = models
    at_0, at_1 = sweep(aligned, reference, PROMPTS, DRAWN, (0.0, 1.0))
    assert (at_0.lam, at_0.rows) == (0.0, alone(reference))
    assert at_1.rows == alone(aligned) != at_0.rows
    assert at_0.kl == pytest.approx(0, abs=1e-12)
    assert at_1.kl > 0.01
    assert at_1.note == APPROXIMATES
    assert "only approximates" in at_1.note


def test_greedy_tokens_are_those_of_mixed_forward_passes(models) -> None:
    aligned, reference = models
    greedy = Sampling(max_tokens=6, temperature=0)
    for prompt, row in zip(PROMPTS, dera_generate(aligned, reference, PROMPTS, greedy, 2.0).rows, strict=True):
        ids = torch.tensor([[*prompt, *row]])
        h, h_ref = (model.logits(model(ids))[0, len(prompt) - 1 : -1] for model in models)
        assert (2 * h - h_ref).argmax(-1).tolist() == list(row)


def test_groups_of_rows_change_nothing(models) -> None:
    whole = dera_generate(*models, PROMPTS, DRAWN, 1.5)
    assert whole == dera_generate(*models, PROMPTS, DRAWN, 1.5, rows=2)


def test_a_row_ends_with_its_stop_id(models) -> None:
    row = dera_generate(*models, PROMPTS, DRAWN, 1.5).rows[0]
    ended = dera_generate(*models, PROMPTS, replace(DRAWN, stop_ids=(row[3],)), 1.5).rows[0]
    assert ended == row[: row.index(row[3]) + 1]


def test_an_adapter_that_is_off_is_the_reference(models) -> None:
    plain, adapted = models[1], random_model(50, seed=1).double()
    weight = adapted.layers[0].mlp.down_proj.weight
    delta = torch.randn(weight.shape, generator=torch.Generator().manual_seed(0), dtype=weight.dtype)
    off = weight.clone()
    weight.add_(delta)
    on = weight.clone()

    @contextmanager
    def without():
        weight.copy_(off)
        yield
        weight.copy_(on)

    found = dera_generate(adapted, without, PROMPTS, DRAWN, 0.5)
    assert found == dera_generate(adapted, plain, PROMPTS, DRAWN, 0.5)
    assert found.rows != alone(plain)
    assert dera_generate(adapted, without, PROMPTS, DRAWN, 0.0).rows == alone(plain)


def test_what_cannot_be_mixed_is_refused(models) -> None:
    with pytest.raises(RecipeError, match="prompt 1 is empty"):
        dera_generate(*models, [[1], []], DRAWN, 1.0)
    with pytest.raises(RecipeError, match="vocabularies of 50 and 60 ids"):
        dera_generate(models[0], random_model(60), PROMPTS, DRAWN, 1.0)
    broken = random_model(50).double()
    broken.embed.weight.fill_(float("nan"))
    with pytest.raises(InputError, match="not finite"):
        dera_generate(models[0], broken, PROMPTS, DRAWN, 1.0)
