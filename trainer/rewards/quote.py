"""QUIP of an answer: the share of its character n-grams that occur in a trusted corpus (arXiv 2404.03862)."""

from collections.abc import Sequence
from dataclasses import dataclass

from jacorpus.errors import RecipeError
from trainer.rewards import Answered


@dataclass(frozen=True)
class Quote:
    """corpus: the folder of a corpus run. n: characters of an n-gram."""

    corpus: str = ""
    n: int = 25

    def __post_init__(self) -> None:
        if not self.corpus or self.n < 1:
            raise RecipeError("reward quote: give the folder of a corpus run as corpus, and n of 1 or more")

    def __call__(self, answers: Sequence[Answered]) -> list[float]:
        """One number in [0, 1] an answer. Raises InputError where the corpus isn't there."""
        from trainer.posttrain.quoting import quotes_of

        return quotes_of(self.corpus, self.n).quip([answered.text for answered in answers])
