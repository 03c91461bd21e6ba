"""Connected components of a graph given as pairs of numbers.

Legend: V nodes numbered from 0, E edges.
"""

import numpy as np
from numba import njit


def components_naive(count: int, a: list[int], b: list[int]) -> list[int]:
    """Smallest node of each node's component, by relabeling until nothing changes."""
    root = list(range(count))
    changed = True
    while changed:
        changed = False
        for left, right in zip(a, b, strict=True):
            least = min(root[left], root[right])
            changed = changed or root[left] != least or root[right] != least
            root[left] = root[right] = least
    return root


@njit(cache=True, nogil=True)
def _find(parent, node):
    while parent[node] != node:
        parent[node] = parent[parent[node]]
        node = parent[node]
    return node


@njit(cache=True, nogil=True)
def _components(parent, a, b):
    for edge in range(len(a)):
        left = _find(parent, a[edge])
        right = _find(parent, b[edge])
        # The smaller node becomes the root, whatever the order of the edges.
        if left < right:
            parent[right] = left
        elif right < left:
            parent[left] = right
    for node in range(len(parent)):
        parent[node] = parent[parent[node]]  # parents are smaller, hence final by now


def components(count: int, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """int64 [V]: smallest node of each node's component. a, b: int64 [E], both below count."""
    parent = np.arange(count, dtype=np.int64)
    _components(parent, np.ascontiguousarray(a, np.int64), np.ascontiguousarray(b, np.int64))
    return parent
