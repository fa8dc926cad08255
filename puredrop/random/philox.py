"""Philox4x32-10 in NumPy: the reference generator.

Ten rounds of multiply and xor turn a 128-bit counter and a 64-bit key into 128 random bits. There is no state: block
number b of a key can be computed without the blocks before it.
Reference: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3" (2011); known answers from Random123.
"""

from __future__ import annotations

import numpy as np

from .key import Key

MULTIPLIERS = 0xD2511F53, 0xCD9E8D57
WEYL = 0x9E3779B9, 0xBB67AE85  # what the two key words advance by each round
ROUNDS = 10

_LOW = np.uint64(0xFFFFFFFF)
_32 = np.uint64(32)


def philox4x32(counter: tuple, key: tuple[int, int]) -> tuple[np.ndarray, ...]:
    """Four random words of 32 bits from four counter words and two key words.

    Shapes: the counter words are scalars or arrays that broadcast; so are the four results.
    Dtypes: uint64 arrays whose values are below 2^32 (the products need the room).

    >>> [hex(word) for word in philox4x32((0, 0, 0, 0), (0, 0))]
    ['0x6627e8d5', '0xe169c58d', '0xbc57ac4c', '0x9b00dbd8']
    """
    c0, c1, c2, c3 = (np.asarray(word, np.uint64) for word in counter)
    for i in range(ROUNDS):
        k0, k1 = (np.uint64(word + i * step & 0xFFFFFFFF) for word, step in zip(key, WEYL, strict=True))
        product0 = np.uint64(MULTIPLIERS[0]) * c0
        product1 = np.uint64(MULTIPLIERS[1]) * c2
        c0, c1, c2, c3 = (product1 >> _32) ^ c1 ^ k0, product1 & _LOW, (product0 >> _32) ^ c3 ^ k1, product0 & _LOW
    return c0, c1, c2, c3


def blocks(key: Key, kind: int, numbers: np.ndarray) -> np.ndarray:
    """The blocks of a key by number: uint32, (*numbers.shape, 4)."""
    k0, k1, c1, c2, c3 = key.address(kind)
    b = np.asarray(numbers, np.uint64)
    words = philox4x32((b & _LOW, b >> _32 | np.uint64(c1), c2, c3), (k0, k1))
    return np.stack(np.broadcast_arrays(*words), axis=-1).astype(np.uint32)  # (..., 4)
