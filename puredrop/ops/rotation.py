"""Rotary positions: a turn is linear, and its gradient is the turn back."""

from __future__ import annotations

from typing import Any

from ..tensor import primitive


@primitive(x=lambda g, cos, sin: turn(g, cos=cos, sin=-sin))
def turn(backend: Any, x: Any, *, cos: Any, sin: Any) -> Any:
    """Each pair (x_0, x_1), (x_2, x_3), ... of the last axis turned in its plane.

    Shapes: x (..., D) with D even, cos and sin broadcast to (..., D / 2); the result is like x.
    """
    y = backend.xp.empty(x.shape, x.dtype)
    a, b = x[..., ::2], x[..., 1::2]  # (..., D / 2)
    y[..., ::2] = a * cos - b * sin
    y[..., 1::2] = a * sin + b * cos
    return y
