"""What predicts held-out losses of a mixture without training on it: count tables, fits of proxy runs.

Legend: k domains, J held-out sets; losses in bits per byte.
"""

from typing import Protocol

import numpy as np


class Surrogate(Protocol):
    """Losses of a mixture on held-out sets, and how they change.

    shares: float64 [k] in the order of sorted names of domains, 0 or more, of sum 1 or, where repeats are worth less
    than new text, below.
    """

    @property
    def sets(self) -> tuple[str, ...]:
        """Names of the J held-out sets."""
        ...

    @property
    def convex(self) -> bool:
        """Losses are convex in the shares: then a solver's certificate is a proof."""
        ...

    def losses(self, shares: np.ndarray) -> np.ndarray:
        """float64 [J]: bits per byte."""
        ...

    def gradient(self, shares: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(losses [J], their derivatives by share [J, k])."""
        ...

    def resampled(self, seed: int) -> "Surrogate":
        """The same on a bootstrap draw of what it rests on: held-out documents, or runs."""
        ...
