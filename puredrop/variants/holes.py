"""What is cut out of the data: a hole in an image, bands of a spectrogram."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from .. import streams
from ..random import Index, Keys
from ..tensor import backend_of
from .asked import Asked
from .bernoulli_map import map_given
from .blocks import block_of
from .door import checked_array, one_rate, unchanged, whole_number
from .noise import keep_over, real_for, uniform_array

__all__ = ["band_dropout", "cutout"]


def cutout(
    x: Any,
    p: float = 1.0,
    *,
    size: int | Sequence[int],
    spatial_dims: int = 2,
    fill: Any = 0.0,
    key: Keys | None = None,
    mask: Any = None,
    training: bool = True,
    index: Index | None = None,
    return_mask: bool = False,
    backend: Any = None,
) -> Any:
    """Cut a box out of each example, in all of its channels, with probability p.

    Math: y = fill inside the box, x outside; nothing is scaled. The centre c is uniform over the map and the box
        clipped at its border: it covers c - b // 2 to c - b // 2 + b - 1, so b elements for odd b too. Gradient: g
        outside, by fill g inside. Evaluation and p = 0 give x; p = 1 cuts every example.
    Shapes: x (N, C, L_1, ..., L_d) with d = spatial_dims; `size` b a whole number or one for each axis; fill a number,
        or what broadcasts to x (a mean for each channel (C, 1, 1), noise like x). y like x.
    Dtypes: y like x.
    Draws: one halfword an example for whether, d uniforms for where; `index` (of shape (N,)) says which examples of a
        whole these are. K keys divide the rows of x into K equal parts. The mask (True = outside) broadcasts to x; the
        one returned has a single channel.
    Raises: TypeError, ValueError for a wrong p, rank or size.
    Reference: DeVries & Taylor, "Improved regularization of convolutional neural networks with Cutout" (2017), p = 1;
        Zhong et al., "Random erasing data augmentation" (2020), for p below 1 and fills.

    >>> from puredrop import Key
    >>> cutout(np.ones((1, 1, 4, 6)), size=3, key=Key(1))[0, 0].astype(int)
    array([[1, 1, 0, 0, 0, 1],
           [1, 1, 0, 0, 0, 1],
           [1, 1, 1, 1, 1, 1],
           [1, 1, 1, 1, 1, 1]])
    """
    name = "cutout"
    asked = Asked(name, key, mask, training, index, return_mask, backend)
    x, p = checked_array(name, x), one_rate(name, p)
    dims = whole_number(name, "spatial_dims", spatial_dims, 1)
    if x.ndim != dims + 2 or 0 in x.shape[2:]:
        raise ValueError(f"{name}: x must be (N, C, and {dims} spatial axes), got shape {x.shape}; set spatial_dims")
    box = block_of(name, "size", size, dims)
    shape = (len(x), 1, *x.shape[2:])
    if not asked.draws(p):
        return asked.undrawn(unchanged(x), shape=shape)
    if mask is None:
        whole, centres = _decisions(asked, x, p, 1, dims)  # (N, 1), (N, d)
        mask = np.broadcast_to(whole.reshape(-1, *(1,) * (dims + 1)), shape)
        outside = np.zeros_like(mask)
        for axis, (n, b) in enumerate(zip(x.shape[2:], box, strict=True)):
            first = np.floor(centres[:, axis] * n) - b // 2  # (N,)
            outside |= ~_interval(first, first + b, n, axis + 2, x.ndim)
        mask = mask | outside
    mask = streams.checked_mask(mask, x.shape)
    return asked.answer(map_given(asked, x, mask, fill=fill), mask)


def band_dropout(
    x: Any,
    p: float = 1.0,
    *,
    axis: int,
    width: int | tuple[int, int],
    bands: int = 1,
    fill: Any = 0.0,
    key: Keys | None = None,
    mask: Any = None,
    training: bool = True,
    index: Index | None = None,
    return_mask: bool = False,
    backend: Any = None,
) -> Any:
    """Drop bands of one axis, of time or of frequency, each with probability p.

    Math: y = fill inside a band, x outside; nothing is scaled. Each of `bands` bands has a width w uniform in 0..width
        (or in low..high for a pair) and then a start uniform in 0..L - w; bands may overlap. Gradient: g outside, by
        fill g inside. Evaluation and p = 0 give x; p = 1 draws every band.
    Shapes: x (N, ...) with L elements along `axis`, never 0, the examples; y like x.
    Dtypes: y like x.
    Draws: one halfword a band and example for whether, two uniforms for where; `index` (of shape (N, bands)) says which
        part of a whole that is. K keys divide the rows of x into K equal parts. The mask (True = outside) broadcasts to
        x; the one returned has size 1 on all axes but the first and `axis`.
    Raises: TypeError, ValueError for a wrong p, axis, or a width beyond L.
    Reference: Park et al., "SpecAugment: a simple data augmentation method for automatic speech recognition" (2019),
        p = 1.

    >>> from puredrop import Key
    >>> band_dropout(np.ones((2, 8)), axis=1, width=4, key=Key(1)).astype(int)
    array([[1, 1, 1, 1, 1, 1, 1, 1],
           [1, 1, 1, 1, 0, 1, 1, 1]])
    """
    name = "band_dropout"
    asked = Asked(name, key, mask, training, index, return_mask, backend)
    x, p = checked_array(name, x), one_rate(name, p)
    number = whole_number(name, "axis", axis, -x.ndim)
    if number >= x.ndim or number in (0, -x.ndim):
        raise ValueError(f"{name}: axis must be one of 1 to {x.ndim - 1} (axis 0 has the examples), got {axis}")
    axis, n = number % x.ndim, x.shape[number]
    low, high = width_range(name, width)
    if high > n:
        raise ValueError(f"{name}: a band of {high} is wider than the {n} elements of axis {axis}")
    bands = whole_number(name, "bands", bands, 1)
    shape = tuple(m if i in (0, axis) else 1 for i, m in enumerate(x.shape))
    if not asked.draws(p):
        return asked.undrawn(unchanged(x), shape=shape)
    if mask is None:
        whole, places = _decisions(asked, x, p, bands, 2)  # (N, bands), (N, 2 bands)
        mask = asked.backend_of(x).xp.ones(shape, np.bool_)
        for band in range(bands):
            widths = low + np.floor(places[:, 2 * band] * (high - low + 1))  # (N,)
            first = np.floor(places[:, 2 * band + 1] * (n - widths + 1))
            last = np.where(whole[:, band], first, first + widths)  # an empty interval where the band is not drawn
            mask &= ~_interval(first, last, n, axis, x.ndim)
    mask = streams.checked_mask(mask, x.shape)
    return asked.answer(map_given(asked, x, mask, fill=fill), mask)


def width_range(operation: str, width: Any) -> tuple[int, int]:
    """The narrowest and the widest band. Raises TypeError, ValueError."""
    low, high = width if isinstance(width, tuple) and len(width) == 2 else (0, width)
    low = whole_number(operation, "width", low, 0)
    return low, whole_number(operation, "width", high, low)


def _decisions(asked: Asked, x: Any, p: float, each: int, uniforms: int) -> tuple[Any, Any]:
    """For each example `each` decisions (True = kept whole), (N, each), and `uniforms` numbers beside every one."""
    shape = (len(x), each)
    if asked.index is not None and asked.index.shape[1:] == () and each == 1:  # an index of the examples alone
        asked = replace(asked, index=_with_last_axis(asked.index, 1))
    index = asked.index_in_parts(shape)
    whole = keep_over(asked, x, p, index, shape)
    finer = _with_last_axis(index, uniforms)  # (N, each, uniforms)
    # float64: a float32 number could be rounded up to 1
    places = real_for(asked, uniform_array, x, finer, (*shape, uniforms), np.float64)
    return whole, np.broadcast_to(places, (*shape, uniforms)).reshape(len(x), each * uniforms)


def _with_last_axis(index: Index, n: int) -> Index:
    """The index of noise that has n elements in place of each one."""
    strides = (*(stride * n for stride in index.strides), 1 if n > 1 else 0)
    return Index((*index.shape, n), strides, index.offset * n, index.rows)


def _interval(first: Any, stop: Any, n: int, axis: int, rank: int) -> Any:
    """Where an axis of n elements lies in [first, stop), for each example: (N, 1, ..., n, ..., 1)."""
    i = backend_of(first).xp.arange(n).reshape(*(n if k == axis else 1 for k in range(rank)))
    first, stop = (a.reshape(-1, *(1,) * (rank - 1)) for a in (first, stop))
    return (i >= first) & (i < stop)
