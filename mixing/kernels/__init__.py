"""Numba kernels of count tables: readable twin first, fast path second, what is public last."""
