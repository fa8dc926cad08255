"""Normalisation: values less their mean, over their standard deviation; the variance always has the divisor n."""

from __future__ import annotations

import math
from typing import Any

from ..tensor import Tensor, fused, primitive, raw
from .elementwise import sqrt
from .memory import lying_in_order
from .reduce import mean, var
from .shape import reshape


@primitive(x=lambda g, x, y, deviation, axes, eps: _gradient(g, x, y, deviation, axes, eps))
def _standardise(backend: Any, x: Any, *, average: Any, deviation: Any, axes: Any, eps: float) -> Any:
    """(x - average) / deviation, which are those of x itself over `axes`."""
    y = x - average
    y /= deviation
    return lying_in_order(y)


def _gradient(g: Any, x: Any, y: Any, deviation: Any, axes: tuple[int, ...], eps: float) -> Any:
    """(g - mean(g) - y mean(g y)) / deviation: x moves its own mean and deviation."""
    if isinstance(x, Tensor):  # to be differentiated in turn: the deviation by x too
        deviation = sqrt(var(x, axes, keepdims=True) + eps)
    return (g - mean(g, axes, keepdims=True) - y * mean(g * y, axes, keepdims=True)) / deviation


def standardise(x: Any, axes: tuple[int, ...], eps: float = 1e-5) -> tuple[Any, Any, Any]:
    """(x - mean) / sqrt(variance + eps) over `axes`; and the arrays of mean and variance, with axes of size 1."""
    values = raw(x)
    average = mean(values, axes, keepdims=True)
    d = values - average
    d *= d
    variance = mean(d, axes, keepdims=True)
    y = _standardise(x, average=average, deviation=(variance + eps) ** 0.5, axes=axes, eps=eps)
    return y, average, variance


def layer_norm(x: Any, weight: Any = 1.0, bias: Any = 0.0, eps: float = 1e-5, dims: int = 1) -> Any:
    """Each example standardised over its last `dims` axes, times weight, plus bias (arrays of those axes, or numbers).

    Reference: Ba, Kiros & Hinton, "Layer normalization" (2016).

    >>> import numpy as np
    >>> layer_norm(np.array([[1.0, 3.0]]), eps=0.0)
    array([[-1.,  1.]])
    """
    return _layer_norm(x, weight, bias, eps=eps, dims=dims)


def composed_layer_norm(x: Any, weight: Any, bias: Any, *, eps: float, dims: int) -> Any:
    """The same, step by step."""
    rank = len(x.shape)
    y, _, _ = standardise(x, tuple(range(rank - dims, rank)), eps)
    return y * weight + bias


@fused(composed_layer_norm)
def _layer_norm(backend: Any, x: Any, weight: Any, bias: Any, *, eps: float, dims: int) -> Any:
    """All examples in one matrix; einsum adds up over rows and columns two to four times as fast as `sum`."""
    xp, n = backend.xp, math.prod(x.shape[len(x.shape) - dims :])
    made = backend.fused["layer_norm"](x.reshape(-1, n), weight, bias, eps) if "layer_norm" in backend.fused else None
    if made is not None:
        rows_y, pull_rows = made
        return rows_y.reshape(x.shape), lambda g, needed: _shaped(pull_rows(g.reshape(-1, n)), x, weight, bias)
    z = x.reshape(-1, n)  # (examples, n)
    z = z - _row_sums(xp, z) / n
    deviation = xp.sqrt(_row_sums(xp, z, z) / n + eps)  # (examples, 1)
    z /= deviation
    y = z.reshape(x.shape) * weight
    y += bias

    def pull(g: Any, needed: Any) -> tuple[Any, Any, Any]:
        rows = g.reshape(-1, n)
        to_weight = xp.einsum("en,en->n", rows, z).reshape(weight.shape) if needed[1] else None
        to_bias = xp.einsum("en->n", rows).reshape(bias.shape) if needed[2] else None
        if not needed[0]:
            return None, to_weight, to_bias
        d = (g * weight).reshape(-1, n)
        along = _row_sums(xp, d, z) / n
        d -= _row_sums(xp, d) / n
        d -= z * along
        d /= deviation
        return d.reshape(x.shape), to_weight, to_bias

    return y, pull


def _shaped(gradients: Any, *arguments: Any) -> tuple[Any, ...]:
    """Gradients in the shapes of the arguments."""
    return tuple(d.reshape(a.shape) for d, a in zip(gradients, arguments, strict=True))


def _row_sums(xp: Any, *factors: Any) -> Any:
    """The sums over the rows of a matrix, or of a product of two. (examples, 1)"""
    return xp.einsum("en->e" if len(factors) == 1 else "en,en->e", *factors)[:, None]


def group_norm(x: Any, groups: int, weight: Any = 1.0, bias: Any = 0.0, eps: float = 1e-5) -> Any:
    """x (N, C, ...) standardised over each of `groups` groups of channels; weight and bias (C,), or numbers.

    Reference: Wu & He, "Group normalization" (2018).

    >>> import numpy as np
    >>> group_norm(np.array([[1.0, 3.0, 5.0, 9.0]]), groups=2, eps=0.0)
    array([[-1.,  1., -1.,  1.]])
    """
    grouped = reshape(x, shape=(x.shape[0], groups, math.prod(x.shape[1:]) // groups))  # (N, groups, elements)
    y, _, _ = standardise(grouped, (2,), eps)
    return channelwise(reshape(y, shape=x.shape), weight, bias)


def channelwise(x: Any, weight: Any, bias: Any) -> Any:
    """x (N, C, ...) times weight, plus bias: (C,) each, or numbers."""
    rank = len(x.shape)
    return x * along_channels(weight, rank) + along_channels(bias, rank)


def along_channels(values: Any, rank: int) -> Any:
    """(C,) -> (C, 1, ...), which broadcasts to an (N, C, ...) of that rank; a number as it is."""
    return reshape(values, shape=(-1, *(1,) * (rank - 2))) if hasattr(values, "shape") else values
