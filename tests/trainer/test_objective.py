"""What a step minimizes: weights, z-loss, domains, and the tokens a reference model finds hard."""

import torch

from trainer.batch import TokenBatch
from trainer.layouts import model_from_table
from trainer.model import Model
from trainer.objective import LanguageModeling, hardest

TINY = {"layers": 2, "d_model": 32, "d_ff": 48, "window": 8, "head_dim": 16, "d_state": 16}


def tiny(seed: int = 0) -> Model:
    return Model(model_from_table(TINY, 50)).init(seed)


def a_batch(rows: int = 3, tokens: int = 20) -> TokenBatch:
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(0, 50, (rows, tokens + 1), generator=generator)
    weight = torch.ones(rows, tokens)
    weight[0, 5:] = 0
    document = torch.zeros(rows, tokens, dtype=torch.int32)
    domain = torch.tensor([1, 0, 1], dtype=torch.int32)[:rows]
    return TokenBatch(ids[:, :-1].contiguous(), ids[:, 1:].contiguous(), weight, document, domain)


def test_sums_are_those_of_the_tokens_that_count() -> None:
    model, batch = tiny(), a_batch()
    sums = LanguageModeling(model, 3, z_loss=0.01)(batch)
    loss, lse = model.loss(batch)
    weighted = batch.weight_BT * loss
    assert torch.allclose(sums.total, (weighted + batch.weight_BT * 0.01 * lse**2).sum(), rtol=1e-5)
    assert torch.allclose(sums.z_loss, (batch.weight_BT * 0.01 * lse**2).sum(), rtol=1e-5)
    expected = torch.stack([weighted[1].sum(), weighted[0].sum() + weighted[2].sum(), torch.zeros(())])
    assert torch.allclose(sums.by_domain[0], expected, rtol=1e-5)
    assert sums.by_domain[1].tolist() == [20, 25, 0]


def test_z_loss_pulls_the_sum_of_exponentials_to_one() -> None:
    batch = a_batch()
    sizes = []
    for z_loss in (0.0, 0.1):
        model = tiny()
        with torch.no_grad():
            model.embed.weight.mul_(20)
        optimizer = torch.optim.SGD(model.parameters(), 1e-2)
        for _ in range(20):
            LanguageModeling(model, 2, z_loss)(batch).total.div(65).backward()
            optimizer.step()
            optimizer.zero_grad()
        sizes.append(model.loss(batch)[1].square().mean().item())
    assert sizes[1] < sizes[0]


def test_the_hardest_tokens_are_those_of_largest_excess_and_keep_the_weight() -> None:
    weight = torch.tensor([[1.0, 1.0, 1.0, 0.0]])
    excess = torch.tensor([[0.5, -1.0, 2.0, 9.0]])
    kept = hardest(weight, excess, 0.5)
    assert kept.tolist() == [[1.5, 0.0, 1.5, 0.0]]
    assert hardest(weight, excess, 1.0).tolist() == weight.tolist()


def test_selective_loss_trains_on_what_the_reference_knows_better() -> None:
    batch = a_batch()
    model, reference = tiny(0), tiny(7).requires_grad_(False)
    objective = LanguageModeling(model, 2, reference=reference, ratio=0.25)
    loss, _ = model.loss(batch)
    excess = (loss - reference.loss(batch)[0]).detach()
    kept = hardest(batch.weight_BT, excess, 0.25)
    assert torch.allclose(objective(batch).total, (kept * loss).sum())
    assert 0 < (kept > 0).sum() <= 15
    names = [name for name, _ in objective.named_parameters()]
    assert len(names) == len(list(model.parameters())), "the reference has no part in what is trained or saved"


def test_weights_of_domains_scale_their_tokens() -> None:
    model, batch = tiny(), a_batch()
    objective = LanguageModeling(model, 2)
    plain = objective(batch)
    objective.set_domain_weights([2.0, 0.0])
    weighted = objective(batch)
    assert torch.allclose(weighted.total, 2 * plain.by_domain[0, 0], rtol=1e-5)
    assert torch.equal(weighted.by_domain, plain.by_domain), "what is measured stays"


def test_a_controller_hears_of_the_excess_by_domain() -> None:
    model, reference, batch = tiny(0), tiny(7), a_batch()
    objective = LanguageModeling(model, 2, reference=reference)
    objective(batch)
    facts = objective.facts()
    excess = batch.weight_BT * (model.loss(batch)[0] - reference.loss(batch)[0])
    assert torch.allclose(torch.tensor(facts["excess_nats"][0]), excess[1].sum(), rtol=1e-4)
    assert torch.allclose(torch.tensor(facts["clipped_excess_nats"][0]), excess[1].clamp(min=0).sum(), rtol=1e-4)
    assert objective.facts() == {}
