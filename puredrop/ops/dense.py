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


@primitive(
    x=lambda g, w, x_shape: reshape(_rows_of_each(g) @ w, shape=x_shape),
    w=lambda g, x: swap(_rows_of_each(g)) @ _rows_of_each(x),
    b=lambda g: _rows_of_each(g).sum(axis=1),
)
def stacked_linear(backend: Any, x: Any, w: Any, b: Any) -> Any:
    """x w^T + b for each of M members. Shapes: x (M, ..., I), w (M, O, I), b (M, O) -> (M, ..., O)."""
    y = x.reshape(x.shape[0], math.prod(x.shape[1:-1]), x.shape[-1]) @ w.swapaxes(1, 2)  # (M, rows, O)
    y += b[:, None]
    return y.reshape(*x.shape[:-1], w.shape[1])


def _rows_of_each(x: Any) -> Any:
    shape = x.shape
    return x if len(shape) == 3 else reshape(x, shape=(shape[0], math.prod(shape[1:-1]), shape[-1]))


def _rows(x: Any) -> Any:
    return x if len(x.shape) == 2 else reshape(x, shape=(math.prod(x.shape[:-1]), x.shape[-1]))
