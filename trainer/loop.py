"""The one loop: batches, gradients, a guarded update, a log, checkpoints. Every kind of training goes through here.

    read a batch -> sums of the objective over micro-batches -> norm of the gradient -> judged -> update or none

What a step decides, it decides on the device: a step that is not finite or a spike changes no weight and no moment, and
nothing waits for it. The host looks every ``log_every`` steps, in one read; there a run of bad steps ends the training,
or goes back to the last checkpoint and on past the data since (``rewind``).

A batch is a pure function of its number, and a checkpoint holds everything else, so a run that was killed goes on as if
it had not been. Step s is the update number s, from 0; a checkpoint's number counts the steps that are done.
"""

import math
import resource
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn

from jacorpus.errors import JacorpusError
from trainer.batch import TokenBatch
from trainer.checkpoint import Checkpoints
from trainer.distributed import World, accumulate
from trainer.log import Log, Row
from trainer.optim import Optimizer, grad_norm
from trainer.prefetch import Prefetch
from trainer.rng import capture_rng, restore_rng
from trainer.schedule import Schedule
from trainer.spikes import SpikeGuard

BAD_STEPS = 10
"""Steps in a row that changed nothing, after which a run stops or goes back."""

REWINDS = 5
"""Times a run goes back by itself; a run that needs more has another trouble."""

PROFILED = 5, 8
"""First and last step of a profile."""


class Source(Protocol):
    """Batches by their number."""

    @property
    def steps(self) -> int:
        """How many there are."""
        ...

    def batch(self, step: int) -> TokenBatch:
        """This rank's rows, on the CPU; a pure function of the number."""
        ...

    def tokens(self, step: int) -> int:
        """Tokens of all ranks in the batches before this one."""
        ...


class Controller(Protocol):
    """Weights of domains that change as training goes (DoReMi, DoGE). Its state goes into the checkpoint."""

    def update(self, stats: dict[str, Any]) -> list[float]:
        """The next step's weights by domain, from what the last step measured."""
        ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


class Watcher(Protocol):
    """Hears of progress; the command line draws it."""

    def update(self, row: Row) -> None: ...

    def say(self, line: str) -> None: ...


@dataclass
class Job:
    """What one run of the loop works on.

    objective: gives ``trainer.objective.Sums`` of a TokenBatch, spread over ranks. module: the same, unspread.
    weigh: (loss by domain in nats, tokens by domain) -> facts of a step for the log, such as bits per byte.
    evaluate: (step) -> rows for the log; called every eval_every steps and at the end, on all ranks.
    identity: what fixes the batches; a checkpoint keeps it. checkpoint_every: 0 for none at all. ahead: whether batches
    are made beside training; not where they depend on the weights (a source that generates).
    """

    objective: nn.Module
    module: Any
    optimizer: Optimizer
    schedule: Schedule
    source: Source
    world: World
    folder: Path
    log: Log
    watcher: Watcher
    identity: dict[str, Any] = field(default_factory=dict)
    micro_rows: int = 8
    clip: float = 1.0
    skip_spikes: bool = True
    rewind: bool = False
    log_every: int = 10
    eval_every: int = 0
    checkpoint_every: int = 1000
    keep: int = 2
    keep_every: int = 0
    profile: bool = False
    ahead: bool = True
    weigh: Callable[[list[float], list[float]], dict[str, Any]] = lambda nats, weights: {}
    speed: Callable[[int, float], dict[str, Any]] = lambda step, tokens_per_s: {}
    evaluate: Callable[[int], list[Row]] = lambda step: []
    controller: Controller | None = None


class Loop:
    """One run; ``execute`` does it."""

    def __init__(self, job: Job) -> None:
        self.job, self.world = job, job.world
        self.guard = SpikeGuard(job.world.device, enabled=job.skip_spikes)
        self.checkpoints = Checkpoints(job.folder / "checkpoints", keep=job.keep, keep_every=job.keep_every)
        self.step = 0  # updates done
        self.offset = 0  # a step reads the batch of number step + offset
        self.rewinds = 0
        self._bad = 0  # steps in a row, up to the last read, that changed nothing
        self.first_step = 0  # of this process
        self._wanted = threading.Event()
        self.valid: list[Row] = []  # what the last evaluation gave
        self._records: list[tuple[int, float, torch.Tensor]] = []
        self._clock, self._clock_step = time.monotonic(), 0

    @property
    def parameters(self) -> dict[str, nn.Parameter]:
        return {name: p for name, p in self.job.module.named_parameters() if p.requires_grad}

    @property
    def last_step(self) -> int:
        """Updates of the whole run; what rewinds passed over is not trained."""
        return self.job.source.steps - self.offset

    def execute(self) -> None:
        """Train to the end, from the last checkpoint where there is one.

        Raises KeyboardInterrupt after Ctrl-C, with a checkpoint written; JacorpusError where training can't go on.
        """
        self.resume()
        with _interrupts(self._wanted), self._profiler() as profiler:
            while self.step < self.last_step:
                self._train(profiler)
        self.checkpoints.wait()

    def resume(self) -> None:
        """Load the last checkpoint, if any. Raises InputError where it belongs to another model or data."""
        found = self.checkpoints.latest()
        if found is not None:
            self._load(found)
        self.first_step = self.step

    def _state(self) -> dict[str, Any]:
        return {
            "model": dict(self.job.module.state_dict()),
            "optimizer": self.job.optimizer.state_dict(),
            "guard": self.guard.state_dict(),
            "rng": capture_rng(),
        }

    def _load(self, step: int) -> None:
        state = self._state()
        extra = self.checkpoints.load(step, state)
        self.job.module.load_state_dict(state["model"])
        self.job.optimizer.load_state_dict(state["optimizer"])
        self.guard.load_state_dict(state["guard"])
        restore_rng(state["rng"])
        self.step, self.offset, self.rewinds = extra["step"], extra["offset"], extra["rewinds"]
        if self.job.controller is not None:
            self.job.controller.load_state_dict(extra["controller"])

    def _checkpoint(self) -> None:
        """Begin to write a checkpoint of the steps done; it is there, whole, once written."""
        extra = {"step": self.step, "offset": self.offset, "rewinds": self.rewinds, "identity": self.job.identity}
        if self.job.controller is not None:
            extra["controller"] = self.job.controller.state_dict()
        self.checkpoints.save(self.step, self._state(), extra)
        self.job.log.event(self.step - 1, "checkpoint", steps=self.step)

    def _train(self, profiler: Any) -> None:
        """Steps until the end, a stop, or a rewind."""
        numbers = range(self.step + self.offset, self.job.source.steps)
        pin = self.world.device.type == "cuda"
        self._clock, self._clock_step = time.monotonic(), self.step
        made = Prefetch(self.job.source.batch, numbers, pin=pin) if self.job.ahead else nullcontext(self._made(numbers))
        with made as batches:
            for batch in batches:
                self._update(batch)
                if profiler is not None:
                    profiler.step()
                self.step += 1
                evaluate = self._due(self.job.eval_every)
                save = self.job.checkpoint_every > 0 and self._due(self.job.checkpoint_every)
                if (evaluate or save or self._due(self.job.log_every)) and self._read():
                    return
                if evaluate:
                    self._evaluate()
                if save and (not self._bad or self.step == self.last_step):  # bad steps push no good checkpoint out
                    self._checkpoint()
                if self.world.size == 1 and self._wanted.is_set():
                    self._interrupted()

    def _made(self, numbers: range) -> Iterator[TokenBatch]:
        """Batches, each made when the update before it is done."""
        for number in numbers:
            yield self.job.source.batch(number)

    def _due(self, every: int) -> bool:
        return self.step == self.last_step or (every > 0 and self.step % every == 0)

    def _update(self, batch: TokenBatch) -> None:
        """One step: gradients of the whole batch, judged and applied on the device."""
        job = self.job
        weight, totals = self._gradients(batch)
        parameters = list(self.parameters.values())
        norm = grad_norm(parameters)
        skip = self.guard.judge(totals[0] / weight, norm)
        lr = job.schedule.at(self.step)
        job.optimizer.step(lr, skip, (job.clip / (norm + 1e-6)).clamp(max=1.0))
        for parameter in parameters:
            parameter.grad = None
        facts = torch.stack((weight, norm, skip.to(norm.dtype), self._asked_to_stop()))
        self._records.append((self.step, lr, torch.cat((facts.to(totals.dtype), totals))))
        if job.controller is not None:
            self._steer(totals)

    def _gradients(self, batch: TokenBatch) -> tuple[torch.Tensor, torch.Tensor]:
        """Gradients of the batch's mean, by micro-batches; (weight of the global batch, sums measured over it)."""
        job, world = self.job, self.world
        weight = world.sum(batch.weight().to(world.device)).clamp(min=1.0)
        measured: list[torch.Tensor] = []
        rows = len(batch.domain_B)
        for first in range(0, rows, job.micro_rows):
            piece = batch.rows(first, first + job.micro_rows).to(world.device)
            accumulate(job.objective, first + job.micro_rows >= rows)
            sums = job.objective(piece)
            (sums.total * (world.size / weight)).backward()  # both wrappings average over ranks
            measured.append(torch.cat((sums.total.detach()[None], sums.z_loss[None], sums.by_domain.flatten())))
        return weight, world.sum(torch.stack(measured).sum(0))

    def _asked_to_stop(self) -> torch.Tensor:
        """1 where any rank was interrupted; all learn of it in the same read."""
        asked = torch.full((), float(self._wanted.is_set()), device=self.world.device)
        return self.world.sum(asked)

    def _steer(self, totals: torch.Tensor) -> None:
        """Ask the controller for the next weights of domains. Waits for the device: made for small runs."""
        assert self.job.controller is not None
        nats, weights = totals[2:].view(2, -1).tolist()
        loss = [n / w if w else None for n, w in zip(nats, weights, strict=True)]
        stats = {"step": self.step, "loss": loss, "tokens": weights, **self.job.module.facts()}
        self.job.module.set_domain_weights(self.job.controller.update(stats))

    def _read(self) -> bool:
        """Bring what the last steps measured to the host, in one read, and log it. True after a rewind."""
        if not self._records:
            return False
        numbers = torch.stack([record for _, _, record in self._records]).tolist()
        now = time.monotonic()
        begun, done = (self.job.source.tokens(s + self.offset) for s in (self._clock_step, self.step))
        tokens_per_s = (done - begun) / max(now - self._clock, 1e-9)
        state = self.guard.read()
        skipped = state["skipped"] - sum(row[2] > 0 for row in numbers)
        for (step, lr, _), row in zip(self._records, numbers, strict=True):
            skipped += row[2] > 0
            self._log_step(step, lr, row, int(skipped), tokens_per_s)
        self._records.clear()
        self._clock, self._clock_step = now, self.step
        self._bad = state["bad_in_a_row"]
        if self._bad >= BAD_STEPS:
            self._back(self._bad)
            return True
        if self.world.size > 1 and numbers[-1][3] > 0:
            self._interrupted()
        return False

    def _log_step(self, step: int, lr: float, row: list[float], skipped: int, tokens_per_s: float) -> None:
        weight, norm, skip, _, total, z_loss, *by_domain = row
        half = len(by_domain) // 2
        nats, weights = by_domain[:half], by_domain[half:]
        loss = sum(nats) / max(sum(weights), 1.0)
        if skip:
            self.job.log.event(step, "skip", loss=total / weight, grad_norm=norm)
            self.job.watcher.say(f"step {step:,}: no update (loss {total / weight:.4g}, gradient norm {norm:.4g})")
        facts: Row = {
            "step": step,
            "tokens": self.job.source.tokens(step + self.offset + 1),
            "loss": loss,
            "z_loss": z_loss / weight,
            **self.job.weigh(nats, weights),
            "lr": lr,
            "grad_norm": norm,
            "skipped": skipped,
            "tokens_per_s": tokens_per_s,
            **self.job.speed(step + self.offset, tokens_per_s),
            "peak_memory_bytes": self._peak_bytes(),
        }
        self.job.watcher.update(self.job.log.step(facts))

    def _peak_bytes(self) -> int:
        if self.world.device.type == "cuda":
            return torch.cuda.max_memory_allocated()
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

    def _evaluate(self) -> None:
        self.valid = self.job.evaluate(self.step - 1)
        for row in self.valid:
            self.job.log.evaluated(self.step - 1, **row)
        self._clock, self._clock_step = time.monotonic(), self.step  # evaluation is no training time

    def _back(self, bad: int) -> None:
        """After too many bad steps: to the last checkpoint and past the data since, or stop."""
        self.checkpoints.wait()
        found = self.checkpoints.latest()
        where = f"{bad} steps in a row up to step {self.step - 1:,} were not finite or spikes, and changed nothing"
        if not self.job.rewind:
            raise JacorpusError(
                f"{where}; training stopped. Lower [train] lr, or write rewind = true to go back to the last "
                f"checkpoint and past that data; log.jsonl has the losses"
            )
        if found is None or self.rewinds >= REWINDS:
            why = "there is no checkpoint to go back to" if found is None else f"it went back {REWINDS} times already"
            raise JacorpusError(f"{where}, and {why}; training stopped. Lower [train] lr, or look at the data")
        reached, rewinds = self.step + self.offset, self.rewinds
        self._load(found)
        self.rewinds, self.offset = rewinds + 1, reached - self.step
        self.guard.forget_run()
        self.job.log.event(self.step, "rewind", past=reached)
        self.job.watcher.say(f"{where}: back to step {self.step:,}, on with batch {reached:,}")

    def _interrupted(self) -> None:
        self._read()
        if not self.job.checkpoint_every:
            raise KeyboardInterrupt
        self._checkpoint()
        self.checkpoints.wait()
        self.job.watcher.say(f"stopped after step {self.step - 1:,}; the same command goes on from there")
        raise KeyboardInterrupt

    def _profiler(self) -> Any:
        if not (self.job.profile and self.world.first):
            return nullcontext()
        from torch import profiler as tools

        kinds = [tools.ProfilerActivity.CPU]
        if self.world.device.type == "cuda":
            kinds.append(tools.ProfilerActivity.CUDA)
        target = self.job.folder / "profile.json"
        first, last = PROFILED
        plan = tools.schedule(wait=first - 1, warmup=1, active=last - first + 1, repeat=1)
        return tools.profile(
            activities=kinds, schedule=plan, on_trace_ready=lambda p: p.export_chrome_trace(str(target))
        )


@contextmanager
def _interrupts(wanted: threading.Event) -> Iterator[None]:
    """Ctrl-C and SIGTERM ask for a stop after the step; a second Ctrl-C stops at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def asked(number: int, _: Any) -> None:
        if wanted.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt
        wanted.set()

    before = {number: signal.signal(number, asked) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def finite(value: float) -> float | None:
    """None for what JSON can't say."""
    return value if math.isfinite(value) else None
