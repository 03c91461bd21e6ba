"""What is reached at generation time: DeRa, best of n, accepting draws by their reward."""

import torch
from torch import Tensor

from benchmarks.closed_forms import Check
from benchmarks.closed_forms.worlds import drawn, kl, normal, t32, tv, uniform
from trainer.decoding.best_of import acceptance, best_of_kl, best_of_law
from trainer.decoding.dera import mixed

DRAWS = 200_000


def dera_one() -> Check:
    """One token: the optimum at beta / lam, whatever lam."""
    world = t32()
    aligned = world.optimum().log()[None]

    def off(strength: float, lam: float) -> float:
        return tv(mixed(aligned, world.log_ref_K[None], lam).softmax(-1)[0], world.optimum(strength))

    found = max(off(lam, lam) for lam in (0.25, 0.5, 1, 2, 3, 4))
    return Check(
        *("DeRa, one token: worst TV to the optimum at beta/lam, lam .25-4", "2402.02992", found, 1e-6),
        *("lam and 1 - lam swapped, lam 2", off(2, -1), 0.5),
    )


def dera_sequences(tokens: int = 4, ids: int = 4) -> Check:
    """Sequences: nearer than the aligned model alone, and not exact. Its share of that model's distance is bounded."""
    shape = (ids,) * tokens
    logits = [normal(shape[: place + 1], f"dera {place}") for place in range(tokens)]
    log_ref = sum(
        (each.log_softmax(-1).view(*each.shape, *(1,) * (tokens - each.ndim)) for each in logits), torch.zeros(shape)
    )
    reward, beta = normal(shape, "dera reward"), 1.0
    aligned = (log_ref + reward / beta).flatten().log_softmax(0).view(shape)
    row, shares, swapped = {}, [], 0.0
    for lam in (0.5, 2.0, 3.0):
        wanted = (log_ref + lam * reward / beta).flatten().softmax(0).view(shape)
        found, alone = tv(_by_token(aligned, log_ref, lam), wanted), tv(aligned.exp(), wanted)
        row[str(lam)] = {"DeRa": found, "without": alone}
        shares.append(found / alone)
        if lam == 2:
            swapped = tv(_by_token(aligned, log_ref, 1 - lam), wanted) / alone
    return Check(
        *(f"DeRa, {tokens} tokens of {ids} ids: TV to the optimum as a share of the aligned model's", "2402.02992"),
        *(max(shares), 0.75, "lam and 1 - lam swapped, lam 2", swapped, 1.5),
        {"TV by lam": row, "exact": max(shares) <= 1e-6},
    )


def _by_token(aligned: Tensor, reference: Tensor, lam: float) -> Tensor:
    """Probabilities of sequences whose tokens come one by one from mixed logits; log-probs of all sequences given."""
    total = torch.zeros(())
    for place in range(aligned.ndim):
        later = tuple(range(place + 1, aligned.ndim))
        sides = [each.logsumexp(later) if later else each for each in (aligned, reference)]
        step = mixed(*(side.log_softmax(-1) for side in sides), lam).log_softmax(-1)  # type: ignore[misc]
        total = total[..., None] + step
    return total.exp()


def best_of_n() -> Check:
    """The law against all pairs for n 2, and against draws for n 2, 4, 16."""
    world = t32()
    p, reward = world.log_ref_K.exp(), world.reward_K
    first = reward[:, None] >= reward  # of equals the one drawn first
    pairs = p[:, None] * p
    brute = (pairs * first).sum(1) + (pairs * ~first).sum(0)
    exact = tv(best_of_law(p, reward, 2), brute)
    row = {}
    for n in (2, 4, 16):
        place = drawn(p, DRAWS * n, f"best of {n}").view(DRAWS, n)
        best = place.gather(1, reward[place].argmax(1, keepdim=True))[:, 0]
        law = best_of_law(p, reward, n)
        shares = torch.bincount(best, minlength=32) / DRAWS
        row[str(n)] = {"TV of draws": tv(law, shares), "KL": kl(law, p), "at most": best_of_kl(n)}
    ties = torch.tensor([0.2, 0.3, 0.5], dtype=torch.float64)
    even = best_of_law(ties, torch.zeros(3, dtype=torch.float64), 4)
    below = ((reward[None] < reward[:, None]) * p).sum(1)
    density = 2 * p * below
    return Check(
        *("best of 2: TV of the law to all pairs", "law of the largest of n", max(exact, tv(even, ties)), 1e-12),
        *("n p F^(n-1), the law of a reward without atoms", tv(density, brute), 0.02),
        {"by n": row, "worst TV of draws": max(each["TV of draws"] for each in row.values())},
    )


def rejection() -> Check:
    """Draws of the reference kept with probability exp((r - largest) / beta)."""
    world = t32()
    place = drawn(world.log_ref_K.exp(), DRAWS * 5, "rejection")
    largest = float(world.reward_K.max())
    u = uniform(len(place), "rejection keeps")

    def off(beta: float) -> float:
        kept = place[u < acceptance(world.reward_K[place], largest, beta)]
        return tv(torch.bincount(kept, minlength=32) / len(kept), world.optimum())

    return Check(
        *("statistical rejection sampling: TV of what is kept to rho exp(r/beta)", "2309.06657"),
        *(off(world.beta), 0.01, "the best of 4 instead", tv(best_of_law(*_law(4)), world.optimum()), 0.05),
    )


def _law(n: int) -> tuple[Tensor, Tensor, int]:
    world = t32()
    return world.log_ref_K.exp(), world.reward_K, n


CHECKS = (dera_one, dera_sequences, best_of_n, rejection)
