"""Knowledge distillation: a student learns a teacher's distribution of every next token, on the one loop.

    loss = T^2 KL(teacher || student) + ce * cross-entropy + z-loss      T: temperature of both softmaxes

A run of it is a pre-training that starts from the student and has another objective: the same feed, checkpoints, log
and folder, so that a killed run goes on as if it had not been. The logged loss and bits per byte are the student's
cross-entropy on the text, to be compared with any other run's.

Sources: arXiv 1503.02531 (T^2 keeps gradients as large at any T); arXiv 2407.14679 (after pruning, logits alone).

Letters: B rows, T tokens of a row, D d_model, E domains.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from jacorpus.errors import InputError, RecipeError
from trainer.batch import TokenBatch
from trainer.continued import same_tokenizer
from trainer.distributed import World
from trainer.kernels.linear_ce import linear_ce
from trainer.kernels.linear_kl import linear_kl
from trainer.loop import Watcher
from trainer.model import Model
from trainer.objective import LanguageModeling, Sums
from trainer.opened import CONFIG, Opened, open_model
from trainer.pretrain import Pretraining
from trainer.running import Run


@dataclass(frozen=True)
class DistillSettings:
    """temperature: of both softmaxes. ce: weight of the text's own cross-entropy beside the divergence."""

    temperature: float = 1.0
    ce: float = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.temperature < float("inf"):
            raise RecipeError(f"the temperature must be over 0, got {self.temperature}")
        if not 0 <= self.ce < float("inf"):
            raise RecipeError(f"the weight of cross-entropy must be 0 or more, got {self.ce}")


class Distillation(LanguageModeling):
    """Divergence of the student from the teacher, summed over a batch's tokens. The teacher's weights are none of this
    module's: nothing trains or saves them. by_domain holds cross-entropy."""

    def __init__(
        self, model: Model, domains: int, teacher: Model, settings: DistillSettings, z_loss: float = 0.0
    ) -> None:
        super().__init__(model, domains, z_loss)
        self.settings, self._teacher = settings, [teacher]

    def forward(self, batch: TokenBatch) -> Sums:
        hidden_BTD = self.model(batch.tokens_BT, batch.documents())
        hidden, head = hidden_BTD.flatten(0, 1), self.model.head_weight
        counted = torch.is_grad_enabled() and (self.settings.ce > 0 or self.z_loss > 0)
        with torch.set_grad_enabled(counted):
            found = linear_ce(hidden, head, batch.targets_BT.flatten())
        loss_BT, lse_BT = (each.view_as(batch.weight_BT) for each in found)
        place_BE = self.places(batch)
        z_BT = self.z_loss * lse_BT.square()
        each_BT = self.settings.ce * loss_BT + z_BT
        if torch.is_grad_enabled():  # an evaluation asks for cross-entropy alone
            each_BT = each_BT + self.divergence(batch, hidden)
        nats_B, weight_B = (batch.weight_BT * loss_BT.detach()).sum(1), batch.weight_BT.sum(1)
        by_domain = torch.stack((nats_B, weight_B)).to(place_BE.dtype) @ place_BE
        return Sums((batch.weight_BT * each_BT).sum(), (batch.weight_BT * z_BT.detach()).sum(), by_domain)

    def divergence(self, batch: TokenBatch, hidden_ND: torch.Tensor) -> torch.Tensor:
        """[B, T]: T^2 KL(teacher || student) in nats. hidden: the student's, after its final norm, N = B * T."""
        teacher = self._teacher[0]
        with torch.no_grad():
            theirs = teacher(batch.tokens_BT, batch.documents()).flatten(0, 1)
        heads = self.model.head_weight, teacher.head_weight
        kl = linear_kl(hidden_ND, heads[0], theirs, heads[1], self.settings.temperature)
        return self.settings.temperature**2 * kl.view_as(batch.weight_BT)


class Distilling(Pretraining):
    """One distillation, prepared. tables: a recipe, of which [train] and [mixing] count; [model] is the student's.

    Raises what Pretraining raises, and InputError where teacher, student and token shards don't share a tokenizer.
    """

    def __init__(
        self,
        tables: Mapping[str, Any],
        tokens: Path,
        out: Path,
        teacher: Path,
        student: Path,
        settings: DistillSettings | None = None,
        mixture: Path | None = None,
        use_mixture: bool = False,
    ) -> None:
        if tables.get("train", {}).get("select"):
            raise RecipeError("[train] select and distillation don't go together; leave select out")
        super().__init__({**tables, "model": {"init": str(student)}}, tokens, out, mixture, use_mixture)
        self.distill, self.teacher = settings or DistillSettings(), open_model(teacher)
        same_tokenizer(teacher, self.teacher, self.tokens)
        if self.teacher.config.vocab_size != self.config.vocab_size:
            raise InputError(
                f"the teacher {teacher} has {self.teacher.config.vocab_size:,} ids and the student {student} "
                f"{self.config.vocab_size:,}; distillation compares their distributions id by id: take a teacher and "
                f"a student of one vocabulary"
            )

    def about(self) -> dict[str, Any]:
        """What config.json says beside the model."""
        settings = {"temperature": self.distill.temperature, "ce": self.distill.ce}
        return {**super().about(), "distill": {"teacher_sha256": _digest(self.teacher), **settings}}

    def run(self, watcher: Watcher) -> dict[str, Any]:
        """Distill, from where the folder is. Raises InputError where it began with another teacher or loss."""
        if (self.out / CONFIG).is_file() and (self.out / "checkpoints").is_dir():
            begun = json.loads((self.out / CONFIG).read_bytes()).get("distill")
            if begun != (now := self.about()["distill"]):
                raise InputError(
                    f"{self.out} holds a run with another teacher or loss ({_shown(begun)}; now {_shown(now)}), so it "
                    f"can't go on; put them back, or choose another --out"
                )
        return super().run(watcher)

    def runner(self, world: World, watcher: Watcher) -> Run:
        """The run of this kind."""
        return DistillRun(self, world, watcher)


class DistillRun(Run):
    """A distillation while it runs."""

    given: Distilling

    def _objective(self) -> LanguageModeling:
        teacher = self.given.teacher.model.to(self.world.device)
        teacher.compute_dtype = self._dtype()
        return Distillation(self.model, len(self.plan.domains), teacher, self.given.distill, self.settings.z_loss)


def _digest(opened: Opened) -> str:
    """Of a teacher's weights."""
    digest = hashlib.sha256()
    for path in sorted(opened.folder.glob("*.safetensors")):
        with open(path, "rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()


def _shown(entry: dict[str, Any] | None) -> str:
    if entry is None:
        return "no teacher"
    return f"teacher {entry['teacher_sha256'][:12]}, temperature {entry['temperature']}, ce {entry['ce']}"
