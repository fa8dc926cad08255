"""The generators of other libraries. See `puredrop.streams`."""

from __future__ import annotations

import numpy as np
from numba import njit, uint32, uint64

from .compiling import kernel
from .philox import philox


@njit(inline="always")
def _twist(new, first, second, far):  # type: ignore[no-untyped-def]
    for i in range(len(new)):
        y = (first[i] & uint32(0x80000000)) | (second[i] & uint32(0x7FFFFFFF))
        new[i] = far[i] ^ (y >> uint32(1)) ^ (uint32(0x9908B0DF) & (uint32(0) - (y & uint32(1))))


@njit(inline="always")
def _refill(state):  # type: ignore[no-untyped-def]
    """The next 624 words of MT19937, in stretches that depend on nothing within themselves."""
    old = state.copy()
    _twist(state[:227], old[:227], old[1:228], old[397:])
    _twist(state[227:454], old[227:454], old[228:455], state[:227])
    _twist(state[454:623], old[454:623], old[455:], state[227:396])
    _twist(state[623:], old[623:], state[:1], state[396:397])


@njit(inline="always")
def _temper(state, out):  # type: ignore[no-untyped-def]
    for i in range(len(out)):
        y = state[i]
        y ^= y >> uint32(11)
        y ^= (y << uint32(7)) & uint32(0x9D2C5680)
        y ^= (y << uint32(15)) & uint32(0xEFC60000)
        out[i] = y ^ (y >> uint32(18))


@njit(inline="always")
def _mersenne_words(state, position, out):  # type: ignore[no-untyped-def]
    at = 0
    while at < len(out):
        if position == 624:
            _refill(state)
            position = 0
        n = min(len(out) - at, 624 - position)
        _temper(state[position : position + n], out[at : at + n])
        at += n
        position += n
    return position


@kernel
def _mersenne_below(state, position, high, low, out):  # type: ignore[no-untyped-def]
    words = np.empty(4096, np.uint32)
    for start in range(0, len(out), 2048):
        part = out[start : start + 2048]
        position = _mersenne_words(state, position, words[: 2 * len(part)])
        for i in range(len(part)):
            first = words[2 * i] & uint32(0x1FFFFF)
            part[i] = (first < high) | ((first == high) & (words[2 * i + 1] < low))
    return position


@njit(inline="always")
def _mixed(a, b, by):  # type: ignore[no-untyped-def]
    a = uint32(a + b)
    return a, uint32(uint32(uint32(b << uint32(by)) | uint32(b >> uint32(32 - by))) ^ a)


@njit(inline="always")
def _four_rounds(a, b, r, k0, k1, s):  # type: ignore[no-untyped-def]
    """Four rounds of Threefry, and the key added for the s-th time."""
    a, b = _mixed(a, b, r[0])
    a, b = _mixed(a, b, r[1])
    a, b = _mixed(a, b, r[2])
    a, b = _mixed(a, b, r[3])
    return uint32(a + k0), uint32(b + uint32(k1 + uint32(s)))


@kernel
def _threefry2x32(y0, y1, k0, k1, x0, x1):  # type: ignore[no-untyped-def]
    k2 = uint32(k0 ^ k1 ^ uint32(0x1BD11BDA))
    odd, even = (13, 15, 26, 6), (17, 29, 16, 24)
    for i in range(len(x0)):
        a, b = uint32(x0[i] + k0), uint32(x1[i] + k1)
        a, b = _four_rounds(a, b, odd, k1, k2, 1)
        a, b = _four_rounds(a, b, even, k2, k0, 2)
        a, b = _four_rounds(a, b, odd, k0, k1, 3)
        a, b = _four_rounds(a, b, even, k1, k2, 4)
        y0[i], y1[i] = _four_rounds(a, b, odd, k2, k0, 5)


@kernel
def _philox4x32(out, k0, k1, c0, c1, c2, c3):  # type: ignore[no-untyped-def]
    """Blocks at any counters. The rounds write the four words side by side: only so are they vectorised."""
    low, s = uint64(0xFFFFFFFF), uint64(32)
    words = np.empty((4, len(out)), np.uint32)
    y0, y1, y2, y3 = words[0], words[1], words[2], words[3]
    for i in range(len(out)):
        block = uint64(c0[i]) | (uint64(c1[i]) << s)
        first, second = philox(block, k0, k1, uint64(0), uint64(c2[i]), uint64(c3[i]))
        y0[i], y1[i] = first & low, first >> s
        y2[i], y3[i] = second & low, second >> s
    for i in range(len(out)):
        out[i, 0], out[i, 1], out[i, 2], out[i, 3] = y0[i], y1[i], y2[i], y3[i]


def mersenne_below(state: np.ndarray, position: int, threshold: int, count: int) -> tuple[np.ndarray, int]:
    """Whether the next pairs of words of MT19937, of which the low 53 bits count, are below the threshold: (count,).

    And the new position; the state (624,) is written to.
    """
    out = np.empty(count, np.bool_)
    high, low = np.uint32(threshold >> 32), np.uint32(threshold & 0xFFFFFFFF)
    return out, _mersenne_below(state, position, high, low, out)


def threefry2x32(key: tuple[int, int], x0: np.ndarray, x1: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Threefry2x32-20 at counters x0, x1 (n,) of uint32: two words each. See `streams.threefry`."""
    y0, y1 = np.empty((2, len(x0)), np.uint32)
    k0, k1 = map(np.uint32, key)
    _threefry2x32(y0, y1, k0, k1, np.ascontiguousarray(x0), np.ascontiguousarray(x1))
    return y0, y1


def philox4x32(key: tuple[int, int], counter: tuple[np.ndarray, ...]) -> np.ndarray:
    """Philox4x32-10 at counters of four arrays (n,) of uint32: the blocks, (n, 4). See `streams.philox`."""
    out = np.empty((len(counter[0]), 4), np.uint32)
    k0, k1 = map(np.uint64, key)
    _philox4x32(out, k0, k1, *map(np.ascontiguousarray, counter))
    return out
