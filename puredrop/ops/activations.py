"""Activations beside ReLU, tanh and sigmoid, composed; and the normal distribution function, which GELU needs."""

from __future__ import annotations

import math
from functools import cache
from typing import Any, Literal

import numpy as np

from ..tensor import fused, primitive
from .elementwise import clip, exp, expm1, relu, sigmoid
from .memory import lying_like

SELU_ALPHA = 1.6732632423543772  # Klambauer et al. (2017): with these two, mean 0 and variance 1 are a fixed point
SELU_SCALE = 1.0507009873554805
BLOCK = 1 << 15  # elements at a time: many passes over one block stay in the cache
BEND, FAR = 4.0, 37.0  # with the first the polynomial needs few terms; beyond the second the tail is below 1e-299
MIDDLE, HALF = (1 / BEND + 1 / (BEND + FAR)) / 2, (1 / BEND - 1 / (BEND + FAR)) / 2


@primitive(x=lambda g, x: g * (exp(x * x * -0.5) * (1 / math.sqrt(2 * math.pi))))
def normal_cdf(backend: Any, x: Any) -> Any:
    """The probability that a standard normal number is below x.

    Relative errors, in both tails too: below 1e-12 in float64, and 1e-5 in float32.
    """
    flat = x.reshape(-1)
    y = backend.xp.empty_like(flat)
    for start in range(0, flat.size, BLOCK):
        _, y[start : start + BLOCK] = _bell_and_cdf(backend.xp, flat[start : start + BLOCK])
    return y.reshape(x.shape)


def _bell_and_cdf(xp: Any, x: Any) -> tuple[Any, Any]:
    """e^(-x^2/2), and the distribution function.

    With z = |x|, the tail beyond z is e^(-z^2/2) times a polynomial in 1 / (z + BEND); the rest is symmetry.
    """
    x = x.astype(np.promote_types(x.dtype, np.float32), copy=False)
    z = xp.abs(x)
    u = (1 / HALF) / (xp.minimum(z, FAR) + BEND) - MIDDLE / HALF  # from 1 at z = 0 to -1 at z = FAR
    first, *others = _tail_terms(20 if x.dtype.itemsize == 8 else 10)
    tail = xp.full_like(z, first)
    for term in others:
        tail *= u
        tail += term
    z *= z
    z *= -0.5
    bell = xp.exp(z, out=z)
    tail *= bell
    return bell, tail + (x > 0) * (1 - 2 * tail)


@cache
def _tail_terms(count: int) -> tuple[float, ...]:
    """The polynomial's coefficients, highest first: interpolated at Chebyshev points from Python's own erfc."""

    def scaled_tail(u: np.ndarray) -> np.ndarray:
        zs = (1 / (u * HALF + MIDDLE) - BEND).tolist()
        return np.array([0.5 * math.exp(z * z / 2) * math.erfc(z / math.sqrt(2)) for z in zs])

    series = np.polynomial.Chebyshev.interpolate(scaled_tail, count - 1)
    return tuple(series.convert(kind=np.polynomial.Polynomial).coef[::-1].tolist())


def gelu(x: Any, approximate: Literal["none", "tanh"] = "none") -> Any:
    """x times the probability that a standard normal number is below x (Hendrycks & Gimpel 2016).

    "tanh" puts 0.5 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) in the place of that probability, as PyTorch does.
    Raises: ValueError for another word.

    >>> round(float(gelu(np.array(1.0))), 4), round(float(gelu(np.array(1.0), "tanh")), 4)
    (0.8413, 0.8412)
    """
    if approximate == "none":
        return _gelu(x)
    if approximate != "tanh":
        raise ValueError(f"gelu: approximate must be 'none' or 'tanh', got {approximate!r}")
    double = 2 * math.sqrt(2 / math.pi)
    return x * sigmoid(x * (x * x * (0.044715 * double) + double))


def composed_gelu(x: Any) -> Any:
    """The same by the distribution function, in two steps."""
    return x * normal_cdf(x)


@fused(composed_gelu)
def _gelu(backend: Any, x: Any) -> Any:
    """x cdf(x), and its slope cdf(x) + x pdf(x): one exponential serves both, and one array is kept."""
    series = _tail_terms(20 if x.dtype.itemsize == 8 else 10), BEND, FAR, MIDDLE, HALF
    made = backend.fused["gelu"](x, *series) if "gelu" in backend.fused else None
    y, slope = _gelu_in_blocks(backend, x.reshape(-1)) if made is None else made
    return lying_like(y.reshape(x.shape), x), lambda g, needed: (g * slope.reshape(x.shape),)


def _gelu_in_blocks(backend: Any, flat: Any) -> tuple[Any, Any]:
    y, slope = backend.xp.empty_like(flat), backend.xp.empty_like(flat)
    for start in range(0, flat.size, BLOCK):
        here = slice(start, start + BLOCK)
        bell, cdf = _bell_and_cdf(backend.xp, flat[here])
        y[here] = flat[here] * cdf
        bell *= flat[here]
        bell *= 1 / math.sqrt(2 * math.pi)
        bell += cdf
        slope[here] = bell
    return y, slope


def silu(x: Any) -> Any:
    """x / (1 + e^-x), also called swish (Ramachandran et al. 2017)."""
    return x * sigmoid(x)


def leaky_relu(x: Any, slope: float = 0.01) -> Any:
    """x where it is positive, else slope x; the gradient at 0 is slope (Maas et al. 2013)."""
    return relu(x) + clip(x, high=0.0) * slope


def elu(x: Any, alpha: float = 1.0) -> Any:
    """x where it is positive, else alpha (e^x - 1); the gradient at 0 is alpha (Clevert et al. 2016)."""
    return relu(x) + expm1(clip(x, high=0.0)) * alpha


def selu(x: Any) -> Any:
    """1.0507 elu(x, 1.6733): what alpha dropout is made for (Klambauer et al. 2017)."""
    return elu(x, SELU_ALPHA) * SELU_SCALE
