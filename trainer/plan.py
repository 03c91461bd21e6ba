"""What is trained in which order, as data: a list of phases, and from a step's number everything else.

    phase      tokens, mixture, length of sequences; its batches are all of one shape
    step       one batch; a phase has whole steps, so many that its tokens are reached
    cursor     per domain: how many tokens of its endless stream of blocks are used up; carries over between phases

Rows of a domain are consecutive cuts of its blocks. A block is as long as the plan's longest sequence, and every
phase's seq_len divides it, so a row lies within one block. The cursor counts tokens; where a phase begins it is rounded
up to a multiple of the phase's seq_len (fewer than seq_len tokens a domain are passed over for that epoch, none where
sequences don't grow). So the k-th row of a domain in a phase starts at cursor + k * seq_len: no table, no history.

Nothing of a phase depends on later ones: a phase may be made longer, or another appended, and no earlier batch
changes. Only the length of blocks must stay: a plan that is to get longer sequences later states ``block`` at once.

Weights are kept as quotas: rows of 65,536 (mixing/schedule.py). A plan's hash is of what it does, not of how it was
written: weights of 1 and 1 or of .5 and .5 are the same plan.
"""

import hashlib
import json
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from jacorpus.errors import InputError, RecipeError
from mixing.schedule import PERIOD, Schedule, quotas

FORMAT = 1


@dataclass(frozen=True)
class Phase:
    """A stretch of training with one mixture and one shape.

    tokens: at least so many; rounded up to whole batches. mixture: weight by domain, any scale.
    seq_len: tokens of a row. batch_tokens: tokens of a step over all ranks, a multiple of seq_len.
    pieces: sequence-length warm-up, (until_token, length) in rising order, tokens counted from the phase's start:
        steps that begin before until_token have an extra document boundary every ``length`` tokens. Shapes and
        targets stay as they are. See ``linear_pieces``.
    """

    tokens: int
    mixture: Mapping[str, float]
    seq_len: int
    batch_tokens: int
    pieces: tuple[tuple[int, int], ...] = ()

    def __post_init__(self) -> None:
        for name in ("tokens", "seq_len", "batch_tokens"):
            if getattr(self, name) < 1:
                raise RecipeError(f"a phase's {name} is {getattr(self, name)}; it must be over 0")
        if self.batch_tokens % self.seq_len:
            low = max(self.batch_tokens // self.seq_len, 1) * self.seq_len
            raise RecipeError(
                f"batch_tokens = {self.batch_tokens:,} is no multiple of seq_len = {self.seq_len:,}; "
                f"a batch is whole rows: try {low:,}"
            )
        until = [end for end, _ in self.pieces]
        if until != sorted(set(until)) or any(length < 1 for _, length in self.pieces):
            raise RecipeError(f"pieces = {list(self.pieces)}: until_token must rise and lengths be over 0")
        _ = self.schedule  # wrong weights are told here

    @cached_property
    def schedule(self) -> Schedule:
        """Who has which row; row 0 is the phase's first."""
        return Schedule(quotas(self.mixture))

    @property
    def rows(self) -> int:
        """Rows of a batch over all ranks."""
        return self.batch_tokens // self.seq_len

    @property
    def steps(self) -> int:
        """Whole batches until ``tokens`` are reached."""
        return -(-self.tokens // self.batch_tokens)

    def to_dict(self) -> dict[str, Any]:
        """JSON; ``mixture`` as rows of 65,536."""
        return {
            "tokens": self.tokens,
            "mixture": self.schedule.quotas,
            "seq_len": self.seq_len,
            "batch_tokens": self.batch_tokens,
            "pieces": [list(piece) for piece in self.pieces],
        }


def linear_pieces(seq_len: int, tokens: int, start: int = 64) -> tuple[tuple[int, int], ...]:
    """Pieces that grow linearly from ``start`` to seq_len over ``tokens``, in steps of ``start``.

    Source: C. Li, M. Zhang, Y. He, arXiv 2108.06084; there by truncation, here by boundaries, which lose no token.
    """
    lengths = range(start, seq_len, start)
    return tuple((tokens * (i + 1) // len(lengths), length) for i, length in enumerate(lengths))


@dataclass(frozen=True)
class Plan:
    """Phases one after another. block: tokens of a block; 0 for the longest seq_len."""

    phases: tuple[Phase, ...]
    block: int = 0

    def __post_init__(self) -> None:
        if not self.phases:
            raise RecipeError("the plan has no phase; give train.tokens or a [[train.phase]]")
        object.__setattr__(self, "phases", tuple(self.phases))
        longest = max(phase.seq_len for phase in self.phases)
        object.__setattr__(self, "block", self.block or longest)
        for number, phase in enumerate(self.phases):
            if self.block % phase.seq_len:
                raise RecipeError(
                    f"phase {number} has seq_len = {phase.seq_len:,}, which doesn't divide the plan's block of "
                    f"{self.block:,} tokens (as long as the longest sequence); make each seq_len a divisor of it"
                )

    @cached_property
    def first_steps(self) -> tuple[int, ...]:
        """[phases + 1]: the step at which each phase begins, then the number of steps."""
        return _running(phase.steps for phase in self.phases)

    @cached_property
    def first_tokens(self) -> tuple[int, ...]:
        """[phases + 1]: tokens before each phase, then tokens of the plan."""
        return _running(phase.steps * phase.batch_tokens for phase in self.phases)

    @property
    def steps(self) -> int:
        """Batches of the plan: steps 0 ... steps - 1."""
        return self.first_steps[-1]

    @property
    def tokens(self) -> int:
        """Positions of all batches, those without a target included."""
        return self.first_tokens[-1]

    @cached_property
    def domains(self) -> tuple[str, ...]:
        """Names of domains in the order they first appear (sorted within a phase), so that an appended phase renumbers
        none. A batch's ``domain_B`` counts in this order."""
        return tuple(dict.fromkeys(name for phase in self.phases for name in phase.schedule.names))

    def index_of(self, step: int) -> int:
        """Number of the phase that holds a step. Raises InputError for a step the plan doesn't have."""
        if not 0 <= step < self.steps:
            raise InputError(f"step {step:,} is not in the plan, which has {self.steps:,} steps; append a phase")
        return bisect_right(self.first_steps, step) - 1

    def phase_of(self, step: int) -> Phase:
        """The phase that holds a step."""
        return self.phases[self.index_of(step)]

    def tokens_at(self, step: int) -> int:
        """Tokens in the batches before a step; ``step`` may be the number of steps."""
        if step == self.steps:
            return self.tokens
        i = self.index_of(step)
        return self.first_tokens[i] + (step - self.first_steps[i]) * self.phases[i].batch_tokens

    def piece_len(self, step: int) -> int:
        """Tokens between extra boundaries in a step; seq_len where there are none."""
        i = self.index_of(step)
        phase, done = self.phases[i], self.tokens_at(step) - self.first_tokens[i]
        return next((length for until, length in phase.pieces if done < until), phase.seq_len)

    @cached_property
    def cursors(self) -> tuple[dict[str, int], ...]:
        """Per phase: tokens of each domain's stream of blocks that are used up where the phase begins."""
        found: list[dict[str, int]] = []
        after = dict.fromkeys(self.domains, 0)
        for phase in self.phases:
            start = {name: -(-used // phase.seq_len) * phase.seq_len for name, used in after.items()}
            found.append(start)
            if phase is not self.phases[-1]:  # the dealing of a last phase may wait until a batch is asked for
                rows = phase.steps * phase.rows
                had = {name: phase.schedule.count(name, rows) * phase.seq_len for name in phase.schedule.names}
                after |= {name: start[name] + tokens for name, tokens in had.items()}
        return tuple(found)

    def to_dict(self) -> dict[str, Any]:
        """JSON; ``from_dict`` gives an equal plan back."""
        phases = [phase.to_dict() for phase in self.phases]
        return {"format": FORMAT, "period": PERIOD, "block": self.block, "phases": phases}

    @staticmethod
    def from_dict(content: Mapping[str, Any]) -> "Plan":
        """The plan of ``to_dict``. Raises InputError for another format."""
        if (content.get("format"), content.get("period")) != (FORMAT, PERIOD):
            raise InputError(f"the plan has format {content.get('format')}, and this version reads {FORMAT}")
        phases = [Phase(**{**p, "pieces": tuple(map(tuple, p["pieces"]))}) for p in content["phases"]]
        return Plan(tuple(phases), content["block"])

    @cached_property
    def hash(self) -> str:
        """SHA-256 of the canonical JSON."""
        text = json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()

    def extended(self, *phases: Phase) -> "Plan":
        """With phases appended; all earlier batches stay. Raises RecipeError for sequences longer than a block."""
        return Plan((*self.phases, *phases), self.block)

    def check_continues(self, saved: Mapping[str, Any], step: int) -> None:
        """Raise InputError unless batches 0 ... step - 1 of a saved plan (its ``to_dict``) are also this plan's."""
        old = Plan.from_dict(saved)
        if old.hash == self.hash or step == 0:
            return
        if old.block != self.block:
            raise InputError(
                f"the checkpoint was trained on blocks of {old.block:,} tokens and the plan has {self.block:,}, which "
                f"changes batches already trained; set block = {old.block} (no seq_len above it), or start a new run "
                f"from the checkpoint's weights"
            )
        last = old.index_of(step - 1)
        if last < len(self.phases) and step <= self.first_steps[last + 1]:
            pairs = list(zip(old.phases, self.phases, strict=False))
            before = all(_same(a, b, tokens=a.steps == b.steps) for a, b in pairs[:last])
            if before and _same(*pairs[last], tokens=True):
                return
        raise InputError(
            f"the plan differs from the checkpoint's in what was trained before step {step:,}; a phase that has begun "
            f"can be made longer and others appended, but its mixture, seq_len and batch_tokens stay: put the old "
            f"[train] values back, or start a new run from the checkpoint's weights"
        )


def _same(a: Phase, b: Phase, tokens: bool) -> bool:
    """Whether two phases deal the same batches. tokens: whether their lengths agree as far as that matters."""
    return tokens and replace(a, tokens=1).to_dict() == replace(b, tokens=1).to_dict()


def _running(values: Any) -> tuple[int, ...]:
    found = [0]
    for value in values:
        found.append(found[-1] + value)
    return tuple(found)
