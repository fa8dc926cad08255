"""Masks that depend on the data: what is dropped, or how often, follows from the activations."""

from __future__ import annotations

import math
import numbers
from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import ops, streams
from ..random import Index, Key, Keys
from ..tensor import Tensor, raw
from .bernoulli_map import bernoulli_map
from .door import checked_array, checked_key, fitting_index, one_rate, unchanged
from .noise import draw_of, keep_array, normal_array

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
        y = x * ops.sigmoid(logit, backend=_of(logit, backend))
        return (y, np.ones(x.shape, np.bool_)) if return_mask else y
    key = checked_key(name, key)
    index = fitting_index(name, x.shape, key, index, shared)
    p: Any = 0.5 - 0.5 * np.tanh(0.5 * np.asarray(raw(logit), np.float64))  # like x
    if isinstance(key, tuple) and mask is None:
        mask, p = _masks_by_key(name, x, p, key, index, backend), 0.5
    elif mask is None:
        p = _one_for_shared(name, p, index)
    return bernoulli_map(name, x, p, key=key, mask=mask, index=index, return_mask=return_mask, backend=backend)


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
    x, p = checked_array(name, x), one_rate(name, p)
    checked_key(name, key)
    if not training or (p == 0 and mask is None):
        return (unchanged(x), np.ones(x.shape, np.bool_)) if return_mask else unchanged(x)
    keep = _below_the_top(raw(x), p) if mask is None else streams.checked_mask(mask, x.shape)
    keep = np.broadcast_to(keep, x.shape)
    y = ops.drop_given(x, 0.0, keep=keep, source=streams.Given(()), backend=_of(x, backend))
    return (y, keep) if return_mask else y


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
    x, high, low = checked_array(name, x), one_rate(name, p_max, "p_max"), one_rate(name, p_min, "p_min")
    if low > high:
        raise ValueError(f"{name}: p_min must not exceed p_max = {high}, got {low}")
    sigma, exponent = (_size(name, n, v) for n, v in (("sigma", sigma), ("exponent", exponent)))
    key = checked_key(name, key)
    index = fitting_index(name, x.shape, key, index, shared)
    if not training or (high == 0 and mask is None):
        return (unchanged(x), np.ones(x.shape, np.bool_)) if return_mask else unchanged(x)
    rate = _effective_rate(name, x, low, high, sigma, key, backend)
    scale = 0.0 if rate == 1.0 else (1 - rate) ** -exponent
    return bernoulli_map(
        name, x, rate, key=key, mask=mask, index=index, scale=scale, return_mask=return_mask, backend=backend
    )


def _one_for_shared(operation: str, p: np.ndarray, index: Index) -> np.ndarray:
    """Rates of the noise: one along each shared axis, on which they must not vary."""
    for axis, n in enumerate(index.noise_shape):
        if n == 1 and p.shape[axis] > 1:
            first = p.take([0], axis)
            if (p != first).any():
                raise ValueError(f"{operation}: axis {axis} shares one draw, but alpha * a + beta varies along it")
            p = first
    return p


def _masks_by_key(
    operation: str, x: Any, p: np.ndarray, key: tuple[Key, ...], index: Index, backend: Any
) -> np.ndarray:
    """The masks of several keys one after the other, for each has rates of its own."""
    each = [
        np.broadcast_to(
            keep_array(operation, x, _one_for_shared(operation, part, index), index, key=one, backend=backend),
            index.shape,
        )
        for one, part in zip(key, p.reshape(len(key), *index.shape), strict=True)
    ]
    return np.stack(each).reshape(x.shape)


def _below_the_top(x: np.ndarray, p: float) -> np.ndarray:
    """Whether an element lies below the upper share p of the range."""
    x = np.asarray(x, np.float64)
    low, high = (x.min(), x.max()) if x.size else (0.0, 0.0)
    if not (math.isfinite(high) and math.isfinite(low)):  # no range
        return np.ones(x.shape, np.bool_)
    half = high / 2 - low / 2  # the range itself may overflow; 0 for a constant, of which nothing lies above
    return x / 2 - low / 2 <= (1 - p) * half


def _effective_rate(operation: str, x: Any, low: float, high: float, sigma: float, key: Any, backend: Any) -> float:
    """The rate of the mask: that of active units, divided by their share."""
    p = low
    if sigma > 0 and low < high:
        first = key[0] if isinstance(key, tuple) else key
        like = np.empty(0, np.float64)
        backend = x.backend if isinstance(x, Tensor) else backend
        e = normal_array(operation, like, Index.whole(1), key=draw_of(first, 1), backend=backend)
        p = min(low + sigma * abs(float(e[0])), high)
    active = int((raw(x) > 0).sum())
    return min(p * math.prod(x.shape) / active, 1.0) if active else 0.0


def _coefficient(operation: str, name: str, value: Any, like: Any) -> Any:
    """A number, or an array or tensor that broadcasts to `like`, in its dtype."""
    if not hasattr(value, "shape"):
        if isinstance(value, bool) or not isinstance(value, numbers.Real):
            raise TypeError(f"{operation}: {name} must be a number, an array or a tensor, got {value!r}")
        return float(value)
    if raw(value).dtype.kind != "f":
        raise TypeError(f"{operation}: {name} must be floating-point, got dtype {raw(value).dtype}")
    fits = len(value.shape) <= len(like.shape) and all(
        n in (1, m) for n, m in zip(value.shape[::-1], like.shape[::-1], strict=False)
    )
    if not fits:
        raise ValueError(f"{operation}: {name} of shape {value.shape} does not broadcast to shape {like.shape}")
    return value if value.dtype == like.dtype else ops.astype(value, dtype=like.dtype)


def _size(operation: str, name: str, value: Any) -> float:
    """A finite number that is not negative."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Real):
        raise TypeError(f"{operation}: {name} must be a number, got {value!r}")
    if not 0 <= float(value) < math.inf:
        raise ValueError(f"{operation}: {name} must be finite and not negative, got {value}")
    return float(value)


def _of(x: Any, backend: Any) -> Any:
    """The backend to name beside x: a tensor knows its own."""
    return None if isinstance(x, Tensor) else backend
