"""Estimates beside a model: gradients by rates, which take several passes, and moments, which take none."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from .. import ops
from ..backends import on_host
from ..random import Index, Key
from ..tensor import backend_of, raw
from .asked import Asked
from .door import checked_array, one_rate
from .noise import keep_over, uniform_array
from .special import exp_of_square

__all__ = [
    "arm_gradient",
    "dropout_moments",
    "fast_dropout_linear",
    "gaussian_relu_moments",
    "score_function_gradient",
]

Loss = Callable[[np.ndarray], Any]


# ------------------------------------------------------------------------------------------------------------ gradients
def score_function_gradient(
    loss: Loss, logit_p: Any, *, key: Key | None = None, baseline: float = 0.0, mask: Any = None
) -> np.ndarray:
    """An unbiased estimate of d E[loss(m)] / dlogit_p from one mask m; REINFORCE.

    Math: (loss(m) - baseline) (d - p), d = 1 - m (1 where dropped), p = sigmoid(logit_p): d - p is the derivative of
        log P(m). Its variance is least for a baseline near the mean loss, which must not depend on m. Where the loss
        depends on the rate by itself too, as through the scale 1 / (1 - p), its derivative with m held fixed must be
        added: that part alone is what frameworks give for the gradient by a rate, and it is biased.
    Shapes: logit_p any, one for each unit; loss takes a boolean mask of that shape and gives one number.
    Draws: one halfword a unit, at (key, unit number). `mask=` (True = kept) replaces the draw.
    Raises: TypeError for a whole-number logit_p; ValueError for a loss that gives no single number, or no key.
    Reference: Williams, "Simple statistical gradient-following algorithms" (1992).

    >>> score_function_gradient(lambda m: m.sum(), np.zeros(3), mask=np.array([True, False, True]))
    array([-1.,  1., -1.])
    """
    name = "score_function_gradient"
    p = _probability(name, logit_p)
    keep = keep_over(Asked(name, key, mask), p, p, Index.whole(p.shape), p.shape)
    return (_number_of(name, loss(keep)) - baseline) * (~keep - p)


def arm_gradient(
    loss: Loss, logit_p: Any, *, key: Key | None = None, samples: int = 1, noise: Any = None
) -> np.ndarray:
    """An unbiased estimate of d E[loss(m)] / dlogit_p from two masks of the same numbers: augment, reinforce, merge.

    Math: (loss(u <= 1 - p) - loss(u > p)) (u - 1/2), u ~ U(0, 1), p = sigmoid(logit_p), averaged over `samples` draws.
        Both masks keep with probability 1 - p; no baseline is needed. As with `score_function_gradient`, a loss that
        depends on the rate by itself needs that derivative added.
    Shapes: logit_p any, one for each unit; loss takes a boolean mask of that shape and gives one number.
    Draws: one uniform number a unit and sample, at (key, element number) of an array (samples, ...). `noise=` takes
        those numbers.
    Raises: TypeError for a whole-number logit_p; ValueError for a loss that gives no single number, fewer than one
        sample, or no key.
    Reference: Yin & Zhou, "ARM: augment-REINFORCE-merge gradient for stochastic binary networks" (2019).

    >>> arm_gradient(lambda m: m @ [1, 3], np.zeros(2), noise=np.array([[0.25, 0.9]]))     # losses 1 and 3
    array([ 0.5, -0.8])
    """
    name = "arm_gradient"
    p = _probability(name, logit_p)
    if isinstance(samples, bool) or not hasattr(samples, "__index__") or samples < 1:
        raise ValueError(f"{name}: samples must be a whole number of at least 1, got {samples!r}")
    count = samples if noise is None else len(noise)
    u = uniform_array(Asked(name, key, noise), p, Index.whole((count, *p.shape)))  # (samples, ...)
    differences = [_number_of(name, loss(one <= 1 - p)) - _number_of(name, loss(one > p)) for one in u]
    return np.mean([d * (one - 0.5) for d, one in zip(differences, u, strict=True)], axis=0)


def _probability(operation: str, logit_p: Any) -> np.ndarray:
    """sigmoid(logit_p), float64."""
    x = on_host(raw(checked_array(operation, logit_p))).astype(np.float64)
    return 0.5 + 0.5 * np.tanh(0.5 * x)


def _number_of(operation: str, value: Any) -> float:
    array = on_host(raw(value))
    if array.size != 1:
        raise ValueError(f"{operation}: loss must give one number, got shape {array.shape}; sum or average it")
    return float(array.reshape(()))


# -------------------------------------------------------------------------------------------------------------- moments
def dropout_moments(mean: Any, variance: Any, p: float, *, scaled: bool = True) -> tuple[Any, Any]:
    """Mean and variance of an independent x after dropout: nothing is drawn.

    Math: with q = 1 - p, Var[m x] = q (variance + mean^2) - q^2 mean^2 and E[m x] = q mean; `scaled` divides by q^2 and
        q, as `dropout` does: mean, and (variance + p mean^2) / q. p = 1 gives zeros.
    Shapes: mean and variance broadcast together.
    Raises: TypeError for whole numbers or a p that is no number; ValueError for p outside [0, 1].
    Reference: Wang & Manning, "Fast dropout training" (2013); Brach, Sick & Duerr, "Single-shot MC dropout" (2020).

    >>> dropout_moments(np.array([2.0]), np.array([0.0]), p=0.5)
    (array([2.]), array([4.]))
    """
    name = "dropout_moments"
    mean, variance = checked_array(f"{name}, mean", mean), checked_array(f"{name}, variance", variance)
    q = 1 - one_rate(name, p)
    if q == 0:  # selected, for 0 * infinity is no zero
        mean, variance = (ops.where(np.zeros(a.shape, np.bool_), a, 0.0) for a in (mean, variance))
        return mean, variance
    spread = variance + (1 - q) * (mean * mean)  # q times the scaled variance
    return (mean, spread / q) if scaled else (q * mean, q * spread)


def fast_dropout_linear(
    x: Any, weight: Any, bias: Any = None, p: float = 0.5, *, variance: Any = None
) -> tuple[Any, Any]:
    """Mean and variance of a dense layer after dropout of its input: nothing is drawn.

    Math: x W^T + b and (v + p x * x) / (1 - p) (W * W)^T, v the variance of x itself (None: 0), whose elements count as
        independent. Exact; that the result is normal is the approximation of fast dropout. Gradients: of both results,
        by composition. p = 1 gives b and 0.
    Shapes: x (..., I), weight (O, I), bias (O,), variance like x -> (..., O) twice.
    Raises: TypeError for whole numbers or a p that is no number; ValueError for p outside [0, 1] or shapes that do not
        fit.
    Reference: Wang & Manning, "Fast dropout training" (2013).

    >>> fast_dropout_linear(np.ones((1, 2)), np.array([[1.0, 3.0]]), p=0.5)
    (array([[4.]]), array([[10.]]))
    """
    name = "fast_dropout_linear"
    x, weight = checked_array(f"{name}, x", x), checked_array(f"{name}, weight", weight)
    if len(weight.shape) != 2 or not x.shape or x.shape[-1] != weight.shape[1]:
        raise ValueError(
            f"{name}: weight must be (outputs, inputs) and the last axis of x inputs, got weight of shape "
            f"{weight.shape} and x of shape {x.shape}"
        )
    if variance is not None and variance.shape != x.shape:
        raise ValueError(f"{name}: variance must have the shape of x, {x.shape}, got {variance.shape}")
    none = backend_of(x).xp.zeros(x.shape, x.dtype)
    mean, spread = dropout_moments(x, none if variance is None else variance, one_rate(name, p))
    return ops.linear(mean, weight, 0.0 if bias is None else bias), ops.linear(spread, weight * weight, 0.0)


def gaussian_relu_moments(mean: Any, variance: Any) -> tuple[Any, Any]:
    """Mean and variance of max(X, 0), X ~ N(mean, variance): exact.

    Math: with r = mean / s, s^2 = variance, F and f the normal distribution and density: E = mean F(r) + s f(r), and
        Var = s^2 (F + r^2 F (1 - F) + r f (1 - 2 F) - f^2), which is (mean^2 + s^2) F + mean s f - E^2 without its
        cancellation for large r. Gradient: dE = F dmean + f ds. A variance of 0 gives max(mean, 0) and 0, and has no
        gradient.
    Shapes: mean and variance alike.
    Raises: TypeError for whole numbers; ValueError for unequal shapes or a negative variance.
    Reference: Wang & Manning, "Fast dropout training" (2013).

    >>> e, v = gaussian_relu_moments(np.zeros(1), np.ones(1))
    >>> np.allclose([e[0], v[0]], [1 / np.sqrt(2 * np.pi), 0.5 - 0.5 / np.pi])
    True
    """
    name = "gaussian_relu_moments"
    mean, variance = checked_array(f"{name}, mean", mean), checked_array(f"{name}, variance", variance)
    if mean.shape != variance.shape:
        raise ValueError(f"{name}: mean and variance must have one shape, got {mean.shape} and {variance.shape}")
    if (raw(variance) < 0).any():
        raise ValueError(f"{name}: variance must not be negative; somewhere it is")
    positive = raw(variance) > 0  # the root has no gradient at 0
    s = ops.sqrt(ops.where(positive, variance, 1.0))
    r = mean / s
    below, above = ops.normal_cdf(r), ops.normal_cdf(-r)  # F, 1 - F, both exact in the tails
    density = exp_of_square(r) * (1 / math.sqrt(2 * math.pi))
    e = mean * below + s * density
    v = s * s * (below + r * r * below * above + r * density * (above - below) - density * density)
    return ops.where(positive, e, ops.relu(mean)), ops.where(positive, v, 0.0)
