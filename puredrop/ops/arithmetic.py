"""Sums, products and powers. Rules ignore broadcasting: the engine sums it out."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..tensor import primitive
from .memory import lying_like
from .shape import reshape, swap


@primitive(a=lambda g: g, b=lambda g: g)
def add(backend: Any, a: Any, b: Any) -> Any:
    """a + b."""
    return lying_like(a + b, a, b)


@primitive(a=lambda g: g, b=lambda g: -g)
def subtract(backend: Any, a: Any, b: Any) -> Any:
    """a - b."""
    return lying_like(a - b, a, b)


@primitive(a=lambda g, b: g * b, b=lambda g, a: g * a)
def multiply(backend: Any, a: Any, b: Any) -> Any:
    """a * b."""
    return lying_like(a * b, a, b)


@primitive(a=lambda g, b: g / b, b=lambda g, b, y: -g * y / b)
def divide(backend: Any, a: Any, b: Any) -> Any:
    """a / b."""
    return lying_like(a / b, a, b)


@primitive(x=lambda g: -g)
def negative(backend: Any, x: Any) -> Any:
    """-x."""
    return -x


@primitive(x=lambda g, x, exponent: g * exponent * x ** (exponent - 1) if exponent else g * 0)
def power(backend: Any, x: Any, *, exponent: float) -> Any:
    """x ** exponent, for a constant exponent."""
    return x**exponent


@primitive(a=lambda g, b: g @ swap(b), b=lambda g, a: swap(a) @ g)
def _matmul(backend: Any, a: Any, b: Any) -> Any:
    return a @ b


def matmul(a: Any, b: Any) -> Any:
    """The matrix product, batched over leading axes; a vector is a row on the left and a column on the right."""
    a, b = (x if hasattr(x, "shape") else np.asarray(x, np.float32) for x in (a, b))
    left, right = len(a.shape) == 1, len(b.shape) == 1
    if not left and not right:
        return _matmul(a, b)
    a = reshape(a, shape=(1, *a.shape)) if left else a
    b = reshape(b, shape=(*b.shape, 1)) if right else b
    y = _matmul(a, b)  # (..., M, N)
    rows, columns = () if left else y.shape[-2:-1], () if right else y.shape[-1:]
    return reshape(y, shape=(*y.shape[:-2], *rows, *columns))
