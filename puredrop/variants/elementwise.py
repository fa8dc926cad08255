"""Noise on single elements."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from .. import backends
from ..random import Index, Keys, Threshold, threshold
from .asked import Asked
from .bernoulli_map import bernoulli_map, inverted_scale, map_given
from .door import checked_array, checked_key, checked_rate
from .into import checked_out, map_into

__all__ = ["classic_dropout", "dropout", "keep_mask"]


def keep_mask(
    key: Keys,
    shape: int | Sequence[int] | Index,
    p: Any,
    *,
    shared: int | Sequence[int] = (),
    packed: bool = False,
    backend: Any = None,
) -> Any:
    """Where `dropout` with this key keeps: the mask itself.

    Math: element e is kept with probability 1 - p, independently; a pure function of (key, e).
    Shapes: `shape` with the `shared` axes of size 1; a tuple of keys puts an axis in front. An `Index` in place of the
        shape draws a part of a whole. `packed=True` gives the n elements in C order as bits, (ceil(n / 8),), a row of
        them for each of several keys: `np.unpackbits(bits, axis=-1, count=n, bitorder="little")` is the mask.
    Dtypes: bool, True = kept; packed uint8, the first element in the lowest bit.
    Draws: one halfword an element, at (key, element number); equal on every backend.
    Raises: TypeError or ValueError for p outside [0, 1], or shared axes that do not exist.
    Reference: Hinton et al., "Improving neural networks by preventing co-adaptation of feature detectors" (2012).

    >>> from puredrop import Index, Key
    >>> keep_mask(Key(seed=7), (2, 6), p=0.5).astype(int)
    array([[0, 1, 1, 1, 1, 0],
           [1, 0, 1, 0, 1, 1]])
    >>> whole = Index.whole((2, 6))                            # a shard draws its part of the whole
    >>> keep_mask(Key(seed=7), whole[1:, 3:], p=0.5).astype(int)
    array([[0, 1, 1]])
    >>> keep_mask(Key(seed=7), (2, 6), p=0.5, packed=True)     # 0b01011110, 0b1101
    array([94, 13], dtype=uint8)
    """
    p = checked_rate("keep_mask", p)
    if checked_key("keep_mask", key) is None:
        raise TypeError("keep_mask: key must be a Key, got None; write Key(seed)")
    if isinstance(shape, Index) and shared != ():
        raise ValueError("keep_mask: an Index knows its shared axes; write Index.whole(shape, shared)")
    index = shape if isinstance(shape, Index) else Index.whole(shape, shared)
    of = backends.get(backend)
    return _bits(of, key, index, threshold(p)) if packed else of.keep(key, index, threshold(p))


def _bits(backend: backends.Backend, key: Keys, index: Index, limit: Threshold) -> Any:
    """The mask as bits: a row, or one for each of several keys."""
    kernel, several = backend.fused.get("keep_bits"), isinstance(key, tuple)
    rows = None if kernel is None else kernel(key, index, limit)
    if rows is None:
        shape = len(key) if isinstance(key, tuple) else 1, math.prod(index.noise_shape)
        masks = backend.keep(key, index, limit).reshape(shape)
        rows = backend.xp.stack([backend.xp.packbits(mask, bitorder="little") for mask in masks])
    return rows if several else rows[0]


def dropout(
    x: Any,
    p: Any = 0.5,
    *,
    key: Keys | None = None,
    mask: Any = None,
    training: bool = True,
    shared: int | Sequence[int] = (),
    index: Index | None = None,
    scale_rounding: Literal["float32", "dtype"] = "float32",
    return_mask: bool = False,
    out: Any = None,
    backend: Any = None,
) -> Any:
    """Drop each element with probability p and scale the rest by 1 / (1 - p).

    Math: y = x * m / (1 - p), m = 1 where kept, else 0; E[y] = x. Gradient: dx = g * m / (1 - p), the same map with the
        same key. Evaluation (`training=False`) and p = 0 give x; p = 1 gives zeros with a zero gradient.
    Shapes: x any; y like x. One draw along each of the `shared` axes (Keras: noise_shape with size 1). `index` says
        which part of a global noise tensor x is; a tuple of keys enumerates the leading axis of x. An array p
        broadcasts to the noise; with an axis more in front, (K, 1, ..., 1), it is a rate for each of K keys.
        `out=`, for arrays, is an array like x to write y to and to give back; it may be x, or overlap it.
    Dtypes: float32, float64 (and float16 on NumPy); y like x. The scale is formed in float64, applied in float32
        (float64 for float64), rounded once; `scale_rounding="dtype"` rounds it to the dtype of x first, as PyTorch does
        on a CPU.
    Draws: one halfword an element of the noise, at (key, element number). Nothing is kept for backward. `mask=`
        (True = kept) replaces the draw; `return_mask=True` gives (y, mask).
    Raises: TypeError for whole-number x or a p that is no number, or for tensors with `out`; ValueError for p outside
        [0, 1], a mask or index that does not fit, no key, or an `out` that differs from x in shape or dtype, cannot be
        written to or shares memory within itself.
    Reference: Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting" (2014).

    >>> from puredrop import Key
    >>> x = np.ones((2, 6), np.float32)
    >>> dropout(x, p=0.5, key=Key(seed=7))
    array([[0., 2., 2., 2., 2., 0.],
           [2., 0., 2., 0., 2., 2.]], dtype=float32)
    >>> dropout(x, p=0.5, key=Key(seed=7), shared=0)[:, 2]     # one draw for both rows
    array([2., 2.], dtype=float32)
    """
    asked = Asked("dropout", key, mask, training, index, return_mask, backend)
    x, p = checked_array("dropout", x), checked_rate("dropout", p)
    if scale_rounding not in ("float32", "dtype"):
        raise ValueError(f"dropout: scale_rounding must be 'float32' or 'dtype', got {scale_rounding!r}")
    scale = inverted_scale(p) if scale_rounding == "float32" else x.dtype.type(inverted_scale(p))
    index = asked.index_for(x.shape, shared)
    if out is None:
        return bernoulli_map(asked, x, p, index, scale=scale)
    checked_out(asked, out, x)
    return map_into(asked, out, x, p, index, scale=scale)


def classic_dropout(
    x: Any,
    p: Any = 0.5,
    *,
    key: Keys | None = None,
    mask: Any = None,
    training: bool = True,
    shared: int | Sequence[int] = (),
    index: Index | None = None,
    return_mask: bool = False,
    backend: Any = None,
) -> Any:
    """Drop each element with probability p and leave the rest as it is; evaluation scales by 1 - p instead.

    Math: y = x * m, m = 1 where kept, else 0; E[y] = (1 - p) x, Var[y] = p (1 - p) x^2. Gradient: dx = g * m.
        Evaluation gives (1 - p) x, with the gradient (1 - p) g: the expectation of what training gave. p = 0 gives x;
        p = 1 gives zeros with a zero gradient, in training and in evaluation. A model trained with it becomes one for
        `dropout` when the weights (not the bias) of the next linear layer are multiplied by 1 - p.
    Shapes: x any; y like x. One draw along each of the `shared` axes; `index` says which part of a global noise x is.
    Dtypes: float32, float64 (and float16 on NumPy); y like x.
    Draws: as `dropout`, with equal masks for equal keys. `mask=` (True = kept) replaces the draw; `return_mask=True`
        gives (y, mask), all True in evaluation.
    Raises: TypeError for whole-number x or a p that is no number; ValueError for p outside [0, 1], a mask or index that
        does not fit, or no key.
    Reference: Hinton et al., "Improving neural networks by preventing co-adaptation of feature detectors" (2012).

    >>> from puredrop import Key
    >>> x = np.ones((2, 6), np.float32)
    >>> classic_dropout(x, p=0.5, key=Key(seed=7))
    array([[0., 1., 1., 1., 1., 0.],
           [1., 0., 1., 0., 1., 1.]], dtype=float32)
    >>> classic_dropout(x, p=0.5, training=False)[0]
    array([0.5, 0.5, 0.5, 0.5, 0.5, 0.5], dtype=float32)
    """
    asked = Asked("classic_dropout", key, mask, training, index, return_mask, backend)
    x, p = checked_array("classic_dropout", x), checked_rate("classic_dropout", p)
    index = asked.index_for(x.shape, shared)
    if training or (isinstance(p, float) and p == 0.0):
        return bernoulli_map(asked, x, p, index)
    certain = np.broadcast_to(np.asarray(p) < 1.0, x.shape)  # where p = 1: selected, for 0 * NaN is no zero
    return asked.undrawn(map_given(asked, x, certain, scale=1.0 - p))
