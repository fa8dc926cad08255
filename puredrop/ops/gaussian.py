"""The map under Gaussian dropout. It is linear, and its gradient is the same map with the same key."""

from __future__ import annotations

from typing import Any

from ..random import Index, Keys
from ..tensor import primitive


@primitive(x=lambda g, key, index, spread: times_normal(g, key=key, index=index, spread=spread))
def times_normal(backend: Any, x: Any, *, key: Keys, index: Index, spread: float) -> Any:
    """x (1 + spread e) with the normal numbers e at (key, index). No array is kept for backward.

    Shapes: x has `index.size` elements for each key.
    """
    y = backend.fused["times_normal"](x, key, index, spread) if "times_normal" in backend.fused else None
    if y is not None:
        return y
    factor = spread * backend.normal(key, index, x.dtype)  # ([keys,] *noise)
    factor += 1
    full = (len(key), *index.shape) if isinstance(key, tuple) else index.shape
    return (x.reshape(full) * factor).reshape(x.shape)
