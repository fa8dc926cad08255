"""Which keys a query may see: masks, later keys, and keys that are dropped.

Sight is told as *ceilings*: the largest logit that a key may have, infinity where it is seen and minus infinity where
it is not. None is no ceiling at all. `fmin(logits, ceiling)` hides a NaN as well, and is far quicker than a choice by a
random mask.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..backends import Backend
from .masking import Selection, drop
from .tiles import Tile, part, tiled

INF = float("inf")


class Sight(NamedTuple):
    """What limits the sight of queries; all of it together.

    allowed: bool, True = may attend, broadcasts to the weights (..., T, S). causal: query i sees the keys j <= i.
    keys: drops keys (DropKey); a query that would lose all of its keys loses none.
    """

    allowed: Any = None
    causal: bool = False
    keys: Selection | None = None

    def ceiling(self, xp: Any, dtype: Any, tile: Tile) -> Any:
        """The ceiling of a tile by `allowed` and `causal`; broadcasts to it."""
        found = None
        allowed = part(self.allowed, tile)
        if allowed is not None and not allowed.all():
            found = ceiling_where(xp, allowed, dtype)
        if self.causal and tile.columns.stop - 1 > tile.rows.start:
            seen = xp.tri(*tile.shape, k=tile.rows.start - tile.columns.start, dtype=np.bool_)  # (rows, columns)
            later = ceiling_where(xp, seen, dtype)
            found = later if found is None else xp.minimum(found, later)
        return found

    def kept(self, backend: Backend, shape: tuple[int, ...], dtype: Any, tile: Tile, ceiling: Any) -> Any:
        """The ceiling of a tile of weights of `shape` where the dropped keys are hidden as well."""
        assert self.keys is not None
        xp, keys = backend.xp, self.keys.part(tile)
        if keys.draw is None:
            found = ceiling_where(xp, xp.broadcast_to(xp.asarray(keys.keep), shape), dtype)
        else:
            found = drop(xp.full(shape, INF, dtype), -INF, draw=keys.draw, backend=backend)
        return found if ceiling is None else xp.minimum(found, ceiling)

    def whole(self, backend: Backend, shape: tuple[int, ...], dtype: Any) -> Any:
        """The ceiling of all weights at once, dropped keys included."""
        tile = Tile(slice(0, shape[-2]), slice(0, shape[-1]))
        ceiling = self.ceiling(backend.xp, dtype, tile)
        if self.keys is None or 0 in shape:
            return ceiling
        kept = self.kept(backend, shape, dtype, tile, ceiling)
        return restored(backend.xp, kept, ceiling, ~any_seen(kept, -1))

    def used(self, xp: Any, queries: int, keys: int, size: int = 256) -> tuple[Any, Any] | None:
        """Whether each query sees any key, (..., T, 1), and each key is seen, (..., S, 1); None: all do, all are."""
        if self.allowed is None and not (self.causal and keys > queries):
            return None
        lead = self.allowed.shape[:-2] if self.allowed is not None else ()
        seeing = xp.zeros((*lead, queries, 1), np.bool_)
        seen = xp.zeros((*lead, 1, keys), np.bool_)
        for _, row in tiled(queries, keys, size, self.causal):
            for tile in row:
                ceiling = self.ceiling(xp, np.float32, tile)
                seeing[..., tile.rows, :] |= ceiling is None or any_seen(ceiling, -1)
                seen[..., tile.columns] |= ceiling is None or any_seen(ceiling, -2)
        return None if seeing.all() and seen.all() else (seeing, seen.swapaxes(-1, -2))


def ceiling_where(xp: Any, seen: Any, dtype: Any) -> Any:
    """Infinity where seen, minus infinity elsewhere; in `dtype` from the start."""
    return xp.where(xp.asarray(seen), *np.array([INF, -INF], dtype)).astype(dtype, copy=False)


def any_seen(ceiling: Any, axis: int) -> Any:
    """Whether anything is seen along an axis, which stays with size 1."""
    return ceiling.max(axis=axis, keepdims=True) > -INF


def restored(xp: Any, kept: Any, ceiling: Any, lost: Any) -> Any:
    """`kept`, but `ceiling` for the queries that lost all of their keys."""
    return xp.where(lost, INF if ceiling is None else ceiling, kept).astype(kept.dtype) if lost.any() else kept
