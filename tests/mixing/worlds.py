"""Small worlds whose losses are known: domains are distributions over a few words, held-out text has its own."""

from dataclasses import dataclass

import numpy as np

from mixing.domains import Domain, Domains


@dataclass(frozen=True, eq=False)
class Words:
    """A surrogate. sources [k, V]: a domain's words; held_out [J, V]: of sets. A mixture predicts the mixture."""

    sources: np.ndarray
    held_out: np.ndarray
    sets: tuple[str, ...]
    convex: bool = True

    def losses(self, shares: np.ndarray) -> np.ndarray:
        return -self.held_out @ np.log2(shares @ self.sources + 1e-12)

    def gradient(self, shares: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        mixed = shares @ self.sources + 1e-12
        return self.losses(shares), -(self.held_out / mixed) @ self.sources.T / np.log(2)

    def resampled(self, seed: int) -> "Words":
        draw = np.random.default_rng(seed)
        drawn = np.array([draw.multinomial(2000, each) / 2000 for each in self.held_out])
        return Words(self.sources, drawn, self.sets, self.convex)


def domains(**tokens: int | tuple[int, int]) -> Domains:
    """By name (underscores are hyphens): tokens of train, or of both splits; 3 bytes a token, 100 tokens a document."""
    found = []
    for name, size in tokens.items():
        train, valid = size if isinstance(size, tuple) else (size, 1000)
        language, _, kind = name.partition("_")
        sizes = (train, 3 * train, train // 100, valid, 3 * valid, valid // 100)
        found.append(Domain(name.replace("_", "-"), language, kind or name, *sizes))
    return Domains.of(found)


def world(k: int, words: int = 12, seed: int = 0, held_out: int | None = None) -> np.ndarray:
    """[k, V] random distributions."""
    return np.random.default_rng(seed).dirichlet(np.full(words, 0.5), size=held_out or k)


def words_of(some: Domains, seed: int = 0) -> Words:
    """Each domain's held-out text is of its own distribution."""
    table = world(len(some), seed=seed)
    return Words(table, table, some.names)
