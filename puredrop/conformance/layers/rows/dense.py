"""Rows for dense layers."""

from __future__ import annotations

from typing import Any

from .... import nn
from ..case import LayerCase, normal


def mlp(torch: Any, weights: dict[str, Any], noise: Any, x: Any) -> Any:
    """Linear, tanh, dropout, linear."""
    F = torch.nn.functional
    h = noise.dropout(torch.tanh(F.linear(x, weights["0.weight"], weights["0.bias"])), 0.5)
    return F.linear(h, weights["3.weight"], weights["3.bias"])


CASES = (
    LayerCase(
        layer="Linear",
        option="plain",
        make=lambda: nn.Linear(4, 3),
        inputs=lambda: (normal(5, 4),),
        reference=lambda torch, w, noise, x: torch.nn.functional.linear(x, w["weight"], w["bias"]),
    ),
    LayerCase(
        layer="Linear",
        option="no bias, several leading axes",
        make=lambda: nn.Linear(4, 3, bias=False),
        inputs=lambda: (normal(2, 5, 4),),
        reference=lambda torch, w, noise, x: torch.nn.functional.linear(x, w["weight"]),
    ),
    LayerCase(
        layer="Sequential",
        option="MLP with dropout",
        make=lambda: nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Dropout(0.5), nn.Linear(6, 3)),
        inputs=lambda: (normal(5, 4),),
        reference=mlp,
    ),
)
