"""The one map under every dropout. It is linear, and its gradient is the same map with the same key."""

from __future__ import annotations

from typing import Any

from ..random import Draw
from ..streams import Source
from ..tensor import primitive


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
    x=lambda g, keep, scale, source: drop_given(g, 0.0, keep=keep, scale=scale, source=source),
    fill=lambda g, keep, source, backend: drop_given(
        backend.xp.zeros(g.shape, g.dtype), g, keep=keep, source=source, backend=backend
    ),
)
def drop_given(
    backend: Any, x: Any, fill: Any, *, keep: Any, source: Source, scale: Any = 1.0, shift: float | None = None
) -> Any:
    """The same map with a mask at hand, which the graph keeps; `source` knows the rule for values."""
    return source.select(backend.xp, x, keep, scale, shift, fill)
