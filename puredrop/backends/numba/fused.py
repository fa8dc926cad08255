"""Loops that NumPy makes in many passes over memory, in one: GELU, softmax, layer norm, the step of SGD.

All in float32, where training is; other types are left to the composed functions, which are also what the tests hold
these against. Functions of whole arrays here, for `Backend.fused`; what they compute is said where they are used.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from .compiling import kernel, reordering_kernel
from .lanes import F32, I32, I64, Lanes, splat, vector

LOG2_E, ROUNDING = np.float32(1 / math.log(2)), np.float32(1.5 * 2**23)  # adding the latter rounds to whole numbers
LN2_HIGH = np.float32(0.693359375)  # nine bits of ln 2: times a small whole number it is exact
LN2_LOW = np.float32(math.log(2) - 0.693359375)
_CLOSE = np.polynomial.Chebyshev.interpolate(np.exp, 6, domain=[-math.log(2) / 2, math.log(2) / 2])
EXP_TERMS = tuple(map(np.float32, _CLOSE.convert(kind=np.polynomial.Polynomial).coef[::-1]))  # off by 2e-9
LOWEST = np.float32(-87.0)  # e to that is close to the smallest normal number
HALF, ZERO, ONE = np.float32(0.5), np.float32(0), np.float32(1)
BLOCK = 32  # elements at a time: steps that wait for each other are worth four registers side by side
DENSITY = np.float32(1 / math.sqrt(2 * math.pi))


@intrinsic
def _times_power(typingctx, x, rounded):  # type: ignore[no-untyped-def]
    """x times 2 to the whole number n of `rounded` = n + ROUNDING, by laying n into the exponent of 1."""
    sig = types.float32(types.float32, types.float32)

    def codegen(context: Any, b: ir.IRBuilder, sig: Any, args: Any) -> ir.Value:
        word = ir.IntType(32)
        bits = b.shl(b.bitcast(args[1], word), word(23))
        return b.fmul(args[0], b.bitcast(b.add(bits, word(0x3F800000)), ir.FloatType()))

    return sig, codegen


@njit  # a function of its own, so that no kernel's freedom to reorder sums undoes the rounding
def _exp(x):  # type: ignore[no-untyped-def]
    """e^x in float32 for LOWEST <= x <= 88, to two units in the last place; NaN for NaN."""
    rounded = x * LOG2_E + ROUNDING
    n = rounded - ROUNDING
    r = (x - n * LN2_HIGH) - n * LN2_LOW  # within ln 2 / 2 of 0
    series = ZERO
    for term in EXP_TERMS:
        series = series * r + term
    return _times_power(series, rounded)


@kernel
def _gelu(x, y, slope, terms, bend, far, middle, half):  # type: ignore[no-untyped-def]
    number = x.dtype.type
    for i in range(len(x)):
        v = x[i]
        z = abs(v)
        u = number(1 / half) / (min(z, number(far)) + number(bend)) - number(middle / half)
        tail = ZERO
        for term in terms:
            tail = tail * u + number(term)
        exponent = z * z * -HALF
        bell = ZERO if exponent < LOWEST else _exp(exponent if exponent > LOWEST else LOWEST)
        tail *= bell
        cdf = ONE - tail if v > ZERO else tail
        y[i] = v * cdf
        slope[i] = cdf + v * bell * DENSITY


def gelu(
    x: np.ndarray, terms: tuple[float, ...], bend: float, far: float, middle: float, half: float
) -> tuple[np.ndarray, np.ndarray] | None:
    """x cdf(x) and its slope, flat; None for another type than float32. See `ops.activations`."""
    if x.dtype != np.float32:
        return None
    flat = x.reshape(-1)
    y, slope = np.empty_like(flat), np.empty_like(flat)
    _gelu(flat, y, slope, terms, bend, far, middle, half)
    return y, slope


def exp_lanes(x: Lanes) -> Lanes:
    """e^x for x <= 0 as `_exp` does it, and 0 below LOWEST. draws.py has it too: see lanes.py on the cache."""
    low = x.filled(float(LOWEST)).above(x)
    x = x.filled(float(LOWEST)).where(low, x)
    rounded = x * float(LOG2_E) + float(ROUNDING)
    n = rounded - float(ROUNDING)
    r = (x - n * float(LN2_HIGH)) - n * float(LN2_LOW)
    power = ((rounded.as_bits(I32) << 23) + 0x3F800000).as_bits(F32)
    return x.filled(0.0).where(low, r.polynomial(tuple(map(float, EXP_TERMS))) * power)


def _fold(b: ir.IRBuilder, count: ir.Value, start: float, step: Callable[[ir.Value], Lanes], two: Any) -> ir.Value:
    """All lanes of step(0), step(BLOCK), ..., `count` of them, made one number by a function of two vectors."""
    so_far = cgutils.alloca_once_value(b, vector(F32, [start] * BLOCK))
    with cgutils.for_range(b, count) as loop:
        b.store(two(Lanes(b, b.load(so_far)), step(b.mul(loop.index, I64(BLOCK)))).value, so_far)
    return Lanes(b, b.load(so_far)).folded(two)


def _blocks(context: Any, b: ir.IRBuilder, kind: Any, array: ir.Value) -> Callable[[ir.Value], ir.Value]:
    """The place of the BLOCK elements from number i of an array on, whatever its shape."""
    data, part = context.make_array(kind)(context, b, array).data, ir.VectorType(F32, BLOCK).as_pointer()
    return lambda i: b.bitcast(b.gep(data, [i]), part)


@intrinsic
def _most_of(typingctx, x, blocks):  # type: ignore[no-untyped-def]
    """The greatest of so many blocks of x, where it is not NaN."""
    sig = types.float32(x, types.intp)

    def codegen(context: Any, b: ir.IRBuilder, sig: Any, args: Any) -> ir.Value:
        at = _blocks(context, b, sig.args[0], args[0])
        return _fold(
            b,
            args[1],
            -math.inf,
            lambda i: Lanes(b, b.load(at(i), align=4)),
            lambda most, x: x.where(x.above(most), most),
        )

    return sig, codegen


@intrinsic
def _exp_of(typingctx, x, blocks, top, y):  # type: ignore[no-untyped-def]
    """y = e^(x - top) for so many blocks, and their sum. y may be x."""
    sig = types.float32(x, types.intp, types.float32, y)

    def codegen(context: Any, b: ir.IRBuilder, sig: Any, args: Any) -> ir.Value:
        source, target = (_blocks(context, b, sig.args[i], args[i]) for i in (0, 3))
        top = Lanes(b, splat(b, args[2], BLOCK))

        def step(i: ir.Value) -> Lanes:
            e = exp_lanes(Lanes(b, b.load(source(i), align=4)) - top)
            b.store(e.value, target(i), align=4)
            return e

        return _fold(b, args[1], 0.0, step, lambda total, e: total + e)

    return sig, codegen


@kernel
def _softmax(x, top, y):  # type: ignore[no-untyped-def]
    rows, columns = x.shape
    whole, rest = columns // BLOCK, columns % BLOCK  # what is beyond the end of a row is minus infinity, and adds 0
    padded, last = np.full(BLOCK, -np.inf, np.float32), np.empty(BLOCK, np.float32)
    for i in range(rows):
        source, target = x[i], y[i]
        if rest:
            padded[:rest] = source[whole * BLOCK :]
        if top is not None:
            most = top[i]
        else:
            most = _most_of(source, whole)
            if rest:
                most = max(most, _most_of(padded, 1))
        total = _exp_of(source, whole, most, target)
        if rest:
            total += _exp_of(padded, 1, most, last)
            target[whole * BLOCK :] = last[:rest]
        if total != ZERO:
            share = ONE / total
            for j in range(columns):
                target[j] *= share


def softmax(x: np.ndarray, top: np.ndarray | None, out: np.ndarray) -> bool:
    """Fill `out` (which may be x) by e^(x - top), divided by its sum over the last axis unless that is 0.

    top: like x, with 1 for the last axis; None stands for the greatest of each row. False, and nothing is done, unless
    all is float32 in C order.
    """
    if not all(a is None or (a.dtype == np.float32 and a.flags.c_contiguous) for a in (x, top, out)):
        return False
    columns = x.shape[-1]
    _softmax(x.reshape(-1, columns), None if top is None else top.reshape(-1), out.reshape(-1, columns))
    return True


@reordering_kernel
def _layer_norm(x, weight, bias, eps, z, deviation, y):  # type: ignore[no-untyped-def]
    rows, n = x.shape
    for i in range(rows):
        source, standard, target = x[i], z[i], y[i]
        total, squares = ZERO, ZERO
        for j in range(n):
            total += source[j]
        mean = total / np.float32(n)
        for j in range(n):
            d = source[j] - mean
            standard[j] = d
            squares += d * d
        root = np.float32(math.sqrt(squares / np.float32(n) + np.float32(eps)))
        deviation[i] = root
        for j in range(n):
            s = standard[j] / root
            standard[j] = s
            target[j] = s * weight[j] + bias[j]


@reordering_kernel
def _layer_norm_gradient(g, z, deviation, weight, d, to_weight, to_bias):  # type: ignore[no-untyped-def]
    rows, n = g.shape
    for i in range(rows):
        incoming, standard, target = g[i], z[i], d[i]
        total, along = ZERO, ZERO
        for j in range(n):
            v = incoming[j] * weight[j]
            total += v
            along += v * standard[j]
        total, along, inverse = total / np.float32(n), along / np.float32(n), ONE / deviation[i]
        for j in range(n):
            target[j] = (incoming[j] * weight[j] - total - standard[j] * along) * inverse
            to_weight[j] += incoming[j] * standard[j]
            to_bias[j] += incoming[j]


def layer_norm(x: np.ndarray, weight: Any, bias: Any, eps: float) -> tuple[np.ndarray, Any] | None:
    """(y, pull) of rows x (examples, n): pull(g) gives the gradients of x, weight and bias. See `ops.normalise`.

    None unless x, weight and bias are float32 arrays in C order.
    """
    if not all(isinstance(a, np.ndarray) and a.dtype == np.float32 and a.flags.c_contiguous for a in (x, weight, bias)):
        return None
    y, z, deviation = np.empty_like(x), np.empty_like(x), np.empty(len(x), np.float32)
    weights = weight.reshape(-1)
    _layer_norm(x, weights, bias.reshape(-1), eps, z, deviation, y)

    def pull(g: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        d, to_weight, to_bias = np.empty_like(z), np.zeros_like(weights), np.zeros_like(weights)
        _layer_norm_gradient(np.ascontiguousarray(g), z, deviation, weights, d, to_weight, to_bias)
        return d, to_weight, to_bias

    return y, pull


@kernel
def _sgd(x, g, velocity, lr, momentum, nesterov):  # type: ignore[no-untyped-def]
    for i in range(len(x)):
        step = g[i]
        if momentum != ZERO:
            v = velocity[i] * momentum + step
            velocity[i] = v
            step = step + momentum * v if nesterov else v
        x[i] -= lr * step


def sgd(x: Any, g: Any, velocity: Any, lr: float, momentum: float, nesterov: bool) -> bool:
    """What `optim.SGD` does, in place and to the bit. False, and nothing done, unless all is float32 in C order."""
    if not all(a.dtype == np.float32 and a.flags.c_contiguous for a in (x, g, velocity)):
        return False
    flat = (a.reshape(-1) for a in (x, g, velocity))
    _sgd(*flat, np.float32(lr), np.float32(momentum), nesterov)
    return True
