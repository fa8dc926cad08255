"""Rows for activations, each behind a dense layer, so that there is something to train."""

from __future__ import annotations

from typing import Any

from .... import nn
from ..case import LayerCase, normal


def activation(option: str, layer: nn.Module, function: str, *arguments: Any, **keywords: Any) -> LayerCase:
    """`Linear`, then the layer, beside `torch.nn.functional.<function>`."""

    def reference(torch: Any, weights: dict[str, Any], noise: Any, x: Any) -> Any:
        F = torch.nn.functional
        return getattr(F, function)(F.linear(x, weights["0.weight"], weights["0.bias"]), *arguments, **keywords)

    return LayerCase(
        layer=type(layer).__name__,
        option=option,
        make=lambda: nn.Sequential(nn.Linear(4, 3), layer),
        inputs=lambda: (2 * normal(5, 4),),
        reference=reference,
    )


CASES = (
    activation("plain", nn.GELU(), "gelu"),
    activation("tanh form", nn.GELU("tanh"), "gelu", approximate="tanh"),
    activation("plain", nn.SiLU(), "silu"),
    activation("plain", nn.LeakyReLU(), "leaky_relu", 0.01),
    activation("slope 0.3", nn.LeakyReLU(0.3), "leaky_relu", 0.3),
    activation("plain", nn.ELU(), "elu", 1.0),
    activation("alpha 0.5", nn.ELU(0.5), "elu", 0.5),
    activation("plain", nn.SELU(), "selu"),
)
