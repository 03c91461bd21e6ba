"""A heap of pairs with their counts: the highest count on top, the smallest key among equals.

Its twin is Python's ``heapq`` over (-count, key); the functions are called from other kernels, on their arrays.

Legend: a heap is int64 [room, 2], rows of (count, key); the first ``size`` rows are in it.
"""

from numba import njit


@njit(cache=True, nogil=True)
def push(heap, size, count, key):
    """Put (count, key) into a heap of ``size`` rows, highest count and then smallest key on top."""
    child = size
    while child > 0:
        parent = (child - 1) >> 1
        if heap[parent, 0] > count or (heap[parent, 0] == count and heap[parent, 1] < key):
            break
        heap[child, 0], heap[child, 1] = heap[parent, 0], heap[parent, 1]
        child = parent
    heap[child, 0], heap[child, 1] = count, key


@njit(cache=True, nogil=True)
def pop(heap, size):
    """Take the top off a heap of ``size`` rows."""
    last = size - 1
    count, key = heap[last, 0], heap[last, 1]
    parent = 0
    while True:
        child = 2 * parent + 1
        if child >= last:
            break
        other = child + 1
        if other < last and (
            heap[other, 0] > heap[child, 0] or (heap[other, 0] == heap[child, 0] and heap[other, 1] < heap[child, 1])
        ):
            child = other
        if count > heap[child, 0] or (count == heap[child, 0] and key < heap[child, 1]):
            break
        heap[parent, 0], heap[parent, 1] = heap[child, 0], heap[child, 1]
        parent = child
    heap[parent, 0], heap[parent, 1] = count, key
