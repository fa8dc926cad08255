"""Deterministic layers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from .. import ops
from .init import Initialiser, fan_in_uniform
from .module import Module, Parameter


class Sequential(Module):
    """Layers one after the other. Their names are their numbers, as in PyTorch.

    >>> Sequential(Linear(4, 2), ReLU())
    Sequential(
      (0): Linear(4 -> 2)
      (1): ReLU()
    )
    """

    def __init__(self, *layers: Module) -> None:
        for i, layer in enumerate(layers):
            if not isinstance(layer, Module):
                raise TypeError(f"Sequential: layer {i} must be a Module, got {type(layer).__name__}")
            setattr(self, str(i), layer)

    def forward(self, x: Any) -> Any:
        for layer in self:
            x = layer(x)
        return x

    def __iter__(self) -> Iterator[Module]:
        return iter([layer for name, layer in vars(self).items() if name.isdigit()])

    def __len__(self) -> int:
        return sum(name.isdigit() for name in vars(self))

    def __getitem__(self, i: int) -> Module:
        if not -len(self) <= i < len(self):
            raise IndexError(f"Sequential: no layer {i} among {len(self)}")
        return getattr(self, str(i % len(self)))


class Linear(Module):
    """y = x W^T + b. Shapes: x (..., inputs) -> (..., outputs); weight (outputs, inputs), bias (outputs,).

    `init` gives the weight's first numbers; by default, and for the bias, uniform on 1 / sqrt(inputs) either side.
    """

    def __init__(self, inputs: int, outputs: int, bias: bool = True, init: Initialiser | None = None) -> None:
        self.inputs, self.outputs = inputs, outputs
        self.weight = Parameter((outputs, inputs), init or fan_in_uniform(inputs))
        self.bias = Parameter((outputs,), fan_in_uniform(inputs)) if bias else None

    def forward(self, x: Any) -> Any:
        if not x.shape or x.shape[-1] != self.inputs:
            raise ValueError(f"Linear: the last axis of x must be {self.inputs}, got shape {x.shape}")
        return ops.linear(x, self.weight, 0.0 if self.bias is None else self.bias)

    def extra_repr(self) -> str:
        return f"{self.inputs} -> {self.outputs}" + (", no bias" if self.bias is None else "")


class Identity(Module):
    """x as it is."""

    def forward(self, x: Any) -> Any:
        return x


class ReLU(Module):
    """max(x, 0)."""

    def forward(self, x: Any) -> Any:
        return ops.relu(x)


class LeakyReLU(Module):
    """x where it is positive, else slope x."""

    def __init__(self, slope: float = 0.01) -> None:
        self.slope = slope

    def forward(self, x: Any) -> Any:
        return ops.leaky_relu(x, self.slope)

    def extra_repr(self) -> str:
        return f"slope={self.slope}"


class ELU(Module):
    """x where it is positive, else alpha (e^x - 1)."""

    def __init__(self, alpha: float = 1.0) -> None:
        self.alpha = alpha

    def forward(self, x: Any) -> Any:
        return ops.elu(x, self.alpha)

    def extra_repr(self) -> str:
        return f"alpha={self.alpha}"


class SELU(Module):
    """The self-normalising unit; its dropout is `AlphaDropout`."""

    def forward(self, x: Any) -> Any:
        return ops.selu(x)


class SiLU(Module):
    """x / (1 + e^-x)."""

    def forward(self, x: Any) -> Any:
        return ops.silu(x)


class GELU(Module):
    """x times the normal distribution function of x; by way of tanh for approximate="tanh"."""

    def __init__(self, approximate: Literal["none", "tanh"] = "none") -> None:
        if approximate not in ("none", "tanh"):
            raise ValueError(f"GELU: approximate must be 'none' or 'tanh', got {approximate!r}")
        self.approximate: Literal["none", "tanh"] = approximate

    def forward(self, x: Any) -> Any:
        return ops.gelu(x, self.approximate)

    def extra_repr(self) -> str:
        return "" if self.approximate == "none" else f"approximate={self.approximate!r}"


class Tanh(Module):
    """tanh(x)."""

    def forward(self, x: Any) -> Any:
        return ops.tanh(x)


class Sigmoid(Module):
    """1 / (1 + e^-x)."""

    def forward(self, x: Any) -> Any:
        return ops.sigmoid(x)


class Softmax(Module):
    """Softmax over the last axis."""

    def forward(self, x: Any) -> Any:
        return ops.softmax(x)


class Flatten(Module):
    """(N, ...) -> (N, features)."""

    def forward(self, x: Any) -> Any:
        return ops.flatten(x, 1)
