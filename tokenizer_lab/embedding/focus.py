"""FOCUS (2305.14481): a new token is a mixture of the shared tokens that are used alike, by sparsemax.

Static vectors of the new vocabulary are made of the corpus as the *new* tokenizer cuts it; the similarity of a new
token to each shared one (cosine) goes through sparsemax (1602.02068), which leaves a few terms that sum to 1.

Deviations: the vectors are tokenizer_lab.static_vectors (published: fastText, 300 dimensions); a token that the corpus
has too seldom to have a vector is the mean of its subwords (published: a random draw).
"""

import numpy as np

from tokenizer_lab.mixtures import Job, Mixtures, means, mixtures
from tokenizer_lab.static_vectors import static_vectors

CHUNK = 512


def sparsemax(values: np.ndarray) -> np.ndarray:
    """The nearest point of the simplex to each row of values [K, S] (Martins and Astudillo 2016, algorithm 1).

    >>> sparsemax(np.array([[2.0, 1.5, 0.0]])).tolist()
    [[0.75, 0.25, 0.0]]
    """
    ordered = -np.sort(-values, axis=1)
    sums = np.cumsum(ordered, axis=1)
    steps = np.arange(1, values.shape[1] + 1)
    inside = 1 + steps * ordered > sums
    support = inside.sum(axis=1)
    threshold = (sums[np.arange(len(values)), support - 1] - 1) / support
    made: np.ndarray = np.maximum(values - threshold[:, None], 0)
    return made


def sparse_weights(similarity: np.ndarray, most: int = 256) -> list[tuple[np.ndarray, np.ndarray]]:
    """(columns, weights) of each row's sparsemax. Only ``most`` of a row are sorted where they are enough."""
    most = min(most, similarity.shape[1])
    top = np.argpartition(-similarity, most - 1, axis=1)[:, :most]
    top.sort(axis=1)
    weights = sparsemax(np.take_along_axis(similarity, top, axis=1))
    found = []
    for row, columns in enumerate(top):
        values = weights[row]
        if most < similarity.shape[1] and (values > 0).all():  # the support may go on outside
            columns, values = np.arange(similarity.shape[1]), sparsemax(similarity[row : row + 1])[0]
        found.append((columns[values > 0], values[values > 0]))
    return found


def initial(job: Job) -> Mixtures:
    """Needs a corpus of both languages."""
    vectors, _ = static_vectors(job.new, job.corpus, job.budget_bytes, seed=job.seed)
    has = np.asarray(vectors.any(axis=1))
    anchors = np.flatnonzero(has & (job.source >= 0))
    terms, fallback = means(job), np.ones(len(job.wanted), bool)
    if len(anchors):
        able = np.flatnonzero(has[job.wanted])
        for start in range(0, len(able), CHUNK):
            part = able[start : start + CHUNK]
            for k, (columns, weights) in zip(
                part, sparse_weights(vectors[job.wanted[part]] @ vectors[anchors].T), strict=True
            ):
                terms[k], fallback[k] = (job.source[anchors[columns]], weights), False
    return mixtures(terms, fallback, (f"{len(anchors):,} shared tokens have a static vector",))
