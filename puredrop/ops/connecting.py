"""A dense layer that drops other weights for each example: the mask is drawn inside the product, tile by tile.

The weights in use of a tile are drawn, used and forgotten, and drawn again on the way back: no array of the size of the
mask ever exists.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from ..backends import Backend
from ..random import Draw
from ..tensor import fused
from .masking import drop
from .shape import broadcast_to, swap
from .tiles import cut

TILE = 1 << 17  # elements of the weights in use: they stay in the cache
TILE_AWAY = 1 << 24  # on a device, where each launch has its price

Dropped = Callable[[Any], Any]


def composed(x: Any, weight: Any, *, draw: Draw, scale: float) -> Any:
    """`connect`, with all weights in use at once."""
    copies = broadcast_to(weight, shape=(x.shape[0], *weight.shape))  # (M, O, I)
    return x @ swap(drop(copies, 0.0, draw=draw, scale=scale))


@fused(composed)
def connect(backend: Backend, x: Any, weight: Any, *, draw: Draw, scale: float) -> Any:
    """y_m = x_m d_m(W)^T with d_m(W) = where(keep_m, W * scale, 0).

    Math: dx_m = g_m d_m(W), dW = sum_m d_m(g_m^T x_m): the gradient by W is the same map with the same key.
    Shapes: x (M, R, I), weight (O, I), draw of (M, O, I) -> (M, R, O).
    """
    xp, tiles = backend.xp, list(_tiles(backend, weight.shape, draw, scale))
    y = xp.empty((*x.shape[:-1], len(weight)), x.dtype)
    for part, dropped in tiles:
        xp.matmul(x[part], dropped(weight).swapaxes(-1, -2), out=y[part])

    def pull(g: Any, needed: Any) -> tuple[Any, Any]:
        to_x = xp.empty_like(x) if needed[0] else None
        to_weight = xp.zeros_like(weight) if needed[1] else None
        for part, dropped in tiles:
            if to_x is not None:
                xp.matmul(g[part], dropped(weight), out=to_x[part])
            if to_weight is not None:
                to_weight += dropped(g[part].swapaxes(-1, -2) @ x[part]).sum(axis=0)  # (O, I)
        return to_x, to_weight

    return y, pull


def _tiles(backend: Backend, shape: tuple[int, int], draw: Draw, scale: float) -> Iterator[tuple[slice, Dropped]]:
    """Some examples, and their map of weights (O, I), or (examples, O, I)."""
    key, index, threshold = draw
    size = max(1, (TILE if backend.place is None else TILE_AWAY) // max(1, shape[0] * shape[1]))
    each = index.shape[0]  # examples of one key
    for k, one in enumerate(key if isinstance(key, tuple) else (key,)):
        for rows in cut(each, size):
            here = Draw(one, index[rows], threshold)
            yield slice(k * each + rows.start, k * each + rows.stop), _dropped(backend, here, scale)


def _dropped(backend: Backend, draw: Draw, scale: float) -> Dropped:
    shape = draw.index.shape

    def apply(weights: Any) -> Any:
        each = weights if weights.ndim == 3 else weights[None]
        return backend.drop(each if len(each) == shape[0] else backend.xp.broadcast_to(each, shape), *draw, scale)

    return apply
