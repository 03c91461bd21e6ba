"""Eight three-byte characters of UTF-8 decoded at once: the one step where LLVM finds no vector code by itself.

Nearly all Japanese text is runs of three-byte characters. Sixteen bytes are read twice, twelve of each are put
into eight 32-bit places, and shifts and masks make code points of them. It is written in LLVM's own vector
operations, which every processor that LLVM knows can do; none of them belongs to one maker.

Legend: i byte at which the characters begin, w place of the first code point in ``out``.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

READ = 28
"""Bytes from i on that have to be there; the last four are read but not used."""

_BYTES, _POINTS = ir.VectorType(ir.IntType(8), 16), ir.VectorType(ir.IntType(32), 8)
# Each place takes its character's last byte first, as a little-endian number does; its fourth is masked out.
_ORDER = [16 * half + 3 * char + byte for half in (0, 1) for char in range(4) for byte in (2, 1, 0, 0)]


def eight_points_naive(data: bytes, i: int, fold: bool) -> tuple[list[int], int]:
    """(code points of the eight places at i, bits of those that ``eight_points`` leaves to the caller)."""
    points, bits = [], 0
    for char, at in enumerate(range(i, i + 24, 3)):
        point = (data[at] & 0x0F) << 12 | (data[at + 1] & 0x3F) << 6 | data[at + 2] & 0x3F
        touched = point < 0x3001 or point >= 0xFEFF or point in (0x3099, 0x309A)
        bits |= (data[at] & 0xF0 != 0xE0 or (fold and touched)) << char
        points.append(point)
    return points, bits


def _every(number: int) -> ir.Constant:
    return ir.Constant(_POINTS, [number] * 8)


def _pointer(context: Any, builder: ir.IRBuilder, kind: Any, array: Any, place: Any, to: ir.Type) -> Any:
    start = context.make_array(kind)(context, builder, array).data
    return builder.bitcast(builder.gep(start, [place]), to.as_pointer())


def _eight(context: Any, builder: ir.IRBuilder, kind: Any, data: Any, i: Any) -> tuple[Any, Any]:
    """(bytes of the eight characters, their code points), a 32-bit place each."""
    halves = []
    for skip in (0, 12):
        place = builder.add(i, ir.Constant(i.type, skip))
        halves.append(builder.load(_pointer(context, builder, kind, data, place, _BYTES), align=1))
    order = ir.Constant(ir.VectorType(ir.IntType(32), 32), _ORDER)
    raw = builder.bitcast(builder.shuffle_vector(*halves, order), _POINTS)
    lead = builder.lshr(builder.and_(raw, _every(0x0F0000)), _every(4))
    middle = builder.lshr(builder.and_(raw, _every(0x003F00)), _every(2))
    return raw, builder.or_(builder.or_(lead, middle), builder.and_(raw, _every(0x3F)))


def _emit(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
    data, i, out, w, fold = arguments
    raw, points = _eight(context, builder, signature.args[0], data, i)
    builder.store(points, _pointer(context, builder, signature.args[2], out, w, _POINTS), align=4)

    other = builder.icmp_unsigned("!=", builder.and_(raw, _every(0xF00000)), _every(0xE00000))
    # Below U+3001 or from U+FEFF on, as one comparison of unsigned numbers.
    touched = builder.icmp_unsigned(">=", builder.sub(points, _every(0x3001)), _every(0xFEFF - 0x3001))
    for mark in (0x3099, 0x309A):
        touched = builder.or_(touched, builder.icmp_unsigned("==", points, _every(mark)))
    bits = ir.IntType(8)
    folded = builder.select(cgutils.as_bool_bit(builder, fold), builder.bitcast(touched, bits), ir.Constant(bits, 0))
    return builder.zext(builder.or_(builder.bitcast(other, bits), folded), ir.IntType(64))


def _emit_unsound(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
    raw, points = _eight(context, builder, signature.args[0], *arguments)
    unsound = builder.icmp_unsigned("!=", builder.and_(raw, _every(0xF0C0C0)), _every(0xE08080))
    unsound = builder.or_(unsound, builder.icmp_unsigned("<", points, _every(0x800)))
    half = builder.icmp_unsigned("<", builder.sub(points, _every(0xD800)), _every(0x800))
    return builder.zext(builder.bitcast(builder.or_(unsound, half), ir.IntType(8)), ir.IntType(64))


def _emit_zeros(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
    return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))


def _eight_points(typing_context, data, i, out, w, fold):
    return types.uint64(data, types.uint64, out, types.uint64, types.boolean), _emit


def _eight_unsound(typing_context, data, i):
    return types.uint64(data, types.uint64), _emit_unsound


def _trailing_zeros(typing_context, bits):
    return types.uint64(types.uint64), _emit_zeros


eight_points: Any = intrinsic(_eight_points)
"""eight_points(data, i, out, w, fold): decode eight characters from data[i] into out[w:w + 8]; a bit for each left.

Bit 0 is the first. It is set where the character is not of three bytes (then those after it are meaningless) or,
with fold, may be changed by folding: below U+3001, from U+FEFF on, or a voicing mark. data: uint8, READ bytes from
i. out: uint32, room for eight from w. i, w: uint64. Continuation bytes are not checked.
"""

eight_unsound: Any = intrinsic(_eight_unsound)
"""eight_unsound(data, i): a bit for each of eight places of three bytes that is no sound character of three bytes.

Bit 0 is the first. data: uint8, READ bytes from i, a uint64.
"""

trailing_zeros: Any = intrinsic(_trailing_zeros)
"""trailing_zeros(bits): how many zeros stand below the lowest one of a uint64 that is not 0."""
