"""Arrays as bare pointers inside kernels of many small functions.

Numba counts references to an array in every function that takes one, with an atomic instruction each; in a kernel that
calls a dozen functions a word that was nine tenths of the time. A pointer is indexed like an array, has no length and
no bounds, and counts nothing; whoever makes it keeps the array alive.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic


def _emit_pointer(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
    return context.make_array(signature.args[0])(context, builder, arguments[0]).data


def _emit_eight(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
    start, i = arguments
    place = builder.bitcast(builder.gep(start, [i]), ir.IntType(64).as_pointer())
    return builder.load(place, align=1)


def _pointer(typing_context, array):
    return types.CPointer(array.dtype)(array), _emit_pointer


def _eight_bytes(typing_context, data, i):
    return types.uint64(data, types.int64), _emit_eight


pointer: Any = intrinsic(_pointer)
"""pointer(array): where its items lie, for indexing alone; of a contiguous array."""

eight_bytes: Any = intrinsic(_eight_bytes)
"""eight_bytes(data, i): data[i:i + 8] as a uint64, the first byte lowest. data: pointer to uint8; i: int64."""
