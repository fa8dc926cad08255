"""The arithmetic of attention on plain arrays, with all weights at once.

P = softmax(q k^T * scale + bias), W = P * m / (1 - p), y = W v. With g the gradient of y:
dv = W^T g, dP = (g v^T) * m / (1 - p), dS = P * (dP - D), D = rowsum(g * y): the D of attention without dropout,
for y holds the mask already. dq = scale dS k, dk = dS^T (scale q), dbias = dS. It is q that is scaled, and its
gradient: both are far smaller than the logits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ..backends import Backend
from ..tensor.differentiate import unbroadcast
from .elementwise import where
from .heads import product, product_into, transposed_product_into, weights_shape
from .masking import Selection
from .sight import Sight
from .tiles import Tile, part


class Operands(NamedTuple):
    """What attention is computed from; q is scaled already. Rows of one head lie together: products are then quicker.

    Rows of q, k and v that nobody may see are zero: 0 * NaN is no zero.
    """

    backend: Backend
    q: Any
    k: Any
    v: Any
    bias: Any
    sight: Sight
    scale: float
    drop: Selection | None
    shape: tuple[int, ...]  # of the weights
    blind: Any  # the queries that see no key, (..., T, 1), or None

    def logits(self, tile: Tile, ceiling: Any) -> Any:
        """q k^T + bias of a tile, not above the ceiling."""
        s = product(self.q[..., tile.rows, :], self.k[..., tile.columns, :].swapaxes(-1, -2))  # (..., rows, columns)
        if np.ndim(self.bias):
            s += part(self.bias, tile)
        if ceiling is not None:
            self.backend.xp.fmin(s, ceiling, out=s)
        return s

    def dropped(self, weights: Any, tile: Tile | None = None) -> Any:
        """Weights, or their gradient, with the mask."""
        if self.drop is None:
            return weights
        return (self.drop if tile is None else self.drop.part(tile))(weights, backend=self.backend)

    def seen(self, g: Any) -> Any:
        """The gradient that reaches queries that see something, laid out as the operands are."""
        return self.backend.xp.ascontiguousarray(g if self.blind is None else self.backend.xp.where(self.blind, 0.0, g))


class Gradients(NamedTuple):
    """Where the gradients are written; None where none is asked for."""

    q: Any
    k: Any
    v: Any
    bias: Any


Pull = Callable[[Any, Gradients], None]


def operands(
    backend: Backend, q: Any, k: Any, v: Any, bias: Any, sight: Sight, scale: float, drop: Selection | None
) -> Operands:
    """The operands, q scaled, cleared of what nobody may see."""
    shape = weights_shape(q.shape, k.shape)
    used = sight.used(backend.xp, *shape[-2:])
    q, k, v = map(backend.xp.ascontiguousarray, cleared(used, q, k, v, backend))
    return Operands(backend, q * scale, k, v, bias, sight, scale, drop, shape, None if used is None else ~used[0])


def cleared(used: tuple[Any, Any] | None, q: Any, k: Any, v: Any, backend: Any) -> tuple[Any, Any, Any]:
    """q, k and v with zeros in the rows that are not used."""
    if used is None:
        return q, k, v
    seeing, seen = used
    return (
        where(seeing, q, 0.0, backend=backend),
        where(_for_heads(seen, k), k, 0.0, backend=backend),
        where(_for_heads(seen, v), v, 0.0, backend=backend),
    )


def _for_heads(seen: Any, x: Any) -> Any:
    """Which rows of x are seen by any of the heads that share them."""
    if seen.ndim < 3 or seen.shape[-3] == 1 or x.ndim < 3 or x.shape[-3] == seen.shape[-3]:
        return seen
    return seen.reshape(*seen.shape[:-3], x.shape[-3], -1, *seen.shape[-2:]).any(axis=-3)


def attend_at_once(o: Operands, y: Any) -> Pull:
    """Fill y, and keep the weights P for the gradient."""
    xp = o.backend.xp
    tile = Tile(slice(0, o.shape[-2]), slice(0, o.shape[-1]))
    p = o.logits(tile, o.sight.whole(o.backend, o.shape, o.q.dtype))
    _softmax(o.backend, p, o.blind)
    product_into(xp, y, o.dropped(p), o.v)

    def pull(g: Any, out: Gradients) -> None:
        g = o.seen(g)
        if out.v is not None:
            transposed_product_into(xp, out.v, o.dropped(p), g)
        ds = o.dropped(product(g, o.v.swapaxes(-1, -2)))  # (..., T, S)
        ds -= row_sums(xp, g, y)
        ds *= p
        if out.bias is not None:
            out.bias[...] = unbroadcast(ds, out.bias.shape)
        if out.q is not None:
            product_into(xp, out.q, ds, o.k)
            out.q[...] *= o.scale
        if out.k is not None:
            transposed_product_into(xp, out.k, ds, o.q)

    return pull


def _softmax(backend: Backend, s: Any, blind: Any) -> None:
    """Softmax over the last axis, in place; zeros in the rows that are blind."""
    xp = backend.xp
    if not s.size:
        return
    with np.errstate(invalid="ignore"):  # inf - inf: NaN, as it should be
        fused = backend.fused.get("softmax")
        if blind is None and fused is not None and fused(s, None, s):
            return
        top = s.max(axis=-1, keepdims=True)
        if blind is not None:
            top = xp.where(blind, 0.0, top).astype(s.dtype, copy=False)
            if fused is not None and fused(s, top, s):  # rows that are blind add up to 0
                return
        s -= top
        xp.exp(s, out=s)
        total = s.sum(axis=-1, keepdims=True)  # as `softmax` does, to the bit
        s /= total if blind is None else xp.where(blind, 1.0, total)


def row_sums(xp: Any, a: Any, b: Any) -> Any:
    """The sums of a * b over the last axis, which stays."""
    return xp.einsum("...i,...i->...", a, b)[..., None]
