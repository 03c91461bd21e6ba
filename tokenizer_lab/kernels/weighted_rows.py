"""Weighted sums of rows of a matrix: a sparse matrix times a dense one, row by row in a fixed order.

Legend: K sums, T terms in all, R rows, D columns.
"""

import numba as nb
import numpy as np


def weighted_rows_naive(offsets: np.ndarray, ids: np.ndarray, weights: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """``weighted_rows``, one sum at a time."""
    made = np.zeros((len(offsets) - 1, matrix.shape[1]), np.float64)
    for k in range(len(offsets) - 1):
        for t in range(offsets[k], offsets[k + 1]):
            made[k] += np.float64(weights[t]) * matrix[ids[t]].astype(np.float64)
    return made.astype(np.float32)


@nb.njit(cache=True, nogil=True)
def _weighted_rows(offsets, ids, weights, matrix):
    columns = matrix.shape[1]
    made = np.empty((len(offsets) - 1, columns), np.float32)
    total = np.empty(columns, np.float64)
    for k in range(len(offsets) - 1):
        total[:] = 0.0
        for t in range(offsets[k], offsets[k + 1]):
            row, weight = ids[t], np.float64(weights[t])
            for c in range(columns):
                total[c] += weight * np.float64(matrix[row, c])
        for c in range(columns):
            made[k, c] = total[c]
    return made


def weighted_rows(offsets: np.ndarray, ids: np.ndarray, weights: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """float32 [K, D]: sum k is the terms ``offsets[k]:offsets[k + 1]``, each a weight times a row of the matrix.

    offsets int64 [K+1], ids int64 [T] below R, weights float32 [T], matrix float32 [R, D]. Sums in float64, in the
    order of the terms; no terms give zeros.
    """
    return _weighted_rows(
        np.ascontiguousarray(offsets, np.int64),
        np.ascontiguousarray(ids, np.int64),
        np.ascontiguousarray(weights, np.float32),
        np.ascontiguousarray(matrix, np.float32),
    )
