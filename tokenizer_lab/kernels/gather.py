"""Copy runs of token ids from where they lie to where they belong: the inner loop of the shuffle.

Legend: N runs, T ids.
"""

import numba as nb
import numpy as np


def gather_naive(values: np.ndarray, starts: np.ndarray, lengths: np.ndarray, targets: np.ndarray, out: np.ndarray):
    """``gather``, run by run."""
    for start, length, target in zip(starts, lengths, targets, strict=True):
        out[target : target + length] = values[start : start + length]


@nb.njit(cache=True, nogil=True)
def _gather(values, starts, lengths, targets, out):
    for i in range(len(starts)):
        a, b = np.uint64(starts[i]), np.uint64(targets[i])
        for k in range(np.uint64(lengths[i])):
            out[b + k] = values[a + k]


def _frozen(array: np.ndarray) -> np.ndarray:
    """The same memory, read-only: most inputs are so already, and numba compiles once for each kind."""
    view = array.view()
    view.flags.writeable = False
    return view


def gather(values: np.ndarray, starts: np.ndarray, lengths: np.ndarray, targets: np.ndarray, out: np.ndarray) -> None:
    """out[targets[i] : targets[i] + lengths[i]] = values[starts[i] : starts[i] + lengths[i]] for each i.

    values: uint32 or uint16 [T]. starts, lengths, targets: int64 [N]. out: uint32 or uint16 (ids then have to fit).
    Raises ValueError for a run outside its array.
    """
    if len(starts):
        bad = starts.min() < 0 or targets.min() < 0 or lengths.min() < 0
        if bad or (starts + lengths).max() > len(values) or (targets + lengths).max() > len(out):
            raise ValueError("a run of ids lies outside its array")
        _gather(_frozen(values), _frozen(starts), _frozen(lengths), _frozen(targets), out)
