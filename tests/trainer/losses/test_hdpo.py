"""H-DPO: optimum and entropy by alpha, an oracle of another form, and sequences from drawn pairs."""

import pytest
import torch

from benchmarks.closed_forms import loops, pairs
from benchmarks.closed_forms.worlds import sampling_error
from tests.trainer.losses.closed_form import held, near
from tests.trainer.opened_model import random_model
from trainer.losses.dpo import Dpo
from trainer.losses.hdpo import Hdpo


def test_the_optimum_is_the_closed_form_for_every_alpha() -> None:
    check = held(pairs.hdpo())
    for alpha, nats in pairs.ENTROPIES.items():
        assert check.more["entropy by alpha"][str(alpha)] == near(nats)
    assert check.more["strictly rising"]
    assert check.negative == near(0.065, 3)


def test_the_implicit_reward_is_the_reward() -> None:
    check = pairs.hdpo()
    assert check.more["s.d. of implicit reward - r"] <= 1e-6
    assert check.more["s.d. of beta log(pi/rho) - r"] >= 0.3


def test_dpo_of_scaled_references_is_the_same() -> None:
    held(pairs.hdpo_oracle())


def test_alpha_1_is_dpo() -> None:
    given = pairs.some_pairs()
    assert (Hdpo(0.3)(given) - Dpo(0.3)(given)).abs().max() < 1e-12


def test_sequences_from_drawn_pairs() -> None:
    """100,000 pairs: at most twice as far off as that many draws of the optimum itself (a perfect sampler) would be."""
    assert held(loops.hdpo_sequences()).more["ratio"] <= 2


@pytest.mark.slow
def test_a_tiny_hybrid_from_drawn_pairs() -> None:
    """Mamba and attention in place of a table, its start as the reference; Adam over all 64 sequences.

    At most twice as far off as as many draws of the optimum itself would be, as the table is.
    """
    torch.set_num_threads(1)
    reference = random_model(loops.IDS, seed=3, scale=4).double()
    ids = torch.cartesian_prod(*[torch.arange(loops.IDS)] * loops.TOKENS)
    rows = torch.cat([torch.zeros(len(ids), 1, dtype=torch.int64), ids], 1)

    def log_probs(model) -> torch.Tensor:
        logp = model.logits(model(rows[:, :-1])).log_softmax(-1)
        return logp.gather(2, rows[:, 1:, None]).sum((1, 2))

    log_ref = log_probs(reference)
    assert float(log_ref.exp().sum()) == pytest.approx(1, abs=1e-9)
    world = loops.World(log_ref, loops.sequence_world().reward_K, 1.5)
    count, alpha = 100_000, 0.8
    weight = (loops.drawn_pairs(world, count) / count).flatten()

    def trained(loss) -> float:
        model = random_model(loops.IDS, seed=3, scale=4).double().requires_grad_(True)
        optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 600)
        for _ in range(600):
            optimizer.zero_grad()
            (weight * loss(loops.all_pairs(log_probs(model), log_ref))).sum().backward()
            optimizer.step()
            schedule.step()
        with torch.no_grad():
            return loops.tv(log_probs(model).exp(), world.optimum(alpha=alpha))

    assert trained(Hdpo(world.beta, alpha)) <= min(0.03, 2 * sampling_error(world.optimum(alpha=alpha), count))
    assert trained(Dpo(world.beta * alpha)) >= 0.045  # alpha on the whole log-ratio
