"""The linear map of dropout with its mask at hand: the reference for every fused kernel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..random import Index, Keys, Threshold


def select(xp: Any, x: Any, keep: Any, scale: Any = 1.0, shift: float | None = None, fill: Any = 0.0) -> Any:
    """`where(keep, x * scale [+ shift], fill)`, computed in float32 (float64 for float64) and rounded once.

    Selected, never multiplied by the mask: a dropped NaN or infinity cannot reach the result, dropped is +0, and a
    kept -0.0 stays. An absent shift is absent, for -0.0 + 0 would be +0.
    Shapes: x any; keep, scale and fill broadcast to it. Dtypes: the result has the dtype of x.
    """
    wide = np.promote_types(x.dtype, np.float32)
    with np.errstate(over="ignore", invalid="ignore"):  # what happens at a dropped place is nobody's business
        y = x.astype(wide, copy=False) * xp.asarray(scale, wide)
        if shift is not None:
            y = y + wide.type(shift)
        return xp.where(keep, y, xp.asarray(fill, wide)).astype(x.dtype, copy=False)


def composed_drop(
    keep_mask: Callable[..., Any],
    xp: Any,
    x: Any,
    key: Keys,
    index: Index,
    threshold: Threshold,
    scale: Any = 1.0,
    shift: float | None = None,
    fill: Any = 0.0,
) -> Any:
    """A backend's `drop` made of its `keep` and `select`: the general case, and the oracle of the fused one."""
    keep = keep_mask(key, index, threshold)  # (keys,) + noise_shape
    full = (len(key), *index.shape) if isinstance(key, tuple) else index.shape
    if np.ndim(fill):
        fill = xp.broadcast_to(fill, x.shape).reshape(full)
    return select(xp, x.reshape(full), keep, scale, shift, fill).reshape(x.shape)
