"""Normal noise of learned size: variational dropout, at the activations and at the outputs of dense layers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np  # noqa: F401  # the examples use it

from .. import ops
from ..random import Index, Keys
from ..tensor import raw
from .asked import Asked
from .dense import checked_dense, normal_outputs
from .door import checked_array, learned_parameter, not_negative, real_number, unchanged
from .noise import normal_array, real_for
from .special import sparse_log_alpha

__all__ = ["local_reparametrisation_linear", "sparse_variational_linear", "variational_gaussian_dropout"]


def variational_gaussian_dropout(
    x: Any,
    log_alpha: Any,
    max_alpha: float = math.inf,
    *,
    key: Keys | None = None,
    mask: Any = None,
    training: bool = True,
    shared: int | Sequence[int] = (),
    index: Index | None = None,
    return_mask: bool = False,
    backend: Any = None,
) -> Any:
    """Gaussian dropout whose variance alpha is learned: type A of variational dropout.

    Math: y = x (1 + sqrt(a) e), e ~ N(0, 1), a = min(exp(log_alpha), max_alpha); E[y] = x, Var[y] = a x^2. Gradient:
        dx = g (1 + sqrt(a) e), dlog_alpha = g x sqrt(a) e / 2 where a < max_alpha, else 0: exact, by
        reparametrisation. Evaluation and max_alpha = 0 give x. alpha = p / (1 - p) has the variance of dropout at
        rate p; the paper keeps alpha <= 1. Add `log_uniform_kl(log_alpha)` to the loss (its prior is improper, so that
        the sum is no true evidence bound: Hron et al., 2018).
    Shapes: x any; log_alpha a number, or an array or tensor that broadcasts to x; y like x. One draw along each of the
        `shared` axes; `index` says which part of a global noise x is.
    Dtypes: float32, float64; y like x.
    Draws: one normal an element of the noise, at (key, element number). `mask=` takes e itself; `return_mask=True`
        gives (y, e).
    Raises: TypeError for whole-number x or parameters that are no numbers; ValueError for a log_alpha that is not
        finite or does not broadcast to x, a negative or NaN max_alpha, or no key.
    Reference: Kingma, Salimans & Welling, "Variational dropout and the local reparameterization trick" (2015).

    >>> from puredrop import Key
    >>> y = variational_gaussian_dropout(np.ones(10000), np.log(0.25), key=Key(0))
    >>> abs(y.mean() - 1) < 0.02 and abs(y.var() - 0.25) < 0.02
    np.True_
    """
    name = "variational_gaussian_dropout"
    asked = Asked(name, key, mask, training, index, return_mask, backend)
    x, log_alpha = asked.placed(x, log_alpha)
    x = checked_array(name, x)
    log_alpha = _limited(asked, learned_parameter(name, "log_alpha", log_alpha, x.dtype, x.shape), max_alpha)
    if not training or max_alpha == 0:
        return asked.undrawn(unchanged(x), x.dtype.type(0))
    e = real_for(asked, normal_array, x, asked.index_for(x.shape, shared), x.shape)
    return asked.answer(x * (1 + ops.exp(0.5 * log_alpha, backend=backend) * e), e)


def local_reparametrisation_linear(
    x: Any,
    weight: Any,
    log_alpha: Any,
    bias: Any = None,
    max_alpha: float = math.inf,
    *,
    key: Keys | None = None,
    mask: Any = None,
    training: bool = True,
    index: Index | None = None,
    return_mask: bool = False,
    backend: Any = None,
) -> Any:
    """A dense layer with normal weights of learned relative variance, drawn at its outputs: type B.

    Math: weights w ~ N(t, a t^2), other ones for each example, with t = weight and a = min(exp(log_alpha), max_alpha).
        The outputs are then y = m + sqrt(v) e, m = x t^T + b, v = (x * x) (a t * t)^T, e ~ N(0, 1): E[y] = m,
        Var[y] = v. Gradient: exact, dv = g e / (2 sqrt(v)); where v = 0 the root has a gradient of 0. Evaluation and
        max_alpha = 0 give x t^T + b.
    Shapes: x (..., I), weight (O, I), bias (O,) -> (..., O); log_alpha broadcasts to (O, I): one for the layer, each
        input (1, I), each output (O, 1) or each weight. `index` says which part of a global noise (..., O) is.
    Dtypes: float32, float64, the same for all; y like x.
    Draws: one normal an element of y, at (key, element number). `mask=` takes e itself; `return_mask=True` gives
        (y, e).
    Raises: TypeError for whole numbers or unequal dtypes; ValueError for shapes that do not fit, a log_alpha that is
        not finite, a negative or NaN max_alpha, or no key.
    Reference: Kingma, Salimans & Welling, "Variational dropout and the local reparameterization trick" (2015).

    >>> from puredrop import Key
    >>> y = local_reparametrisation_linear(np.ones((10000, 4)), np.ones((1, 4)), 0.0, key=Key(0))
    >>> abs(y.mean() - 4) < 0.1 and abs(y.var() - 4) < 0.2
    np.True_
    """
    name = "local_reparametrisation_linear"
    asked = Asked(name, key, mask, training, index, return_mask, backend)
    x, weight, log_alpha, bias = asked.placed(x, weight, log_alpha, bias)
    x, weight, bias = checked_dense(name, x, weight, bias)
    log_alpha = learned_parameter(name, "log_alpha", log_alpha, weight.dtype, weight.shape)
    log_alpha = _limited(asked, log_alpha, max_alpha)
    mean = ops.linear(x, weight, bias, backend=backend)  # (..., O)
    if not training or max_alpha == 0:
        return asked.undrawn(mean, mean.dtype.type(0))
    return asked.answer(*_with_noise(asked, x, mean, _variances(asked, weight, log_alpha)))


def sparse_variational_linear(
    x: Any,
    weight: Any,
    log_sigma2: Any,
    bias: Any = None,
    limit: float = 8.0,
    *,
    threshold: float = 3.0,
    key: Keys | None = None,
    mask: Any = None,
    training: bool = True,
    index: Index | None = None,
    return_mask: bool = False,
    backend: Any = None,
) -> Any:
    """A dense layer with normal weights that learns which of them are noise, and does without them afterwards.

    Math: weights w ~ N(t, a t^2), t = weight, log a = clip(log_sigma2 - log(t^2 + 1e-8), -limit, limit). The outputs
        are y = m + sqrt(v) e, m = x t^T + b, v = (x * x) (a t * t)^T, e ~ N(0, 1): E[y] = m, Var[y] = v. Gradient:
        exact; 0 by log_sigma2 where log a is clipped; where v = 0 the root has a gradient of 0. Evaluation gives m with
        the weights of log a > threshold set to 0. Add `log_uniform_kl(sparse_log_alpha(weight, log_sigma2))` to the
        loss.
    Shapes: x (..., I), weight and log_sigma2 (O, I), bias (O,) -> (..., O). `index` says which part of a global noise
        (..., O) is.
    Dtypes: float32, float64, the same for all; y like x.
    Draws: one normal an element of y, at (key, element number). `mask=` takes e itself; `return_mask=True` gives
        (y, e).
    Raises: TypeError for whole numbers or unequal dtypes; ValueError for shapes that do not fit, a log_sigma2 that is
        not finite, a negative or infinite limit, a NaN threshold, or no key.
    Reference: Molchanov, Ashukha & Vetrov, "Variational dropout sparsifies deep neural networks" (2017).

    >>> weight, log_sigma2 = np.array([[2.0, 0.1]]), np.zeros((1, 2))       # log a is -1.4 and 4.6
    >>> sparse_variational_linear(np.ones((1, 2)), weight, log_sigma2, training=False)
    array([[2.]])
    """
    name = "sparse_variational_linear"
    asked = Asked(name, key, mask, training, index, return_mask, backend)
    x, weight, log_sigma2, bias = asked.placed(x, weight, log_sigma2, bias)
    x, weight, bias = checked_dense(name, x, weight, bias)
    log_sigma2 = learned_parameter(name, "log_sigma2", log_sigma2, weight.dtype, weight.shape)
    if not math.isfinite(not_negative(name, "limit", limit)):
        raise ValueError(f"{name}: limit must be finite, got {limit}")
    if math.isnan(real_number(name, "threshold", threshold)):
        raise ValueError(f"{name}: threshold must be a number, got NaN")
    log_alpha = sparse_log_alpha(weight, log_sigma2, limit, backend=backend)  # (O, I)
    if not training:
        y = ops.linear(x, ops.where(raw(log_alpha) > threshold, 0.0, weight), bias, backend=backend)
        return asked.undrawn(y, y.dtype.type(0))
    variances = _variances(asked, weight, log_alpha)
    mean = ops.linear(x, weight, bias, backend=backend)  # (..., O)
    return asked.answer(*_with_noise(asked, x, mean, variances))


def _variances(asked: Asked, weight: Any, log_alpha: Any) -> Any:
    """alpha w^2, the variances of the weights. (O, I)"""
    return weight * weight * ops.exp(log_alpha, backend=asked.backend)


def _with_noise(asked: Asked, x: Any, mean: Any, variances: Any) -> tuple[Any, Any]:
    """Outputs of the weights with these variances, (..., O), and the normal numbers."""
    variance = ops.linear(x * x, variances, 0.0, backend=asked.backend)  # (..., O)
    return normal_outputs(asked, mean, variance, asked.index_for(mean.shape))


def _limited(asked: Asked, log_alpha: Any, max_alpha: Any) -> Any:
    """log_alpha, no larger than log(max_alpha)."""
    high = not_negative(asked.operation, "max_alpha", max_alpha)
    if high in (0.0, math.inf):  # at 0 there is no noise
        return log_alpha
    return ops.clip(log_alpha, high=math.log(high), backend=asked.backend)
