"""WECHSEL (2112.06598): a new token is a mixture of the old-language tokens nearest to it in meaning.

Static vectors of each language are made of its own text with its own tokenizer. A bilingual dictionary says which
words mean the same; a rotation (orthogonal Procrustes) found from its pairs turns the new language's vectors onto the
old one's. Then each new token takes its ``neighbors`` nearest old tokens, weighted by softmax(cosine / 0.1).

Deviations: the vectors are tokenizer_lab.static_vectors of tokens (published: fastText words, a token's vector summed
from the words it is in), centered before the rotation; a word's vector is the mean of its tokens' vectors. A word of a
script that is written with spaces is cut with one before it, as it stands in text: without it held-out pairs of a
dictionary were found half as well.
"""

import numpy as np

from jacorpus.errors import InputError
from tokenizer_lab.extension.scripts import LETTER, class_of
from tokenizer_lab.mixtures import Job, Mixtures, means, mixtures, subwords
from tokenizer_lab.static_vectors import static_vectors
from tokenizer_lab.tokenizer import Tokenizer

TEMPERATURE = 0.1
LEAST_PAIRS = 10
CHUNK = 512


def _word_vectors(tokenizer: Tokenizer, vectors: np.ndarray, words: list[str]) -> np.ndarray:
    """float64 [words, D]: mean over the tokens of each word; zeros where none has a vector."""
    made = np.zeros((len(words), vectors.shape[1]))
    spelled = [f" {word}" if word and class_of(word[0]) == LETTER else word for word in words]
    for k, ids in enumerate(subwords(tokenizer, [word.encode() for word in spelled])):
        known = vectors[ids][vectors[ids].any(axis=1)]
        if len(known):
            made[k] = known.mean(axis=0)
    return made


def centered(vectors: np.ndarray) -> np.ndarray:
    """float32 [V, D]: the vectors without their common part, of length 1 again; those of zeros stay."""
    has = np.flatnonzero(vectors.any(axis=1))
    made = vectors.copy()
    made[has] -= made[has].mean(axis=0)
    made[has] /= np.maximum(np.linalg.norm(made[has], axis=1, keepdims=True), 1e-12)
    return made


def rotation(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """float64 [D, D]: the orthogonal W that brings target @ W nearest to source (rows are pairs; Schonemann 1966)."""
    left, _, right = np.linalg.svd(target.T @ source)
    made: np.ndarray = left @ right
    return made


def initial(job: Job) -> Mixtures:
    """Needs a corpus of each language and a dictionary of at least LEAST_PAIRS usable pairs."""
    old = centered(static_vectors(job.old, job.old_corpus, job.budget_bytes, seed=job.seed)[0])
    new = centered(static_vectors(job.new, job.corpus, job.budget_bytes, seed=job.seed)[0])
    source = _word_vectors(job.old, old, [pair[0] for pair in job.dictionary])
    target = _word_vectors(job.new, new, [pair[1] for pair in job.dictionary])
    both = source.any(axis=1) & target.any(axis=1)
    if both.sum() < LEAST_PAIRS:
        raise InputError(
            f"only {int(both.sum())} of {len(job.dictionary)} pairs of the dictionary have vectors on both sides; at "
            f"least {LEAST_PAIRS} are needed: give more pairs or more text"
        )
    turned = (new @ rotation(source[both], target[both])).astype(np.float32)
    anchors = np.flatnonzero(old.any(axis=1))
    terms, fallback = means(job), np.ones(len(job.wanted), bool)
    able = np.flatnonzero(new[job.wanted].any(axis=1))
    nearest = min(job.neighbors, len(anchors))
    for start in range(0, len(able), CHUNK):
        part = able[start : start + CHUNK]
        similarity = turned[job.wanted[part]] @ old[anchors].T
        top = np.argpartition(-similarity, nearest - 1, axis=1)[:, :nearest]
        top.sort(axis=1)
        for k, columns, values in zip(part, top, np.take_along_axis(similarity, top, axis=1), strict=True):
            weights = np.exp((values - values.max()) / TEMPERATURE)
            terms[k], fallback[k] = (anchors[columns], weights / weights.sum()), False
    return mixtures(terms, fallback, (f"{int(both.sum()):,} pairs of the dictionary were used",))
