"""What proxies (trainer/proxy.py) hand to the loop: settings, the feed as a source, a job without files."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch

from jacorpus.errors import RecipeError
from tokenizer_lab.tokens import Tokens
from trainer import distributed
from trainer.batch import TokenBatch
from trainer.data import Feed
from trainer.distributed import World
from trainer.log import Log, Row
from trainer.loop import Job
from trainer.model import Model
from trainer.objective import LanguageModeling, Reference
from trainer.optim import OptimConfig, Optimizer
from trainer.plan import Plan
from trainer.schedule import Schedule

MODEL = {
    **{"layers": ["mamba", "window"], "d_model": 128, "d_ff": 256, "head_dim": 32, "window": 128},
    **{"d_state": 16, "dt_rank": 16},
}

MICRO_TOKENS = 4096

Progress = Callable[[str, int, int], None]
"""Hears (what is trained: ``proxy``, ``reference``, ``reference NAME`` or ``steered``; tokens done; tokens of it)."""


@dataclass(frozen=True)
class ProxySettings:
    """How proxies are trained. model: a [model] table; what it leaves out is MODEL's. tokens: of a run.

    lr rises over ``warmup`` (a share of all steps) and falls in a straight line to 0. valid_tokens: of each domain's
    valid split. checkpoint_every: steps, of steered runs. precision: of activations; weights are float32.
    """

    model: Mapping[str, Any] = field(default_factory=dict)
    tokens: int = 262_144
    batch_tokens: int = 1024
    seq_len: int = 256
    lr: float = 8e-3
    warmup: float = 0.05
    weight_decay: float = 0.1
    z_loss: float = 1e-5
    valid_tokens: int = 32_768
    precision: Literal["bf16", "fp32"] = "bf16"
    eos_id: int | None = None
    threads: int = 1
    device: str = "cpu"
    checkpoint_every: int = 200

    def __post_init__(self) -> None:
        for name in ("tokens", "batch_tokens", "seq_len", "lr", "valid_tokens", "threads", "checkpoint_every"):
            if getattr(self, name) <= 0:
                raise RecipeError(f"a proxy's {name} must be over 0, got {getattr(self, name)}")
        if self.precision not in ("bf16", "fp32"):
            raise RecipeError(f"a proxy's precision must be bf16 or fp32, got {self.precision!r}")


@dataclass(frozen=True)
class Batches:
    """A feed as the loop's source of batches."""

    feed: Feed

    @property
    def steps(self) -> int:
        return self.feed.plan.steps

    def batch(self, step: int) -> TokenBatch:
        return self.feed.batch(step)

    def tokens(self, step: int) -> int:
        return self.feed.plan.tokens_at(min(step, self.steps))


class Told:
    """Progress as the loop's watcher."""

    def __init__(self, progress: Progress | None, what: str, tokens: int) -> None:
        self.progress, self.what, self.tokens = progress, what, tokens

    def update(self, row: Row) -> None:
        if self.progress is not None:
            self.progress(self.what, row["tokens"], self.tokens)

    def say(self, line: str) -> None:
        """Steps that changed nothing are told by the run's end, if there are many."""


def job_of(
    model: Model,
    tokens: Tokens,
    plan: Plan,
    seed: int,
    settings: ProxySettings,
    folder: Path,
    reference: Reference | None = None,
    progress: Progress | None = None,
    what: str = "proxy",
) -> Job:
    """The loop's work: a plain run without checkpoints. folder: for what the loop writes, which is nothing."""
    device = model.embed.weight.device
    feed = Feed(tokens, plan, seed, settings.eos_id)
    objective = LanguageModeling(model, len(plan.domains), settings.z_loss, reference).to(device)
    optimizer = Optimizer(objective.named_parameters(), OptimConfig(weight_decay=settings.weight_decay))
    schedule = Schedule("linear", settings.lr, round(settings.warmup * plan.steps), plan.steps)
    job = Job(
        *(objective, objective, optimizer, schedule, Batches(feed), World(0, 1, device), folder),
        *(Log(folder, rank=1), Told(progress, what, plan.tokens)),
    )
    job.identity, job.micro_rows = feed.identity, max(1, MICRO_TOKENS // settings.seq_len)
    job.skip_spikes, job.checkpoint_every = False, 0
    return job


@contextmanager
def settled(threads: int, device: torch.device) -> Iterator[None]:
    """Numbers that do not change from run to run; the process's own settings come back after."""
    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(threads)
    distributed.deterministic(device)
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        torch.use_deterministic_algorithms(before[1])
