"""The arithmetic of attention on plain arrays, tile by tile: no array of the size of the weights ever exists.

Backward computes each tile again. The running maximum and normaliser of each query are those of "online softmax"
(Milakov & Gimelshein 2018), as in FlashAttention (Dao et al. 2022). Each tile draws its part of the mask, both times.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import reduce
from operator import or_
from typing import Any

import numpy as np

from ..tensor.differentiate import unbroadcast
from .attending import Gradients, Operands, row_sums
from .heads import product, transposed_product
from .sight import INF, any_seen, restored
from .tiles import Tile, part, tiled


class Tiled:
    """One attention, `size` queries by `size` keys at a time. Kept for backward: y and two numbers a query."""

    def __init__(self, o: Operands, y: Any, size: int) -> None:
        self.o, self.y, self.size, self.xp, self.lead = o, y, size, o.backend.xp, o.shape[:-2]
        each = (*o.shape[:-1], 1)
        self.lost = None if o.sight.keys is None else self.xp.zeros(each, np.bool_)  # whose keys would all be dropped
        self.log_total = self.xp.empty(each, o.q.dtype)  # of the normaliser, (..., T, 1)
        for rows, tiles in self._all_rows():
            if self.lost is not None:
                self.lost[..., rows, :] = self._loses_all(tiles)
            y[..., rows, :], self.log_total[..., rows, :] = self._row(rows, tiles)

    def _all_rows(self) -> Iterator[tuple[slice, list[Tile]]]:
        """The queries of each row of tiles, and its tiles: made when needed, for all of them grow with T S too."""
        queries, keys = self.o.shape[-2:]
        return tiled(queries, keys, self.size, self.o.sight.causal)

    def _row(self, rows: slice, tiles: list[Tile]) -> tuple[Any, Any]:
        """The result of some queries, and the logarithm of their normaliser."""
        xp, o = self.xp, self.o
        top = xp.full((*self.lead, rows.stop - rows.start, 1), -INF, o.q.dtype)
        total = xp.zeros_like(top)
        y = xp.zeros((*top.shape[:-1], o.v.shape[-1]), o.q.dtype)
        for tile, ceiling in self._in_sight(tiles):
            s = o.logits(tile, ceiling)
            highest = xp.maximum(top, s.max(axis=-1, keepdims=True))
            base = xp.where(highest == -INF, 0.0, highest)
            shrink = xp.exp(top - base)
            s -= base
            xp.exp(s, out=s)
            total = total * shrink + s.sum(axis=-1, keepdims=True)
            y *= shrink
            y += product(o.dropped(s, tile), o.v[..., tile.columns, :])
            top = highest
        if o.blind is not None:
            blind = o.blind[..., rows, :]
            top, total = xp.where(blind, 0.0, top), xp.where(blind, 1.0, total)
        y /= total
        return y, top + xp.log(total)

    def pull(self, g: Any, out: Gradients) -> None:
        """The gradients, where `out` has room for them."""
        g = self.o.seen(g)
        for array in out:
            if array is not None:
                array[...] = 0
        for rows, tiles in self._all_rows():
            here = g[..., rows, :]
            d = row_sums(self.xp, here, self.y[..., rows, :])
            for tile, ceiling in self._in_sight(tiles):
                self._pull_tile(here, d, tile, ceiling, out)
        if out.q is not None:
            out.q[...] *= self.o.scale

    def _pull_tile(self, g: Any, d: Any, tile: Tile, ceiling: Any, out: Gradients) -> None:
        o, (rows, columns) = self.o, tile
        p = o.logits(tile, ceiling)
        p -= self.log_total[..., rows, :]
        self.xp.exp(p, out=p)  # the weights, as in forward
        if out.v is not None:
            out.v[..., columns, :] += transposed_product(o.dropped(p, tile), g, like=out.v)
        ds = o.dropped(product(g, o.v[..., columns, :].swapaxes(-1, -2)), tile)
        ds -= d
        ds *= p
        if out.bias is not None:
            bias = part(out.bias, tile)
            bias += unbroadcast(ds, bias.shape)
        if out.q is not None:
            out.q[..., rows, :] += product(ds, o.k[..., columns, :])
        if out.k is not None:
            out.k[..., columns, :] += transposed_product(ds, o.q[..., rows, :], like=out.k)

    def _in_sight(self, tiles: list[Tile]) -> Iterator[tuple[Tile, Any]]:
        """The tiles in which something is seen, with their ceilings."""
        o = self.o
        for tile in tiles:
            ceiling = o.sight.ceiling(self.xp, o.q.dtype, tile)
            if ceiling is not None and not (ceiling > -INF).any():
                continue
            if self.lost is not None:
                kept = o.sight.kept(o.backend, (*self.lead, *tile.shape), o.q.dtype, tile, ceiling)
                ceiling = restored(self.xp, kept, ceiling, self.lost[..., tile.rows, :])
            yield tile, ceiling

    def _loses_all(self, tiles: list[Tile]) -> Any:
        """Which queries would be left without any key, (..., rows, 1)."""
        kept = [any_seen(ceiling, -1) for _, ceiling in self._in_sight(tiles)]  # `lost` is all False as yet
        return ~reduce(or_, kept) if kept else False
