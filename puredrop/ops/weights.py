"""The straight-through estimator."""

from __future__ import annotations

from typing import Any

from ..tensor import primitive


@primitive(x=lambda g: g)
def straight_through(backend: Any, x: Any, *, value: Any) -> Any:
    """`value`, with the gradient of x: as if nothing had been done to x.

    No composition gives this: x + (value - x) rounds, and is NaN where x is infinite. Shapes: value like x.
    """
    return value
