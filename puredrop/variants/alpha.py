"""Dropout for self-normalising networks: dropped elements saturate, and mean and variance are restored."""

from __future__ import annotations

import math
import numbers
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ..random import Index, Keys
from ..tensor import Tensor
from .bernoulli_map import bernoulli_map
from .door import checked_array, checked_key, fitting_index, one_rate

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
    return _alpha(
        "alpha_dropout", x, p, (mean, variance, saturation), training, key, mask, index, shared, return_mask, backend
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
    x, key = checked_array(name, x), checked_key(name, key)
    rank = len(index.shape if isinstance(index, Index) else x.shape[isinstance(key, tuple) :])
    if rank < 2:
        raise ValueError(
            f"{name}: x must have the shape (N, C, ...), got {x.shape}; for features without an example axis "
            f"write x[None], for single elements alpha_dropout"
        )
    shared = range(2, rank) if index is None else ()
    if isinstance(index, Index) and max(index.noise_shape[2:], default=1) > 1:
        raise ValueError(
            f"{name}: the index must share the axes after the channels: Index.whole({index.shape}, shared=range(2, "
            f"{rank}))"
        )
    return _alpha(name, x, p, (mean, variance, saturation), training, key, mask, index, shared, return_mask, backend)


def _alpha(
    name: str,
    x: Any,
    p: Any,
    moments: tuple[float, float, float],
    training: bool,
    key: Any,
    mask: Any,
    index: Index | None,
    shared: Any,
    return_mask: bool,
    backend: Any,
) -> Any:
    x, p, key = checked_array(name, x), one_rate(name, p), checked_key(name, key)
    for argument, value in zip(("mean", "variance", "saturation"), moments, strict=True):
        _check_number(name, argument, value)
    if moments[1] <= 0:
        raise ValueError(f"{name}: variance must be positive, got {moments[1]}")
    index = fitting_index(name, x.shape, key, index, shared)
    if not training or (p == 0.0 and mask is None):
        y = x if isinstance(x, Tensor) else x.copy()
        return (y, np.ones(x.shape, np.bool_)) if return_mask else y
    scale, shift, fill = restoring(p, *(float(value) for value in moments))
    return bernoulli_map(
        name,
        x,
        p,
        key=key,
        mask=mask,
        index=index,
        scale=scale,
        shift=shift,
        fill=fill,
        return_mask=return_mask,
        backend=backend,
    )


def _check_number(name: str, argument: str, value: Any) -> None:
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name}: {argument} must be a number, got {value!r}")
    if not math.isfinite(value):
        raise ValueError(f"{name}: {argument} must be finite, got {value}")
