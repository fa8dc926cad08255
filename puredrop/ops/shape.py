"""Moving elements about: every gradient is the way back."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..tensor import Part, Tensor, primitive


@primitive(x=lambda g, x_shape: reshape(g, shape=x_shape))
def reshape(backend: Any, x: Any, *, shape: Any) -> Any:
    """The same elements in another shape."""
    return x.reshape(shape)


@primitive(x=lambda g, axes: transpose(g, axes=None if axes is None else tuple(np.argsort(axes))))
def transpose(backend: Any, x: Any, *, axes: Any = None) -> Any:
    """Axes in another order; reversed for None."""
    return x.transpose(axes)


@primitive(x=lambda g: swap(g))
def swap(backend: Any, x: Any) -> Any:
    """The last two axes exchanged."""
    return x.swapaxes(-1, -2)


@primitive(x=lambda g, a, b: swapaxes(g, a=a, b=b))
def swapaxes(backend: Any, x: Any, *, a: int, b: int) -> Any:
    """Axes a and b exchanged."""
    return x.swapaxes(a, b)


@primitive(x=lambda g: g)  # the engine sums over what was stretched
def broadcast_to(backend: Any, x: Any, *, shape: Any) -> Any:
    """x stretched to `shape`."""
    return backend.xp.broadcast_to(x, shape)


@primitive(x=lambda g, x_shape, index: _put_back(g, index, x_shape))
def take(backend: Any, x: Any, *, index: Any) -> Any:
    """x[index]."""
    return x[index]


@primitive(x=lambda g, index: take(g, index=index))
def scatter(backend: Any, x: Any, *, index: Any, shape: Any) -> Any:
    """Zeros of `shape` with x added at `index`; positions that repeat add up."""
    out = backend.xp.zeros(shape, x.dtype)
    if _is_basic(index):
        out[index] = x
    else:
        backend.xp.add.at(out, index, x)
    return out


@primitive(x=lambda g, x_dtype: astype(g, dtype=x_dtype))
def astype(backend: Any, x: Any, *, dtype: Any) -> Any:
    """The same numbers in another floating-point type."""
    return x.astype(dtype)


def flatten(x: Any, start: int = 0) -> Any:
    """All axes from `start` on made one."""
    return reshape(x, shape=(*x.shape[:start], math.prod(x.shape[start:])))


def squeeze(x: Any, axis: Any = None) -> Any:
    """Without the axes of size 1, or without one of them."""
    shape = np.squeeze(np.broadcast_to(0, x.shape), axis).shape
    return reshape(x, shape=shape)


def unsqueeze(x: Any, axis: int) -> Any:
    """With a new axis of size 1."""
    return reshape(x, shape=np.expand_dims(np.broadcast_to(0, x.shape), axis).shape)


def _put_back(g: Any, index: Any, shape: Any) -> Any:
    return Part(index, g) if _is_basic(index) and not isinstance(g, Tensor) else scatter(g, index=index, shape=shape)


def _is_basic(index: Any) -> bool:
    parts = index if isinstance(index, tuple) else (index,)
    return all(part is None or part is ... or isinstance(part, (int, np.integer, slice)) for part in parts)
