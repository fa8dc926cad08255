"""Pooling: the largest or the mean of each window, or of each part of the map."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from ..tensor import primitive, raw
from .arithmetic import matmul
from .memory import in_order
from .reduce import mean
from .shape import reshape, swapaxes, take
from .windows import Sizes, Window, batch_first, batch_last, cropped, fitting_places, padded, per_axis, window_of


@primitive(x=lambda g, x, y, window: to_largest(g, inputs=raw(x), maxima=raw(y), window=window))
def largest(backend: Any, x: Any, *, window: Window) -> Any:
    z = padded(backend.xp, x, window, -math.inf)  # (C, padded L, N)
    parts = (z[(slice(None), *where)] for _, where in window.elements(window.places(x.shape[2:])))
    y = next(parts).copy()  # (C, places, N)
    for part in parts:
        backend.xp.maximum(y, part, out=y)
    return batch_first(y)


@primitive(g=lambda d, inputs, maxima, window: from_largest(d, inputs=inputs, maxima=maxima, window=window))
def to_largest(backend: Any, g: Any, *, inputs: Any, maxima: Any, window: Window) -> Any:
    """The gradient of `largest`: each element of g to the first element of its window that is the largest."""
    xp, g, size = backend.xp, batch_last(g), inputs.shape[2:]
    d = xp.zeros((g.shape[0], *window.padded(size), g.shape[-1]), g.dtype)  # (C, padded L, N)
    for where, first in _first_largest(xp, inputs, maxima, window):
        if window.overlaps:
            d[where] += g * first
        else:
            xp.multiply(g, first, out=d[where])
    return cropped(d, window, size)


@primitive(d=lambda g, inputs, maxima, window: to_largest(g, inputs=inputs, maxima=maxima, window=window))
def from_largest(backend: Any, d: Any, *, inputs: Any, maxima: Any, window: Window) -> Any:
    """The transpose of `to_largest`: the elements of d at the places of the largest inputs."""
    d = padded(backend.xp, d, window)
    return batch_first(sum(d[where] * first for where, first in _first_largest(backend.xp, inputs, maxima, window)))


def _first_largest(xp: Any, x: Any, y: Any, window: Window) -> Iterator[tuple[tuple[slice, ...], Any]]:
    """For each element of the kernel: where it lies in the padded x, and in which windows it is the first largest.

    NaN counts as the largest. Padding is NaN here, which reaches nothing: so it is not chosen where all is -inf.
    """
    if xp.isnan(y).any():
        x, y = (xp.where(xp.isnan(a), math.inf, a) for a in (x, y))
    z, y = padded(xp, x, window, math.nan), batch_last(y)  # (C, padded L, N), (C, places, N)
    free: Any = None  # the windows in which none was yet
    for _, place in window.elements(y.shape[1:-1]):
        where = (slice(None), *place)
        reached = z[where] >= y
        yield where, reached if free is None else free & reached
        free = ~reached if free is None else free > reached  # free and not reached


def max_pool(
    x: Any, kernel: Any, *, stride: Any = None, padding: Any = 0, dilation: Any = 1, name: str = "max_pool"
) -> Any:
    """The largest element of each window. Among equal ones the first in C order has the gradient, as in PyTorch.

    Shapes: x (N, C, L_1, ..., L_d) -> (N, C, ...), along each axis
        (L + 2 padding - dilation (k - 1) - 1) // stride + 1.
    kernel, stride (None: the kernel), padding and dilation are whole numbers or one for each axis; what pads is smaller
    than everything. `name` is what errors call the operation.
    Raises: TypeError, ValueError for what does not fit, or a padding of more than half the kernel.

    >>> max_pool(np.arange(6.0).reshape(1, 1, 6), 2).tolist()
    [[[1.0, 3.0, 5.0]]]
    """
    return largest(x, window=_pooling_window(name, x, kernel, stride, padding, dilation))


def _pooling_window(name: str, x: Any, kernel: Any, stride: Any, padding: Any, dilation: Any = 1) -> Window:
    axes = _spatial_axes(name, x)
    window = window_of(name, axes, kernel, kernel if stride is None else stride, padding, dilation)
    if any(2 * p > e for p, e in zip(window.before, window.extent, strict=True)):
        raise ValueError(
            f"{name}: padding must be at most half of what the kernel extends over, {window.extent}, got {padding}"
        )
    fitting_places(name, window, x.shape[2:])
    return window


def _spatial_axes(name: str, x: Any) -> int:
    if len(x.shape) < 3:
        raise ValueError(f"{name}: x must be (N, C, and one or more spatial axes), got shape {x.shape}")
    return len(x.shape) - 2


@primitive(x=lambda g, x_shape, window: window_spread(g, shape=x_shape, window=window))
def window_sum(backend: Any, x: Any, *, window: Window) -> Any:
    z = padded(backend.xp, x, window)
    parts = (z[(slice(None), *where)] for _, where in window.elements(window.places(x.shape[2:])))
    y = next(parts).copy()  # (C, places, N)
    for part in parts:
        y += part
    return batch_first(y)


@primitive(x=lambda g, window: window_sum(g, window=window))
def window_spread(backend: Any, x: Any, *, shape: Sizes, window: Window) -> Any:
    """The transpose of `window_sum`: each element to its whole window."""
    size = shape[2:]
    z = backend.xp.zeros((shape[1], *window.padded(size), shape[0]), x.dtype)
    for _, where in window.elements(x.shape[2:]):
        z[(slice(None), *where)] += batch_last(x)
    return cropped(z, window, size)


def avg_pool(
    x: Any,
    kernel: Any,
    *,
    stride: Any = None,
    padding: Any = 0,
    count_include_pad: bool = True,
    name: str = "avg_pool",
) -> Any:
    """The mean of each window. Padding counts as zeros, or not at all without `count_include_pad`, as in PyTorch.

    Shapes and options as in `max_pool`.
    Raises: TypeError, ValueError for what does not fit, or a padding of more than half the kernel.

    >>> avg_pool(np.array([[[3.0, 5.0, 9.0]]]), 2, stride=1, padding=1, count_include_pad=False).tolist()
    [[[3.0, 4.0, 7.0, 9.0]]]
    """
    window = _pooling_window(name, x, kernel, stride, padding)
    total = window_sum(x, window=window)
    if count_include_pad or not any(window.before):
        return total / math.prod(window.kernel)
    ones = np.ones((1, 1, *x.shape[2:]), x.dtype)
    return total / window_sum(ones, window=window, backend=getattr(x, "backend", None))


def adaptive_avg_pool(x: Any, size: Any, *, name: str = "adaptive_avg_pool") -> Any:
    """The means of as many parts of the map as `size` says: of n elements part i holds floor(i n / size) and following,
    up to ceil((i + 1) n / size), as in PyTorch; parts overlap where size does not divide n. size 1 is global pooling.

    Shapes: x (N, C, L_1, ..., L_d), size a whole number or one for each axis (None: as it is) -> (N, C, size_1, ...).
    Raises: TypeError, ValueError for what does not fit.

    >>> adaptive_avg_pool(np.arange(5.0).reshape(1, 1, 5), 2).tolist()
    [[[1.0, 3.0]]]
    """
    x, sizes = in_order(x), _adaptive_sizes(name, x, size)
    if all(n % parts == 0 for n, parts in zip(x.shape[2:], sizes, strict=True)):
        split = [m for n, parts in zip(x.shape[2:], sizes, strict=True) for m in (parts, n // parts)]
        return mean(reshape(x, shape=(*x.shape[:2], *split)), axis=tuple(range(3, 2 + len(split), 2)))
    for axis, (n, parts) in enumerate(zip(x.shape[2:], sizes, strict=True), start=2):
        shares = _shares(n, parts).astype(x.dtype)  # (parts, n)
        x = swapaxes(matmul(swapaxes(x, a=axis, b=-1), shares.T), a=axis, b=-1)
    return x


def adaptive_max_pool(x: Any, size: Any, *, name: str = "adaptive_max_pool") -> Any:
    """The largest element of each part of the map; parts and shapes as in `adaptive_avg_pool`.

    Among equal elements the first in C order has the gradient.
    Raises: TypeError, ValueError for what does not fit.

    >>> adaptive_max_pool(np.arange(5.0).reshape(1, 1, 5), 2).tolist()
    [[[2.0, 4.0]]]
    """
    sizes = _adaptive_sizes(name, x, size)
    parts = joined(x.shape[2:], [_parts(n, m) for n, m in zip(x.shape[2:], sizes, strict=True)])  # (places, elements)
    flat = reshape(x, shape=(*x.shape[:2], math.prod(x.shape[2:])))  # (N, C, L)
    best = raw(flat)[:, :, parts].argmax(axis=-1)  # (N, C, places)
    return reshape(picked(flat, parts, best), shape=(*x.shape[:2], *sizes))


def _adaptive_sizes(name: str, x: Any, size: Any) -> Sizes:
    axes = _spatial_axes(name, x)
    given = tuple(size) if isinstance(size, Sequence) and not isinstance(size, str) else (size,) * axes
    if not all(x.shape[2:]):
        raise ValueError(f"{name}: the map is empty: x has shape {x.shape}")
    known = [n if m is None else m for n, m in zip(x.shape[2:], given, strict=False)]
    return per_axis(name, "size", [*known, *given[axes:]], axes, 1)


@lru_cache(maxsize=64)
def _parts(n: int, parts: int) -> np.ndarray:
    """Which of n elements each part holds; short parts repeat their last. (parts, elements of the largest part)"""
    starts = np.arange(parts) * n // parts
    stops = -(-np.arange(1, parts + 1) * n // parts)
    return np.minimum(starts[:, None] + np.arange((stops - starts).max()), stops[:, None] - 1)


def _shares(n: int, parts: int) -> np.ndarray:
    """The matrix of the means of parts of n elements. (parts, n)"""
    held = np.zeros((parts, n))
    held[np.arange(parts)[:, None], _parts(n, parts)] = 1
    return held / held.sum(axis=1, keepdims=True)


@lru_cache(maxsize=64)
def positions(size: Sizes, window: Window) -> np.ndarray:
    """The positions of every window's elements in a flat map of `size`. (places, elements of a window)"""
    moves = zip(window.kernel, window.stride, window.dilation, window.places(size), strict=True)
    return joined(size, [np.arange(p)[:, None] * s + np.arange(k) * d for k, s, d, p in moves])


def joined(size: Sizes, along: Sequence[np.ndarray]) -> np.ndarray:
    """Positions in a flat map from those along each axis, (places, elements) each. (places, elements of a window)"""
    total = np.zeros((1, 1), np.int64)
    for n, one in zip(size, along, strict=True):
        total = (total[:, None, :, None] * n + one[None, :, None, :]).reshape(len(total) * len(one), -1)
    return total


def picked(flat: Any, positions: Any, place: Any, backend: Any = None) -> Any:
    """The elements at `place` in their windows. Shapes: flat (N, C, L), place (N, C, places, ...); the result like it.

    `positions` (places, elements) are those of the windows' elements in a flat map.
    """
    rest = (1,) * (place.ndim - 3)
    n, c, row = (np.arange(m).reshape(m, *(1,) * (2 - axis), *rest) for axis, m in enumerate(place.shape[:3]))
    return take(flat, index=(n, c, positions[row, place]), backend=backend)
