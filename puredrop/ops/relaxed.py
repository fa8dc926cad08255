"""The map under concrete dropout at one rate: relaxed masks are drawn, and drawn again for the gradient."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..backends import Backend
from ..random import Index, Keys
from ..tensor import backend_of, fused
from .elementwise import exp, softplus


def composed(x: Any, logit_p: Any, *, key: Keys, index: Index, t: float) -> Any:
    """`times_relaxed`, step by step."""
    backend = backend_of(x, logit_p)
    noise = _logistic(backend, key, index).astype(x.dtype).reshape(x.shape)
    return x * exp(softplus(logit_p) - softplus((logit_p + noise) / t))


@fused(composed)
def times_relaxed(backend: Backend, x: Any, logit_p: Any, *, key: Keys, index: Index, t: float) -> Any:
    """x (1 - z) / (1 - p), z = sigmoid((logit_p + log u - log(1 - u)) / t), with the uniform u at (key, index).

    Math: dx = g (1 - z) / (1 - p), dlogit_p = sum dx x (p - z / t): the gradients are maps with the same key.
    Shapes: x has `index.size` elements for each key, logit_p one number, within 80 of 0. No array of noise is kept.
    """
    logit = float(logit_p.reshape(()))
    scale, p = 1 + math.exp(logit), 1 / (1 + math.exp(-logit))

    def scaled(v: Any) -> Any:
        return _map(backend, v, key, index, logit, 1 / t, 0.0, scale)

    def pull(g: Any, needed: Any) -> tuple[Any, Any]:
        to_x = scaled(g)
        if not needed[1]:
            return to_x, None
        by_rate = _map(backend, to_x * x, key, index, logit, -1 / t, p, -1 / t)  # p - z / t
        return to_x, by_rate.sum(dtype=x.dtype).reshape(logit_p.shape)

    return scaled(x), pull


def _map(backend: Backend, v: Any, key: Keys, index: Index, logit: float, inverse_t: float, a: float, b: float) -> Any:
    """v (a + b s), s = 1 - z for inverse_t = 1 / t, and z itself, which 1 - (1 - z) would round, for -1 / t."""
    kernel = backend.fused.get("times_relaxed")
    y = None if kernel is None else kernel(v, key, index, (logit, inverse_t, a, b))
    if y is not None:
        return y
    with np.errstate(over="ignore"):  # to infinity, of which nothing is left
        s = 1 / (1 + backend.xp.exp((logit + _logistic(backend, key, index)) * inverse_t))
    return v * (a + b * s).astype(v.dtype).reshape(v.shape)


def _logistic(backend: Backend, key: Keys, index: Index) -> Any:
    u = backend.uniform(key, index, np.float64)
    return backend.xp.log(u) - backend.xp.log1p(-u)
