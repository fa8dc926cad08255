"""The composition behind most variants: a Bernoulli draw and the linear map applied with it.

A variant chooses the rate, the noise shape, the scale, the shift and the fill; the rest is here, once.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import backends, ops, streams
from ..random import Draw, Index, Keys, threshold
from ..tensor import Tensor, raw


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
    index = _fitting_index(operation, index, key, raw(x).shape)
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
    return (y, mask_of(x, draw, backend) if answer is None else keep) if return_mask else y


def mask_of(x: Any, draw: Draw, backend: Any) -> Any:
    """The mask of a native draw, in the shape of x."""
    keep = backends.get(x.backend if isinstance(x, Tensor) else backend).keep(*draw)
    full = (len(draw.key), *draw.index.shape) if isinstance(draw.key, tuple) else draw.index.shape
    return np.broadcast_to(keep, full).reshape(x.shape)


def _fitting_index(operation: str, index: Index | None, key: Keys | None, shape: tuple[int, ...]) -> Index:
    """The index for an array of `shape`: the whole of it unless another was given that fits."""
    keys = len(key) if isinstance(key, tuple) else 1
    if index is None:
        return Index.whole(shape[1:] if isinstance(key, tuple) else shape)
    if index.size * keys != int(np.prod(shape, dtype=np.int64)):
        raise ValueError(
            f"{operation}: an index of shape {index.shape} with {keys} key(s) does not fit x of shape {shape}"
        )
    return index
