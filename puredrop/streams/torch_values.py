"""How PyTorch computes values with a mask: noise first, then a product.

Noise is 1 / (1 - p) where kept, and 0, in the dtype of x: the scale is rounded to that dtype before it is used. The
product is not a selection, so a dropped x leaves a zero of its sign, or NaN where x is not finite. float16 and bfloat16
are computed in float32 and rounded after each step. Source: PyTorch 2.13, aten/src/ATen/native/Dropout.cpp.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .source import Rule

ALPHA = 1.7580993408473766  # where SELU saturates, as PyTorch writes it


def rule_of(operation: str, p: float) -> Rule:
    """The arithmetic of an operation on the CPU; what is not named computes as `dropout` does."""
    return _RULES.get(operation, inverted)(p)


def inverted(p: float) -> Rule:
    """Of `dropout` and its likes: x times noise."""

    def rule(xp: Any, x: Any, keep: Any, scale: Any, shift: float | None, fill: Any) -> Any:
        return product(x, zero_like(x) if p == 1 else quotient(keep.astype(x.dtype), 1.0 - p))

    return rule


def native(p: float) -> Rule:
    """Of `native_dropout`: x times the mask, rounded; then times 1 / (1 - p), rounded to the dtype of x."""

    def rule(xp: Any, x: Any, keep: Any, scale: Any, shift: float | None, fill: Any) -> Any:
        with np.errstate(over="ignore"):
            factor = x.dtype.type(_inverse(p))
        return product(product(x, keep.astype(x.dtype)), factor)

    return rule


def native_backward(p: float) -> Rule:
    """Of `native_dropout_backward`: the same with a scale that is not rounded, which shows in 16 bits."""

    def rule(xp: Any, x: Any, keep: Any, scale: Any, shift: float | None, fill: Any) -> Any:
        return times(product(x, keep.astype(x.dtype)), _inverse(p))

    return rule


def _inverse(p: float) -> float:
    return 0.0 if p == 1 else 1.0 / (1.0 - p)


def saturating(p: float) -> Rule:
    """Of `alpha_dropout`: x times noise, plus what dropped and kept elements are moved by; its gradient without that.

    Raises: NotImplementedError where scale and shift are not PyTorch's.
    """
    if p == 1:
        return inverted(p)
    a = 1.0 / math.sqrt((ALPHA * ALPHA * p + 1) * (1.0 - p))

    def rule(xp: Any, x: Any, keep: Any, scale: Any, shift: float | None, fill: Any) -> Any:
        known = math.isclose(scale, a, rel_tol=1e-9) and (shift is None or math.isclose(shift, ALPHA * a * p))
        if not known:
            raise NotImplementedError(
                "alpha dropout with a mean, variance or saturation of one's own cannot be reproduced; PyTorch's has "
                "mean 0, variance 1 and SELU's saturation"
            )
        noise = keep.astype(x.dtype)
        y = product(x, times(noise, a))
        if shift is None:
            return y
        return total(y, plus(times(plus(noise, -1.0), ALPHA * a), ALPHA * a * p))

    return rule


def product(x: Any, y: Any) -> Any:
    """x * y, rounded to their dtype; it lies in memory as x does."""
    wide = _wide(x)
    with np.errstate(invalid="ignore", over="ignore"):
        return _narrow(np.multiply(wide, _wide(y), out=np.empty_like(wide)), x.dtype)


def total(x: Any, y: Any) -> Any:
    """x + y, rounded to their dtype; it lies in memory as x does."""
    wide = _wide(x)
    with np.errstate(invalid="ignore", over="ignore"):
        return _narrow(np.add(wide, _wide(y), out=np.empty_like(wide)), x.dtype)


def times(x: Any, number: float) -> Any:
    """x * number, which is not rounded to the dtype of x first."""
    wide = _wide(x)
    with np.errstate(invalid="ignore", over="ignore"):
        return _narrow(wide * wide.dtype.type(number), x.dtype)


def quotient(x: Any, number: float) -> Any:
    """x / number, likewise."""
    wide = _wide(x)
    with np.errstate(divide="ignore", over="ignore"):
        return _narrow(wide / wide.dtype.type(number), x.dtype)


def plus(x: Any, number: float) -> Any:
    """x + number, which is rounded to the dtype of x first: PyTorch does that in sums only."""
    wide = _wide(x)
    return _narrow(wide + _wide(x.dtype.type(number)), x.dtype)


def zero_like(x: Any) -> Any:
    """The number 0 in the dtype of x."""
    return np.zeros((), x.dtype)


def _wide(x: Any) -> Any:
    return x if x.dtype == np.float64 else x.astype(np.float32)


def _narrow(x: Any, dtype: Any) -> Any:
    return x.astype(dtype, copy=False)


_RULES = {
    "native_dropout": native,
    "native_dropout_backward": native_backward,
    "alpha_dropout": saturating,
    "feature_alpha_dropout": saturating,
}
