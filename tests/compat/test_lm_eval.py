"""lm-eval's own model class on an export: the same numbers as our adapter gives for our own model."""

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.small import prose
from tests.trainer.export import tiny

pytest.importorskip("accelerate", reason="needs the package accelerate: pip install -e '.[compat]'")
pytest.importorskip("lm_eval", reason="needs the package lm-eval")


@pytest.fixture(scope="module")
def theirs(folder: Path) -> Any:
    from lm_eval.models.huggingface import HFLM

    return HFLM(
        pretrained=str(folder), trust_remote_code=True, dtype="float32", device="cpu", batch_size=3, prefix_token_id=2
    )


@pytest.fixture(scope="module")
def ours(folder: Path, hybrid: tiny.Model) -> Any:
    from trainer.evaluate.lm_eval_adapter import Adapter
    from trainer.opened import open_model

    opened = open_model(folder)
    assert torch.equal(opened.model.embed.weight, hybrid.embed.weight)
    return Adapter(opened)


def requests(kind: str, *arguments: Any) -> list[Any]:
    from lm_eval.api.instance import Instance

    return [Instance(kind, {}, each, i) for i, each in enumerate(arguments)]


def test_loglikelihoods(theirs: Any, ours: Any) -> None:
    """Batches of three, padded."""
    pairs = [(prose(i, 1)[: 5 + 3 * i], prose(i + 50, 1)[: 3 + i % 4]) for i in range(8)]
    found, wanted = (each.loglikelihood(requests("loglikelihood", *pairs)) for each in (theirs, ours))
    for (value, greedy), (own, own_greedy) in zip(found, wanted, strict=True):
        assert value == pytest.approx(own, rel=1e-5)
        assert greedy == own_greedy


def test_rolling(theirs: Any, ours: Any) -> None:
    made = [requests("loglikelihood_rolling", (prose(3),), (prose(4, 2),)) for _ in range(2)]
    found, wanted = theirs.loglikelihood_rolling(made[0]), ours.loglikelihood_rolling(made[1])
    assert found == pytest.approx(wanted, rel=1e-5)


def test_generation(theirs: Any, ours: Any) -> None:
    """Greedy, prompts of different lengths side by side."""
    words = {"until": ["の"], "max_gen_toks": 12, "do_sample": False}
    made = [(prose(i, 1)[: 4 + 2 * i], words) for i in range(5)]
    found, wanted = (each.generate_until(requests("generate_until", *made)) for each in (theirs, ours))
    assert found == wanted
