"""Worlds whose losses obey a known law of the shares."""

import numpy as np

from mixing.swarm import Swarm, drawn

K = 4
NAMES = ("code", "news", "web", "wiki")
SLOPES = np.array([[-3.0, -0.5, 0.0, -1.0], [0.0, -2.5, -1.0, -0.2]])
WORTH = np.array([[1.0, 0.1, 0.03, 0.2], [0.05, 0.3, 1.0, 0.1]])


def mixtures(n: int, seed: int = 0, k: int = K) -> np.ndarray:
    """[n, k]"""
    return drawn(np.full(k, 1 / k), n, np.random.default_rng(seed))


def log_linear(shares: np.ndarray) -> np.ndarray:
    """[n, 2]: 0.8 + exp(.3 + t.r)"""
    return 0.8 + np.exp(0.3 + shares @ SLOPES.T)


def power_law(shares: np.ndarray) -> np.ndarray:
    """[n, 2]: .5 + (.02 + w.r)^-.25"""
    return 0.5 + (0.02 + shares @ WORTH.T) ** -0.25


def curved_lines(shares: np.ndarray) -> np.ndarray:
    """[n, 2]: what ridge can say and no other, a rise with a share's root among it."""
    return np.stack(
        [
            2 + np.sqrt(shares[:, 0]) - np.log(shares[:, 1] + 0.01) / 3 + 2 * shares[:, 2],
            3 - np.sqrt(shares[:, 3]) + np.log(shares[:, 2] + 0.01) / 4 + shares[:, 0],
        ],
        axis=1,
    )


def waves(shares: np.ndarray) -> np.ndarray:
    """[n, 2]: smooth, and neither monotone nor a sum over domains."""
    root = np.sqrt(shares)
    return np.stack(
        [np.sin(3 * root[:, 0] + 2 * root[:, 1]), np.cos(3 * root[:, 2]) * root[:, 3] + root[:, 0] * root[:, 1]], axis=1
    )


def stairs(shares: np.ndarray) -> np.ndarray:
    """[n, 2]: steps, one of them where either of two shares is above its threshold and not both."""
    high = shares > [0.1, 0.3, 0.2, 0.25]
    return np.stack([3.0 - high[:, 0] - 0.5 * high[:, 2], 2.0 - 1.0 * (high[:, 1] ^ high[:, 3])], axis=1)


def swarm(law, n: int = 40, seed: int = 0, noise: float = 0.0) -> Swarm:
    """Runs of a law, with noise of a share of the losses' deviation."""
    shares = mixtures(n, seed)
    losses = law(shares)
    losses = losses + noise * losses.std(axis=0) * np.random.default_rng(seed + 1).normal(size=losses.shape)
    return Swarm(NAMES, ("a", "b"), shares, losses)


def slopes_by_difference(losses, at: np.ndarray, step: float = 1e-6) -> np.ndarray:
    """[J, k]: two-sided differences of losses([k]) -> [J]."""
    found = []
    for i in range(len(at)):
        move = np.zeros(len(at))
        move[i] = step
        found.append((losses(at + move) - losses(at - move)) / (2 * step))
    return np.array(found).T
