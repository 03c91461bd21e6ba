"""Reinforcement learning on the one loop: a cycle draws answers, rewards them, and learns from them in a few updates.

    prompts -> draws -> rewards -> advantages -> OUT/rollouts/00000012.arrow -> minibatches x epochs updates

``Grpo`` (grpo.py) and ``Ppo`` (ppo.py) say what an answer is credited with and what is minimized; the rest is here. A
cycle is on disk before anything is learned from it, and only ever learned from as read back, so that a run that was
killed goes on with the very same bits. Old log-probs are of the pass that trains, under the distribution that tokens
were drawn from; how far the sampler was from them is in the log as ``drift_mean`` and ``drift_max``.

With ``restart`` over 0 the answer to a prompt begins, with that probability, with a random part of its reference, which
has no loss: dataset resets (DR-PO, arXiv 2404.08495).

Letters: B answers, T tokens of a row, F facts.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import nn

from jacorpus.errors import RecipeError
from trainer.batch import TokenBatch
from trainer.losses.policy import k3
from trainer.model import Model
from trainer.posttrain.conversations import Prompt
from trainer.posttrain.rewarding import prompts_of, rewards_of
from trainer.posttrain.rollout import check
from trainer.posttrain.stage import (
    Context,
    Training,
    finish,
    finished,
    folder_digest,
    key_of,
    settled,
    train,
    trainable,
)
from trainer.rewards import Reward
from trainer.sampling import Sampling

FACTS = ("reward", "length", "ended", "restarted", "drift_mean", "drift_max")
"""What the log says of a step's answers, means over them; drift_max: the cycle's largest."""

KL = ("k3", "k3_weighted")

Groups = list[list[dict[str, Any]]]
"""Answers as rows of rollout.SCHEMA, those to one prompt together."""


class Reference(nn.Module):
    """The weights a policy is held near: those it starts from, kept on the host, or with ``ema`` over 0 an average that
    goes along, kept and saved with the policy."""

    def __init__(self, model: Model, ema: float) -> None:
        super().__init__()
        self.ema = ema
        self._start: dict[str, torch.Tensor] = {}
        for name, parameter in _trained(model):
            if ema:
                self.register_buffer(name.replace(".", "/"), parameter.detach().clone())
            else:
                self._start[name] = parameter.detach().to("cpu", copy=True)

    @torch.no_grad()
    def move(self, model: Model) -> None:
        """rho <- ema theta + (1 - ema) rho."""
        for name, parameter in _trained(model) if self.ema else ():
            self.get_buffer(name.replace(".", "/")).lerp_(parameter, self.ema)

    @contextmanager
    def inside(self, model: Model) -> Iterator[None]:
        """The model with the reference's weights for the moment."""
        own = {}
        for name, parameter in _trained(model):
            own[name] = parameter.data
            kept = self.get_buffer(name.replace(".", "/")) if self.ema else self._start[name]
            parameter.data = kept.to(parameter.device)
        try:
            yield
        finally:
            for name, parameter in _trained(model):
                parameter.data = own[name]


def _trained(model: Model) -> Iterator[tuple[str, nn.Parameter]]:
    return ((name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad)


class Policy(nn.Module):
    """What policy objectives share: the model, its reference, and what they measure.

    A batch's extra: old_BT, ref_BT, advantage_BT at the places of targets; about_BF, FACTS and the parts of the reward;
    weight_B. Weights of zero are tokens that the policy did not draw.
    """

    names: tuple[str, ...] = ("loss", "kl", "clip_share", "ratio_max", "entropy")

    def __init__(self, stage: "Reinforce", model: Model) -> None:
        super().__init__()
        self.model, self.stage, self.sampling = model, stage, stage.sampling(())
        self.reference = Reference(model, stage.ref_ema)

    def begin(self, rows: Sequence[dict[str, Any]]) -> None:
        """Called once a cycle, before its first update, with its answers."""

    def measured(
        self, total: torch.Tensor, batch: TokenBatch, logp_BT: torch.Tensor, ratio: torch.Tensor, held_BT: torch.Tensor
    ) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """(sum, weight) of each of ``names``, then of what is known of the answers."""
        mask_BT, extra = batch.weight_BT > 0, batch.extra
        tokens = mask_BT.sum()
        kl = torch.where(mask_BT, k3(logp_BT, extra["ref_BT"]), 0).sum() if self.stage.refers else tokens * 0.0
        largest = torch.where(mask_BT, ratio, 0).max()
        found = [(total, extra["weight_B"].sum()), (kl, tokens), ((held_BT & mask_BT).sum(), tokens)]
        found += [(largest, torch.ones_like(largest)), (-torch.where(mask_BT, logp_BT, 0).sum(), tokens)]
        answers = torch.tensor(float(len(mask_BT)), device=mask_BT.device)
        return found + [(fact, answers) for fact in extra["about_BF"].sum(0)]


def columns(found: Sequence[tuple[torch.Tensor, torch.Tensor]]) -> torch.Tensor:
    """[2, E]: sums and weights as ``Sums.by_domain``."""
    return torch.stack([torch.stack([part.detach().float() for part in pair]) for pair in found], 1)


@dataclass(frozen=True, kw_only=True)
class Reinforce(Training, ABC):
    """Options that Grpo and Ppo share.

    prompts: files. rewards: {name: weight or {weight, use, options}}; ``@stage`` as an option is the folder that an
    earlier stage left. rows: prompts of a cycle. draws: answers to each. cycles: how many. minibatches, epochs: updates
    of a cycle are minibatches x epochs. max_tokens: longest answer. temperature, top_k, top_p, min_p: how answers are
    drawn. beta: weight of the distance from the reference; 0: no reference is computed. kl: ``k3``, or ``k3_weighted``,
    times the ratio, whose gradient is that of KL(policy || reference). ref_ema: share of the policy that the reference
    takes over each cycle; 0: it stays the start. eps_low, eps_high: where ratios are clipped. -1 for beta and both eps:
    as the method has it. restart: see the module. sampler_rows: answers decoded side by side.
    """

    prompts: tuple[str, ...] = ()
    rewards: dict[str, Any] = field(default_factory=dict)
    draws: int = 8
    cycles: int = 100
    minibatches: int = 1
    epochs: int = 1
    max_tokens: int = 256
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    beta: float = -1.0
    kl: str = "k3"
    ref_ema: float = 0.0
    eps_low: float = -1.0
    eps_high: float = -1.0
    restart: float = 0.0
    sampler_rows: int = 64
    lang: str | None = None
    schedule: Any = "constant"

    by_group: ClassVar[bool] = True
    """Whether answers to one prompt are compared, and so restart at one place."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, value in self.defaults().items():
            if getattr(self, name) == -1:
                object.__setattr__(self, name, value)
        check(self.sampling(()))
        for name in ("draws", "cycles", "minibatches", "epochs", "sampler_rows"):
            if getattr(self, name) < 1:
                raise RecipeError(f"{self.use}: {name} must be 1 or more, got {getattr(self, name)}")
        if self.temperature == 0:
            raise RecipeError(f"{self.use}: temperature must be over 0: there is nothing to learn from equal answers")
        if self.minibatches > self.rows * self.draws:
            raise RecipeError(f"{self.use}: {self.minibatches} minibatches of {self.rows * self.draws} answers")
        if self.kl not in KL:
            raise RecipeError(f"{self.use}: kl must be {' or '.join(KL)}, got {self.kl!r}")
        if not (0 <= self.restart <= 1 and 0 <= self.ref_ema <= 1 and self.beta >= 0):
            raise RecipeError(f"{self.use}: restart and ref_ema are from 0 to 1, beta is 0 or more")
        if self.ref_ema and self.lora is not None:
            raise RecipeError(
                f"{self.use}: an average of an adapter's parts is no average of it; leave ref_ema or lora out"
            )

    def defaults(self) -> dict[str, Any]:
        """What -1 stands for."""
        return {"beta": 0.04, "eps_low": 0.2, "eps_high": 0.2}

    @property
    def use(self) -> str:
        """The stage's name in a recipe."""
        return type(self).__name__.lower()

    @property
    def refers(self) -> bool:
        """Whether a reference is needed."""
        return self.beta > 0

    @property
    def updates(self) -> int:
        """Of a cycle."""
        return self.minibatches * self.epochs

    def sampling(self, stop_ids: tuple[int, ...]) -> Sampling:
        """How answers are drawn."""
        limits = {name: getattr(self, name) for name in ("max_tokens", "temperature", "top_k", "top_p", "min_p")}
        return Sampling(**limits, seed=self.seed, stop_ids=stop_ids)

    @abstractmethod
    def objective(self, context: Context, model: Model) -> Policy:
        """The module that is trained."""

    @abstractmethod
    def credit(self, module: Any, rows: list[dict[str, Any]]) -> None:
        """Put ``advantage`` and ``token_reward`` (lists a row) into a cycle's answers."""

    def extra(self, module: Any, rows: Sequence[dict[str, Any]]) -> dict[str, list[list[float]]]:
        """Further numbers of tokens that the objective takes, by name without _BT."""
        return {}

    def refilled(self, groups: Groups, more: Callable[[int, int], Groups]) -> Groups:
        """A cycle's answers by groups, with others from ``more(turn, count)`` in place of those that teach nothing."""
        return groups

    def weights(self, tokens_B: torch.Tensor) -> torch.Tensor:
        """[B]: what an answer of so many drawn tokens counts in a step's mean."""
        return (tokens_B > 0).float()

    def check(self, context: Context) -> dict[str, Any]:
        """What would be trained, and the first prompt as the model sees it."""
        found, _ = self.asked(context), self.scored(context)
        chat = context.chat
        return {
            "prompts": len(found),
            "cycles": self.cycles,
            "answers": self.cycles * self.rows * self.draws,
            "steps": self.cycles * self.updates,
            "first": chat.text(found[0][0].turns, generation=True),
        }

    def run(self, context: Context) -> dict[str, Any]:
        """Train, or go on, or return what is there. Raises JacorpusError; where a reward fails, what was drawn before
        is kept, and the same command goes on."""
        from trainer.posttrain.cycles import Cycles

        rewards, digests = self.scored(context)
        key = {**key_of(self, context, context.paths(self.prompts)), "reward_weights": digests}
        done = finished(context, key)
        if done is not None:
            return done
        found = self.asked(context)
        with settled(context):
            model = trainable(context, self)
            module = self.objective(context, model).to(context.world.device)
            source = Cycles(self, context, module, found, rewards)
            longest = max(len(ids) for _, ids in found) + self.max_tokens
            loop = train(
                *(context, self, module, source, (*module.names, *source.facts)),
                micro_rows=max(1, context.micro_tokens(self) // longest),
                ahead=False,
            )
            result = {
                "use": self.use,
                "prompts": len(found),
                "cycles": self.cycles,
                "steps": loop.step,
                "answers": self.cycles * self.rows * self.draws,
                "reward": {"first_cycle": source.reward(0), "last_cycle": source.reward(self.cycles - 1)},
            }
            return finish(context, model, result, self)

    def asked(self, context: Context) -> list[tuple[Prompt, list[int]]]:
        """Prompts with their ids. Raises InputError where none fits."""
        return prompts_of(context.paths(self.prompts), context.chat, self.seq_len - self.max_tokens, self.lang)

    def scored(self, context: Context) -> tuple[dict[str, tuple[float, Reward]], dict[str, str]]:
        """((weight, reward) by name, digests of the folders that rewards name as ``@stage``)."""
        found: dict[str, Any] = {}
        digests = {}
        for name, given in self.rewards.items():
            found[name] = options = dict(given) if isinstance(given, Mapping) else {"weight": given}
            for key, text in options.items():
                if isinstance(text, str) and text.startswith("@"):
                    path = context.paths([text])[0]
                    path = path / "reward" if (path / "reward").is_dir() else path  # a reward model's own folder
                    options[key], digests[text] = str(path), folder_digest(path)
        return rewards_of(found, self.use, context.folder), digests
