"""The masks of MLX."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .numbers import MANTISSA, scale_in, whole_number
from .source import Rule
from .stream import Stream, Wanted
from .threefry import threefry2x32
from .thresholds import first_false
from .torch_values import product

Key = tuple[int, int]


class MLX(Stream):
    """The masks of `mlx.nn.Dropout`, `Dropout2d` and `Dropout3d` after `mlx.core.random.seed(seed)`, one after another.

    Threefry2x32 on the key (seed high, seed low). A draw of n words encrypts the counts 0 .. n-1, of which the first
    half and the second half make the pairs. Each mask takes four words: two are the next key, two that of the mask,
    whose word w is kept where float32(w) < float32(1 - p) 4294967808. Values are (keep * x) * (1 / (1 - p)), with the
    scale rounded to the dtype: a dropped NaN stays NaN, a dropped negative number is -0.0.
    Channels are last in MLX, which is the order of (N, C) here too.
    Not covered: GPUs, other draws in between.
    Sources: mlx/random.cpp, mlx/backend/common/threefry.h, mlx/nn/layers/dropout.py.
    Raises: TypeError, ValueError for a seed outside of 64 bits; NotImplementedError at p = 1, which MLX refuses.

    >>> MLX(seed=0).mask((2, 6), p=0.5).astype(int)
    array([[1, 0, 1, 0, 1, 0],
           [0, 0, 0, 0, 1, 0]])
    """

    library = "mlx"
    verified = "mlx-cpu 0.32.4"
    operations = ("dropout", "spatial_dropout", "dropout2d", "dropout3d")
    dtypes = tuple(MANTISSA)

    def __init__(self, seed: int) -> None:
        number = whole_number("MLX", "seed", seed, 0, 2**64)
        self._key: Key = number >> 32, number & 0xFFFFFFFF

    def draws_at(self, wanted: Wanted) -> bool:
        if wanted.p == 1:
            self.refuse("p = 1, which MLX refuses", "0 <= p < 1")
        return 1.0 - wanted.p < 1  # even where there are no elements, the key moves on

    def draw(self, wanted: Wanted) -> np.ndarray:
        n = math.prod(wanted.shape)
        if n >= 2**31:
            self.refuse("2^31 elements and more", "less than 2^31 elements")
        a, b, *now = map(int, encrypted(self._key, 4))
        self._key = a, b
        return (encrypted((now[0], now[1]), n) < threshold(1.0 - wanted.p)).reshape(wanted.shape)

    def arithmetic(self, operation: str, p: float) -> Rule:
        def rule(xp: Any, x: Any, keep: Any, scale: Any, shift: Any, fill: Any) -> Any:
            return product(product(x, keep.astype(x.dtype)), scale_in(x.dtype, p))

        return rule


def encrypted(key: Key, n: int) -> np.ndarray:
    """The counts 0 .. n-1 encrypted, first half and second half in pairs; an odd one is paired with 0. (n,) uint32"""
    half = -(-n // 2)
    first = np.arange(half, dtype=np.uint32)
    second = first + np.uint32(half)
    second[n - half :] = 0
    return np.concatenate(threefry2x32(key, (first, second)))[:n]


def threshold(q: float) -> int:
    """What a word must be below, to be kept with probability q.

    >>> threshold(0.5) == 2**31 + 129       # 4294967808 follows 2^32 in float32; 2^31 + 128 is rounded to 2^31
    True
    """
    limit = np.float32(q) * np.float32(4294967808.0)
    return first_false(lambda word: bool(np.float32(word) < limit), 1 << 32)
