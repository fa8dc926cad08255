"""Philox at any counters: the word source of TensorFlow, of CUDA, and of some keys of JAX."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import backends
from ..random.philox import philox4x32

_TILE = 1 << 14  # blocks at a time, so that what lies between the rounds stays in the cache


def philox_blocks(key: tuple[int, int], counter: tuple[Any, Any, Any, Any]) -> np.ndarray:
    """Philox4x32-10: four random words for each counter, by a kernel where the backend has one.

    Shapes: the counter words are scalars or arrays that broadcast, to shape S; the result is (*S, 4). Dtypes: uint32.

    >>> [hex(word) for word in philox_blocks((0, 0), (0, 0, 0, 0))]
    ['0x6627e8d5', '0xe169c58d', '0xbc57ac4c', '0x9b00dbd8']
    """
    words = np.broadcast_arrays(*(np.asarray(word, np.uint32) for word in counter))
    shape, flat = words[0].shape, [word.reshape(-1) for word in words]
    blocks = np.empty((flat[0].size, 4), np.uint32)
    kernel = backends.get().fused.get("philox4x32", composed_philox4x32)
    for start in range(0, len(blocks), _TILE):
        tile = slice(start, start + _TILE)
        blocks[tile] = kernel(key, tuple(np.array(word[tile]) for word in flat))  # copies: views of broadcasts warn
    return blocks.reshape(*shape, 4)


def composed_philox4x32(key: tuple[int, int], counter: tuple[np.ndarray, ...]) -> np.ndarray:
    """The same in NumPy, for arrays (n,): what the kernel of a backend must give."""
    return np.stack(philox4x32(counter, key), axis=-1).astype(np.uint32)  # (n, 4)


def blocks_from(key: tuple[int, int], start: int, count: int) -> np.ndarray:
    """`count` blocks in a row, from the 128-bit counter `start`, whose low word is the first one. (count, 4)

    >>> (blocks_from((1, 2), 5, 2) == philox_blocks((1, 2), ([5, 6], 0, 0, 0))).all()
    np.True_
    """
    low = (start & 0xFFFFFFFFFFFFFFFF) + np.arange(count, dtype=np.uint64)  # wraps around
    high = np.full(count, start >> 64 & 0xFFFFFFFFFFFFFFFF, np.uint64)
    high += low < np.uint64(start & 0xFFFFFFFFFFFFFFFF)  # and carries
    words = (half >> shift & np.uint64(0xFFFFFFFF) for half in (low, high) for shift in (np.uint64(0), np.uint64(32)))
    return philox_blocks(key, tuple(words))  # type: ignore[arg-type]


def philox2x32(key: int, counter: tuple[Any, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Philox2x32-10: two random words from two counter words and a key word; shapes and dtypes as Threefry's.

    >>> [hex(word[0]) for word in philox2x32(0, ([0], [0]))]
    ['0xff1dae59', '0x6cd10df2']
    """
    x0, x1 = (np.asarray(word, np.uint64) for word in counter)
    for i in range(10):
        product = np.uint64(0xD256D193) * x0
        x0 = (product >> np.uint64(32)) ^ x1 ^ np.uint64(key + i * 0x9E3779B9 & 0xFFFFFFFF)
        x1 = product & np.uint64(0xFFFFFFFF)
    return x0.astype(np.uint32), x1.astype(np.uint32)
