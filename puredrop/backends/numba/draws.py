"""Words, uniform and normal numbers: one walk over the blocks of a draw, and a last step that makes numbers of words.

The walk writes the four words of many blocks side by side, and the last step works on such rows: only so does LLVM
make vector code of both. Logarithm, sine and cosine are Taylor series on short intervals, as long as the dtype needs.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit, uint64

from .compiling import kernel
from .step import LANES, words_step

BLOCKS = 4 * LANES  # Philox blocks at a time: their words and numbers stay in the first cache
MAGIC = uint64(0x4330000000000000)  # the bits of 2^52: whole numbers below 2^52 become float64 by laying them into it
LN2 = math.log(2)
ROOT = uint64(0x3FE6A09E667F3BCD)  # the bits of sqrt(1/2)


@njit(error_model="numpy")
def _walk(out, addresses, starts, length, uniform, single, double):  # type: ignore[no-untyped-def]
    """Fill flat `out`: for each key, for each run, `length` numbers from the run's start on.

    What becomes of the words is said by the one argument that is not None: Numba leaves the other branches out. Were
    it a function, handed over or enclosed, nothing would be found on disk again.
    """
    words, numbers = np.empty((4, BLOCKS), np.uint64), np.empty((4, BLOCKS), out.dtype)
    at = 0
    for k in range(len(addresses)):
        k0, k1, c1, c2, c3 = addresses[k, 0], addresses[k, 1], addresses[k, 2], addresses[k, 3], addresses[k, 4]
        for start in starts:
            stop, block = start + length, start >> 2
            while 4 * block < stop:
                n = min(BLOCKS, ((stop + 3) >> 2) - block)
                for i in range(0, n, LANES):
                    words_step(words, i, uint64(block + i), k0, k1, c1, c2, c3)
                _finish(words, numbers, n, uniform, single, double)
                first, last = max(start, 4 * block), min(stop, 4 * (block + n))
                if last - first == 4 * n:
                    for i in range(n):
                        for j in range(4):
                            out[at + 4 * i + j] = numbers[j, i]
                else:  # a run may begin and end in the middle of a block
                    for e in range(first, last):
                        out[at + e - first] = numbers[e & 3, (e >> 2) - block]
                at += last - first
                block += n


@njit(error_model="numpy")
def _finish(words, numbers, n, uniform, single, double):  # type: ignore[no-untyped-def]
    """(4, n) numbers of (4, n) words, row j for the elements j, j + 4, ..."""
    if uniform is not None:
        _as_uniform(words, numbers, n)
    elif single is not None:
        _as_normal(words, numbers, n, LOG_SINGLE, SIN_SINGLE, COS_SINGLE)
    elif double is not None:
        _as_normal(words, numbers, n, LOG_DOUBLE, SIN_DOUBLE, COS_DOUBLE)
    else:
        _as_words(words, numbers, n)


@njit
def _as_words(words, numbers, n):  # type: ignore[no-untyped-def]
    for j in range(4):
        row, out = words[j], numbers[j]
        for i in range(n):
            out[i] = row[i]


@njit
def _as_uniform(words, numbers, n):  # type: ignore[no-untyped-def]
    """(w + 1/2) / 2^32."""
    for j in range(4):
        row, out = words[j], numbers[j]
        for i in range(n):
            row[i] |= MAGIC
        real = row.view(np.float64)
        for i in range(n):
            out[i] = (real[i] - (2.0**52 - 0.5)) * 2.0**-32


def _series(f: Callable[[Any], Any], terms: int, end: float) -> tuple[float, ...]:
    """Coefficients of a polynomial close to f on [0, end], the highest first: interpolated at Chebyshev points."""
    close = np.polynomial.Chebyshev.interpolate(f, terms - 1, domain=[0.0, end])
    return tuple(close.convert(kind=np.polynomial.Polynomial).coef[::-1].tolist())


def _polynomials(log_terms: int, sin_terms: int, cos_terms: int) -> tuple[tuple[float, ...], ...]:
    """Those of Box-Muller, with so many terms each."""
    steepest, eighth = ((2**0.5 - 1) / (2**0.5 + 1)) ** 2, (math.pi / 4) ** 2
    return (
        _series(lambda z: 2 * np.arctanh(np.sqrt(z)) / np.sqrt(z), log_terms, steepest),
        _series(lambda z: np.sinc(np.sqrt(z) / np.pi), sin_terms, eighth),  # sin(x) / x, in z = x^2
        _series(lambda z: np.cos(np.sqrt(z)), cos_terms, eighth),
    )


LOG_SINGLE, SIN_SINGLE, COS_SINGLE = _polynomials(4, 5, 5)
LOG_DOUBLE, SIN_DOUBLE, COS_DOUBLE = _polynomials(9, 8, 8)


@njit(inline="always", error_model="numpy")  # else every quotient has a branch, and no loop with one is vectorised
def _as_normal(words, numbers, n, log_series, sin_series, cos_series):  # type: ignore[no-untyped-def]
    """Box-Muller."""
    for pair in range(2):
        even, odd = numbers[2 * pair], numbers[2 * pair + 1]
        radius, angle, signs = words[2 * pair], words[2 * pair + 1], np.empty((4, BLOCKS), np.uint64)
        _radii(radius, signs, n, log_series)
        r, (cos, sin) = radius.view(np.float64), _circle(angle, signs, n, sin_series, cos_series)
        for i in range(n):
            even[i], odd[i] = r[i] * cos[i], r[i] * sin[i]


@njit(inline="always", error_model="numpy")
def _radii(u, scratch, n, series):  # type: ignore[no-untyped-def]
    """Words u -> the bits of sqrt(-2 log((u + 1/2) / 2^32)), in place."""
    exponent, mantissa = scratch[0], scratch[1]
    for i in range(n):
        u[i] |= MAGIC
    real = u.view(np.float64)
    for i in range(n):
        real[i] = (real[i] - (2.0**52 - 0.5)) * 2.0**-32
    for i in range(n):  # u = 2^(power - 1024) m with m in [sqrt(1/2), sqrt(2))
        power = (u[i] - ROOT + uint64(1024 << 52)) >> uint64(52)
        exponent[i], mantissa[i] = power | MAGIC, u[i] - ((power - uint64(1024)) << uint64(52))
    powers, m = exponent.view(np.float64), mantissa.view(np.float64)
    for i in range(n):
        s = (m[i] - 1.0) / (m[i] + 1.0)
        square, sum = s * s, 0.0
        for term in series:
            sum = sum * square + term
        real[i] = math.sqrt(-2.0 * ((powers[i] - (2.0**52 + 1024.0)) * LN2 + s * sum))


@njit(inline="always", error_model="numpy")
def _circle(angle, scratch, n, sin_series, cos_series):  # type: ignore[no-untyped-def]
    """cos and sin of 2 pi (angle + 1/2) / 2^32. The nearest quarter of a turn swaps them, and their signs."""
    first, second, turn, quarter = scratch[0], scratch[1], scratch[2], scratch[3]
    for i in range(n):
        near = (angle[i] + uint64(1 << 29)) >> uint64(30)
        quarter[i] = near
        turn[i] = (angle[i] + uint64(1 << 29) - (near << uint64(30))) | MAGIC
    turns, cosine, sine = turn.view(np.float64), first.view(np.float64), second.view(np.float64)
    for i in range(n):
        x = (turns[i] - (2.0**52 + 2.0**29) + 0.5) * (2.0 * math.pi * 2.0**-32)
        square, sin, cos = x * x, 0.0, 0.0
        for term in sin_series:
            sin = sin * square + term
        for term in cos_series:
            cos = cos * square + term
        sin *= x
        swapped = quarter[i] & uint64(1) != 0
        cosine[i], sine[i] = sin if swapped else cos, cos if swapped else sin
    for i in range(n):
        first[i] ^= ((quarter[i] + uint64(1)) & uint64(2)) << uint64(62)  # the sign bit
        second[i] ^= (quarter[i] & uint64(2)) << uint64(62)
    return cosine, sine


@kernel
def whole_words(out, addresses, starts, length):  # type: ignore[no-untyped-def]
    _walk(out, addresses, starts, length, None, None, None)


@kernel
def uniform_numbers(out, addresses, starts, length):  # type: ignore[no-untyped-def]
    _walk(out, addresses, starts, length, True, None, None)


@kernel
def normal_float32(out, addresses, starts, length):  # type: ignore[no-untyped-def]
    _walk(out, addresses, starts, length, None, True, None)


@kernel
def normal_float64(out, addresses, starts, length):  # type: ignore[no-untyped-def]
    _walk(out, addresses, starts, length, None, None, True)
