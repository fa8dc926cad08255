"""The one map under every dropout. It is linear, and its gradient is the same map with the same key."""

from __future__ import annotations

from typing import Any, NamedTuple

from ..backends.select import select
from ..random import Draw, Threshold
from ..streams import Rule
from ..tensor import primitive
from .tiles import Tile, index_part, part


@primitive(
    x=lambda g, draw, scale: drop(g, 0.0, draw=draw, scale=scale),
    fill=lambda g, draw, backend: drop(backend.xp.zeros(g.shape, g.dtype), g, draw=draw, backend=backend),
)
def drop(backend: Any, x: Any, fill: Any, *, draw: Draw, scale: Any = 1.0, shift: float | None = None) -> Any:
    """`where(keep, x * scale [+ shift], fill)`, with the mask that `draw` names. No array is kept for backward.

    Shapes: x has `draw.index.size` elements for each key; fill is a number, or an array that broadcasts to x.
    """
    return backend.drop(x, *draw, scale, shift, fill)


@primitive(
    x=lambda g, keep, scale, rule: drop_given(g, 0.0, keep=keep, scale=scale, rule=rule),
    fill=lambda g, keep, backend: drop_given(
        backend.xp.zeros(g.shape, g.dtype), g, keep=keep, rule=select, backend=backend
    ),
)
def drop_given(
    backend: Any, x: Any, fill: Any, *, keep: Any, rule: Rule, scale: Any = 1.0, shift: float | None = None
) -> Any:
    """The same map with a mask at hand, which the graph keeps; `rule` is the arithmetic of the source."""
    if rule is select and "select" in backend.fused:
        return backend.fused["select"](x, keep, scale, shift, fill)
    return rule(backend.xp, x, keep, scale, shift, fill)


class Selection(NamedTuple):
    """The same map as a value, to be carried out later: on a whole array, or tile by tile.

    The mask is named by `draw`, or it is at hand as `keep`, with the rule of the source that it is from.
    """

    scale: Any = 1.0
    draw: Draw | None = None
    keep: Any = None
    rule: Rule | None = None

    def __call__(self, x: Any, fill: Any = 0.0, backend: Any = None) -> Any:
        """`where(keep, x * scale, fill)`."""
        if self.draw is not None:
            return drop(x, fill, draw=self.draw, scale=self.scale, backend=backend)
        return drop_given(x, fill, keep=self.keep, rule=self.rule, scale=self.scale, backend=backend)

    def part(self, tile: Tile) -> Selection:
        """The map for a tile of the array: it draws, or holds, that part of the mask."""
        scale = part(self.scale, tile)
        if self.draw is None:
            return self._replace(scale=scale, keep=part(self.keep, tile))
        key, index, (hi, lo) = self.draw
        here = Draw(key, index_part(index, tile), Threshold(part(hi, tile), part(lo, tile)))
        return self._replace(scale=scale, draw=here)
