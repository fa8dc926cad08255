"""Attention as one step that keeps its weights and nothing else of their size: masks are drawn again in backward.

Where even that is too much, `tile` has it computed in tiles, and nothing of that size exists at any time.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import backends
from ..backends import Backend
from ..tensor import Tensor, fused
from .attending import Gradients, Operands, Pull, attend_at_once, cleared, operands
from .attending_in_tiles import Tiled
from .elementwise import where
from .heads import empty_heads, product, shared_heads, weights_shape
from .masking import Selection
from .probability import softmax
from .shape import reshape, swap, swapaxes
from .sight import INF, Sight

OPEN = Sight()


def composed(
    q: Any,
    k: Any,
    v: Any,
    bias: Any,
    *,
    sight: Sight = OPEN,
    scale: float = 1.0,
    drop: Selection | None = None,
    tile: int | None = None,
) -> Any:
    """The same, step by step, with all weights at once."""
    weights, v = probabilities(q, k, v, bias, sight=sight, scale=scale)
    return product(weights if drop is None else drop(weights), v)


def probabilities(
    q: Any, k: Any, v: Any, bias: Any, *, sight: Sight, scale: float, backend: Any = None
) -> tuple[Any, Any]:
    """The weights before they are dropped, (..., T, S); and v with zeros at keys that nobody sees."""
    backend = backends.get(next((x.backend for x in (q, k, v) if isinstance(x, Tensor)), backend))
    shape = weights_shape(q.shape, k.shape)
    q, k, v = cleared(sight.used(backend.xp, *shape[-2:]), q, k, v, backend)
    logits = product(q * scale, swap(k, backend=backend)) + bias  # (..., T, S)
    ceiling = sight.whole(backend, shape, q.dtype)
    seen = None if ceiling is None else np.broadcast_to(ceiling > -INF, shape)
    return softmax_where(seen, logits, backend=backend), v


def softmax_where(seen: Any, logits: Any, *, backend: Any = None) -> Any:
    """Softmax over those seen, zeros elsewhere; zeros for a row without any."""
    if logits.shape[-1] == 0:
        return logits
    if seen is None:
        return softmax(logits, backend=backend)
    nowhere = np.where(seen.any(axis=-1, keepdims=True), -INF, 0.0).astype(logits.dtype)  # no row is all -inf
    inside = softmax(where(seen, logits, nowhere, backend=backend), backend=backend)
    return where(seen, inside, 0.0, backend=backend)


@fused(composed)
def attend(
    backend: Backend,
    q: Any,
    k: Any,
    v: Any,
    bias: Any,
    *,
    sight: Sight = OPEN,
    scale: float = 1.0,
    drop: Selection | None = None,
    tile: int | None = None,
) -> Any:
    """drop(softmax(q k^T * scale + bias)) v over the keys in sight; zeros for a query that sees none.

    Shapes: q (..., H, T, D), k (..., h, S, D), v (..., h, S, E), bias that broadcasts to (..., H, T, S), or a number ->
    (..., H, T, E); h divides H. tile: so many queries and keys at a time, and memory for T + S, not for T S.
    Derivatives of second order take memory for T S in any case.
    """
    xp = backend.xp
    o = operands(backend, q, k, v, bias, sight, scale, drop)
    y = empty_heads(xp, (*o.shape[:-1], v.shape[-1]), q.dtype)
    fill = _computed(o, y, tile)

    def pull(g: Any, needed: Any) -> Gradients:
        shapes = [(*_lead(o.shape[:-2], x), *x.shape[-2:]) for x in (q, k, v)]
        to_q, to_k, to_v = (
            empty_heads(xp, shape, q.dtype) if asked else None for shape, asked in zip(shapes, needed[:3], strict=True)
        )
        out = Gradients(to_q, to_k, to_v, xp.empty_like(bias) if needed[3] else None)
        fill(g, out)
        return out

    return y, pull


def composed_self(qkv: Any, bias: Any, *, heads: int, kv_heads: int | None = None, **options: Any) -> Any:
    """The same, step by step."""
    y = composed(*_heads(qkv, heads, kv_heads), bias, **options)  # (N, H, T, D)
    return reshape(swapaxes(y, a=-2, b=-3), shape=(*qkv.shape[:-1], y.shape[-1] * heads))


@fused(composed_self)
def self_attend(
    backend: Backend,
    qkv: Any,
    bias: Any,
    *,
    heads: int,
    kv_heads: int | None = None,
    sight: Sight = OPEN,
    scale: float = 1.0,
    drop: Selection | None = None,
    tile: int | None = None,
) -> Any:
    """`attend` for queries, keys and values that lie side by side, as one product makes them.

    Shapes: qkv (N, T, (H + 2 h) D), the heads of the queries, of the keys, of the values -> (N, T, H D).
    """
    xp = backend.xp
    o = operands(backend, *_heads(qkv, heads, kv_heads), bias, sight, scale, drop)
    y = empty_heads(xp, (*o.shape[:-1], o.v.shape[-1]), qkv.dtype)
    fill = _computed(o, y, tile)

    def pull(g: Any, needed: Any) -> tuple[Any, Any]:
        out = xp.empty_like(qkv)
        to_bias = xp.empty_like(bias) if needed[1] else None
        fill(_split(g, heads), Gradients(*_heads(out, heads, kv_heads), to_bias))
        return out, to_bias

    return y.swapaxes(-2, -3).reshape(*qkv.shape[:-1], heads * y.shape[-1]), pull


def _computed(o: Operands, y: Any, tile: int | None) -> Pull:
    return attend_at_once(o, y) if tile is None or 0 in o.shape else Tiled(o, y, tile).pull


def _lead(lead: tuple[int, ...], x: Any) -> tuple[int, ...]:
    """The leading axes of the gradient by x: those of the weights, with the heads that x shares."""
    few = shared_heads((*lead, 0, 0), x.shape)
    return lead if few is None else (*lead[:-1], few)


def _split(x: Any, heads: int) -> Any:
    """(N, T, H D) -> (N, H, T, D); a view."""
    return x.reshape((*x.shape[:-1], heads, x.shape[-1] // heads)).swapaxes(-2, -3)


def _heads(qkv: Any, heads: int, kv_heads: int | None) -> tuple[Any, Any, Any]:
    """Queries, keys and values, (N, H or h, T, D) each; views."""
    few = kv_heads or heads
    each = _split(qkv, heads + 2 * few)  # (N, H + 2 h, T, D)
    return each[:, :heads], each[:, heads : heads + few], each[:, heads + few :]
