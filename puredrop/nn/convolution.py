"""Convolutional layers, with PyTorch's names, weight layouts and first numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from .. import ops
from ..ops.windows import per_axis, window_of
from ..variants.door import checked_array, whole_number
from .init import Initialiser, fan_in_uniform
from .module import Module, Parameter

__all__ = ["Conv1d", "Conv2d", "Conv3d", "ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d"]

Each = int | Sequence[int]  # a whole number, or one for each spatial axis


class Convolution(Module):
    """Base: channels, a window, and the weight, whose two axes of channels the subclass says."""

    axes: ClassVar[int]

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: Each,
        stride: Each,
        padding: Each | Literal["same", "valid"],
        dilation: Each,
        groups: int,
        bias: bool,
        init: Initialiser | None,
    ) -> None:
        name = type(self).__name__
        self.inputs, self.outputs = (whole_number(name, n, v, 1) for n, v in (("inputs", inputs), ("outputs", outputs)))
        self.groups = whole_number(name, "groups", groups, 1)
        if inputs % groups or outputs % groups:
            raise ValueError(f"{name}: {groups} groups do not divide {inputs} input and {outputs} output channels")
        window = window_of(name, self.axes, kernel, stride, padding, dilation)
        self.kernel, self.stride, self.dilation = window.kernel, window.stride, window.dilation
        self.padding = padding if isinstance(padding, str) else window.before
        shape = (*self.channels(), *self.kernel)
        fan_in = math.prod(shape[1:])
        self.weight = Parameter(shape, init or fan_in_uniform(fan_in))
        self.bias = Parameter((outputs,), fan_in_uniform(fan_in)) if bias else None

    def channels(self) -> tuple[int, int]:
        """The first two axes of the weight."""
        return self.outputs, self.inputs // self.groups

    def options(self) -> dict[str, Any]:
        """How the window moves."""
        names = ("stride", "padding", "dilation", "groups")
        return {name: getattr(self, name) for name in names} | {"name": type(self).__name__}

    def forward(self, x: Any) -> Any:
        x = checked_array(type(self).__name__, x)
        return ops.convolution(x, self.weight, self.bias, **self.options())

    def extra_repr(self) -> str:
        plain = {"stride": (1,) * self.axes, "padding": (0,) * self.axes, "dilation": (1,) * self.axes, "groups": 1}
        changed = [f"{n}={getattr(self, n)!r}" for n, value in plain.items() if getattr(self, n) != value]
        bias = [] if self.bias is not None else ["no bias"]
        return ", ".join([f"{self.inputs} -> {self.outputs}", f"kernel={self.kernel}", *changed, *bias])


class _Forward(Convolution):
    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: Each,
        stride: Each = 1,
        padding: Each | Literal["same", "valid"] = 0,
        dilation: Each = 1,
        groups: int = 1,
        bias: bool = True,
        init: Initialiser | None = None,
    ) -> None:
        super().__init__(inputs, outputs, kernel, stride, padding, dilation, groups, bias, init)


class Conv1d(_Forward):
    """`ops.convolution` as a layer: x (N, inputs, L); weight (outputs, inputs / groups, kernel), bias (outputs,).

    kernel, stride, padding and dilation are whole numbers, or one for each axis; padding="same" keeps the size.
    `init` gives the weight's first numbers; by default, and for the bias, uniform on 1 / sqrt(fan_in) either side with
    fan_in = inputs / groups * kernel.
    """

    axes = 1


class Conv2d(_Forward):
    """As `Conv1d`, for x (N, inputs, H, W).

    >>> import numpy as np
    >>> Conv2d(3, 8, 3, padding="same").seed(0)(np.zeros((2, 3, 5, 7), np.float32)).shape
    (2, 8, 5, 7)
    """

    axes = 2


class Conv3d(_Forward):
    """As `Conv1d`, for x (N, inputs, D, H, W)."""

    axes = 3


class _Transposed(Convolution):
    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: Each,
        stride: Each = 1,
        padding: Each = 0,
        output_padding: Each = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Each = 1,
        init: Initialiser | None = None,
    ) -> None:
        super().__init__(inputs, outputs, kernel, stride, padding, dilation, groups, bias, init)
        if isinstance(padding, str):
            raise TypeError(f"{type(self).__name__}: padding must be whole numbers, got {padding!r}")
        self.output_padding = per_axis(type(self).__name__, "output_padding", output_padding, self.axes, 0)

    def channels(self) -> tuple[int, int]:
        return self.inputs, self.outputs // self.groups

    def forward(self, x: Any) -> Any:
        x = checked_array(type(self).__name__, x)
        options = self.options() | {"output_padding": self.output_padding}
        return ops.transposed_convolution(x, self.weight, self.bias, **options)

    def extra_repr(self) -> str:
        extra = f", output_padding={self.output_padding}" if any(self.output_padding) else ""
        return super().extra_repr() + extra


class ConvTranspose1d(_Transposed):
    """`ops.transposed_convolution` as a layer: x (N, inputs, L); weight (inputs, outputs / groups, kernel).

    Options as in `Conv1d`, in PyTorch's order; output_padding adds to the size at the end. The first numbers are
    uniform on 1 / sqrt(fan_in) either side, fan_in = outputs / groups * kernel, as in PyTorch.
    """

    axes = 1


class ConvTranspose2d(_Transposed):
    """As `ConvTranspose1d`, for x (N, inputs, H, W).

    >>> import numpy as np
    >>> ConvTranspose2d(8, 3, 2, stride=2).seed(0)(np.zeros((2, 8, 5, 7), np.float32)).shape
    (2, 3, 10, 14)
    """

    axes = 2


class ConvTranspose3d(_Transposed):
    """As `ConvTranspose1d`, for x (N, inputs, D, H, W)."""

    axes = 3
