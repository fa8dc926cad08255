"""Residual branches with random strength: one number forward, another backward."""

from __future__ import annotations

import numbers
from typing import Any, Literal

import numpy as np

from ..ops.residual import shake
from ..random import Index, Keys
from .asked import Asked
from .door import checked_alike, one_rate
from .gates import gate_index
from .noise import keep_array, spread, uniform_array

__all__ = ["shake_drop", "shake_shake"]


def shake_drop(
    x: Any,
    residual: Any,
    p: float,
    *,
    alpha: tuple[float, float] = (-1.0, 1.0),
    beta: tuple[float, float] = (0.0, 1.0),
    mode: Literal["row", "batch"] = "row",
    key: Keys | None = None,
    mask: Any = None,
    training: bool = True,
    index: Index | None = None,
    return_mask: bool = False,
    backend: Any = None,
) -> Any:
    """A residual block whose branch is shaken with probability p: its factor is then random, and false backward.

    Math: y = x + (b + a - b a) * residual: the factor is 1 where b = 1, else a. b is 1 with probability 1 - p (the
        paper's p_l is that probability of *keeping*), a uniform on `alpha`. Gradient: g to x, g * (b + c - b c) to the
        residual, c uniform on `beta` in place of a: by design not the gradient of y. Evaluation gives x + e * residual,
        which is E[y] (and has its own, true gradient); e = 1 - p + p * mean(alpha). p = 0 gives x + residual. Ranges
        (0, 0) select: a factor of 0 gives 0 for any residual.
    Shapes: x and residual alike; y like them. Numbers for each example (`mode="row"`) or one set for the batch. `index`
        says which part of a global noise tensor they are.
    Dtypes: float32, float64 (and float16 on NumPy), one for both; y like x.
    Draws: for each gate a halfword at (key, number of the example), and uniform numbers at draws 1 (a) and 2 (c) of
        key. `mask=` takes the two factors, (2, *noise): forward, backward; `return_mask=True` gives (y, factors).
    Raises: TypeError for whole numbers, two dtypes, or a p that is no number; ValueError for p outside [0, 1], an
        unknown mode, ranges that are none, shapes that differ, an index or factors that do not fit, or no key.
    Reference: Yamada et al., "ShakeDrop regularization for deep residual learning" (2018).

    >>> from puredrop import Key
    >>> shake_drop(np.zeros(5), np.ones(5), p=0.5, key=Key(7)).round(2)
    array([0.28, 1.  , 1.  , 1.  , 1.  ])
    """
    operation = "shake_drop"
    asked = Asked(operation, key, mask, training, index, return_mask, backend)
    x, residual = asked.placed(x, residual)
    x, residual = checked_alike(operation, x=x, residual=residual)
    p, one = one_rate(operation, p), x.dtype.type(1)
    alpha, beta = _checked_range(operation, "alpha", alpha), _checked_range(operation, "beta", beta)
    index = gate_index(asked, x.shape, mode)
    if not asked.draws(p):
        y = x + residual * (1.0 - p + p * (alpha[0] + alpha[1]) / 2)
        return asked.undrawn(y, one, (2, *index.noise_shape))
    if mask is not None:
        factors = _checked_factors(asked, x, index)
    else:
        keep = keep_array(asked, x, p, index)
        ranges = [
            low + (high - low) * uniform_array(asked.another(number), x, index)
            for number, (low, high) in ((1, alpha), (2, beta))
        ]
        factors = np.stack([np.where(keep, one, r) for r in ranges])  # (2, *noise)
    forward, backward = (spread(asked, f, index, x.shape) for f in factors)
    return asked.answer(x + shake(residual, forward=forward, backward=backward, backend=backend), factors)


def shake_shake(
    x: Any,
    first: Any,
    second: Any,
    *,
    mode: Literal["row", "batch"] = "row",
    key: Keys | None = None,
    mask: Any = None,
    training: bool = True,
    index: Index | None = None,
    return_mask: bool = False,
    backend: Any = None,
) -> Any:
    """A residual block of two branches, mixed in random proportion, and in another proportion backward.

    Math: y = x + a * first + (1 - a) * second, a uniform on (0, 1). Gradient: g to x, g * c to the first branch,
        g * (1 - c) to the second, c uniform on (0, 1) in place of a: by design not the gradient of y. Evaluation gives
        x + (first + second) / 2, which is E[y].
    Shapes: all three alike; y like them. Numbers for each example (`mode="row"`) or one set for the batch. `index` says
        which part of a global noise tensor they are.
    Dtypes: float32, float64 (and float16 on NumPy), one for all; y like x.
    Draws: for each gate one uniform number at (key, number of the example), and one at draw 1 of key. `mask=` takes the
        two factors of the first branch, (2, *noise): forward, backward; `return_mask=True` gives (y, factors).
    Raises: TypeError for whole numbers or two dtypes; ValueError for an unknown mode, shapes that differ, an index or
        factors that do not fit, or no key.
    Reference: Gastaldi, "Shake-shake regularization" (2017).

    >>> from puredrop import Key
    >>> shake_shake(np.zeros(3), np.ones(3), np.zeros(3), key=Key(7)).round(2)
    array([0.45, 0.17, 0.59])
    """
    operation = "shake_shake"
    asked = Asked(operation, key, mask, training, index, return_mask, backend)
    x, first, second = asked.placed(x, first, second)
    x, first, second = checked_alike(operation, x=x, first=first, second=second)
    index = gate_index(asked, x.shape, mode)
    if not training:
        return asked.undrawn(x + (first + second) * 0.5, x.dtype.type(0.5), (2, *index.noise_shape))
    if mask is not None:
        factors = _checked_factors(asked, x, index)
    else:
        factors = np.stack([uniform_array(one, x, index) for one in (asked, asked.another(1))])  # (2, *noise)
    forward, backward = (spread(asked, f, index, x.shape) for f in factors)
    y = x + shake(first, forward=forward, backward=backward, backend=backend)
    y = y + shake(second, forward=1 - forward, backward=1 - backward, backend=backend)
    return asked.answer(y, factors)


def _checked_range(operation: str, name: str, ends: Any) -> tuple[float, float]:
    pair = isinstance(ends, (tuple, list)) and len(ends) == 2
    if pair and all(isinstance(end, numbers.Real) and not isinstance(end, bool) for end in ends):
        low, high = float(ends[0]), float(ends[1])
        if np.isfinite(low) and np.isfinite(high) and low <= high:
            return low, high
    raise ValueError(f"{operation}: {name} must be two finite numbers, the smaller first, got {ends!r}")


def _checked_factors(asked: Asked, like: Any, index: Index) -> Any:
    factors, shape = np.asarray(asked.mask) if not hasattr(asked.mask, "dtype") else asked.mask, (2, *index.noise_shape)
    if factors.dtype.kind != "f" or factors.shape != shape:
        raise ValueError(
            f"{asked.operation}: the factors handed in must be real numbers of shape {shape} (forward, backward), "
            f"got {factors.dtype} of shape {factors.shape}"
        )
    return factors.astype(like.dtype, copy=False)
