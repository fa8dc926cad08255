"""Sums and extremes over axes."""

from __future__ import annotations

import math
from typing import Any

from ..tensor import primitive, raw
from .shape import broadcast_to, reshape


@primitive(x=lambda g, x_shape, axis, keepdims: _spread(g, x_shape, axis, keepdims))
def sum(backend: Any, x: Any, *, axis: Any = None, keepdims: bool = False) -> Any:
    """The sum over `axis` (all axes for None)."""
    return x.sum(axis=axis, keepdims=keepdims)


def mean(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The mean over `axis`."""
    return sum(x, axis=axis, keepdims=keepdims) / _count(x.shape, axis)


def var(x: Any, axis: Any = None, ddof: int = 0, keepdims: bool = False) -> Any:
    """The variance over `axis`, with the divisor n - ddof. (PyTorch's default is ddof = 1, NumPy's and ours 0.)"""
    d = x - mean(x, axis, keepdims=True)
    return sum(d * d, axis=axis, keepdims=keepdims) / (_count(x.shape, axis) - ddof)


def std(x: Any, axis: Any = None, ddof: int = 0, keepdims: bool = False) -> Any:
    """The standard deviation over `axis`, with the divisor n - ddof."""
    return var(x, axis, ddof, keepdims) ** 0.5


@primitive(x=lambda g, x, y, axis, keepdims: _to_extremes(g, x, y, axis, keepdims))
def max(backend: Any, x: Any, *, axis: Any = None, keepdims: bool = False) -> Any:
    """The largest element over `axis`; equal ones share the gradient."""
    return x.max(axis=axis, keepdims=keepdims)


def min(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The smallest element over `axis`; equal ones share the gradient."""
    return -max(-x, axis=axis, keepdims=keepdims)


def _to_extremes(g: Any, x: Any, y: Any, axis: Any, keepdims: bool) -> Any:
    largest = raw(x) == raw(y).reshape(_kept(x.shape, axis))  # like x
    share = largest / largest.sum(axis=axis, keepdims=True)
    return _spread(g, x.shape, axis, keepdims) * share.astype(x.dtype)


def _spread(g: Any, shape: tuple[int, ...], axis: Any, keepdims: bool) -> Any:
    """A reduced gradient, back over the axes that were summed."""
    return broadcast_to(g if keepdims else reshape(g, shape=_kept(shape, axis)), shape=shape)


def _kept(shape: tuple[int, ...], axis: Any) -> tuple[int, ...]:
    """The shape of a reduction that keeps its axes."""
    return tuple(1 if i in _axes(shape, axis) else n for i, n in enumerate(shape))


def _axes(shape: tuple[int, ...], axis: Any) -> set[int]:
    if axis is None:
        return set(range(len(shape)))
    return {a % len(shape) for a in (axis if isinstance(axis, tuple) else (axis,))}


def _count(shape: tuple[int, ...], axis: Any) -> int:
    return math.prod(shape[a] for a in _axes(shape, axis))
