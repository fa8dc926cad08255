"""The dense layer as one primitive: all rows in one product."""

from __future__ import annotations

import math
from typing import Any

from ..tensor import primitive
from .shape import reshape, swap


@primitive(
    x=lambda g, w, x_shape: reshape(_rows(g) @ w, shape=x_shape),
    w=lambda g, x: swap(_rows(g)) @ _rows(x),
    b=lambda g: g,
)
def linear(backend: Any, x: Any, w: Any, b: Any) -> Any:
    """x w^T + b. Shapes: x (..., I), w (O, I), b (O,) or a number -> (..., O)."""
    y = x.reshape(math.prod(x.shape[:-1]), x.shape[-1]) @ w.T  # (rows, O)
    y += b
    return y.reshape(*x.shape[:-1], w.shape[0])


def _rows(x: Any) -> Any:
    return x if len(x.shape) == 2 else reshape(x, shape=(math.prod(x.shape[:-1]), x.shape[-1]))
