"""Softmax and what is built on it, all stable for large inputs."""

from __future__ import annotations

from typing import Any

from ..tensor import primitive
from .elementwise import exp
from .memory import lying_in_order
from .reduce import sum


@primitive(x=lambda g, y, axis: y * (g - sum(g * y, axis=axis, keepdims=True)))
def softmax(backend: Any, x: Any, *, axis: int = -1) -> Any:
    """exp(x) / sum exp(x) over `axis`."""
    if "softmax" in backend.fused and axis in (-1, x.ndim - 1) and x.size:
        y = backend.xp.empty(x.shape, x.dtype)
        if backend.fused["softmax"](x, None, y):
            return lying_in_order(y)
    e = backend.xp.exp(x - x.max(axis=axis, keepdims=True))
    e /= e.sum(axis=axis, keepdims=True)
    return lying_in_order(e)


@primitive(x=lambda g, y, axis: g - exp(y) * sum(g, axis=axis, keepdims=True))
def log_softmax(backend: Any, x: Any, *, axis: int = -1) -> Any:
    """x - log sum exp(x) over `axis`."""
    z = x - x.max(axis=axis, keepdims=True)
    z -= backend.xp.log(backend.xp.exp(z).sum(axis=axis, keepdims=True))
    return lying_in_order(z)


@primitive(
    logits=lambda g, logits, labels, backend: (
        g * (softmax(logits) - _one_hot(labels, logits, backend)) * (1 / len(labels))
    )
)
def cross_entropy(backend: Any, logits: Any, *, labels: Any) -> Any:
    """The mean over rows of -log softmax(logits)[label]. Shapes: logits (N, C), labels (N,) whole, below C."""
    xp = backend.xp
    z = logits - logits.max(axis=-1, keepdims=True)  # (N, C)
    return (xp.log(xp.exp(z).sum(axis=-1)) - z[xp.arange(len(labels)), labels]).mean()


def _one_hot(labels: Any, like: Any, backend: Any) -> Any:
    out = backend.xp.zeros(like.shape, like.dtype)  # (N, C)
    out[backend.xp.arange(len(labels)), labels] = 1
    return out
