"""Words, uniform and normal numbers, and the map that multiplies by normal ones.

A walk over the runs of a draw fills a few hundred words at a time; one intrinsic, `_make`, turns them into numbers in
vector registers, or multiplies x by these: noise that is only applied is never in memory. Box-Muller takes long chains
of steps, so that four registers take each step together; more would not fit beside the constants.
float32 is computed in float32, with twice as many lanes. What would cancel is formed from whole numbers, and the small
terms of a sum are added up first. The largest distance from the reference that was found is 1.0e-6, at a radius beyond
6, as one pair in 7 x 10^7 has; below a radius of 5 it is 7.5e-7.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import njit, types, uint64
from numba.core import cgutils
from numba.extending import intrinsic

from .compiling import kernel
from .fused import exp_lanes
from .lanes import F32, F64, I32, Lanes, pointer, prefetch, splat
from .step import CHUNK, LANES, words_step

WORDS = 16 * LANES  # drawn at a time: they stay in the first cache
BYTES = 16 * CHUNK  # of numbers made at a time: four registers of radii and four of angles


def _series(f: Callable[[Any], Any], terms: int, end: float) -> tuple[float, ...]:
    """Coefficients of a polynomial close to f on [0, end], the highest first: interpolated at Chebyshev points."""
    close = np.polynomial.Chebyshev.interpolate(f, terms - 1, domain=[0.0, end])
    return tuple(close.convert(kind=np.polynomial.Polynomial).coef[::-1].tolist())


def _taylor(f: Callable[[int], float], terms: int, end: float) -> tuple[float, ...]:
    """The same for the power series sum_k f(k) z^(k - 1), k > 0: quotients would cancel."""
    return _series(lambda z: sum(f(k) * np.asarray(z) ** (k - 1) for k in range(1, 17)), terms, end)


class Real(NamedTuple):
    """A type of numbers: its bits, and polynomials as long as it needs."""

    type: ir.Type
    bits: ir.Type
    mantissa: int
    root: int  # the bits of sqrt(1/2)
    log: tuple[float, ...]  # 4 (artanh(s) - s) / s^3 in z = s^2
    sin: tuple[float, ...]  # (sin(a x) - a x) / x^3 in z = x^2, a = pi / 4
    cos: tuple[float, ...]  # (cos(a x) - 1) / x^2
    ln2: tuple[float, float]  # high and low part: the high one times a small whole number is exact
    eighth: tuple[float, float]  # pi / 4: the high part as the type has it, the low one what is missing


def _real(kind: ir.Type, bits: int, mantissa: int, root: int, terms: tuple[int, int, int], high: float) -> Real:
    steepest, eighth = ((2**0.5 - 1) / (2**0.5 + 1)) ** 2, math.pi / 4
    nearest, rest = (float(np.float32(eighth)), 0.0) if kind == F32 else (eighth, 3.061616997868383e-17)
    return Real(
        kind,
        ir.IntType(bits),
        mantissa,
        root,
        _taylor(lambda k: 4 / (2 * k + 1), terms[0], steepest),
        _taylor(lambda k: (-1) ** k * eighth ** (2 * k + 1) / math.factorial(2 * k + 1), terms[1], 1.0),
        _taylor(lambda k: (-1) ** k * eighth ** (2 * k) / math.factorial(2 * k), terms[2], 1.0),
        (high, math.log(2) - high),
        (nearest, eighth - nearest + rest),
    )


SINGLE = _real(F32, 32, 23, 0x3F3504F3, (3, 3, 4), 0.693359375)
DOUBLE = _real(F64, 64, 52, 0x3FE6A09E667F3BCD, (8, 7, 8), 0.6931471803691238)


def _radius(w: Lanes, real: Real) -> Lanes:
    """sqrt(-2 log u), u = (w + 1/2) / 2^32.

    log u = e log 2 + log(1 + f) with 1 + f in [sqrt(1/2), sqrt(2)). Close to 1, where the logarithm is small, f is
    minus the distance of u from 1, which is exact. log(1 + f) = 2 artanh(s), s = f / (2 + f), and 2 s = f - s f: so
    that f, which has most of the value, is added last.
    """
    near_one = w.at_least(0xB504F334)
    part = (w ^ near_one.spread()).to_real(real.type, signed=False) + 0.5  # of u, or of 1 - u, times 2^32
    power, m = _cut(part, real)
    e = part.filled(0.0).where(near_one, power - (64.0 + 32.0))
    f = (part * -(2.0**-32)).where(near_one, m - 1.0)
    return _minus_twice_log(e, f, real).root()


def _cut(x: Lanes, real: Real) -> tuple[Lanes, Lanes]:
    """x = 2^(power - 64) m with m in [sqrt(1/2), sqrt(2)): what is above the bits of sqrt(1/2) has the power, and the
    way from there to m."""
    above = x.as_bits(real.bits) - (real.root - (64 << real.mantissa))
    m = ((above & ((1 << real.mantissa) - 1)) + real.root).as_bits(real.type)
    return (above >> real.mantissa).narrowed().to_real(real.type, signed=True), m


def _minus_twice_log(e: Lanes, f: Lanes, real: Real) -> Lanes:
    """-2 log(2^e (1 + f)), 1 + f in [sqrt(1/2), sqrt(2)]."""
    s = f / (f + 2.0)
    z, square = s * s, f * f
    of_f = square - s * (square + z * z.polynomial(real.log)) - (f + f)
    high, low = real.ln2
    return e * (-2 * high) + (e * (-2 * low) + of_f)


def _on_circle(w: Lanes, r: Lanes, real: Real) -> tuple[Lanes, Lanes]:
    """r cos and r sin of 2 pi (w + 1/2) / 2^32. The nearest quarter of a turn swaps them, and their signs.

    r cos is r + r (cos - 1), for what is small may be rounded more often.
    """
    near = w + (1 << 29)  # its first two bits are that quarter
    x = ((near & 0x3FFFFFFF) - (1 << 29)).to_real(real.type, signed=True) + 0.5
    x *= 2.0**-29  # eighths of a turn
    z, (high, low) = x * x, real.eighth
    sin = r * (x * high + x * (z * z.polynomial(real.sin) + low))
    cos = r + r * (z * z.polynomial(real.cos))
    swapped = (near << 1).at_least(1 << 31)
    return (
        sin.where(swapped, cos).with_sign_of(near + (1 << 30)),
        cos.where(swapped, sin).with_sign_of(near),
    )


def _normal(words: Lanes, real: Real) -> Lanes:
    """Box-Muller: of each two words a radius and an angle, r cos and r sin."""
    n = words.n
    r = _radius(words.picked(range(0, n, 2)), real)
    cos, sin = _on_circle(words.picked(range(1, n, 2)), r, real)
    return cos.picked([i // 2 + i % 2 * (n // 2) for i in range(n)], sin)


def _uniform(words: Lanes, real: Real) -> Lanes:
    """(w + 1/2) / 2^32, rounded once."""
    exact = (words.to_real(F64, signed=False) + 0.5) * 2.0**-32
    return exact if real is DOUBLE else Lanes(words.b, words.b.fptrunc(exact.value, ir.VectorType(F32, words.n)))


def _relaxed(words: Lanes, logit_p: Lanes, inverse_t: Lanes, a: Lanes, b: Lanes) -> Lanes:
    """a + b (1 - z), z = sigmoid((logit_p + log u - log(1 - u)) / t), in float32; with -1 / t it is a + b z.

    The odds u / (1 - u) are a quotient of whole numbers and halves: u never rounds to 1, and one logarithm does.
    """
    w, rest = (x.to_real(F32, signed=False) + 0.5 for x in (words, words ^ 0xFFFFFFFF))
    power, m = _cut(w / rest, SINGLE)
    logit_u = _minus_twice_log(power - 64.0, m - 1.0, SINGLE) * -0.5
    x = (logit_u + logit_p) * inverse_t
    drops = x.above(0.0)
    e = exp_lanes((x * -1.0).where(drops, x))
    return a + b * (e.where(drops, x.filled(1.0)) / (e + 1.0))


@intrinsic
def _make(typingctx, words, first, x, out, at, spread):  # type: ignore[no-untyped-def]
    """out[at : at + n] = numbers made of words[first : first + n]; n is returned.

    Their kind follows from the types: words for whole numbers; without a spread, uniform numbers; with one, normal
    numbers e, or where there is an x, x (1 + spread e); with four numbers for it, x times `_relaxed` of them. x may be
    out.
    """
    sig = types.intp(words, first, x, out, at, spread)

    def codegen(context: Any, b: ir.IRBuilder, sig: Any, args: Any) -> ir.Value:
        dtype, given, spread = sig.args[3].dtype, *(not isinstance(sig.args[i], types.NoneType) for i in (2, 5))
        relaxed = isinstance(sig.args[5], types.UniTuple)
        size = dtype.bitwidth // 8
        n, real = BYTES // size, SINGLE if size == 4 else DOUBLE

        def place(i: int, element: ir.Type) -> ir.Value:
            start = pointer(context, b, sig.args[i], args[i], args[1 if i == 0 else 4])
            return b.bitcast(start, ir.VectorType(element, n).as_pointer())

        numbers = Lanes(b, b.load(place(0, I32), align=4))
        if relaxed:
            numbers = _relaxed(numbers, *(Lanes(b, splat(b, one, n)) for one in cgutils.unpack_tuple(b, args[5])))
        elif isinstance(dtype, types.Float):
            numbers = _normal(numbers, real) if spread else _uniform(numbers, real)
        if given:
            prefetch(b, pointer(context, b, sig.args[2], args[2], args[4]), BYTES)
            factor = numbers if relaxed else numbers * Lanes(b, splat(b, args[5], n)) + 1.0
            numbers = Lanes(b, b.load(place(2, real.type), align=size)) * factor
        b.store(numbers.value, place(3, numbers.value.type.element), align=size)
        return context.get_constant(types.intp, n)

    return sig, codegen


@njit(error_model="numpy")
def _make_all(words, x, out, at, n, spread):  # type: ignore[no-untyped-def]
    """Numbers of the first n words, and of some beyond them; WORDS are enough room."""
    done = 0
    while done < n:
        done += _make(words, done, x, out, at + done, spread)


@njit(error_model="numpy")
def _walk(x, out, addresses, starts, length, spread):  # type: ignore[no-untyped-def]
    """Fill flat `out`: for each key, for each run, `length` numbers from the run's start on. See `_make`."""
    words, padded = np.empty(WORDS, np.uint32), np.empty(WORDS, out.dtype)
    at = 0
    for k in range(len(addresses)):
        k0, k1, c1, c2, c3 = addresses[k, 0], addresses[k, 1], addresses[k, 2], addresses[k, 3], addresses[k, 4]
        for start in starts:
            e, stop = start, at + length
            while at < stop:
                lead, block = e & 3, uint64(e >> 2)  # a run may begin and end in the middle of a block
                n = min(WORDS - lead, stop - at)
                for i in range(0, lead + n, 4 * LANES):
                    words_step(words, i, block + uint64(i >> 2), k0, k1, c1, c2, c3)
                if n == WORDS:
                    _make_all(words, x, out, at, n, spread)
                else:
                    if x is None:
                        _make_all(words, None, padded, 0, lead + n, spread)
                    else:
                        padded[lead : lead + n] = x[at : at + n]
                        _make_all(words, padded, padded, 0, lead + n, spread)
                    out[at : at + n] = padded[lead : lead + n]
                at += n
                e += n


@kernel
def whole_words(out, addresses, starts, length):  # type: ignore[no-untyped-def]
    _walk(None, out, addresses, starts, length, None)


@kernel
def uniform_numbers(out, addresses, starts, length):  # type: ignore[no-untyped-def]
    _walk(None, out, addresses, starts, length, None)


@kernel
def normal_numbers(out, addresses, starts, length):  # type: ignore[no-untyped-def]
    _walk(None, out, addresses, starts, length, out.dtype.type(1))


@kernel
def times_normal_runs(x, out, addresses, starts, length, spread):  # type: ignore[no-untyped-def]
    """out = x (1 + spread e), e normal."""
    _walk(x, out, addresses, starts, length, out.dtype.type(spread))


@kernel
def times_relaxed_runs(x, out, addresses, starts, length, logit_p, inverse_t, a, b):  # type: ignore[no-untyped-def]
    """out = x (a + b (1 - z)), z relaxed masks; float32."""
    number = np.float32
    _walk(x, out, addresses, starts, length, (number(logit_p), number(inverse_t), number(a), number(b)))
