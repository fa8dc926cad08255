"""Threefry2x32 and Threefry4x32 with 20 rounds: the word source of JAX, MLX and tinygrad.

Additions, rotations and exclusive ors turn a counter and a key into as many random words. There is no state.
Reference: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3" (2011); known answers from Random123.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import backends

PARITY = 0x1BD11BDA
ROTATIONS_2 = (13, 15, 26, 6, 17, 29, 16, 24)
ROTATIONS_4 = ((10, 26), (11, 21), (13, 27), (23, 5), (6, 20), (17, 11), (25, 10), (18, 20))
ROUNDS = 20
_TILE = 1 << 15  # counters at a time, so that what lies between the rounds stays in the cache


def threefry2x32(key: tuple[int, int], counter: tuple[Any, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Two random words from two counter words and two key words.

    Shapes: the counter words are scalars or arrays that broadcast; so are both results. Dtypes: uint32.

    >>> [hex(word) for word in threefry2x32((0, 0), (0, 0))]
    ['0x6b200159', '0x99ba4efe']
    """
    x0, x1 = np.broadcast_arrays(*(np.asarray(word, np.uint32) for word in counter))
    y0, y1 = np.empty((2, x0.size), np.uint32)
    rounds = backends.get().fused.get("threefry2x32", composed_threefry2x32)
    flat0, flat1 = x0.reshape(-1), x1.reshape(-1)
    for start in range(0, x0.size, _TILE):
        tile = slice(start, start + _TILE)
        y0[tile], y1[tile] = rounds(key, np.array(flat0[tile]), np.array(flat1[tile]))
    return y0.reshape(x0.shape), y1.reshape(x0.shape)


def composed_threefry2x32(key: tuple[int, int], x0: np.ndarray, x1: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same in NumPy, for arrays: what the kernel of a backend must give."""
    keys = *key, key[0] ^ key[1] ^ PARITY
    x0, x1 = x0 + np.uint32(keys[0]), x1 + np.uint32(keys[1])
    for i in range(ROUNDS):
        x0, x1 = _mixed(x0, x1, ROTATIONS_2[i % 8])
        if i % 4 == 3:
            s = i // 4 + 1
            x0, x1 = x0 + np.uint32(keys[s % 3]), x1 + _sum(keys[(s + 1) % 3], s)
    return x0, x1


def threefry4x32(key: tuple[int, ...], counter: tuple[Any, ...]) -> tuple[np.ndarray, ...]:
    """Four random words from four counter words and four key words.

    Shapes: the counter words are arrays that broadcast; so are the four results. Dtypes: uint32.

    >>> [hex(word[0]) for word in threefry4x32((0, 0, 0, 0), ([0], [0], [0], [0]))]
    ['0x9c6ca96a', '0xe17eae66', '0xfc10ecd4', '0x5256a7d8']
    """
    keys = *key, key[0] ^ key[1] ^ key[2] ^ key[3] ^ PARITY
    words = np.broadcast_arrays(*(np.asarray(word, np.uint32) for word in counter))
    a, b, c, d = (word + np.uint32(one) for word, one in zip(words, keys, strict=False))
    for i in range(ROUNDS):
        left, right = ROTATIONS_4[i % 8]
        a, b = _mixed(a, b, left)
        c, d = _mixed(c, d, right)
        b, d = d, b  # the words change partners
        if i % 4 == 3:
            s = i // 4 + 1
            a, b, c = (word + np.uint32(keys[(j + s) % 5]) for j, word in enumerate((a, b, c)))
            d = d + _sum(keys[(3 + s) % 5], s)
    return a, b, c, d


def _sum(a: int, b: int) -> np.uint32:
    return np.uint32((a + b) & 0xFFFFFFFF)


def _mixed(a: np.ndarray, b: np.ndarray, by: int) -> tuple[np.ndarray, np.ndarray]:
    a = a + b
    return a, (b << np.uint32(by) | b >> np.uint32(32 - by)) ^ a
