"""Draws: a row's own noise, log-probs of what was really drawn from, rollouts on disk."""

import numpy as np
import pytest
import torch

from jacorpus.errors import InputError, RecipeError
from tests.trainer.opened_model import random_model
from trainer.batch import TokenBatch
from trainer.model import Model
from trainer.posttrain.logprobs import token_logps
from trainer.posttrain.rewarding import Answer
from trainer.posttrain.rollout import SCHEMA, Draw, Rollouts, draw, trainer_logps
from trainer.posttrain.sequences import padded
from trainer.sampling import Sampling

STOP = 3
SAMPLINGS = {
    "plain": Sampling(max_tokens=12, stop_ids=(STOP,)),
    "temperature": Sampling(max_tokens=12, stop_ids=(STOP,), temperature=0.7),
    "top_p": Sampling(max_tokens=12, stop_ids=(STOP,), top_p=0.9),
    "all": Sampling(max_tokens=12, stop_ids=(STOP,), temperature=1.3, top_k=8, min_p=0.05, top_p=0.95),
    "greedy": Sampling(max_tokens=12, stop_ids=(STOP,), temperature=0),
}


@pytest.fixture(scope="module")
def model() -> Model:
    return random_model(64, scale=4)


def prompts(count: int = 160) -> list[list[int]]:
    generator = np.random.default_rng(0)
    return [generator.integers(4, 64, generator.integers(2, 12)).tolist() for _ in range(count)]


def batch_of(asked: list[list[int]], drawn: list[Draw]) -> tuple[TokenBatch, torch.Tensor]:
    """(the answers as rows, the sampler's log-probs at their places)."""
    pairs = list(zip(asked, drawn, strict=True))
    sizes = [len(p) + len(d.ids) for p, d in pairs]
    rows = [Answer(np.array([*p, *d.ids]), np.arange(n) >= len(p)) for (p, d), n in zip(pairs, sizes, strict=True)]
    batch = padded(rows)
    own_BT = torch.zeros(batch.weight_BT.shape)
    for place, (prompt, each) in enumerate(pairs):
        own_BT[place, len(prompt) - 1 : len(prompt) - 1 + len(each.ids)] = torch.from_numpy(each.logp)
    return batch, own_BT


@pytest.mark.parametrize("name", SAMPLINGS)
def test_the_sampler_is_the_trainer(model: Model, name: str) -> None:
    sampling, asked = SAMPLINGS[name], prompts()
    drawn = draw(model, asked, [str(i) for i in range(len(asked))], sampling, 32)
    batch, own_BT = batch_of(asked, drawn)
    mask_BT = batch.weight_BT > 0
    with torch.no_grad():
        apart = (trainer_logps(model, batch, sampling) - own_BT)[mask_BT]
        plain = (token_logps(model, batch) - own_BT)[mask_BT]
    assert apart.abs().max() < 1e-5
    assert apart.mean().abs() < 1e-3
    if sampling.top_p < 1:  # the negative control: log-probs of the whole softmax
        assert plain.mean() < -1e-2
    assert {each.ended for each in drawn} == {True, False}
    for each in drawn:
        assert each.ended == (each.ids[-1] == STOP)
        assert STOP not in each.ids[:-1]
        assert each.ended or len(each.ids) == sampling.max_tokens


def test_neither_neighbors_nor_order_change_a_row(model: Model) -> None:
    asked, sampling = prompts(40), SAMPLINGS["top_p"]
    keys = [f"k{i}" for i in range(40)]
    together = draw(model, asked, keys, sampling, 16)
    some = [31, 2, 17]
    alone = draw(model, [asked[i] for i in some], [keys[i] for i in some], sampling, 1)
    for place, number in enumerate(some):
        assert np.array_equal(alone[place].ids, together[number].ids)
        assert np.allclose(alone[place].logp, together[number].logp, atol=1e-5)
    other = draw(model, asked, [f"other{i}" for i in range(40)], sampling, 16)
    assert any(not np.array_equal(a.ids, b.ids) for a, b in zip(together, other, strict=True))


def test_a_token_that_would_not_be_drawn_any_more_has_a_finite_log_prob(model: Model) -> None:
    ids = np.array([5, 6, 7, 8])
    batch = padded([Answer(ids, np.arange(4) >= 2)])
    weights = model.embed.weight
    weights.requires_grad_(True)
    found = trainer_logps(model, batch, Sampling(top_k=1))
    found.sum().backward()
    assert torch.isfinite(found).all()
    assert weights.grad is not None
    assert torch.isfinite(weights.grad).all()
    weights.requires_grad_(False)
    weights.grad = None


def test_what_is_refused(model: Model) -> None:
    with pytest.raises(RecipeError, match="prompt 1 \\(b\\) is empty"):
        draw(model, [[5], []], ["a", "b"], Sampling())
    with pytest.raises(RecipeError, match="repetition_penalty"):
        draw(model, [[5]], ["a"], Sampling(repetition_penalty=1.1))


def test_rollouts_come_back_as_written(tmp_path) -> None:
    rollouts = Rollouts(tmp_path / "rollouts")
    row = dict.fromkeys(SCHEMA.names, 0) | {"prompt_id": "7", "prompt": "1+1=", "text": "2", "end": "eos"}
    numbers = ("logp", "trainer_logp", "ref_logp", "value", "advantage", "token_reward")
    row |= {name: [0.5, -0.25] for name in numbers}
    row |= {"prompt_ids": [3, 4], "ids": [5, 2], "mask": [True, False], "reward": 1.0, "parts": [("exact", 1.0)]}
    assert not rollouts.has(3)
    rollouts.write(3, [row])
    assert rollouts.has(3)
    assert rollouts.read(3) == [row]
    assert [path.name for path in rollouts.folder.iterdir()] == ["00000003.arrow"]
    rollouts.path(3).write_bytes(b"nothing")
    with pytest.raises(InputError, match="holds no rollouts"):
        rollouts.read(3)
