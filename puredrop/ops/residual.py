"""A product whose gradient is another product, on purpose: the shake family trains with a false gradient."""

from __future__ import annotations

from typing import Any

from ..tensor import primitive


@primitive(x=lambda g, backward: shake(g, forward=backward, backward=backward))
def shake(backend: Any, x: Any, *, forward: Any, backward: Any) -> Any:
    """x * forward, but the gradient is g * backward: no composition of true gradients gives that.

    Where a factor is 0 the result is 0, whatever x is. Shapes: both factors broadcast to x.
    """
    return backend.xp.where(forward != 0, x, 0.0) * forward
