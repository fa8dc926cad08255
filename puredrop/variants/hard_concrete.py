"""Gates that learn to be exactly 0: noise on weights or groups whose rate is a parameter."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import ops
from ..random import Index, Keys
from .asked import Asked
from .door import checked_array
from .noise import logistic, uniform_array

__all__ = ["hard_concrete_gate", "hard_concrete_penalty"]


def hard_concrete_gate(
    log_alpha: Any,
    temperature: float = 2 / 3,
    *,
    stretch: tuple[float, float] = (-0.1, 1.1),
    key: Keys | None = None,
    mask: Any = None,
    training: bool = True,
    index: Index | None = None,
    return_mask: bool = False,
    backend: Any = None,
) -> Any:
    """Gates in [0, 1] that are exactly 0 or 1 with positive probability, and still learn: L0 regularisation.

    Math: z = clip(s (b - a) + a, 0, 1), s = sigmoid((log u - log(1 - u) + log_alpha) / temperature), (a, b) = stretch.
        Gradient: dz / dlog_alpha = (b - a) s (1 - s) / temperature where 0 < z < 1, else 0. P(z != 0) is
        `hard_concrete_penalty`. Evaluation gives clip(sigmoid(log_alpha) (b - a) + a, 0, 1).
    Shapes: log_alpha any, one for each weight or group; z like log_alpha. `index` says which part of the whole it is; a
        tuple of keys puts an axis in front. Select with z where it is 0, as `HardConcreteGate` does: 0 * NaN is NaN.
    Dtypes: float32, float64; z like log_alpha. The noise is float64, for in float32 u can be 1.
    Draws: one uniform number an element, at (key, element number). `mask=` takes u itself; `return_mask=True` gives
        (z, u).
    Raises: TypeError for whole-number log_alpha or a temperature that is no number; ValueError for a temperature that
        is not positive and finite, a stretch that does not reach beyond [0, 1], u outside (0, 1), or no key.
    Reference: Louizos, Welling & Kingma, "Learning sparse neural networks through L0 regularization" (2018).

    >>> from puredrop import Key
    >>> z = hard_concrete_gate(np.zeros(10000), key=Key(0))
    >>> abs((z != 0).mean() - hard_concrete_penalty(np.zeros(1))[0]) < 0.02
    np.True_
    """
    name = "hard_concrete_gate"
    asked = Asked(name, key, mask, training, index, return_mask, backend)
    log_alpha = asked.placed(log_alpha)
    x, (low, high) = checked_array(name, log_alpha), _checked_concrete(name, temperature, stretch)
    if training:
        u = uniform_array(asked, x, Index.whole(x.shape) if index is None else index, np.float64)
        s = ops.sigmoid((x + logistic(asked, u, x.dtype)) / float(temperature), backend=backend)
    else:
        u, s = asked.neutral(x, 0.5), ops.sigmoid(x, backend=backend)
    return asked.answer(ops.clip(s * (high - low) + low, low=0.0, high=1.0, backend=backend), u)


def hard_concrete_penalty(
    log_alpha: Any, temperature: float = 2 / 3, *, stretch: tuple[float, float] = (-0.1, 1.1), backend: Any = None
) -> Any:
    """The probability that each gate of `hard_concrete_gate` is not 0: sum it for the expected L0 norm.

    Math: q = sigmoid(log_alpha - temperature log(-a / b)), (a, b) = stretch. Gradient: dlog_alpha = g q (1 - q).
        Evaluation gives q.
    Shapes: log_alpha any; q like it. Weigh each by the number of weights in its group before summing.
    Dtypes: float32, float64; q like log_alpha.
    Draws: nothing.
    Raises: as `hard_concrete_gate`.
    Reference: Louizos, Welling & Kingma, "Learning sparse neural networks through L0 regularization" (2018).

    >>> hard_concrete_penalty(np.array([-20.0, 0.0, 20.0])).round(3)
    array([0.   , 0.832, 1.   ])
    """
    name = "hard_concrete_penalty"
    x, (low, high) = checked_array(name, log_alpha), _checked_concrete(name, temperature, stretch)
    return ops.sigmoid(x - float(temperature) * math.log(-low / high), backend=backend)


def _checked_concrete(name: str, temperature: Any, stretch: Any) -> tuple[float, float]:
    """The stretch, if it reaches beyond [0, 1] and the temperature is a positive number."""
    if isinstance(temperature, bool) or not isinstance(temperature, (int, float, np.integer, np.floating)):
        raise TypeError(f"{name}: temperature must be a positive number, got {temperature!r}")
    if not 0 < temperature < math.inf:
        raise ValueError(f"{name}: temperature must be positive and finite, got {temperature}")
    low, high = (float(end) for end in stretch)
    if not -math.inf < low < 0 < 1 < high < math.inf:
        raise ValueError(f"{name}: stretch must reach from below 0 to above 1, got {stretch}")
    return low, high
