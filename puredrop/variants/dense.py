"""Dense layers with noisy weights: the weights are drawn, or else the outputs that they would give."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from .. import ops
from ..random import Index, Keys
from ..tensor import raw
from .asked import Asked
from .bernoulli_map import inverted_scale, map_and_mask, selection
from .door import checked_array, one_rate
from .noise import normal_array, real_for

__all__ = ["drop_connect"]


def drop_connect(
    x: Any,
    weight: Any,
    bias: Any = None,
    p: float = 0.5,
    *,
    per_example: bool = True,
    evaluation: Literal["mean", "gaussian"] = "mean",
    key: Keys | None = None,
    mask: Any = None,
    training: bool = True,
    index: Index | None = None,
    return_mask: bool = False,
    backend: Any = None,
) -> Any:
    """A dense layer that drops single weights, by default others for each example.

    Math: y_n = x_n (W * m_n)^T / (1 - p) + b; E[y] = x W^T + b, Var[y] = p / (1 - p) (x * x) (W * W)^T. Gradient:
        dW = sum_n m_n * (g_n x_n^T) / (1 - p), dx_n = (W * m_n)^T g_n / (1 - p). p = 1 gives b. The bias is kept (the
        paper drops it too: append a column of ones to x for that). Evaluation gives x W^T + b; or, with
        evaluation="gaussian", y from the normal distribution with that mean and variance, which the paper does before
        the activation and averages after it (one key for each sample).
    Shapes: x (N, ..., I) or (I,), weight (O, I), bias (O,) -> (N, ..., O). The mask is (N, O, I); with
        per_example=False (O, I), one for all. `index` is for a mask (N, O, I). A tuple of T keys stands for T samples
        one after the other on the first axis of x. Memory: weights in use are drawn tile by tile, and again for the
        gradient; an array of the size of the mask exists only with `mask=` or `return_mask=`.
    Dtypes: float32, float64, the same for all; y like x.
    Draws: one halfword a mask element, at (key, element number); "gaussian" one normal an element of y. `mask=`
        (True = kept; for "gaussian" the normal numbers) replaces the draw; `return_mask=True` gives (y, mask).
    Raises: TypeError for whole numbers or a p that is no number; ValueError for p outside [0, 1], p = 1 in "gaussian"
        evaluation (infinite variance), shapes that do not fit, an unknown rule, or no key.
    Reference: Wan et al., "Regularization of neural networks using DropConnect" (2013).

    >>> from puredrop import Key
    >>> x, w = np.ones((2, 3), np.float32), np.ones((1, 3), np.float32)
    >>> drop_connect(x, w, p=0.5, key=Key(7)).ravel()          # weights 0 1 1 for one example, 1 1 0 for the other
    array([4., 4.], dtype=float32)
    >>> drop_connect(x, w, p=0.5, training=False).ravel()
    array([3., 3.], dtype=float32)
    """
    name = "drop_connect"
    asked = Asked(name, key, mask, training, index, return_mask, backend)
    x, weight, bias = asked.placed(x, weight, bias)
    x, weight, bias = checked_dense(name, x, weight, bias)
    p, keys = one_rate(name, p), len(key) if isinstance(key, tuple) else 1
    if evaluation not in ("mean", "gaussian"):
        raise ValueError(f"{name}: evaluation must be 'mean' or 'gaussian', got {evaluation!r}")
    if not training and evaluation == "gaussian" and p > 0:
        return asked.answer(*_gaussian_outputs(asked, x, weight, bias, p))
    examples = math.prod(x.shape[:-1][:1])
    if examples % keys:
        raise ValueError(f"{name}: {keys} keys need as many equal parts on the first axis of x, got shape {x.shape}")
    masks = examples if per_example else keys
    one_mask = not (per_example or isinstance(key, tuple))  # which is given back without an axis in front
    if not asked.draws(p):
        y = ops.linear(x, weight, bias, backend=backend)  # (N, ..., O)
        return asked.undrawn(y, shape=weight.shape if one_mask else (masks, *weight.shape))
    if asked.index is None:
        place = Index.whole((masks // keys, *weight.shape))
    else:
        place = asked.index_for((examples, *weight.shape))
        place = place if per_example else replace(place, shape=(1, *weight.shape))
    rows = math.prod(x.shape[:-1]) // max(1, masks)
    of_each = ops.reshape(x, shape=(masks, rows, x.shape[-1]), backend=backend)  # (masks, rows, I)
    y, keep = _products(asked, of_each, weight, p, place)  # (masks, rows, O)
    y = ops.reshape(ops.add(y, bias, backend=backend), shape=(*x.shape[:-1], weight.shape[0]), backend=backend)
    return asked.answer(y, keep[0] if one_mask and return_mask else keep)


def _products(asked: Asked, x: Any, weight: Any, p: float, place: Index) -> tuple[Any, Any]:
    """x of each mask times the weights that it keeps; and the masks, if they are asked for. See `ops.connect`."""
    backend, shape, scale = asked.backend, (x.shape[0], *weight.shape), inverted_scale(p)
    copies = ops.broadcast_to(weight, shape=shape, backend=backend)  # (masks, O, I), a view
    if asked.return_mask:
        used, keep = map_and_mask(asked, copies, p, place, scale=scale)
    else:
        drop, keep = selection(asked, np.broadcast_to(raw(weight).dtype.type(1), shape), p, place, scale=scale), None
        if drop.draw is not None:
            return ops.connect(x, weight, draw=drop.draw, scale=scale, backend=backend), None
        used = drop(copies, backend=backend)
    return ops.matmul(x, ops.swapaxes(used, a=-1, b=-2, backend=backend)), keep


def _gaussian_outputs(asked: Asked, x: Any, weight: Any, bias: Any, p: float) -> tuple[Any, Any]:
    """Outputs drawn from the normal distribution that has the mean and variance of dropped weights; and the numbers."""
    if p == 1:
        raise ValueError(
            f"{asked.operation}: p must lie below 1 for evaluation='gaussian', got 1: the variance would be infinite"
        )
    mean = ops.linear(x, weight, bias, backend=asked.backend)  # (N, ..., O)
    variance = ops.linear(x * x, weight * weight, 0.0, backend=asked.backend) * (p / (1 - p))
    return normal_outputs(asked, mean, variance, asked.index_in_parts(mean.shape))


def checked_dense(operation: str, x: Any, weight: Any, bias: Any) -> tuple[Any, Any, Any]:
    """The arrays of a dense layer, of one dtype and fitting shapes; no bias is 0."""
    given = {"x": x, "weight": weight} | ({} if bias is None else {"bias": bias})
    x, weight, *rest = (checked_array(f"{operation}, {which}", a) for which, a in given.items())
    if len(weight.shape) != 2 or not x.shape or x.shape[-1] != weight.shape[1]:
        raise ValueError(
            f"{operation}: weight must be (outputs, inputs) and the last axis of x inputs, got weight of shape "
            f"{weight.shape} and x of shape {x.shape}"
        )
    if rest and rest[0].shape != weight.shape[:1]:
        raise ValueError(
            f"{operation}: bias must have shape {weight.shape[:1]}, one for each output, got {rest[0].shape}"
        )
    dtypes = [a.dtype for a in (x, weight, *rest)]
    if any(dtype != dtypes[0] for dtype in dtypes):
        raise TypeError(f"{operation}: x, weight and bias must have one dtype, got {dtypes}; convert with .astype")
    return x, weight, rest[0] if rest else 0.0


def normal_outputs(asked: Asked, mean: Any, variance: Any, index: Index) -> tuple[Any, Any]:
    """Outputs drawn from N(mean, variance), and the normal numbers."""
    positive = raw(variance) > 0  # the root has no gradient at 0: a variance of 0 stays 0
    root = ops.sqrt(ops.where(positive, variance, 1.0), backend=asked.backend)
    e = real_for(asked, normal_array, mean, index, mean.shape)
    return mean + ops.where(positive, root, 0.0) * e, e
