"""Vectors of tokens from what stands near them: positive pointwise mutual information, reduced by a singular value
decomposition (Levy and Goldberg 2014). Made here, of the text at hand, in seconds; no other library's file is needed.

Published methods take fastText. On some ten megabytes of text the two are close in what nearest neighbors they give
(Levy, Goldberg and Dagan 2015), and this one has no random start: the same text gives the same vectors.

Legend: V ids, D dimensions, Z pairs of ids that were seen near each other.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa

from jacorpus.errors import InputError, RecipeError
from tokenizer_lab.corpus import Domain, draw
from tokenizer_lab.kernels.weighted_rows import weighted_rows
from tokenizer_lab.tokenizer import Tokenizer, list_buffers

WINDOW = 5
LEAST_SEEN = 5
SMOOTHING = 0.75  # of the context counts: rare contexts would be overrated
POWER_STEPS = 3
CHUNK_ROWS = 256


def _pair_counts(lists: Iterator[tuple[np.ndarray, np.ndarray]], size: int) -> tuple[np.ndarray, np.ndarray]:
    """(keys int64 [Z] = left * V + right, counts int64 [Z]) of ids at most WINDOW apart in one document."""
    keys, counts = np.zeros(0, np.int64), np.zeros(0, np.int64)
    for offsets, ids in lists:
        document = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
        wide, found = ids.astype(np.int64), []
        for gap in range(1, WINDOW + 1):
            same = document[gap:] == document[:-gap]
            found.append(wide[:-gap][same] * size + wide[gap:][same])
        fresh, times = np.unique(np.concatenate(found), return_counts=True)
        every, where = np.unique(np.concatenate([keys, fresh]), return_inverse=True)
        counts = np.bincount(where, np.concatenate([counts, times]), len(every)).astype(np.int64)
        keys = every
    return keys, counts


def static_vectors(
    tokenizer: Tokenizer, domains: Sequence[Domain], budget_bytes: int, dimensions: int = 96, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """(float32 [V, D] of length 1 or all zeros, int64 [V] how often each id was seen).

    An id seen fewer than LEAST_SEEN times has no vector. Raises InputError where the text is too small,
    RecipeError where none is named.
    """
    if not domains:
        raise RecipeError("static vectors are learned from text: name some with --corpus")
    drawn = draw(domains, budget_bytes, seed)
    size = tokenizer.vocab_size
    seen = np.zeros(size, np.int64)

    def lists() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for start in range(0, len(drawn.texts), CHUNK_ROWS):
            chunk = pa.array(drawn.texts.slice(start, CHUNK_ROWS).to_pylist(), pa.large_string())
            offsets, ids = list_buffers(tokenizer.encode(chunk))
            np.add(seen, np.bincount(ids, minlength=size), out=seen)
            yield offsets, ids

    keys, counts = _pair_counts(lists(), size)
    kept = (seen[keys // size] >= LEAST_SEEN) & (seen[keys % size] >= LEAST_SEEN)
    keys, counts = keys[kept], counts[kept]
    if not len(keys):
        raise InputError(f"{', '.join(drawn.names)}: too little text for static vectors of {tokenizer.name}")
    # Both directions: the matrix is symmetric, so left and right context count alike.
    rows, columns = np.concatenate([keys // size, keys % size]), np.concatenate([keys % size, keys // size])
    return _reduced(rows, columns, np.concatenate([counts, counts]), size, dimensions, seed), seen


def _reduced(
    rows: np.ndarray, columns: np.ndarray, counts: np.ndarray, size: int, dimensions: int, seed: int
) -> np.ndarray:
    row_sums = np.bincount(rows, counts, size)
    context = np.bincount(columns, counts, size) ** SMOOTHING
    expected = row_sums[rows] * context[columns] / context.sum()
    values = np.log(np.maximum(counts / expected, 1)).astype(np.float32)
    order = np.lexsort([columns, rows])
    order = order[values[order] > 0]
    rows, columns, values = rows[order], columns[order], values[order]
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(np.bincount(rows, minlength=size))])
    back = np.lexsort([rows, columns])
    back_offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(np.bincount(columns, minlength=size))])
    # Randomized range finder (Halko, Martinsson and Tropp 2011, algorithm 4.4), oversampled by 8.
    rng = np.random.default_rng(seed)
    basis = rng.standard_normal((size, dimensions + 8)).astype(np.float32)
    for _ in range(POWER_STEPS):
        basis = np.linalg.qr(weighted_rows(offsets, columns, values, basis))[0]
        basis = np.linalg.qr(weighted_rows(back_offsets, rows[back], values[back], basis))[0]
    image = weighted_rows(offsets, columns, values, basis)
    left, singular, _ = np.linalg.svd(image, full_matrices=False)
    vectors = left[:, :dimensions] * np.sqrt(singular[:dimensions])
    vectors[np.diff(offsets) == 0] = 0
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    made: np.ndarray = (vectors / np.maximum(lengths, 1e-12)).astype(np.float32)
    return made
