"""Penalties of learned noise, and the special functions that they and the moments need. All computed in float64."""

from __future__ import annotations

import math
from functools import cache
from typing import Any, Literal

import numpy as np

from .. import ops
from ..backends import on_host
from ..tensor import Tensor, backend_of, on_backend, primitive, raw
from .door import checked_array

__all__ = ["concrete_regulariser", "dawson", "log_uniform_kl", "mean_kept", "sparse_log_alpha"]

# The approximations of the papers to -KL(log_alpha): Molchanov et al. (2017), eq. 14; Kingma et al. (2015), appendix C.
MOLCHANOV = (0.63576, 1.87320, 1.48695)
KINGMA = (1.16145124, -1.50204118, 0.58629921)
EULER_GAMMA = 0.5772156649015329
LIMIT_CONSTANT = 0.5 * (math.log(2) + EULER_GAMMA)  # of the exact divergence: KL + log_alpha / 2 as alpha goes to 0


# ------------------------------------------------------------------------------------------------------------ penalties
def log_uniform_kl(
    log_alpha: Any, method: Literal["exact", "molchanov", "kingma"] = "exact", *, backend: Any = None
) -> Any:
    """The divergence of N(t, a t^2) from the log-uniform prior, less its limit for large a (the prior is improper).

    Math: with u = 1 / (2 a): "exact" is u 2F2(1, 1; 3/2, 2; -u) = 2 int_0^sqrt(u) D(s) ds, D the Dawson function, with
        dKL / dlog_alpha = -sqrt(u) D(sqrt(u)). "molchanov" is k1 - k1 sigmoid(k2 + k3 log_alpha) +
        log(1 + 1 / a) / 2, within 0.0094 of it (its derivative within 0.0137). "kingma" is -log_alpha / 2 - c1 a -
        c2 a^2 - c3 a^3 with the constant that makes it exact as a goes to 0: within 0.041, and for a <= 1 only.
    Shapes: log_alpha any; the result like it, to be summed over weights.
    Dtypes: float32, float64; like log_alpha.
    Raises: TypeError for whole numbers; ValueError for an unknown method, or "kingma" where a > 1.
    Reference: Kingma, Salimans & Welling (2015); Molchanov, Ashukha & Vetrov (2017); Hron, Matthews & Ghahramani,
        "Variational Bayesian dropout: pitfalls and fixes" (2018), for why the objective is no true evidence bound.

    >>> log_uniform_kl(np.array([-4.0, 0.0, 4.0])).round(6)
    array([2.625755, 0.426686, 0.00913 ])
    """
    log_alpha = checked_array("log_uniform_kl", log_alpha)
    of = None if isinstance(log_alpha, Tensor) else backend
    if method == "exact":
        return exact_kl(log_alpha, backend=of)
    if method == "molchanov":
        k1, k2, k3 = MOLCHANOV
        return k1 - k1 * ops.sigmoid(k2 + k3 * log_alpha, backend=of) + 0.5 * ops.softplus(-log_alpha, backend=of)
    if method != "kingma":
        raise ValueError(f"log_uniform_kl: method must be 'exact', 'molchanov' or 'kingma', got {method!r}")
    if (raw(log_alpha) > 0).any():
        raise ValueError("log_uniform_kl: the polynomial of 'kingma' holds for alpha <= 1 only; use method='exact'")
    c1, c2, c3 = KINGMA
    a = ops.exp(log_alpha, backend=of)
    return LIMIT_CONSTANT - 0.5 * log_alpha - a * (c1 + a * (c2 + a * c3))


def sparse_log_alpha(weight: Any, log_sigma2: Any, limit: float = 8.0, *, backend: Any = None) -> Any:
    """log a = clip(log_sigma2 - log(weight^2 + 1e-8), -limit, limit), the variance of `sparse_variational_linear`.

    >>> sparse_log_alpha(np.array([2.0, 0.0]), np.zeros(2)).round(3)
    array([-1.386,  8.   ])
    """
    of = None if isinstance(weight, Tensor) else backend
    difference = log_sigma2 - ops.log(weight * weight + 1e-8, backend=of)
    return ops.clip(difference, low=-limit, high=limit, backend=None if isinstance(difference, Tensor) else backend)


def concrete_regulariser(
    weight: Any,
    logit_p: Any,
    *,
    weight_scale: float,
    dropout_scale: float,
    units: int | None = None,
    backend: Any = None,
) -> Any:
    """What `concrete_dropout` needs beside the loss: a weight decay that grows with p, less the entropy of the masks.

    Math: R = w |W|^2 / (1 - p) + d K (p log p + (1 - p) log(1 - p)), w = weight_scale, d = dropout_scale, K = units,
        the number of units that one mask drops. Gradient: dR/dlogit_p = w |W|^2 p / (1 - p) + d K p (1 - p) logit_p,
        dW = 2 w W / (1 - p). With the loss a mean over N examples, w = l^2 / (tau N) and d = 2 / (tau N) for Euclidean
        loss, 1 / N for cross-entropy. A bias is no part of W here, as in the authors' notebook for Keras.
    Shapes: weight (outputs, inputs, ...), of the layer whose input is dropped; logit_p of one number, K is then
        `units` or else the inputs, for a convolution its input channels; or logit_p (inputs,), a rate for each, K = 1.
    Dtypes: float32, float64; the result is a scalar.
    Raises: TypeError for whole numbers; ValueError for a weight without inputs, or a logit_p that does not fit.
    Reference: Gal, Hron & Kendall, "Concrete dropout" (2017).

    >>> round(float(concrete_regulariser(np.ones((2, 3)), np.zeros(()), weight_scale=1.0, dropout_scale=1.0)), 4)
    9.9206
    """
    name = "concrete_regulariser"
    weight, logit_p = checked_array(f"{name}, weight", weight), checked_array(f"{name}, logit_p", logit_p)
    if len(weight.shape) < 2:
        raise ValueError(f"{name}: weight must be (outputs, inputs, ...), got shape {weight.shape}")
    inputs, single = weight.shape[1], math.prod(logit_p.shape) == 1
    if not single and (logit_p.shape != (inputs,) or units is not None):
        raise ValueError(
            f"{name}: logit_p must be one number, or ({inputs},), one for each input, without units; "
            f"got shape {logit_p.shape} and units {units}"
        )
    of = None if isinstance(logit_p, Tensor) else backend
    rho = ops.reshape(logit_p, shape=(-1,), backend=of)  # (1,) or (inputs,)
    others = (0, *range(2, len(weight.shape)))
    norms = ops.sum(weight * weight, axis=others, backend=None if isinstance(weight, Tensor) else backend)  # (inputs,)
    decay = norms * (1 + ops.exp(rho, backend=of))  # |W|^2 / (1 - p)
    entropy = rho * ops.sigmoid(rho, backend=of) - ops.softplus(rho, backend=of)  # p log p + (1 - p) log(1 - p)
    each = (inputs if units is None else units) if single else 1
    return float(weight_scale) * decay.sum() + (float(dropout_scale) * each) * entropy.sum()


def mean_kept(logit_p: Any, temperature: float, *, backend: Any = None) -> Any:
    """E[1 - z], z = sigmoid((logit_p + logistic noise) / temperature): what a concrete mask keeps on average. float64.

    The trapezoidal rule on the whole line, whose error falls as exp(-2 pi d / h) where the integrand is analytic within
    d of it; the two logistic variables behind z are exchanged so that d is pi. Its derivatives are as exact.

    >>> round(float(mean_kept(np.array(np.log(0.1 / 0.9)), 2 / 3)) / 0.9, 4)         # 5 per cent off
    0.9497
    """
    rho = ops.astype(logit_p, dtype=np.float64, backend=backend)
    inner, outer = min(temperature, 1.0), 1 / max(temperature, 1.0)
    xp = backend_of(rho, backend).xp
    nodes = xp.arange(-160, 161) * 0.5  # (nodes,)
    weights = 0.5 / (4 * xp.cosh(nodes / 2) ** 2)  # step * logistic density
    at = (ops.reshape(rho, shape=(*rho.shape, 1), backend=backend) + inner * nodes) * outer  # (..., nodes)
    kept = ops.exp(-ops.softplus(at, backend=backend), backend=backend)  # sigmoid(-at), small ones exact too
    return ops.sum(kept * weights, axis=-1, backend=backend)


# ---------------------------------------------------------------------------------------- functions with their gradient
def exp_of_square(x: Any) -> Any:
    """exp(-x^2 / 2)."""
    return ops.exp(-0.5 * (x * x))


@primitive(log_alpha=lambda g, log_alpha: -g * _slope(log_alpha))
def exact_kl(backend: Any, log_alpha: Any) -> Any:
    """2 int_0^s D, s = sqrt(1 / (2 alpha)): no composition of elementary functions gives it."""
    return on_backend(backend, _integral(on_host(log_alpha).astype(np.float64)).astype(log_alpha.dtype))


@primitive(log_alpha=lambda g, log_alpha: g * _curvature(log_alpha))
def _slope(backend: Any, log_alpha: Any) -> Any:
    """s D(s); it goes to 1/2 where s overflows."""
    s = np.exp(-0.5 * np.maximum(on_host(log_alpha).astype(np.float64), -600.0)) * math.sqrt(0.5)
    return on_backend(backend, np.asarray(s * dawson(s)).astype(log_alpha.dtype))


def _curvature(log_alpha: Any) -> Any:
    """d(s D(s)) / dlog_alpha = -(h + u (1 - 2 h)) / 2, h = s D(s), u = s^2; a series where 1 - 2 h cancels."""
    small = raw(log_alpha) < -9.0
    safe = ops.where(small, 0.0, log_alpha)
    u, h = 0.5 * ops.exp(-safe), _slope(safe)
    w = 2.0 * ops.exp(ops.where(small, log_alpha, -9.0))  # 1 / u
    series = w * (1 / 4 + w * (3 / 4 + w * (45 / 16)))
    return ops.where(small, series, -0.5 * (h + u * (1 - 2 * h)))


# ------------------------------------------------------------------------------------------------- numbers, in float64
def dawson(x: Any) -> np.ndarray:
    """exp(-x^2) int_0^x exp(t^2) dt: a series near 0, Rybicki's sum of Gaussians, an asymptotic series far out.

    >>> dawson(np.array([0.0, 1.0, 100.0]))
    array([0.        , 0.53807951, 0.00500025])
    """
    x = np.asarray(x, np.float64)
    size = np.abs(x)
    y = np.asarray(_rybicki(np.where(size < 40, size, 1.0)))
    y = np.where(size < 0.3, _small_dawson(np.minimum(size, 0.3)), y)
    y = np.where(size > 30, _large_dawson(np.maximum(size, 30.0)), y)
    return np.where(np.isnan(x), np.nan, np.copysign(y, x))


def _rybicki(x: np.ndarray) -> np.ndarray:
    """The sum over odd n of exp(-(x - n h)^2) / (n sqrt(pi)): the error, exp(-(pi / 2 h)^2), is below 1e-17."""
    h = 0.25
    nearest = 2 * np.floor(x / (2 * h) + 0.5)  # an even number: n = nearest + k, k odd
    rest = x - nearest * h
    total = np.zeros_like(x)
    for k in range(-27, 28, 2):
        total += np.exp(-((rest - k * h) ** 2)) / (nearest + k)
    return total * (1 / math.sqrt(math.pi))


def _small_dawson(x: np.ndarray) -> np.ndarray:
    """x - 2/3 x^3 + 4/15 x^5 - ..."""
    total, term = np.zeros_like(x), np.array(x)
    for k in range(1, 16):
        total = total + term
        term = term * (-2 * x * x / (2 * k + 1))
    return total


def _large_dawson(x: np.ndarray) -> np.ndarray:
    """1 / (2 x) (1 + 1 / (2 x^2) + 3 / (4 x^4) + ...)."""
    with np.errstate(under="ignore"):
        w = 0.5 / x / x  # no overflow of x^2
    total, term = np.ones_like(x), np.ones_like(x)
    for k in range(1, 8):
        term = term * ((2 * k - 1) * w)
        total = total + term
    return 0.5 / x * total


def _integral(log_alpha: np.ndarray) -> np.ndarray:
    """2 int_0^s D as a function of log_alpha, s^2 = u = exp(-log_alpha) / 2: three pieces, at s = 1 and s = 8."""
    s = np.exp(-0.5 * np.clip(log_alpha, -10.0, 700.0)) * math.sqrt(0.5)
    y = np.polynomial.chebyshev.chebval(np.clip(s, 1.0, 8.0) * (2 / 7) - 9 / 7, _chebyshev())
    y = np.where(s < 1, _small_integral(np.minimum(s, 1.0) ** 2), y)
    y = np.where(s > 8, _large_integral(np.minimum(log_alpha, -4.0)), y)
    return np.where(np.isnan(log_alpha), np.nan, y)


def _small_integral(u: np.ndarray) -> np.ndarray:
    """The sum over k of (-2)^k u^(k + 1) / ((k + 1) (2 k + 1)!!)."""
    total, term = np.zeros_like(u), np.array(u)
    for k in range(25):
        total = total + term / (k + 1)
        term = term * (-2 * u / (2 * k + 3))
    return total


def _large_integral(log_alpha: np.ndarray) -> np.ndarray:
    """(log 2 + gamma - log_alpha) / 2 - the sum over k of (2 k - 1)!! / (2^k 2 k u^k)."""
    w = 2 * np.exp(log_alpha)  # 1 / u
    total, term = np.zeros_like(w), np.ones_like(w)
    for k in range(1, 21):
        term = term * ((k - 0.5) * w)
        total = total + term / (2 * k)
    return LIMIT_CONSTANT - 0.5 * log_alpha - total


@cache
def _chebyshev() -> np.ndarray:
    """Coefficients of 2 int_0^s D on 1 <= s <= 8: those of D, integrated."""
    degree = 70
    angles = (np.arange(degree + 1) + 0.5) * (math.pi / (degree + 1))
    nodes = np.cos(angles)
    values = 2 * dawson(4.5 + 3.5 * nodes) * 3.5  # by the position on [-1, 1]
    waves = np.cos(np.outer(np.arange(degree + 1), angles))
    coefficients = 2 / (degree + 1) * waves @ values
    coefficients[0] /= 2
    start = float(_small_integral(np.ones(1))[0])  # at s = 1
    integral = np.polynomial.chebyshev.chebint(coefficients, lbnd=-1)
    integral[0] += start
    return integral
