"""Pooling that chooses by chance: one element of each window."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import ops
from ..ops.pooling import picked, positions
from ..ops.windows import window_of
from ..random import Index, Keys
from ..tensor import raw
from .asked import Asked
from .bernoulli_map import map_given
from .blocks import block_of
from .door import Shape, checked_array, one_rate, whole_number
from .noise import keep_over, real_for, uniform_array

__all__ = ["max_pool_dropout", "stochastic_pool"]


def max_pool_dropout(
    x: Any,
    p: float = 0.5,
    *,
    size: int | Sequence[int],
    stride: int | Sequence[int] | None = None,
    spatial_dims: int = 2,
    key: Keys | None = None,
    mask: Any = None,
    training: bool = True,
    index: Index | None = None,
    return_mask: bool = False,
    backend: Any = None,
) -> Any:
    """Drop elements with probability p, then take the largest of each window that is left.

    Math: y = the largest kept element of the window, 0 where none is kept; nothing is scaled. With the n elements in
        ascending order y is the i-th with probability (1 - p) p^(n - i). Evaluation gives
        sum_i (1 - p) p^(n - i) x_i, which is E[y]. Gradient: g to the element chosen (in evaluation by those weights).
        p = 0 is max pooling, p = 1 gives zeros.
    Shapes: x (N, C, L_1, ..., L_d) with d = spatial_dims, not negative; `size` and `stride` (None: size) whole numbers
        or one for each axis; y (N, C, (L_1 - size_1) // stride_1 + 1, ...).
    Dtypes: y like x.
    Draws: one halfword an element of x, so windows that overlap agree. K keys divide the rows of x into K equal parts.
        The mask (True = kept) is that of the elements of x.
    Raises: TypeError, ValueError for a wrong p, rank or window, or negative x: a dropped element counts as 0.
    Reference: Wu & Gu, "Max-pooling dropout for regularization of convolutional neural networks" (2015).

    >>> from puredrop import Key
    >>> x = np.arange(16.0).reshape(1, 1, 4, 4)
    >>> max_pool_dropout(x, 0.5, size=2, key=Key(7))[0, 0].tolist()
    [[4.0, 6.0], [12.0, 15.0]]
    >>> max_pool_dropout(x, 0.0, size=2)[0, 0].tolist()
    [[5.0, 7.0], [13.0, 15.0]]
    """
    name = "max_pool_dropout"
    asked = Asked(name, key, mask, training, index, return_mask, backend)
    x, p = checked_array(name, x), one_rate(name, p)
    out, windows = _windows_of(name, x, size, stride, spatial_dims)  # (places, n): positions in a flat map
    flat = ops.reshape(x, shape=(*x.shape[:2], math.prod(x.shape[2:])), backend=backend)  # (N, C, L)
    a = raw(flat)[:, :, windows]  # (N, C, places, n)
    if not training:
        y = ops.reshape(_expected_largest(flat, a, windows, p, backend), shape=out, backend=backend)
        return asked.undrawn(y, shape=x.shape)
    index = asked.index_in_parts(x.shape)  # looked at also where nothing is drawn
    keep = keep_over(asked, x, p, index, x.shape) if asked.draws(p) else np.ones_like(raw(x), np.bool_)
    kept = keep.reshape(flat.shape)[:, :, windows]  # (N, C, places, n)
    best = np.where(kept, a, -1).argmax(axis=-1)  # (N, C, places)
    return asked.answer(_chosen(asked, flat, windows, best, kept.any(axis=-1), out), keep)


def stochastic_pool(
    x: Any,
    *,
    size: int | Sequence[int],
    stride: int | Sequence[int] | None = None,
    spatial_dims: int = 2,
    key: Keys | None = None,
    mask: Any = None,
    training: bool = True,
    index: Index | None = None,
    return_mask: bool = False,
    backend: Any = None,
) -> Any:
    """Take one element of each window, with a probability in proportion to its value.

    Math: y = x_i with probability x_i / sum x over the window. Evaluation gives sum x^2 / sum x, which is E[y].
        Gradient: g to the element chosen, none by the probabilities, as in the paper; in evaluation dx_i =
        g (2 x_i - y) / sum x. A window of zeros gives 0 with a zero gradient. There is no rate.
    Shapes: x (N, C, L_1, ..., L_d) with d = spatial_dims, not negative; `size` and `stride` (None: size) whole numbers
        or one for each axis; y (N, C, (L_1 - size_1) // stride_1 + 1, ...).
    Dtypes: y like x; sums in float64.
    Draws: one uniform u a window, at (key, window number): the first element at which the running sum exceeds
        u sum x is taken. `mask=` takes u itself, in [0, 1); `index` is that of y. K keys divide the rows of x into K
        equal parts.
    Raises: TypeError, ValueError for a wrong rank or window, negative x, or u outside [0, 1).
    Reference: Zeiler & Fergus, "Stochastic pooling for regularization of deep convolutional neural networks" (2013).

    >>> from puredrop import Key
    >>> x = np.arange(16.0).reshape(1, 1, 4, 4)
    >>> stochastic_pool(x, size=2, key=Key(7))[0, 0].tolist()
    [[4.0, 3.0], [12.0, 15.0]]
    >>> stochastic_pool(x, size=2, training=False)[0, 0, 0].tolist()
    [4.2, 5.444444444444445]
    """
    name = "stochastic_pool"
    asked = Asked(name, key, mask, training, index, return_mask, backend)
    x = checked_array(name, x)
    out, windows = _windows_of(name, x, size, stride, spatial_dims)
    flat = ops.reshape(x, shape=(*x.shape[:2], math.prod(x.shape[2:])), backend=backend)  # (N, C, L)
    if not training:
        return asked.undrawn(_expected(flat, windows, out, backend), 0.0)
    # float64: a float32 u could be rounded up to 1
    u = np.broadcast_to(real_for(asked, uniform_array, x, asked.index_in_parts(out), out, np.float64), out)
    if not np.all((u >= 0) & (u < 1)):
        raise ValueError(f"{name}: the noise handed in must lie in [0, 1)")
    sums = raw(flat)[:, :, windows].astype(np.float64).cumsum(axis=-1)  # (N, C, places, n)
    total = sums[..., -1]  # (N, C, places)
    place = (sums <= (u.reshape(total.shape) * total)[..., None]).sum(axis=-1)
    # Infinities and NaN have no probabilities: the largest stands for its window, and NaN for the largest.
    place = np.where(np.isfinite(total), place, raw(flat)[:, :, windows].argmax(axis=-1))
    place = np.where(total == 0, 0, place)
    return asked.answer(_chosen(asked, flat, windows, place, total != 0, out), u)


def _expected(flat: Any, windows: Any, out: Shape, backend: Any) -> Any:
    """The mean of each window, weighed by the elements themselves."""
    a = ops.take(flat, index=(slice(None), slice(None), windows), backend=backend)  # (N, C, places, n)
    total = ops.sum(a, axis=-1, backend=backend)
    squares = ops.sum(ops.multiply(a, a, backend=backend), axis=-1, backend=backend)
    y = ops.divide(squares, ops.where(raw(total) != 0, total, 1.0), backend=backend)  # 0 / 1 where all are 0
    return ops.reshape(y, shape=out, backend=backend)


def _expected_largest(flat: Any, a: Any, windows: Any, p: float, backend: Any) -> Any:
    """The elements of each window in ascending order, weighed by (1 - p) p^(n - i). (N, C, places)"""
    n = a.shape[-1]
    weights = (1 - p) * p ** np.arange(n - 1.0, -1.0, -1.0)  # (n,)
    used = weights > 0  # at p = 1 none: nothing times infinity is left out
    order = a.argsort(axis=-1, kind="stable")[..., used]  # (N, C, places, used)
    elements = picked(flat, windows, order, backend)
    return ops.sum(ops.multiply(elements, weights[used].astype(a.dtype), backend=backend), axis=-1, backend=backend)


def _chosen(asked: Asked, flat: Any, windows: Any, place: Any, any_left: Any, out: Shape) -> Any:
    """Element `place` of each window, 0 where there is none to choose, in the shape `out`."""
    y = picked(flat, windows, place, asked.backend)  # (N, C, places)
    return ops.reshape(map_given(asked, y, any_left), shape=out, backend=asked.backend)


def pooled_shape(operation: str, shape: Shape, size: Any, stride: Any = None, spatial_dims: int = 2) -> Shape:
    """The shape of the result for x of `shape`. Raises TypeError, ValueError."""
    dims = whole_number(operation, "spatial_dims", spatial_dims, 1)
    if len(shape) != dims + 2:
        raise ValueError(f"{operation}: x must be (N, C, and {dims} spatial axes), got shape {shape}; set spatial_dims")
    window = block_of(operation, "size", size, dims)
    step = window if stride is None else block_of(operation, "stride", stride, dims)
    if any(b > n for b, n in zip(window, shape[2:], strict=True)):
        raise ValueError(f"{operation}: a window of {window} does not fit a map of {shape[2:]}")
    return (*shape[:2], *((n - b) // s + 1 for n, b, s in zip(shape[2:], window, step, strict=True)))


def _windows_of(operation: str, x: Any, size: Any, stride: Any, spatial_dims: int) -> tuple[Shape, Any]:
    """The shape of the result, and the positions of every window's elements in a flat map. Raises ValueError."""
    out = pooled_shape(operation, x.shape, size, stride, spatial_dims)
    if (raw(x) < 0).any():
        raise ValueError(f"{operation}: x must not be negative; put the pooling after a relu")
    window = window_of(operation, spatial_dims, size, size if stride is None else stride)
    return out, positions(x.shape[2:], window)
