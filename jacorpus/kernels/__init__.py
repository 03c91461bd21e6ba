"""Numba kernels over Arrow buffers. Each file: readable twin first, fast path second, one public function last."""
