"""Noise that is balanced: whole units of a weight matrix, exact counts, fair signs."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import ops
from ..random import MASK, Index, Keys
from ..tensor import backend_of, raw
from .asked import Asked
from .bernoulli_map import bernoulli_map, inverted_scale, map_given
from .door import checked_array, finite_size, one_rate, unchanged
from .noise import draw_at, foreign_mask, keep_over, spread

__all__ = ["fixed_count_dropout", "flipout", "shakeout"]


def shakeout(
    w: Any,
    p: float = 0.5,
    c: float = 0.1,
    *,
    axis: int | Sequence[int] = 1,
    key: Keys | None = None,
    mask: Any = None,
    training: bool = True,
    index: Index | None = None,
    return_mask: bool = False,
    backend: Any = None,
) -> Any:
    """Shake weights: those out of a dropped input unit become -c sgn(w), the others grow to make up for it.

    Math: with probability p (the paper's tau) y = -c sgn(w), else y = (w + c p sgn(w)) / (1 - p), one decision for all
        weights of an input unit; E[y] = w, Var[y] = (|w| + c)^2 p / (1 - p). c = 0 is `dropout` of input units.
        Gradient: dw = g / (1 - p) where kept, else 0; sgn is a constant, 0 at 0. Evaluation and p = 0 give w; p = 1
        gives -c sgn(w).
    Shapes: w any, such as (O, I) or (O, I, K, K); y like w. `axis` numbers the input units (several axes: each
        combination is one unit), all other axes share the decision. With `index`, that index must share them.
    Dtypes: float32, float64 (and float16 on NumPy); y like w.
    Draws: one halfword an input unit, at (key, unit number). `mask=` (True = kept) replaces the draw;
        `return_mask=True` gives (y, mask), the mask in the shape of w.
    Raises: TypeError for whole-number w or a p or c that is no number; ValueError for p outside [0, 1], c negative or
        not finite, an axis that does not exist, or a mask that does not fit.
    Reference: Kang, Li & Tao, "Shakeout: a new approach to regularized deep neural network training" (2018).

    >>> from puredrop import Key
    >>> w = np.array([[2.0, -2.0, 2.0, -2.0]])
    >>> shakeout(w, p=0.5, c=1.0, key=Key(seed=7))
    array([[-1., -5.,  5., -5.]])
    """
    name = "shakeout"
    asked = Asked(name, key, mask, training, index, return_mask, backend)
    w, p, c = checked_array(name, w), one_rate(name, p), finite_size(name, "c", c)
    rank = len(asked.shape_of_one_key(w.shape))
    units = _axes(name, axis, rank)
    shared = tuple(a for a in range(rank) if a not in units)
    rule = f"the index must share all axes but {units}, which number the input units"
    index = asked.index_sharing(w.shape, shared, rule)
    if not asked.draws(p):
        return asked.undrawn(unchanged(w))
    sign = np.sign(raw(w))
    sign = np.where(np.isnan(sign), 0, sign).astype(w.dtype, copy=False)  # a NaN must not reach a dropped place
    return bernoulli_map(asked, w + c * p * sign, p, index, scale=inverted_scale(p), fill=0.0 - c * sign)


def fixed_count_dropout(
    x: Any,
    p: float = 0.5,
    *,
    axis: int | Sequence[int] | None = -1,
    key: Keys | None = None,
    mask: Any = None,
    training: bool = True,
    shared: int | Sequence[int] = (),
    index: Index | None = None,
    return_mask: bool = False,
    backend: Any = None,
) -> Any:
    """Keep exactly k = round((1 - p) n) of each group of n elements, and scale them by n / k.

    Math: y = x m n / k, with m uniform over the masks that keep k; for k > 0 E[y] = x, Var[y] = x^2 (n / k - 1), and
        Cov(m_i, m_j) = -(k / n) (1 - k / n) / (n - 1) within a group. Gradient: dx = g n / k where kept, else 0. k = 0
        (p = 1, or p near 1 in a small group) gives zeros with a zero gradient. Halves round to the even number.
        Evaluation and p = 0 give x.
    Shapes: x any; y like x. The `axis` (several: together; None: all that are not shared) is the group, n its size. One
        draw along each of the `shared` axes. Where `index` says which part of a global noise x is, groups must be
        whole in it. Axes are those of what one key draws.
    Dtypes: float32, float64 (and float16 on NumPy); y like x.
    Draws: one 32-bit word an element of the noise, at (key, element number); the k largest of a group are kept, of
        equal words the later ones. Hence a larger p drops a superset. `mask=` (True = kept) replaces the draw and must
        have these counts; `return_mask=True` gives (y, mask), the mask in the shape of x.
    Raises: TypeError for whole-number x or a p that is no number; ValueError for p outside [0, 1], an axis that is
        shared or does not exist, or a mask that keeps another number than k.
    Reference: Cochran, "Sampling techniques" (1977), chapter 2, for sampling without replacement; Liu et al. (2023)
        remove patches so.

    >>> from puredrop import Key
    >>> fixed_count_dropout(np.ones((2, 8)), p=0.75, key=Key(seed=7)).sum(axis=1)     # 2 of 8, each 4
    array([8., 8.])
    """
    name = "fixed_count_dropout"
    asked = Asked(name, key, mask, training, index, return_mask, backend)
    x, p = checked_array(name, x), one_rate(name, p)
    index = asked.index_for(x.shape, shared)
    axes = _group(name, axis, index)
    n = math.prod(index.shape[a] for a in axes)
    if not asked.draws(p):
        return asked.undrawn(unchanged(x))
    k = round((1 - p) * n)
    foreign = foreign_mask(asked, raw(x), p, draw_at(asked, p, index))
    if foreign is None:
        words = asked.backend_of(x).words(asked.needed_key(), index, MASK)  # (keys,) + noise_shape
        keep = spread(asked, _largest(words, tuple(a - len(index.shape) for a in axes), k), index, x.shape)
    else:
        keep = foreign[1]
        if len(index.shape) == len(x.shape):
            _require_count(name, np.broadcast_to(keep, x.shape), axes, k)
    keep = np.broadcast_to(keep, x.shape)
    return asked.answer(map_given(asked, x, keep, scale=n / k if k else 0.0), keep)


def flipout(
    x: Any,
    w: Any,
    perturbation: Any,
    *,
    key: Keys | None = None,
    mask: Any = None,
    training: bool = True,
    index: Index | None = None,
    return_mask: bool = False,
    backend: Any = None,
) -> Any:
    """A linear layer whose one weight perturbation has other signs for each example.

    Math: y = x W^T + ((x * r) D^T) * s, with D the perturbation, r and s fair signs +-1, drawn for each example: the
        weights of an example are W + D * (s r^T). Over the signs E[y] = x W^T, Var[y_o] = sum_i x_i^2 D_oi^2, and the
        perturbed parts of two examples are uncorrelated. Where D is drawn from a distribution that is symmetric
        around 0 with independent elements, such as sigma * normal, each example has the distribution of x (W + D)^T;
        DropConnect at p other than 1/2 has no such D. Gradient: dx = g W + (((g * s) D) * r), dW = g^T x,
        dD = (g * s)^T (x * r). Evaluation gives x W^T.
    Shapes: x (..., I), w and perturbation (O, I); y (..., O). All axes of x but the last number examples.
    Dtypes: float32, float64; y like x.
    Draws: one halfword a sign, at (key, element number) of a noise of shape (..., I + O), r before s; an `index` is one
        for that shape. `mask=` (True = +1) replaces the draw; `return_mask=True` gives (y, mask); all True in
        evaluation.
    Raises: TypeError for whole-number x; ValueError for weights that do not fit x or each other, or no key.
    Reference: Wen et al., "Flipout: efficient pseudo-independent weight perturbations on mini-batches" (2018).

    >>> from puredrop import Key
    >>> flipout(np.ones((4, 3)), np.zeros((1, 3)), np.array([[1.0, 2.0, 4.0]]), key=Key(seed=7)).ravel()
    array([ 5., -3.,  3.,  3.])
    """
    name = "flipout"
    asked = Asked(name, key, mask, training, index, return_mask, backend)
    x, w, perturbation = asked.placed(x, w, perturbation)
    x, w, perturbation = (checked_array(name, a) for a in (x, w, perturbation))
    if not x.shape or len(w.shape) != 2 or w.shape != perturbation.shape or w.shape[1] != x.shape[-1]:
        raise ValueError(
            f"{name}: needs x (..., I) and two weights (O, I), got shapes {x.shape}, {w.shape} and {perturbation.shape}"
        )
    inputs, outputs = w.shape[1], w.shape[0]
    shape = (*x.shape[:-1], inputs + outputs)
    index = asked.index_for(shape)
    mean = ops.linear(x, w, 0.0, backend=backend)
    if not training:
        return asked.undrawn(mean, shape=shape)
    keep = keep_over(asked, x, 0.5, index, shape)
    sign = ops.where(keep, 1.0, -1.0, backend=asked.backend_of(x)).astype(x.dtype)  # (..., I + O)
    swing = ops.linear(x * sign[..., :inputs], perturbation, 0.0, backend=backend)
    return asked.answer(mean + swing * sign[..., inputs:], keep)


def _largest(words: Any, axes: tuple[int, ...], k: int) -> Any:
    """Where the k largest of each group lie; of equal words the later one counts as larger. `axes` are negative."""
    ends = tuple(range(-len(axes), 0))
    groups = np.moveaxis(words, axes, ends)
    lead, group = groups.shape[: groups.ndim - len(axes)], groups.shape[groups.ndim - len(axes) :]
    n = math.prod(group)
    if k == 0 or words.size == 0:
        return np.zeros_like(words, np.bool_)
    places = backend_of(words).xp.arange(n, dtype=np.uint64)
    ranks = groups.reshape(*lead, n).astype(np.uint64) << np.uint64(32) | places  # all differ
    smallest = np.partition(ranks, n - k, axis=-1)[..., n - k, None]
    return np.moveaxis((ranks >= smallest).reshape(groups.shape), ends, axes)


def _require_count(name: str, keep: Any, axes: tuple[int, ...], k: int) -> None:
    counts = keep.sum(axis=axes)
    if not (counts == k).all():
        raise ValueError(
            f"{name}: a mask must keep exactly {k} of each group, this one keeps from {counts.min()} to {counts.max()}"
        )


def _group(name: str, axis: Any, index: Index) -> tuple[int, ...]:
    alone = [a for a, stride in enumerate(index.strides) if stride == 0]
    if axis is None:
        return tuple(a for a in range(len(index.shape)) if a not in alone)
    axes = _axes(name, axis, len(index.shape))
    if any(a in alone for a in axes):
        raise ValueError(f"{name}: axis {axis} is shared; elements that share one draw cannot be counted apart")
    return axes


def _axes(name: str, axis: Any, rank: int) -> tuple[int, ...]:
    """Axes as different numbers from 0 to rank - 1."""
    try:
        given = (operator.index(axis),) if hasattr(axis, "__index__") else tuple(map(operator.index, axis))
    except TypeError:
        raise TypeError(f"{name}: axis must be a whole number or several, got {axis!r}") from None
    if not given or any(not -rank <= a < rank for a in given) or len({a % rank for a in given}) < len(given):
        raise ValueError(f"{name}: axis {axis} must name different axes of an array with {rank}")
    return tuple(a % rank for a in given)
