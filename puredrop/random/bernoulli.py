"""From random words to decisions: keep or drop, exactly; uniform and normal numbers beside it.

Element e of a mask takes one 16-bit halfword h, and is dropped when h / 2^16 < p. Where h equals the first 16 bits
of p, once in 65,536, a second draw of 48 bits settles it. So half the random numbers of a 32-bit draw give 64 bits
of p: the mask is right at p = 1e-12 as well as at 1 - 1e-12, and a larger p drops a superset.

Every function here gives an array of `index.noise_shape`, with a leading axis in front for a tuple of keys.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from .index import Index
from .key import MASK, NORMAL, TIE, UNIFORM, Key
from .philox import blocks

Keys: TypeAlias = Key | tuple[Key, ...]  # a leading axis may enumerate keys: Monte-Carlo samples, ensemble members


class Threshold(NamedTuple):
    """A drop probability as integers: `hi` its first 16 bits (65536 at p = 1), `lo` the next 48. Scalars or arrays."""

    hi: Any
    lo: Any


class Draw(NamedTuple):
    """A Bernoulli noise tensor that exists only as its address: the arguments of `keep_mask`."""

    key: Keys
    index: Index  # type: ignore[assignment]  # tuples have a method of that name; ours is the better use of it
    threshold: Threshold


def threshold(p: Any) -> Threshold:
    """The exact integer form of a probability (or of an array of them): p * 2^64 = hi * 2^48 + lo, rounded down.

    p must lie in [0, 1]: the public functions have checked it.

    >>> threshold(0.5), threshold(1)
    (Threshold(hi=32768, lo=0), Threshold(hi=65536, lo=0))
    """
    if isinstance(p, float) or np.ndim(p) == 0:
        return _of_one_rate(float(p))
    scaled = np.asarray(p, np.float64) * 2.0**16
    hi = np.floor(scaled)
    return Threshold(hi.astype(np.uint32), ((scaled - hi) * 2.0**48).astype(np.uint64))


@lru_cache(maxsize=1024)
def _of_one_rate(p: float) -> Threshold:
    number = p * 2.0**16  # exact: a power of two
    return Threshold(int(number), int((number - int(number)) * 2.0**48))


def words(key: Keys, index: Index, kind: int) -> np.ndarray:
    """The 32-bit word of each element, word `e mod 4` of block `e div 4`. uint32."""
    return _for_each(key, lambda key: _words(key, index.elements(), kind))


def keep_mask(key: Keys, index: Index, threshold: Threshold) -> np.ndarray:
    """Where an element is kept: bool. An array of rates broadcasts to the noise, with an axis in front to its keys."""
    e = index.elements()
    if np.ndim(threshold.hi) <= e.ndim:
        return _for_each(key, lambda key: ~_drops(key, e, *threshold))
    keys = key if isinstance(key, tuple) else (key,)
    return np.stack([~_drops(one, e, hi, lo) for one, hi, lo in zip(keys, *threshold, strict=True)])


def uniform(key: Keys, index: Index, kind: int = UNIFORM) -> np.ndarray:
    """Numbers `(w + 1/2) / 2^32`, strictly between 0 and 1. float64."""
    return (words(key, index, kind) + 0.5) * 2.0**-32


def normal(key: Keys, index: Index, kind: int = NORMAL) -> np.ndarray:
    """Standard normal numbers by the Box-Muller transform. float64.

    Elements 2j and 2j + 1 share a point of the plane, drawn from words 2j and 2j + 1: radius and angle.
    """
    e = index.elements()

    def pair_uniform(i: int) -> np.ndarray:
        return (_for_each(key, lambda one: _words(one, (e & ~1) + i, kind)) + 0.5) * 2.0**-32

    u0, u1 = pair_uniform(0), pair_uniform(1)
    radius, angle = np.sqrt(-2 * np.log(u0)), 2 * np.pi * u1
    return radius * np.where(e & 1, np.sin(angle), np.cos(angle))


def permutation(key: Key, n: int, kind: int) -> np.ndarray:
    """A random order of 0..n-1: elements ranked by (word, index). int64, (n,)."""
    return np.argsort(words(key, Index.whole(n), kind), kind="stable")


def _for_each(key: Keys, draw_one: Callable[[Key], np.ndarray]) -> np.ndarray:
    return np.stack([draw_one(one) for one in key]) if isinstance(key, tuple) else draw_one(key)


def _words(key: Key, e: np.ndarray, kind: int) -> np.ndarray:
    return _look_up(lambda b: blocks(key, kind, b).reshape(-1), e, per_block=4)


def _drops(key: Key, e: np.ndarray, hi: Any, lo: Any) -> np.ndarray:
    h = _look_up(lambda b: _halfwords(key, b), e, per_block=8)  # like e
    drop = np.asarray(h < hi)
    tie = h == hi
    if tie.any():
        drop[tie] = _tie_bits(key, e[tie]) < np.broadcast_to(np.asarray(lo, np.uint64), e.shape)[tie]
    return drop


def _halfwords(key: Key, numbers: np.ndarray) -> np.ndarray:
    """The blocks read as a little-endian stream of 16-bit halfwords. (8 * blocks,)"""
    return blocks(key, MASK, numbers).astype("<u4").view("<u2").reshape(-1)


def _tie_bits(key: Key, e: np.ndarray) -> np.ndarray:
    """The 48 bits that settle element e: the top of the 64-bit word `e mod 2` of block `e div 2`."""
    word = blocks(key, TIE, e >> 1).astype("<u4").view("<u8")  # (n, 2)
    return word[np.arange(len(e)), e & 1] >> np.uint64(16)


def _look_up(draw_blocks: Callable[[np.ndarray], np.ndarray], e: np.ndarray, per_block: int) -> np.ndarray:
    """The value of each element number, drawing each block once. `draw_blocks` gives the values of blocks, flat."""
    if e.size == 0:
        return draw_blocks(np.zeros(0, np.int64)).reshape(e.shape)
    block = e // per_block
    first, last = block.min(), block.max()
    if last - first < e.size:  # dense: draw all blocks in between
        return draw_blocks(np.arange(first, last + 1))[e - first * per_block]
    numbers, position = np.unique(block, return_inverse=True)
    return draw_blocks(numbers)[position.reshape(e.shape) * per_block + e % per_block]
