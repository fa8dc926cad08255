"""The masks of tinygrad."""

from __future__ import annotations

import hashlib
import math
from typing import Any

import numpy as np

from ..backends.select import select
from .numbers import rounded, scale_in, whole_number
from .source import Rule
from .stream import Stream, Wanted
from .threefry import threefry2x32
from .thresholds import dyadic


class Tinygrad(Stream):
    """The masks of `Tensor.dropout` after `Tensor.manual_seed(seed)`, one after the other.

    device: how many devices had drawn before this one did for the first time, in the process.
    Threefry2x32 on the key (low 32 bits of the SHA-256 of the device's number, low 32 bits of the seed). The number of
    words drawn so far, encrypted, is the key of a mask of n words; its counts are 0 .. h-1 paired with h .. 2h-1,
    h = ceil(n / 2). Kept where the upper 23 bits are at least float32(p) 2^23, whatever the dtype. Values are
    where(keep, x, 0) times the scale 1 / (1 - p), rounded to the dtype.
    Not covered: a default dtype other than float32, tensors on several devices, 2^32 words and more, bfloat16.
    Source: tinygrad/mixin/rand.py.
    Raises: TypeError, ValueError for a seed or a device out of range.

    >>> Tinygrad(seed=0).mask((2, 6), p=0.5).astype(int)
    array([[1, 0, 0, 0, 0, 0],
           [0, 1, 1, 1, 1, 1]])
    """

    library = "tinygrad"
    verified = "tinygrad 0.14.0"
    operations = ("dropout",)
    dtypes = ("float32", "float64", "float16")

    def __init__(self, seed: int, *, device: int = 0) -> None:
        seed = whole_number("Tinygrad", "seed", seed, -(2**63), 2**64) % 2**32
        number = whole_number("Tinygrad", "device", device, 0, 2**32)
        digest = hashlib.sha256(number.to_bytes(4, "big")).digest()
        self._key = int.from_bytes(digest[-4:], "big"), seed
        self._words = 0

    def draw(self, wanted: Wanted) -> np.ndarray:
        n = math.prod(wanted.shape)
        if n >= 2**32 - 1:
            self.refuse("2^32 - 1 words and more", "less")
        words = self._draw(n) >> np.uint32(9)  # (n,)
        return (words >= dyadic(rounded(wanted.p, "float32"), 23)).reshape(wanted.shape)

    def _draw(self, n: int) -> np.ndarray:
        """The next n words. (n,) uint32"""
        a, b = threefry2x32(self._key, (self._words & 0xFFFFFFFF, self._words >> 32))
        self._words += n
        half = -(-n // 2)
        first = np.arange(half, dtype=np.uint32)
        return np.concatenate(threefry2x32((int(a), int(b)), (first, first + np.uint32(half))))[:n]

    def arithmetic(self, operation: str, p: float) -> Rule:
        def rule(xp: Any, x: Any, keep: Any, scale: Any, shift: Any, fill: Any) -> Any:
            return select(xp, x, keep, scale_in(x.dtype, p), shift, fill)

        return rule
