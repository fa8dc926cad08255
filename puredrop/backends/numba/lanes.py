"""Vectors in the code under construction, for intrinsics.

LLVM's vectors have any length: it cuts them into registers of the machine. Numba's cache on disk notices edits of a
kernel's own file only: who changes this one empties the `__pycache__` beside it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.core import cgutils

I32, I64, F32, F64 = ir.IntType(32), ir.IntType(64), ir.FloatType(), ir.DoubleType()
AHEAD = 4096  # bytes of x asked for in advance; anything from 512 to 65536 measures the same


def vector(element: ir.Type, values: Any) -> ir.Constant:
    return ir.Constant(ir.VectorType(element, len(values)), [ir.Constant(element, v) for v in values])


def splat(b: ir.IRBuilder, scalar: ir.Value, n: int) -> ir.Value:
    nothing = ir.Constant(ir.VectorType(scalar.type, n), ir.Undefined)
    return b.shuffle_vector(b.insert_element(nothing, scalar, I32(0)), nothing, vector(I32, [0] * n))


def prefetch(b: ir.IRBuilder, pointer: ir.Value, nbytes: int) -> None:
    byte = ir.IntType(8).as_pointer()
    signature = ir.FunctionType(ir.VoidType(), [byte, I32, I32, I32])
    prefetch = cgutils.get_or_insert_function(b.module, signature, "llvm.prefetch.p0")
    for line in range(0, nbytes, 64):
        b.call(prefetch, [b.gep(b.bitcast(pointer, byte), [I64(AHEAD + line)]), I32(0), I32(3), I32(1)])


def pointer(context: Any, b: ir.IRBuilder, array_type: Any, array: ir.Value, at: ir.Value) -> ir.Value:
    return b.gep(context.make_array(array_type)(context, b, array).data, [at])


def _operator(whole: str, real: str) -> Callable[[Lanes, Any], Lanes]:
    """The instruction for whole numbers, and the one for real ones; empty where there is none."""

    def apply(self: Lanes, other: Any) -> Lanes:
        value = other.value if isinstance(other, Lanes) else vector(self.value.type.element, [other] * self.n)
        return Lanes(self.b, getattr(self.b, real if self.real else whole)(self.value, value))

    return apply


class Lanes:
    """A vector in the code under construction, with operators. Numbers beside it stand for all lanes."""

    def __init__(self, b: ir.IRBuilder, value: ir.Value) -> None:
        self.b, self.value = b, value
        self.n = value.type.count
        self.real = not isinstance(value.type.element, ir.IntType)

    __add__, __sub__ = _operator("add", "fadd"), _operator("sub", "fsub")
    __mul__, __truediv__ = _operator("mul", "fmul"), _operator("", "fdiv")
    __and__, __xor__ = _operator("and_", ""), _operator("xor", "")
    __lshift__, __rshift__ = _operator("shl", ""), _operator("lshr", "")

    def _of(self, element: ir.Type) -> ir.Type:
        return ir.VectorType(element, self.n)

    def as_bits(self, element: ir.Type) -> Lanes:
        """The same bits as another type."""
        return Lanes(self.b, self.b.bitcast(self.value, self._of(element)))

    def filled(self, number: float) -> Lanes:
        """That number in all lanes."""
        return Lanes(self.b, vector(self.value.type.element, [number] * self.n))

    def spread(self) -> Lanes:
        """A condition as words of ones and zeros."""
        return Lanes(self.b, self.b.sext(self.value, self._of(I32)))

    def with_sign_of(self, words: Lanes) -> Lanes:
        """Real numbers, with their sign changed where the first bit of a word is set."""
        kind, sign = self.value.type.element, (words & (1 << 31)).value
        if kind == F64:
            sign = self.b.shl(self.b.zext(sign, self._of(I64)), vector(I64, [32] * self.n))
        return (self.as_bits(sign.type.element) ^ Lanes(self.b, sign)).as_bits(kind)

    def narrowed(self) -> Lanes:
        """Small whole numbers as words."""
        return self if self.value.type.element == I32 else Lanes(self.b, self.b.trunc(self.value, self._of(I32)))

    def to_real(self, element: ir.Type, signed: bool) -> Lanes:
        """Whole numbers as real ones, rounded once."""
        return Lanes(self.b, (self.b.sitofp if signed else self.b.uitofp)(self.value, self._of(element)))

    def where(self, condition: Lanes, other: Lanes) -> Lanes:
        """These where the condition holds, elsewhere the other."""
        return Lanes(self.b, self.b.select(condition.value, self.value, other.value))

    def at_least(self, bound: int) -> Lanes:
        """Whether whole numbers without a sign reach the bound."""
        limit = vector(self.value.type.element, [bound] * self.n)
        return Lanes(self.b, self.b.icmp_unsigned(">=", self.value, limit))

    def above(self, other: Any) -> Lanes:
        """Whether real numbers are greater; NaN is not."""
        other = other if isinstance(other, Lanes) else self.filled(other)
        return Lanes(self.b, self.b.fcmp_ordered(">", self.value, other.value))

    def folded(self, two: Callable[[Lanes, Lanes], Lanes]) -> ir.Value:
        """All lanes made one by a function of two, in an order that is the same on every machine."""
        if self.n == 1:
            return self.b.extract_element(self.value, I32(0))
        half = self.n // 2
        return two(self.picked(range(half)), self.picked(range(half, self.n))).folded(two)

    def root(self) -> Lanes:
        kind = self.value.type
        name = f"llvm.sqrt.v{self.n}f{32 if kind.element == F32 else 64}"
        function = cgutils.get_or_insert_function(self.b.module, ir.FunctionType(kind, [kind]), name)
        return Lanes(self.b, self.b.call(function, [self.value]))

    def polynomial(self, coefficients: tuple[float, ...]) -> Lanes:
        result = self * coefficients[0] + coefficients[1]
        for term in coefficients[2:]:
            result = result * self + term
        return result

    def picked(self, places: Any, other: Lanes | None = None) -> Lanes:
        """Lanes by number; those of `other` are numbered on."""
        second = self.value if other is None else other.value
        return Lanes(self.b, self.b.shuffle_vector(self.value, second, vector(I32, list(places))))
