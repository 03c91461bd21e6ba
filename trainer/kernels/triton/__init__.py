"""Triton kernels of the three operations where torch alone moves too many bytes: ssd, conv_silu, softmax of linear_ce.

Each is a ``torch.library`` operation of the namespace ``jacorpus`` with a fake version and a backward, so that a
compiled model stays one graph. Nothing here is imported before a tensor on a GPU asks for it. No atomics and no
autotuning: the same inputs give the same bits, and launch configurations are a table (``tables``).

With TRITON_INTERPRET=1 set before triton is imported, all operations take CPU tensors and run in Triton's interpreter.
"""

from typing import Any

import triton


def _mend_interpreter() -> None:
    """Let the interpreter run loops to a bound that is an argument.

    Triton 3.6 makes the bound an int by ``int(array)`` of an array of one element, which NumPy 2.4 refuses.
    """
    from triton.runtime import interpreter

    plain = interpreter._patch_lang_tensor

    def patch(tensor: Any, scope: Any) -> None:
        plain(tensor, scope)
        scope.set_attr(tensor, "__index__", lambda self: int(self.handle.data.item()))

    interpreter._patch_lang_tensor = patch


if triton.knobs.runtime.interpret:
    _mend_interpreter()
