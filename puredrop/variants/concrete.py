"""Rates that are learned by way of masks that are almost 0 or 1 and have a gradient: concrete dropout."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import ops, streams
from ..ops.weights import straight_through
from ..random import Index, Keys
from ..tensor import Tensor, raw
from .asked import Asked
from .bernoulli_map import map_given
from .door import checked_array, learned_parameter, real_number, unchanged
from .noise import logistic, real_for, uniform_array
from .special import mean_kept

__all__ = ["concrete_dropout", "spatial_concrete_dropout"]


def concrete_dropout(
    x: Any,
    logit_p: Any,
    temperature: float = 0.1,
    *,
    hard: bool = False,
    correct_mean: bool = False,
    key: Keys | None = None,
    mask: Any = None,
    training: bool = True,
    shared: int | Sequence[int] = (),
    index: Index | None = None,
    return_mask: bool = False,
    backend: Any = None,
) -> Any:
    """Dropout whose rate is learned, by way of a mask that is almost 0 or 1 and has a gradient.

    Math: y = x (1 - z) / (1 - p), z = sigmoid((logit_p + log u - log(1 - u)) / t), p = sigmoid(logit_p), t the
        temperature. Gradient: dx = g (1 - z) / (1 - p), dlogit_p = sum g x (1 - z) / (1 - p) (p - z / t). E[y] is not
        x: at t = 0.1, p = 0.1 it is 0.9987 x, at t = 2/3 0.950 x. `correct_mean=True` divides by E[1 - z] in place of
        1 - p, its value and derivative exact by quadrature: then E[y] = x. `hard=True` selects where z < 1/2, which is
        dropout at rate p: E[y] = x, dx = g / (1 - p) where kept, else 0, and dlogit_p straight through, the formula
        above with the relaxed z (biased; it needs x at dropped places too). Evaluation gives x. Add
        `concrete_regulariser` to the loss, without which p goes to 0. A relaxed mask multiplies: it stops no NaN.
    Shapes: x any; logit_p a number, or an array or tensor that broadcasts to x; y like x. One draw along each of the
        `shared` axes; `index` says which part of a global noise x is.
    Dtypes: float32, float64; y like x. The noise is float64, for in float32 u can be 1.
    Draws: one uniform number an element of the noise, at (key, element number). `mask=` takes u itself;
        `return_mask=True` gives (y, u), 1/2 where nothing is drawn.
    Raises: TypeError for whole-number x or parameters that are no numbers; ValueError for a temperature that is not
        positive and finite, a logit_p that is not finite or does not broadcast to x, `hard` with `correct_mean`, u
        outside (0, 1), or no key.
    Reference: Gal, Hron & Kendall, "Concrete dropout" (2017).

    >>> from puredrop import Key
    >>> y = concrete_dropout(np.ones(10000), np.log(0.2 / 0.8), key=Key(0))
    >>> abs(y.mean() - 1) < 0.02 and abs((y < 0.6).mean() - 0.2) < 0.02
    np.True_
    """
    name = "concrete_dropout"
    asked = Asked(name, key, mask, training, index, return_mask, backend)
    x, logit_p = asked.placed(x, logit_p)
    x = checked_array(name, x)
    logit_p = learned_parameter(name, "logit_p", logit_p, x.dtype, x.shape)
    t = _checked_concrete(name, temperature, hard, correct_mean)
    if not training:
        return asked.undrawn(unchanged(x), 0.5)
    return _concrete(asked, x, logit_p, t, hard, correct_mean, asked.index_for(x.shape, shared))


def spatial_concrete_dropout(
    x: Any,
    logit_p: Any,
    temperature: float = 2 / 3,
    *,
    hard: bool = False,
    correct_mean: bool = False,
    key: Keys | None = None,
    mask: Any = None,
    training: bool = True,
    index: Index | None = None,
    return_mask: bool = False,
    backend: Any = None,
) -> Any:
    """`concrete_dropout` of whole channels: one draw for all positions of a channel.

    Math: y = x (1 - z) / (1 - p) with z, p and the gradients of `concrete_dropout`, dlogit_p summed over all positions.
        At this temperature the relaxation is far off: E[y] is 0.950 x at p = 0.1 and 1.453 x at p = 0.9;
        `correct_mean=True` or `hard=True` make it x. Evaluation gives x. In `concrete_regulariser` the units of a
        convolution are its input channels, whatever the size of the kernel.
    Shapes: x (N, C, positions ...); logit_p a number or (C,); the noise is (N, C, 1 ...); y like x. `index` says which
        part of a global noise x is; it shares the positions. A tuple of keys enumerates an axis in front of N.
    Dtypes: float32, float64; y like x. The noise is float64, for in float32 u can be 1.
    Draws: one uniform number a channel and example, at (key, element number). `mask=` takes u itself;
        `return_mask=True` gives (y, u).
    Raises: as `concrete_dropout`; ValueError for x without positions or an index that does not share them.
    Reference: Gal, Hron & Kendall, "Concrete dropout" (2017); the spatial layer of their code.

    >>> from puredrop import Key
    >>> y = spatial_concrete_dropout(np.ones((2, 3, 4, 4)), 0.0, key=Key(0), hard=True)
    >>> y[:, :, 0, 0]
    array([[2., 2., 2.],
           [0., 2., 2.]])
    """
    name = "spatial_concrete_dropout"
    asked = Asked(name, key, mask, training, index, return_mask, backend)
    x, logit_p = asked.placed(x, logit_p)
    x = checked_array(name, x)
    shape = asked.shape_of_one_key(x.shape)
    if len(shape) < 3:
        raise ValueError(f"{name}: x must be (N, C, positions ...), got shape {x.shape}; use concrete_dropout")
    logit_p = learned_parameter(name, "logit_p", logit_p, x.dtype, shape[1:2])
    if len(logit_p.shape):
        logit_p = ops.reshape(logit_p, shape=(-1, *(1 for _ in shape[2:])), backend=backend)  # (C, 1 ...)
    t = _checked_concrete(name, temperature, hard, correct_mean)
    index = asked.index_sharing(x.shape, range(2, len(shape)), "an index must share the axes from 2 on")
    if not training:
        return asked.undrawn(unchanged(x), 0.5)
    return _concrete(asked, x, logit_p, t, hard, correct_mean, index)


def _concrete(asked: Asked, x: Any, logit_p: Any, t: float, hard: bool, correct_mean: bool, index: Index) -> Any:
    """`concrete_dropout` in training. logit_p broadcasts to x."""
    of = asked.backend
    if not (hard or correct_mean) and _is_one_map(asked, x, logit_p, index):
        y = ops.times_relaxed(x, logit_p, key=asked.needed_key(), index=index, t=t, backend=of)
        return asked.answer(
            y, real_for(asked, uniform_array, x, index, x.shape, np.float64) if asked.return_mask else None
        )
    u = real_for(asked, uniform_array, x, index, x.shape, np.float64)
    noisy = logit_p + logistic(asked, u, x.dtype)  # z = sigmoid(noisy / t)
    if correct_mean:
        log_scale = ops.astype(-ops.log(mean_kept(logit_p, t, backend=of), backend=of), dtype=x.dtype, backend=of)
    else:
        log_scale = ops.softplus(logit_p, backend=of)  # -log(1 - p)
    factor = ops.exp(log_scale - ops.softplus(noisy / t, backend=of), backend=of)  # (1 - z) * scale, never inf * 0
    if not hard:
        return asked.answer(x * factor, u)
    keep = np.broadcast_to(raw(noisy) < 0, x.shape)
    scale = 1 + np.exp(np.minimum(raw(logit_p), 80.0)).astype(x.dtype)  # 1 / (1 - p)
    y = map_given(asked, x, keep, scale=scale)
    if isinstance(logit_p, Tensor):  # adds -0 to y, and to the gradient of logit_p what a relaxed mask has
        y = y + straight_through(raw(x) * factor, value=np.full(x.shape, -0.0, x.dtype))
    return asked.answer(y, u)


def _is_one_map(asked: Asked, x: Any, logit_p: Any, index: Index) -> bool:
    """Whether the backend has a kernel for it: float32, one rate, a draw of the key's for each element."""
    own = asked.mask is None and streams.current() is None and "times_relaxed" in asked.backend_of(x).fused
    fits = x.dtype == np.float32 and logit_p.size == 1 and index.noise_shape == index.shape
    return own and fits and abs(raw(logit_p)).item() <= 80


def _checked_concrete(name: str, temperature: Any, hard: bool, correct_mean: bool) -> float:
    t = real_number(name, "temperature", temperature)
    if not 0 < t < math.inf:
        raise ValueError(f"{name}: temperature must be positive and finite, got {temperature}")
    if hard and correct_mean:
        raise ValueError(f"{name}: give either hard or correct_mean; the mean of a hard mask needs no correction")
    return t
