"""Numba over Arrow buffers: readable twin first, fast path second, one public function last."""
