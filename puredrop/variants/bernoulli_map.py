"""The composition behind most variants: a Bernoulli draw and the linear map applied with it.

A variant chooses the rate, the noise shape, the scale, the shift and the fill; the rest is here, once.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import backends, ops, streams
from ..random import Draw, Index, Keys, threshold
from ..tensor import Tensor, raw
from .door import checked_key, fitting_index


def inverted_scale(p: Any) -> Any:
    """1 / (1 - p), which keeps the mean; decided to be 0 at p = 1 before the quotient is formed."""
    if isinstance(p, float):
        return 0.0 if p == 1.0 else 1.0 / (1.0 - p)
    return np.where(p == 1.0, 0.0, 1.0 / np.where(p == 1.0, 1.0, 1.0 - p))


def bernoulli_map(
    operation: str,
    x: Any,
    p: Any,
    *,
    key: Keys | None,
    mask: Any = None,
    index: Index | None = None,
    scale: Any = 1.0,
    shift: float | None = None,
    fill: Any = 0.0,
    return_mask: bool = False,
    backend: Any = None,
) -> Any:
    """`where(keep, x * scale [+ shift], fill)` for a checked x and p; with the mask beside it where asked for."""
    key = checked_key(operation, key)
    index = fitting_index(operation, raw(x).shape, key, index)
    draw = Draw(key, index, threshold(p))  # type: ignore[arg-type]  # without a key, a mask or a source must answer
    if mask is None:
        answer = streams.answered(raw(x), draw, p)
    else:
        answer = streams.Given(()), streams.checked_mask(mask, raw(x).shape)
    if answer is not None:
        source, keep = answer
        y = ops.drop_given(x, fill, keep=keep, source=source, scale=scale, shift=shift, backend=backend)
    elif key is None:
        raise ValueError(f"{operation}: nothing to draw with; give key=Key(seed), or mask=")
    else:
        y = ops.drop(x, fill, draw=draw, scale=scale, shift=shift, backend=backend)
    if not return_mask:
        return y
    return y, mask_of(x, draw, backend) if answer is None else np.broadcast_to(keep, x.shape)


def selection(
    operation: str, like: Any, p: Any, index: Index, *, key: Keys | None, mask: Any = None, scale: Any = 1.0
) -> ops.Selection:
    """The map of a checked p as a value, for an array of the shape and dtype of `like`; asks the source in force."""
    if mask is not None:
        return ops.Selection(scale, keep=streams.checked_mask(mask, like.shape), source=streams.Given(()))
    draw = Draw(key, index, threshold(p))  # type: ignore[arg-type]  # without a key, a source must answer
    answer = streams.answered(like, draw, p)
    if answer is not None:
        source, keep = answer
        return ops.Selection(scale, keep=keep, source=source)
    if key is None:
        raise ValueError(f"{operation}: nothing to draw with; give key=Key(seed), or mask=")
    return ops.Selection(scale, draw)


def mask_of(x: Any, draw: Draw, backend: Any) -> Any:
    """The mask of a native draw, in the shape of x."""
    keep = backends.get(x.backend if isinstance(x, Tensor) else backend).keep(*draw)
    full = (len(draw.key), *draw.index.shape) if isinstance(draw.key, tuple) else draw.index.shape
    return np.broadcast_to(keep, full).reshape(x.shape)
