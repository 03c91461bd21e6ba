"""Training whose weights of domains are chosen as it goes: DoReMi, DoGE, one's own.

    read a batch -> a gradient of each domain's mean loss -> controller.update(stats) -> their weighted sum -> update

The weights a controller answers with are those of the same step, as DoReMi (arXiv 2305.10429, algorithm 1) and DoGE
(2310.15393) have it. What is minimized is the sum over domains of weight times the mean loss of the domain's tokens in
the batch, however many of them there are. Gradients of domains are kept apart until then; each token is computed once,
so a step costs what it would anyway, and memory for a gradient of each domain.

Domains have names at a controller's side, numbers (places in the plan's list) at the loop's; ``Named`` stands between.

Letters: E domains of the batches, G gradients kept apart, W weights of the model.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol

import torch

from jacorpus.errors import JacorpusError
from trainer.batch import TokenBatch
from trainer.loop import Job, Loop
from trainer.model import Model

Wants = Literal["loss", "alignment"]


class Controller(Protocol):
    """What chooses weights. All its tables have domains' names as keys; it must not depend on their order.

    ``update`` hears, at every step before its gradients are summed:

        step               number of the update, from 0
        lr                 its learning rate
        tokens             {domain: tokens with a target in the batch}
        loss               {domain: mean nats per token}
        excess             {domain: mean of loss - reference's loss}             with a reference
        clipped_excess     {domain: mean of max(loss - reference's loss, 0)}     with a reference; clipped by token
        alignment          {domain: its gradient times the target's}             where wants is "alignment"
        products           {domain: {domain or target: product of gradients}}    where wants is "alignment"
        gradient_norm      {domain: length of its gradient}                      where wants is "alignment"

    ``tokens`` to ``gradient_norm`` name the domains that have a weight; targets without one are in ``products`` alone.
    A domain without a token in the batch is missing in all but ``tokens`` (never with every_domain). The product of a
    gradient with itself is that of two halves of its rows, so that noise does not add to it; ``gradient_norm`` is
    noise and all. alignment = sum over targets of share times product.

    The answer names the same domains; any scale, 0 or more.
    """

    @property
    def wants(self) -> Wants:
        """``loss``, or ``alignment`` for products of gradients too."""
        ...

    def identity(self) -> dict[str, Any]:
        """JSON: its method and settings. Runs of equal identity and plan are one run."""
        ...

    def update(self, stats: dict[str, Any]) -> Mapping[str, float]: ...

    def state_dict(self) -> dict[str, Any]:
        """JSON; kept in checkpoints."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


class Named:
    """A controller as the loop's, with all weights it gave. domains: those with weights."""

    def __init__(self, controller: Controller, domains: Sequence[str]) -> None:
        self.controller, self.domains = controller, tuple(domains)
        self.trajectory: list[list[float]] = []

    def update(self, stats: dict[str, Any]) -> list[float]:
        """Weights in the order of ``domains``, of sum 1. Raises JacorpusError where the answer can't be used."""
        given = self.controller.update(stats)
        if set(given) != set(self.domains):
            odd = sorted(set(given) ^ set(self.domains))
            raise JacorpusError(
                f"the controller's weights at step {stats['step']:,} don't name the run's domains: {', '.join(odd)} "
                f"is on one side alone; it has to give one weight for each of {', '.join(self.domains)}"
            )
        weights = [float(given[name]) for name in self.domains]
        total = math.fsum(weights)
        if not all(0 <= weight < math.inf for weight in weights) or total <= 0:
            raise JacorpusError(
                f"the controller's weights at step {stats['step']:,} are no mixture: "
                f"{dict(zip(self.domains, weights, strict=True))}; a loss that is not finite gives such: lower lr"
            )
        self.trajectory.append([weight / total for weight in weights])
        return self.trajectory[-1]

    def state_dict(self) -> dict[str, Any]:
        return {"controller": self.controller.state_dict(), "trajectory": self.trajectory}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.controller.load_state_dict(state["controller"])
        self.trajectory = [list(row) for row in state["trajectory"]]


class References:
    """One reference model for each domain, as one: a row is judged by its own domain's. models: by place; rows of a
    domain without one have loss 0."""

    def __init__(self, models: Mapping[int, Model]) -> None:
        self.models = models

    def loss(self, batch: TokenBatch) -> tuple[torch.Tensor, torch.Tensor]:
        """(loss, lse) of each token, [B, T]."""
        loss_BT, lse_BT = torch.zeros_like(batch.weight_BT), torch.zeros_like(batch.weight_BT)
        for number, model in self.models.items():
            mine = (batch.domain_B == number).nonzero()[:, 0]
            if len(mine):
                loss_BT[mine], lse_BT[mine] = model.loss(picked(batch, mine))
        return loss_BT, lse_BT


def picked(batch: TokenBatch, rows: torch.Tensor) -> TokenBatch:
    """Some rows of a batch, by their numbers."""
    tokens, targets, weight = batch.tokens_BT[rows], batch.targets_BT[rows], batch.weight_BT[rows]
    return TokenBatch(tokens, targets, weight, batch.document_BT[rows], batch.domain_B[rows])


class Steering(Loop):
    """The loop with a controller that hears of each domain by name, and gradients by domain.

    names: of the batches' domains, in the plan's order. target: shares of domains whose gradient is to be followed.
    """

    def __init__(self, job: Job, names: Sequence[str], target: Mapping[str, float]) -> None:
        super().__init__(job)
        assert isinstance(job.controller, Named)
        self.named, self.names, self.target = job.controller, tuple(names), target
        self.halves = 2 if self.named.controller.wants == "alignment" else 1

    def _steer(self, totals: torch.Tensor) -> None:
        """Nothing is left to do: ``_gradients`` has asked."""

    def _gradients(self, batch: TokenBatch) -> tuple[torch.Tensor, torch.Tensor]:
        parameters = list(self.parameters.values())
        parts: list[tuple[int, float, torch.Tensor]] = []  # place of a domain, weight, gradient of the mean [W]
        measured: list[torch.Tensor] = []
        for number in range(len(self.names)):
            rows = (batch.domain_B == number).nonzero()[:, 0]
            for half in range(self.halves):
                if weight := float(batch.weight_BT[mine := rows[half :: self.halves]].sum()):
                    measured += self._backward(batch, mine)
                    flat = torch.cat([_taken(parameter) for parameter in parameters]) / weight
                    parts.append((number, weight, flat))
        totals = torch.stack(measured).sum(0)
        weights = dict(zip(self.named.domains, self.named.update(self._stats(totals, parts)), strict=True))
        share = _shares(parts)
        factors = [weights.get(self.names[part[0]], 0.0) * s for part, s in zip(parts, share, strict=True)]
        total = torch.zeros_like(parts[0][2])
        for factor, (_, _, flat) in zip(factors, parts, strict=True):
            if factor:
                total.add_(flat, alpha=factor)
        for parameter, grad in zip(parameters, total.split([p.numel() for p in parameters]), strict=True):
            parameter.grad = grad.view_as(parameter)
        return batch.weight_BT.sum().to(total.device).clamp(min=1.0), totals

    def _backward(self, batch: TokenBatch, rows: torch.Tensor) -> list[torch.Tensor]:
        """Add up gradients of some rows' sum; what was measured of each micro-batch."""
        measured = []
        for some in rows.split(self.job.micro_rows):
            sums = self.job.objective(picked(batch, some).to(self.world.device))
            sums.total.backward()
            measured.append(torch.cat((sums.total.detach()[None], sums.z_loss[None], sums.by_domain.flatten())))
        return measured

    def _stats(self, totals: torch.Tensor, parts: list[tuple[int, float, torch.Tensor]]) -> dict[str, Any]:
        """What the controller hears; see ``Controller``."""
        nats, tokens = totals[2:].view(2, -1).tolist()
        facts = self.job.module.facts()
        means = {"loss": nats, "excess": facts.get("excess_nats"), "clipped_excess": facts.get("clipped_excess_nats")}
        there = [(number, name) for number, name in enumerate(self.names) if name in self.named.domains]
        stats: dict[str, Any] = {"step": self.step, "lr": self.job.schedule.at(self.step)}
        stats["tokens"] = {name: int(tokens[number]) for number, name in there}
        for kind, sums in means.items():
            if sums is not None:
                stats[kind] = {name: sums[n] / tokens[n] for n, name in there if tokens[n]}
        return {**stats, **self._products(parts)} if self.halves == 2 else stats

    def _products(self, parts: list[tuple[int, float, torch.Tensor]]) -> dict[str, Any]:
        """Products of domains' gradients, by name."""
        stack = torch.stack([flat for _, _, flat in parts])  # [G, W]
        by_part = (stack @ stack.T).double()
        spread = torch.zeros(len(self.names), len(parts), dtype=torch.float64)  # [E, G]: halves to domains
        for place, ((number, _, _), share) in enumerate(zip(parts, _shares(parts), strict=True)):
            spread[number, place] = share
        by_domain = spread @ by_part.cpu() @ spread.T
        norms = by_domain.diagonal().sqrt().tolist()
        of = {number: [i for i, part in enumerate(parts) if part[0] == number] for number in range(len(self.names))}
        for number, mine in of.items():
            if len(mine) == 2:
                by_domain[number, number] = by_part[mine[0], mine[1]].item()
        present = [number for number, mine in of.items() if mine]
        rows = [number for number in present if self.names[number] in self.named.domains]
        table = by_domain.tolist()
        products = {self.names[a]: {self.names[b]: table[a][b] for b in present} for a in rows}
        alignment = {
            name: math.fsum(share * row.get(goal, 0.0) for goal, share in self.target.items())
            for name, row in products.items()
        }
        norm = {self.names[a]: norms[a] for a in rows}
        return {"alignment": alignment, "products": products, "gradient_norm": norm}


def _taken(parameter: torch.Tensor) -> torch.Tensor:
    """A parameter's gradient, flat, taken away from it."""
    grad, parameter.grad = parameter.grad, None
    return torch.zeros_like(parameter).flatten() if grad is None else grad.flatten()


def _shares(parts: list[tuple[int, float, torch.Tensor]]) -> list[float]:
    """Of each part, its share of its domain's weight."""
    whole: dict[int, float] = {}
    for number, weight, _ in parts:
        whole[number] = whole.get(number, 0.0) + weight
    return [weight / whole[number] for number, weight, _ in parts]
