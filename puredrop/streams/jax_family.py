"""What the streams of JAX and of the libraries on top of it have in common: a key for each mask, and the arithmetic."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from .jax_key import WIDTH, JAXKey
from .source import Rule
from .stream import SHARED_AXES, Stream, Wanted

ATTENTION = "scaled_dot_product_attention"


class Broadcast(NamedTuple):
    """A layer that draws once along some axes: Flax's `broadcast_dims`.

    layer: what stands in its place otherwise. axes: those of the array; -4 and -3 of attention weights (N, heads, T, S)
    for a MultiHeadDotProductAttention with its default, broadcast_dropout=True.
    """

    layer: Any
    axes: tuple[int, ...]


class JAXFamily(Stream):
    """A stream that has a key for each mask. A subclass says which: `next_layer`, then `key_of`.

    Values are select(keep, x * (1 / q), 0), with q = 1 - p and its reciprocal rounded to the dtype of x: XLA turns the
    division by a number into that product. Outside of `jax.jit` it divides an array of a single element as it stands,
    and bfloat16 always. Attention weights are multiplied by 1 / q or 0.
    """

    operations = (*SHARED_AXES, ATTENTION)
    dtypes = tuple(WIDTH)
    jit = False

    def next_layer(self, site: int | None) -> Any:
        """The layer whose turn it is."""
        raise NotImplementedError

    def key_of(self, layer: Any) -> JAXKey:
        """The key that this layer takes now; moves on."""
        raise NotImplementedError

    def draw(self, wanted: Wanted) -> np.ndarray:
        layer = self.next_layer(wanted.site)
        axes: Sequence[int] = ()
        if isinstance(layer, Broadcast):
            layer, axes = layer
        key = self.key_of(layer)
        self.require_mode(key, wanted.dtype)
        shape = shared(wanted.shape, axes)
        return np.broadcast_to(key.bernoulli(1.0 - wanted.p, shape), wanted.shape)

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


def shared(shape: tuple[int, ...], axes: Sequence[int]) -> tuple[int, ...]:
    """The shape with one draw along these axes. Raises ValueError for an axis that does not exist."""
    for axis in axes:
        if not -len(shape) <= axis < len(shape):
            raise ValueError(f"Broadcast: axis {axis} does not exist in an array of shape {shape}")
    chosen = {axis % len(shape) for axis in axes}
    return tuple(1 if axis in chosen else n for axis, n in enumerate(shape))


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
