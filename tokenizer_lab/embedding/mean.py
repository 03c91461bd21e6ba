"""Mean of subwords: a new token starts as the mean of the old tokens that its string was written with."""

import numpy as np

from tokenizer_lab.mixtures import Job, Mixtures, means, mixtures


def initial(job: Job) -> Mixtures:
    """The baseline; needs nothing but the two tokenizers."""
    return mixtures(means(job), np.zeros(len(job.wanted), bool), ())
