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
    x=lambda g, w, x_shape: reshape(_outer(_rows_of_each(g), w), shape=x_shape),
    w=lambda g, x: swap(_rows_of_each(g)) @ _rows_of_each(x),
    b=lambda g, b_shape, backend: reshape(_ones(g, b_shape, backend) @ _rows_of_each(g), shape=b_shape),
)
def stacked_linear(backend: Any, x: Any, w: Any, b: Any) -> Any:
    """x w^T + b for each of M members. Shapes: x (M, ..., I), w (M, O, I), b (M, O) -> (M, ..., O)."""
    y = x.reshape(x.shape[0], math.prod(x.shape[1:-1]), x.shape[-1]) @ w.swapaxes(1, 2)  # (M, rows, O)
    y += b[:, None]
    return y.reshape(*x.shape[:-1], w.shape[1])


def _outer(g: Any, w: Any) -> Any:
    """g w, by broadcasting where one output makes it an outer product: a third of the time of NumPy's loop over it."""
    return g * w if w.shape[1] == 1 else g @ w


def _ones(g: Any, b_shape: Any, backend: Any) -> Any:
    """(M, 1, rows) to sum over the rows with: as a matrix product a quarter of the time of NumPy's sum over an axis."""
    return backend.xp.ones((b_shape[0], 1, math.prod(g.shape[1:-1])), g.dtype)


def _rows_of_each(x: Any) -> Any:
    shape = x.shape
    return x if len(shape) == 3 else reshape(x, shape=(shape[0], math.prod(shape[1:-1]), shape[-1]))


def _rows(x: Any) -> Any:
    return x if len(x.shape) == 2 else reshape(x, shape=(math.prod(x.shape[:-1]), x.shape[-1]))
