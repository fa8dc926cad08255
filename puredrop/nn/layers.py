"""Deterministic layers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

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
        return (self[i] for i in range(len(self)))

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


class ReLU(Module):
    """max(x, 0)."""

    def forward(self, x: Any) -> Any:
        return ops.relu(x)


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
