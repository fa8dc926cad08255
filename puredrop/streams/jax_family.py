"""What the streams of JAX and of the libraries on top of it have in common: a key for each mask, and the arithmetic."""

from __future__ import annotations

from typing import Any

import numpy as np

from .jax_key import WIDTH, JAXKey
from .source import Rule
from .stream import SHARED_AXES, Stream

ATTENTION = "scaled_dot_product_attention"


class JAXFamily(Stream):
    """A stream that has a key for each mask.

    Values are select(keep, x * (1 / q), 0), with q = 1 - p and its reciprocal rounded to the dtype of x: XLA turns the
    division by a number into that product. Outside of `jax.jit` it divides an array of a single element as it stands,
    and bfloat16 always. Attention weights are multiplied by 1 / q or 0.
    """

    operations = (*SHARED_AXES, ATTENTION)
    dtypes = tuple(WIDTH)
    jit = False

    def require_mode(self, key: JAXKey, dtype: str) -> None:
        if dtype == "float64" and not key.x64:
            self.refuse(
                "masks for float64 with a key of 32-bit mode", "keys made with x64=True: JAXKey(seed, x64=True)"
            )

    def arithmetic(self, operation: str, p: float) -> Rule:
        if operation == ATTENTION:
            if p == 1:
                self.refuse("attention at p = 1, where Flax divides 0 by 0", "p below 1")
            return weighted(p)
        return scaled(p, self.jit)


def scaled(p: float, jit: bool) -> Rule:
    """Of a dropout layer: x / q where kept, as XLA computes it."""

    def rule(xp: Any, x: Any, keep: Any, scale: Any, shift: Any, fill: Any) -> Any:
        if p == 1:
            return xp.zeros_like(x)
        q = x.dtype.type(1.0 - p)
        with np.errstate(all="ignore"):  # what happens at a dropped place is nobody's business
            y = x / q if x.size == 1 and not jit else x * (x.dtype.type(1) / q)
        return xp.where(keep, y, x.dtype.type(0))

    return rule


def weighted(p: float) -> Rule:
    """Of attention in Flax: the weights times the mask divided by q."""

    def rule(xp: Any, x: Any, keep: Any, scale: Any, shift: Any, fill: Any) -> Any:
        factor = x.dtype.type(1) / x.dtype.type(1.0 - p)
        with np.errstate(all="ignore"):
            return x * xp.where(keep, factor, x.dtype.type(0))

    return rule
