"""Dropout for self-normalising networks: dropped elements saturate, and mean and variance are restored."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np  # noqa: F401  # the examples use it

from ..random import Index, Keys
from .asked import Asked
from .bernoulli_map import bernoulli_map
from .door import checked_array, one_rate, real_number

__all__ = ["alpha_dropout", "feature_alpha_dropout"]

SELU_SATURATION = -1.0507009873554805 * 1.6732632423543772  # where SELU goes for x -> -infinity: -lambda alpha


class Affine(NamedTuple):
    """y = x * scale + shift where kept, `fill` where dropped."""

    scale: float
    shift: float
    fill: float


def restoring(p: float, mean: float, variance: float, saturation: float) -> Affine:
    """The map after which elements of this mean and variance have them again.

    At p = 1 nothing is left of x; the limit of what replaces it is the mean.
    """
    q = 1 - p
    if q == 0:
        return Affine(0.0, mean, mean)
    away = saturation - mean
    scale = math.sqrt(variance / (q * (p * away * away + variance)))
    return Affine(scale, mean - scale * (q * mean + p * saturation), mean + scale * q * away)


def alpha_dropout(
    x: Any,
    p: float = 0.5,
    *,
    mean: float = 0.0,
    variance: float = 1.0,
    saturation: float = SELU_SATURATION,
    key: Keys | None = None,
    mask: Any = None,
    training: bool = True,
    shared: int | Sequence[int] = (),
    index: Index | None = None,
    return_mask: bool = False,
    backend: Any = None,
) -> Any:
    """Set each element with probability p to the value where SELU saturates, then restore mean and variance.

    Math: y = a z + b, z = x where kept, else s (`saturation`, for SELU -1.758), with m = `mean`, v = `variance` of x,
        a = sqrt(v / (q (p (s - m)^2 + v))), b = m - a (q m + p s), q = 1 - p. For x of mean m and variance v, y has
        them too; for a given x, E[y] = m + a q (x - m), Var[y] = a^2 p q (x - s)^2. Gradient: dx = a g where kept,
        else 0. Evaluation and p = 0 give x; p = 1 gives `mean` (zeros) with a zero gradient, which is the limit.
    Shapes: x any; y like x. One draw along each of the `shared` axes; `index` says which part of a global noise x is.
    Dtypes: float32, float64 (and float16 on NumPy); y like x. a, b are formed in float64.
    Draws: one halfword an element of the noise, at (key, element number). `mask=` (True = kept) replaces the draw;
        `return_mask=True` gives (y, mask).
    Raises: TypeError for whole-number x, or a p, mean, variance or saturation that is no number; ValueError for p
        outside [0, 1], a variance that is not positive, numbers that are not finite, or a mask that does not fit.
    Reference: Klambauer et al., "Self-normalizing neural networks" (2017).

    >>> from puredrop import Key
    >>> x = np.random.default_rng(0).standard_normal(100000)
    >>> y = alpha_dropout(x, p=0.3, key=Key(0))
    >>> bool(abs(y.mean()) < 0.02 and abs(y.var() - 1) < 0.02)
    True
    """
    asked = Asked("alpha_dropout", key, mask, training, index, return_mask, backend)
    x, p = checked_array("alpha_dropout", x), one_rate("alpha_dropout", p)
    affine = _restoring(asked, p, mean, variance, saturation)
    return bernoulli_map(
        asked, x, p, asked.index_for(x.shape, shared), scale=affine.scale, shift=affine.shift, fill=affine.fill
    )


def feature_alpha_dropout(
    x: Any,
    p: float = 0.5,
    *,
    mean: float = 0.0,
    variance: float = 1.0,
    saturation: float = SELU_SATURATION,
    key: Keys | None = None,
    mask: Any = None,
    training: bool = True,
    index: Index | None = None,
    return_mask: bool = False,
    backend: Any = None,
) -> Any:
    """`alpha_dropout` of whole channels: one draw for each example and channel.

    Math: as `alpha_dropout`, with one decision for all positions of a channel: elements keep mean and variance, but
        those of one channel are no longer independent. Evaluation and p = 0 give x; p = 1 gives `mean` (zeros).
    Shapes: x (N, C, ...) with any number of axes after the channels, none included; y like x. With `index`, that index
        must share these axes: `Index.whole(shape, shared=range(2, ndim))`.
    Dtypes: float32, float64 (and float16 on NumPy); y like x.
    Draws: one halfword a channel of an example, at (key, n C + c). `mask=` (True = kept) replaces the draw;
        `return_mask=True` gives (y, mask), the mask in the shape of x.
    Raises: ValueError for x of fewer than two axes or an index that splits channels; else as `alpha_dropout`.
    Reference: Klambauer et al., "Self-normalizing neural networks" (2017); the masks of Tompson et al. (2015).

    >>> from puredrop import Key
    >>> y = feature_alpha_dropout(np.zeros((2, 4, 3)), p=0.5, key=Key(0))
    >>> bool((y == y[:, :, :1]).all())
    True
    """
    name = "feature_alpha_dropout"
    asked = Asked(name, key, mask, training, index, return_mask, backend)
    x, p = checked_array(name, x), one_rate(name, p)
    shape = asked.shape_of_one_key(x.shape)
    if len(shape) < 2:
        raise ValueError(
            f"{name}: x must have the shape (N, C, ...), got {x.shape}; for features without an example axis "
            f"write x[None], for single elements alpha_dropout"
        )
    positions = range(2, len(shape))
    rule = f"the index must share the axes after the channels: Index.whole({shape}, {positions})"
    scale, shift, fill = _restoring(asked, p, mean, variance, saturation)
    index = asked.index_sharing(x.shape, positions, rule)
    return bernoulli_map(asked, x, p, index, scale=scale, shift=shift, fill=fill)


def _restoring(asked: Asked, p: float, mean: Any, variance: Any, saturation: Any) -> Affine:
    """`restoring` of numbers that are checked first."""
    m, v, s = (
        _finite(asked.operation, name, value)
        for name, value in (("mean", mean), ("variance", variance), ("saturation", saturation))
    )
    if v <= 0:
        raise ValueError(f"{asked.operation}: variance must be positive, got {variance}")
    return restoring(p, m, v, s)


def _finite(operation: str, name: str, value: Any) -> float:
    number = real_number(operation, name, value)
    if not math.isfinite(number):
        raise ValueError(f"{operation}: {name} must be finite, got {value}")
    return number
