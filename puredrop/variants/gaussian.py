"""Real noise on single elements: multiplied or added."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from .. import ops, streams
from ..backends import on_host
from ..random import Index, Keys
from ..tensor import Tensor, raw
from .asked import Asked
from .door import checked_array, not_negative, one_rate, parameter, unchanged
from .noise import normal_array, real_for, uniform_array

__all__ = ["continuous_dropout", "gaussian_dropout", "gaussian_noise", "information_dropout"]


def gaussian_dropout(
    x: Any,
    p: float = 0.5,
    *,
    key: Keys | None = None,
    mask: Any = None,
    training: bool = True,
    shared: int | Sequence[int] = (),
    index: Index | None = None,
    return_mask: bool = False,
    backend: Any = None,
) -> Any:
    """Multiply each element by a normal number of mean 1 and variance p / (1 - p).

    Math: y = x (1 + sqrt(a) e), e ~ N(0, 1), a = p / (1 - p): mean and variance are those of `dropout`. Gradient:
        dx = g (1 + sqrt(a) e). Evaluation and p = 0 give x.
    Shapes: x any; y like x. One draw along each of the `shared` axes; `index` says which part of a global noise x is.
    Dtypes: float32, float64; y like x.
    Draws: one normal an element of the noise, at (key, element number). `mask=` takes e itself; `return_mask=True`
        gives (y, e).
    Raises: TypeError for whole-number x or a p that is no number; ValueError for p outside [0, 1), for at p = 1 the
        variance is infinite.
    Reference: Srivastava et al. (2014), section 10; Wang & Manning, "Fast dropout training" (2013).

    >>> from puredrop import Key
    >>> y = gaussian_dropout(np.ones(10000), p=0.2, key=Key(0))
    >>> abs(y.mean() - 1) < 0.02 and abs(y.var() - 0.25) < 0.02
    np.True_
    """
    asked = Asked("gaussian_dropout", key, mask, training, index, return_mask, backend)
    x = asked.placed(x)
    x, p = checked_array("gaussian_dropout", x), _finite_rate("gaussian_dropout", p)
    if not training or p == 0:
        return asked.undrawn(unchanged(x), x.dtype.type(0))
    index, deviation = asked.index_for(x.shape, shared), (p / (1 - p)) ** 0.5
    if asked.mask is None and not return_mask and streams.current() is None:
        return ops.times_normal(x, key=asked.needed_key(), index=index, spread=deviation, backend=backend)
    e = real_for(asked, normal_array, x, index, x.shape)
    return asked.answer(x * (deviation * e + 1), e)


def continuous_dropout(
    x: Any,
    p: float = 0.25,
    *,
    distribution: Literal["uniform", "normal"] = "uniform",
    key: Keys | None = None,
    mask: Any = None,
    training: bool = True,
    shared: int | Sequence[int] = (),
    index: Index | None = None,
    return_mask: bool = False,
    backend: Any = None,
) -> Any:
    """Multiply each element by a uniform (or normal) number of mean 1 and variance p / (1 - p).

    Math: y = x (1 + sqrt(3 a) (2 u - 1)), u ~ U(0, 1), a = p / (1 - p): mean and variance are those of `dropout`, and
        the factor is U(1 - sqrt(3 a), 1 + sqrt(3 a)). At p = 1/4 it is U(0, 2), which is the paper's U(0, 1) divided
        by its mean; above, it can be negative. With `distribution="normal"` y = x (1 + sqrt(a) e), e ~ N(0, 1), as
        `gaussian_dropout`; the paper's N(1/2, s^2), divided by its mean, has p = 4 s^2 / (1 + 4 s^2). Gradient: dx is g
        times the factor. Evaluation and p = 0 give x.
    Shapes: x any; y like x. One draw along each of the `shared` axes; `index` says which part of a global noise x is.
    Dtypes: float32, float64; y like x.
    Draws: one uniform (or normal) an element of the noise, at (key, element number). `mask=` takes u (or e) itself;
        `return_mask=True` gives (y, u); 1/2 (or 0) where nothing is drawn.
    Raises: TypeError for whole-number x or a p that is no number; ValueError for p outside [0, 1), for at p = 1 the
        variance is infinite, and for another distribution.
    Reference: Shen et al., "Continuous dropout" (2018).

    >>> from puredrop import Key
    >>> y = continuous_dropout(np.ones(10000), p=0.25, key=Key(0))
    >>> bool(0 < y.min() < 0.001 and 1.999 < y.max() < 2 and abs(y.var() - 1 / 3) < 0.01)
    True
    """
    name = "continuous_dropout"
    asked = Asked(name, key, mask, training, index, return_mask, backend)
    x = asked.placed(x)
    x, p = checked_array(name, x), _finite_rate(name, p)
    if distribution not in ("uniform", "normal"):
        raise ValueError(f"{name}: distribution must be 'uniform' or 'normal', got {distribution!r}")
    uniform = distribution == "uniform"
    if not training or p == 0:
        return asked.undrawn(unchanged(x), x.dtype.type(0.5 if uniform else 0))
    noise = real_for(asked, uniform_array if uniform else normal_array, x, asked.index_for(x.shape, shared), x.shape)
    centred = math.sqrt(3) * (2 * noise - 1) if uniform else noise  # mean 0, variance 1
    return asked.answer(x * (1 + (p / (1 - p)) ** 0.5 * centred), noise)


def gaussian_noise(
    x: Any,
    sigma: Any = 0.1,
    *,
    key: Keys | None = None,
    mask: Any = None,
    training: bool = True,
    shared: int | Sequence[int] = (),
    index: Index | None = None,
    return_mask: bool = False,
    backend: Any = None,
) -> Any:
    """Add to each element a normal number of mean 0 and standard deviation sigma.

    Math: y = x + sigma e, e ~ N(0, 1); E[y] = x, Var[y] = sigma^2. Gradient: dx = g and dsigma = sum(g e), where sigma
        is a tensor. Evaluation and sigma = 0 give x.
    Shapes: x any; sigma a number, or an array or tensor that broadcasts to x; y like x. One draw along each of the
        `shared` axes; `index` says which part of a global noise x is.
    Dtypes: float32, float64; y like x.
    Draws: one normal an element of the noise, at (key, element number). `mask=` takes e itself; `return_mask=True`
        gives (y, e).
    Raises: TypeError for whole-number x or a sigma that is no number; ValueError for a sigma that is negative, infinite
        or NaN, or does not broadcast to x.
    Reference: Bishop, "Training with noise is equivalent to Tikhonov regularization" (1995).

    >>> from puredrop import Key
    >>> y = gaussian_noise(np.full(10000, 5.0), sigma=3.0, key=Key(0))
    >>> abs(y.mean() - 5) < 0.1 and abs(y.std() - 3) < 0.1
    np.True_
    """
    asked = Asked("gaussian_noise", key, mask, training, index, return_mask, backend)
    x = asked.placed(x)
    x = checked_array("gaussian_noise", x)
    sigma = _level("gaussian_noise", "sigma", sigma, x)
    if not training or (isinstance(sigma, float) and sigma == 0.0):
        return asked.undrawn(unchanged(x), x.dtype.type(0))
    e = real_for(asked, normal_array, x, asked.index_for(x.shape, shared), x.shape)
    return asked.answer(x + sigma * e, e)


def information_dropout(
    x: Any,
    alpha: Any,
    *,
    max_alpha: float = math.inf,
    mean_one: bool = False,
    key: Keys | None = None,
    mask: Any = None,
    training: bool = True,
    shared: int | Sequence[int] = (),
    index: Index | None = None,
    return_mask: bool = False,
    backend: Any = None,
) -> Any:
    """Multiply each element by a log-normal number whose spread alpha may depend on the input.

    Math: y = x exp(a e), e ~ N(0, 1), a = min(alpha, max_alpha). E[y] = x exp(a^2 / 2), which is not x;
        `mean_one=True` gives y = x exp(a e - a^2 / 2), and E[y] = x. Gradient: dx = g exp(a e), dalpha = g y e (less g
        y a under `mean_one`), 0 where alpha is above max_alpha. Evaluation (a e = 0) and alpha = 0 give x.
    Shapes: x any; alpha a number, or an array or tensor that broadcasts to x, such as the output of a layer; y like x.
        One draw along each of the `shared` axes; `index` says which part of a global noise x is.
    Dtypes: float32, float64; y like x.
    Draws: one normal an element of the noise, at (key, element number). `mask=` takes e itself; `return_mask=True`
        gives (y, e).
    Raises: TypeError for whole-number x or an alpha that is no number; ValueError for a negative or NaN alpha or
        max_alpha, or an alpha that does not broadcast to x.
    Reference: Achille & Soatto, "Information dropout: learning optimal representations through noisy computation"
        (2018); their code limits alpha by 0.7.

    >>> from puredrop import Key
    >>> y = information_dropout(np.ones(100000), 0.7, key=Key(0))
    >>> abs(y.mean() - np.exp(0.7**2 / 2)) < 0.01
    np.True_
    """
    name = "information_dropout"
    asked = Asked(name, key, mask, training, index, return_mask, backend)
    x, alpha = asked.placed(x, alpha)
    x, high = checked_array(name, x), not_negative(name, "max_alpha", max_alpha)
    alpha = _level(name, "alpha", alpha, x)
    alpha = min(alpha, high) if isinstance(alpha, float) else ops.clip(alpha, high=high, backend=backend)
    if not training or (isinstance(alpha, float) and alpha == 0.0):
        return asked.undrawn(unchanged(x), x.dtype.type(0))
    e = real_for(asked, normal_array, x, asked.index_for(x.shape, shared), x.shape)
    exponent = alpha * e - alpha * alpha * 0.5 if mean_one else alpha * e
    return asked.answer(x * ops.exp(exponent, backend=backend), e)


def _finite_rate(operation: str, p: Any) -> float:
    """One rate below 1: at 1 the variance p / (1 - p) has no value."""
    p = one_rate(operation, p)
    if p == 1:
        raise ValueError(f"{operation}: p must lie below 1, got 1: the variance p / (1 - p) would be infinite")
    return p


def _level(operation: str, name: str, value: Any, x: Any) -> Any:
    """The size of a noise: a number, or an array or tensor that broadcasts to x, in the dtype of x."""
    if not hasattr(value, "shape") or (not value.shape and not isinstance(value, Tensor)):
        value = not_negative(operation, name, value.item() if hasattr(value, "item") else value)
    else:
        value = parameter(operation, name, value, x.dtype, x.shape, "x of shape")
    sizes = on_host(raw(value))
    if not (np.isfinite(sizes).all() and (sizes >= 0).all()):
        raise ValueError(
            f"{operation}: {name} must be finite and not negative, got values from {sizes.min()} to {sizes.max()}"
        )
    return value
