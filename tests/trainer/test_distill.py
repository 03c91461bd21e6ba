"""Distillation: its loss by hand, what it leaves, how it goes on, and what it refuses."""

import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from jacorpus.errors import InputError, RecipeError
from tests.trainer.opened_model import random_model
from tests.trainer.test_prune import batch, grown
from tokenizer_lab.tokens import Tokens
from trainer import loop as loops
from trainer.batch import TokenBatch
from trainer.data import valid_batches
from trainer.distill import Distillation, Distilling, DistillSettings
from trainer.log import read_log
from trainer.opened import open_model, save_model

TRAIN = {
    **{"tokens": 6_400, "batch_tokens": 256, "seq_len": 64, "lr": 3e-3, "checkpoint_every": 10, "log_every": 4},
    **{"tensorboard": False, "threads": 1, "eval_tokens": 1024, "z_loss": 0.0},
}


class Quiet:
    def update(self, row: dict[str, Any]) -> None: ...

    def say(self, line: str) -> None: ...


def by_hand(objective: Distillation, teacher: Any, b: TokenBatch, temperature: float, ce: float) -> torch.Tensor:
    """The sum with all logits at once."""
    model = objective.model
    ours, theirs = (m.logits(m(b.tokens_BT, b.documents())) for m in (model, teacher))
    p, log_p = (theirs / temperature).softmax(-1), (theirs / temperature).log_softmax(-1)
    kl_BT = (p * (log_p - (ours / temperature).log_softmax(-1))).sum(-1)
    ce_BT = -ours.log_softmax(-1).gather(-1, b.targets_BT[..., None])[..., 0]
    return (b.weight_BT * (temperature**2 * kl_BT + ce * ce_BT)).sum()


@pytest.mark.parametrize(("temperature", "ce"), [(1.0, 0.0), (2.0, 0.3)])
def test_the_loss_is_that_of_its_formula(temperature: float, ce: float) -> None:
    teacher, student = grown(), grown(2).requires_grad_(True)
    objective, b = Distillation(student, 1, teacher, DistillSettings(temperature, ce)), batch()
    b.weight_BT[0, 3] = 0
    sums, expected = objective(b), by_hand(objective, teacher, b, temperature, ce)
    assert float(sums.total.detach()) == pytest.approx(float(expected.detach()), rel=1e-12)
    ours = torch.autograd.grad(sums.total, list(student.parameters()))
    hand = torch.autograd.grad(expected, list(student.parameters()))
    assert max(float((a - h).abs().max()) for a, h in zip(ours, hand, strict=True)) < 1e-9
    plain = float((b.weight_BT * student.loss(b)[0]).sum().detach())
    assert float(sums.by_domain[0, 0]) == pytest.approx(plain, rel=1e-6)


def test_a_student_that_is_its_teacher_has_nothing_to_learn() -> None:
    """Negative control: cross-entropy would still pull at it."""
    model, b = grown(2).requires_grad_(True), batch()

    def pull(settings: DistillSettings) -> float:
        sums = Distillation(model, 1, grown(2), settings)(b)
        return max(float(g.abs().max()) for g in torch.autograd.grad(sums.total, list(model.parameters())))

    assert pull(DistillSettings()) < 1e-12
    assert pull(DistillSettings(ce=1.0)) > 1e-2


def test_the_teacher_is_no_weight_of_the_objective() -> None:
    objective = Distillation(grown(2), 1, grown(), DistillSettings())
    assert {name.partition(".")[0] for name, _ in objective.named_parameters()} == {"model"}


@pytest.fixture(scope="module")
def models(small_tokens: Tokens, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of a teacher, another teacher and a student."""
    folder, entry = tmp_path_factory.mktemp("distilled"), small_tokens.manifest["tokenizer"]
    for name, seed, scale in (("teacher", 0, 8.0), ("other", 5, 8.0), ("student", 1, 1.0)):
        model = random_model(entry["vocab_size"], seed, scale=scale)
        save_model(folder / name, model, entry, entry["eos_id"], 0, small_tokens.folder)
    return {name: folder / name for name in ("teacher", "other", "student")}


def run(models: dict[str, Path], tokens: Tokens, out: Path, teacher: str = "teacher", **train: Any) -> dict[str, Any]:
    tables = {"train": {**TRAIN, **train}, "model": {"layers": 9}}
    return Distilling(tables, tokens.folder, out, models[teacher], models["student"]).run(Quiet())


@pytest.fixture(scope="module")
def unbroken(models: dict[str, Path], small_tokens: Tokens, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("unbroken") / "run"
    run(models, small_tokens, out)
    return out


def test_it_ends_as_a_model_nearer_to_its_teacher(
    unbroken: Path, models: dict[str, Path], small_tokens: Tokens
) -> None:
    opened = open_model(unbroken)
    assert opened.tokenizer is not None
    teacher, student = (open_model(models[name]).model for name in ("teacher", "student"))
    text = next(valid_batches(small_tokens, "web", 64, 8))

    def away(model: Any) -> float:
        log_p, log_q = (m.logits(m(text.tokens_BT, text.documents())).log_softmax(-1) for m in (teacher, model))
        return float((log_p.exp() * (log_p - log_q)).sum(-1).mean())

    assert away(opened.model) < 0.7 * away(student)
    about = json.loads((unbroken / "config.json").read_text())["distill"]
    assert about["ce"] == 0.0
    assert len(about["teacher_sha256"]) == 64
    assert [row["step"] for row in read_log(unbroken).steps] == list(range(25))


def test_interrupted_and_resumed_equals_unbroken(
    unbroken: Path, models: dict[str, Path], small_tokens: Tokens, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = loops.Loop._update

    def stopping(self: loops.Loop, batch: Any) -> None:
        original(self, batch)
        if self.step == 13 and self.first_step == 0:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(loops.Loop, "_update", stopping)
    with pytest.raises(KeyboardInterrupt):
        run(models, small_tokens, tmp_path / "run")
    assert not (tmp_path / "run/model.safetensors").exists()
    shutil.copytree(tmp_path / "run", tmp_path / "copy")
    run(models, small_tokens, tmp_path / "run")
    assert (tmp_path / "run/model.safetensors").read_bytes() == (unbroken / "model.safetensors").read_bytes()
    with pytest.raises(InputError, match="another teacher or loss"):
        run(models, small_tokens, tmp_path / "copy", teacher="other")


def test_what_does_not_fit_is_one_sentence(models: dict[str, Path], small_tokens: Tokens, tmp_path: Path) -> None:
    entry = small_tokens.manifest["tokenizer"]
    save_model(tmp_path / "wide", random_model(entry["vocab_size"] + 8), entry, entry["eos_id"], 0, small_tokens.folder)
    with pytest.raises(InputError, match="take a teacher and a student of one vocabulary"):
        run({**models, "wide": tmp_path / "wide"}, small_tokens, tmp_path / "run", teacher="wide")
    save_model(tmp_path / "bytes", random_model(entry["vocab_size"]), {**_bytes(tmp_path)}, 0)
    with pytest.raises(InputError, match="trained with another tokenizer"):
        run({**models, "bytes": tmp_path / "bytes"}, small_tokens, tmp_path / "run", teacher="bytes")
    with pytest.raises(RecipeError, match="leave select out"):
        run(models, small_tokens, tmp_path / "run", select={"reference": "x"})
    with pytest.raises(RecipeError, match="temperature must be over 0"):
        DistillSettings(temperature=0.0)


def _bytes(folder: Path) -> dict[str, Any]:
    """How a token folder names the plain byte tokenizer."""
    from tests.tokenizer_lab.test_encode import jsonl
    from tokenizer_lab.corpus import open_corpus
    from tokenizer_lab.encode import encode_corpus
    from tokenizer_lab.tokens import open_tokens

    jsonl(folder / "a.jsonl", ["短い文です。" * 20])
    encode_corpus(open_corpus([str(folder / "a.jsonl")]), "byte", folder / "tokens")
    return dict(open_tokens(folder / "tokens").manifest["tokenizer"])
