"""The composition behind most variants: a Bernoulli draw and the linear map applied with it.

A variant chooses the rate, the noise shape, the scale, the shift and the fill; the rest is here, once.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import ops
from ..backends.select import select
from ..random import Index
from ..tensor import raw
from .asked import Asked
from .door import unchanged
from .noise import draw_at, foreign_mask, spread


def inverted_scale(p: Any) -> Any:
    """1 / (1 - p), which keeps the mean; decided to be 0 at p = 1 before the quotient is formed."""
    if isinstance(p, float):
        return 0.0 if p == 1.0 else 1.0 / (1.0 - p)
    return np.where(p == 1.0, 0.0, 1.0 / np.where(p == 1.0, 1.0, 1.0 - p))


def bernoulli_map(
    asked: Asked, x: Any, p: Any, index: Index, *, scale: Any = 1.0, shift: float | None = None, fill: Any = 0.0
) -> Any:
    """`where(keep, x * scale [+ shift], fill)` for a checked x and p; with the mask beside it where asked for.

    In evaluation and at p = 0 it is x.
    """
    y, keep = map_and_mask(asked, x, p, index, scale=scale, shift=shift, fill=fill)
    return asked.answer(unchanged(x) if y is x else y, keep)


def map_and_mask(
    asked: Asked, x: Any, p: Any, index: Index, *, scale: Any = 1.0, shift: float | None = None, fill: Any = 0.0
) -> tuple[Any, Any]:
    """The same for variants that do more with it: always (y, mask), with None for a mask that nobody asked for."""
    if not asked.draws(p):
        return x, asked.neutral(x)
    draw = draw_at(asked, p, index)
    foreign = foreign_mask(asked, raw(x), p, draw)
    if foreign is None:
        asked.needed_key()
        y = ops.drop(x, fill, draw=draw, scale=scale, shift=shift, backend=asked.backend)
    else:
        rule, keep = foreign
        y = ops.drop_given(x, fill, keep=keep, rule=rule, scale=scale, shift=shift, backend=asked.backend)
    if not asked.return_mask:
        return y, None
    if foreign is None:  # the map itself never holds its mask
        keep = spread(asked, asked.backend_of(x).keep(*draw), index, x.shape)
    return y, np.broadcast_to(keep, x.shape)


def map_given(asked: Asked, x: Any, keep: Any, *, scale: Any = 1.0, fill: Any = 0.0) -> Any:
    """The same map with a mask that the variant has made itself."""
    return ops.drop_given(x, fill, keep=keep, rule=select, scale=scale, backend=asked.backend)


def selection(asked: Asked, like: Any, p: Any, index: Index, *, scale: Any = 1.0) -> ops.Selection:
    """The same map as a value, for an array like `like` that need not be there at once."""
    draw = draw_at(asked, p, index)
    foreign = foreign_mask(asked, like, p, draw)
    if foreign is None:
        asked.needed_key()
        return ops.Selection(scale, draw)
    rule, keep = foreign
    return ops.Selection(scale, keep=keep, rule=rule)
