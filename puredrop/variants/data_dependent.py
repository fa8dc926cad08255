"""Masks that depend on the data: what is dropped, or how often, follows from the activations."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from .. import ops, streams
from ..backends import on_host
from ..random import Index, Keys
from ..tensor import raw
from .asked import Asked
from .bernoulli_map import bernoulli_map, map_given
from .door import checked_array, finite_size, one_rate, parameter, real_number, unchanged
from .noise import keep_over, normal_array

__all__ = ["jumpout", "max_dropout", "standout"]


def standout(
    x: Any,
    pre_activation: Any,
    alpha: Any = 1.0,
    beta: Any = 0.0,
    *,
    key: Keys | None = None,
    mask: Any = None,
    training: bool = True,
    shared: int | Sequence[int] = (),
    index: Index | None = None,
    return_mask: bool = False,
    backend: Any = None,
) -> Any:
    """Keep each unit with a probability that its own pre-activation decides.

    Math: y = x * m, m = 1 with probability q = sigmoid(alpha a + beta), a the pre-activation and x = phi(a) what became
        of it; E[y] = q x, Var[y] = q (1 - q) x^2. There is no scale. Gradient: dx = g * m; m is a constant, so a, alpha
        and beta have none in training. Evaluation gives q x, with its full gradient, also by a, alpha and beta. A large
        beta keeps all (inf: exactly), a very negative one drops all.
    Shapes: x any, pre_activation the same; alpha and beta numbers, or arrays or tensors that broadcast to it; y like x.
        The paper's standout network has weights pi = alpha W + beta, so that its inputs are alpha a + beta. One draw
        along each of the `shared` axes, on which q must then be constant. `index` says which part of a global noise x
        is.
    Dtypes: float32, float64, the same for x and pre_activation; y like x. The rate is float64.
    Draws: one halfword an element of the noise, at (key, element number). `mask=` (True = kept) replaces the draw;
        `return_mask=True` gives (y, mask), all True in evaluation.
    Raises: TypeError for whole numbers or unequal dtypes; ValueError for unequal shapes, alpha or beta that do not
        broadcast, a NaN in alpha a + beta, a q that varies along a shared axis, or no key.
    Reference: Ba & Frey, "Adaptive dropout for training deep neural networks" (2013).

    >>> from puredrop import Key
    >>> a = np.array([-9.0, 0.0, 0.0, 0.0, 0.0, 9.0])
    >>> standout(np.ones(6), a, key=Key(1))
    array([0., 1., 0., 1., 0., 1.])
    >>> standout(np.ones(6), a, training=False).round(3)
    array([0. , 0.5, 0.5, 0.5, 0.5, 1. ])
    """
    name = "standout"
    asked = Asked(name, key, mask, training, index, return_mask, backend)
    x, pre_activation = asked.placed(x, pre_activation)
    x, a = checked_array(f"{name}, x", x), checked_array(f"{name}, pre_activation", pre_activation)
    if x.shape != a.shape:
        raise ValueError(f"{name}: pre_activation must have the shape of x, {x.shape}, got {a.shape}")
    if x.dtype != a.dtype:
        raise TypeError(f"{name}: pre_activation must have the dtype of x, {x.dtype}, got {a.dtype}")
    alpha, beta = (_coefficient(name, n, v, x) for n, v in (("alpha", alpha), ("beta", beta)))
    logit = a * alpha + beta  # of keeping, like x
    if np.isnan(raw(logit)).any():
        raise ValueError(f"{name}: alpha * pre_activation + beta is NaN somewhere; a rate cannot be NaN")
    if not training:
        return asked.undrawn(x * ops.sigmoid(logit, backend=backend))
    index = asked.index_for(x.shape, shared)
    p: Any = 0.5 - 0.5 * np.tanh(0.5 * on_host(raw(logit)).astype(np.float64))  # like x; rates stay on the host
    if isinstance(key, tuple) and mask is None:
        keep = _masks_by_key(asked, x, p, index)
        return asked.answer(map_given(asked, x, keep), keep)
    return bernoulli_map(asked, x, p if mask is not None else _one_for_shared(name, p, index), index)


def max_dropout(
    x: Any,
    p: float = 0.3,
    *,
    key: Keys | None = None,
    mask: Any = None,
    training: bool = True,
    return_mask: bool = False,
    backend: Any = None,
) -> Any:
    """Drop the largest activations: those in the upper share p of the range of the whole tensor.

    Math: y = x where r <= 1 - p, else 0, r = (x - min x) / (max x - min x) over all elements of all examples; there is
        no scale. Gradient: dx = g where kept, else 0 (min and max count as constants). p is a share of the range, not
        of the elements. A constant x, which has no range, is left as it is; so is one with NaN or infinities.
        Evaluation and p = 0 give x; p = 1 keeps the smallest elements only.
    Shapes: x any; y like x. The mask depends on the whole batch, so that it takes no `index`.
    Dtypes: float32, float64; y like x. The range is compared in float64.
    Draws: nothing: key is not used. `mask=` (True = kept) replaces the rule; `return_mask=True` gives (y, mask).
    Raises: TypeError for whole-number x or a p that is no number; ValueError for p outside [0, 1] or a mask that does
        not fit.
    Reference: Santos et al., "MaxDropout: deep neural network regularization based on maximum output values" (2020).

    >>> max_dropout(np.array([0.0, 2.0, 7.0, 8.0, 10.0]), p=0.3)
    array([0., 2., 7., 0., 0.])
    """
    name = "max_dropout"
    asked = Asked(name, key, mask, training, None, return_mask, backend)
    x = asked.placed(x)
    x, p = checked_array(name, x), one_rate(name, p)
    if not asked.draws(p):
        return asked.undrawn(unchanged(x))
    keep = _below_the_top(raw(x), p) if mask is None else streams.checked_mask(mask, x.shape)
    keep = np.broadcast_to(keep, x.shape)
    return asked.answer(map_given(asked, x, keep), keep)


def jumpout(
    x: Any,
    p_max: float = 0.5,
    *,
    p_min: float = 0.0,
    sigma: float = 0.1,
    exponent: float = 0.75,
    key: Keys | None = None,
    mask: Any = None,
    training: bool = True,
    shared: int | Sequence[int] = (),
    index: Index | None = None,
    return_mask: bool = False,
    backend: Any = None,
) -> Any:
    """Dropout after a ReLU, at a rate that is drawn for each batch and allows for units that are 0 already.

    Math: y = x * m / (1 - r)^0.75, m = 0 with probability r = min(p / f, 1), p = min(p_min + |sigma e|, p_max),
        e ~ N(0, 1), f the share of elements of x above 0; E[y] = x (1 - r)^0.25 given r: the exponent, between 1/2
        and 1, trades the mean against the variance. Where nothing is above 0 nothing is dropped. Gradient: dx = g * m
        / (1 - r)^0.75 (r counts as a constant). r = 1 gives zeros with a zero gradient. Evaluation and p_max = 0
        give x.
    Shapes: x any; y like x. One draw along each of the `shared` axes; `index` says which part of a global noise x is,
        but f is that of x itself.
    Dtypes: float32, float64; y like x. f is counted exactly.
    Draws: one halfword an element of the noise, at (key, element number); e from draw 1 of the key (of the first of
        several). `mask=` (True = kept) replaces the mask only; `return_mask=True` gives (y, mask).
    Raises: TypeError for whole-number x or parameters that are no numbers; ValueError for p_max outside [0, 1], p_min
        outside [0, p_max], a sigma or exponent that is negative or not finite, or no key.
    Reference: Wang, Zhou & Bilmes, "Jumpout: improved dropout for deep neural networks with ReLUs" (2019); the law of
        the rate and the exponent are from summaries of it, not checked against the authors' code.

    >>> from puredrop import Key
    >>> x = np.array([0.0, 1.0, 0.0, 2.0, 0.0, 4.0])
    >>> y, keep = jumpout(x, p_max=0.25, p_min=0.25, key=Key(7), return_mask=True)      # r = 0.25 / (1 / 2)
    >>> np.array_equal(y, np.where(keep, x * 0.5**-0.75, 0))
    True
    """
    name = "jumpout"
    asked = Asked(name, key, mask, training, index, return_mask, backend)
    x = asked.placed(x)
    x, high, low = checked_array(name, x), one_rate(name, p_max, "p_max"), one_rate(name, p_min, "p_min")
    if low > high:
        raise ValueError(f"{name}: p_min must not exceed p_max = {high}, got {low}")
    sigma, exponent = finite_size(name, "sigma", sigma), finite_size(name, "exponent", exponent)
    index = asked.index_for(x.shape, shared)
    if not asked.draws(high):
        return asked.undrawn(unchanged(x))
    rate = _effective_rate(asked, x, low, high, sigma)
    return bernoulli_map(asked, x, rate, index, scale=0.0 if rate == 1.0 else (1 - rate) ** -exponent)


def _one_for_shared(operation: str, p: np.ndarray, index: Index) -> np.ndarray:
    """Rates of the noise: one along each shared axis, on which they must not vary."""
    for axis, n in enumerate(index.noise_shape):
        if n == 1 and p.shape[axis] > 1:
            first = p.take([0], axis)
            if (p != first).any():
                raise ValueError(f"{operation}: axis {axis} shares one draw, but alpha * a + beta varies along it")
            p = first
    return p


def _masks_by_key(asked: Asked, x: Any, p: np.ndarray, index: Index) -> np.ndarray:
    """The masks of several keys one after the other, for each has rates of its own."""
    assert isinstance(asked.key, tuple)
    each = [
        keep_over(replace(asked, key=one), x, _one_for_shared(asked.operation, part, index), index, index.shape)
        for one, part in zip(asked.key, p.reshape(len(asked.key), *index.shape), strict=True)
    ]
    return np.stack(each).reshape(x.shape)


def _below_the_top(x: np.ndarray, p: float) -> np.ndarray:
    """Whether an element lies below the upper share p of the range."""
    x = x.astype(np.float64, copy=False)
    low, high = (x.min(), x.max()) if x.size else (0.0, 0.0)
    if not (math.isfinite(high) and math.isfinite(low)):  # no range
        return np.ones_like(x, np.bool_)
    half = high / 2 - low / 2  # the range itself may overflow; 0 for a constant, of which nothing lies above
    return x / 2 - low / 2 <= (1 - p) * half


def _effective_rate(asked: Asked, x: Any, low: float, high: float, sigma: float) -> float:
    """The rate of the mask: that of active units, divided by their share."""
    p = low
    if sigma > 0 and low < high:
        one = replace(asked, key=asked.key[0]) if isinstance(asked.key, tuple) else asked
        e = normal_array(one.another(1), x, Index.whole(1), np.float64)
        p = min(low + sigma * abs(float(e[0])), high)
    active = int((raw(x) > 0).sum())
    return min(p * math.prod(x.shape) / active, 1.0) if active else 0.0


def _coefficient(operation: str, name: str, value: Any, x: Any) -> Any:
    """A number, or an array or tensor that broadcasts to x, in its dtype."""
    if hasattr(value, "shape"):
        return parameter(operation, name, value, x.dtype, x.shape)
    return real_number(operation, name, value, "a number, an array or a tensor")
