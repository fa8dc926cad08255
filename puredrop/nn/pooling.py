"""Pooling layers, with PyTorch's names. Those that draw, `MaxPoolDropout` and `StochasticPool`, are in `structured`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from .. import ops
from ..ops.windows import per_axis, window_of
from ..variants.door import checked_array
from .module import Module

__all__ = [
    "MaxPool1d",
    "MaxPool2d",
    "MaxPool3d",
    "AvgPool1d",
    "AvgPool2d",
    "AvgPool3d",
    "AdaptiveAvgPool1d",
    "AdaptiveAvgPool2d",
    "AdaptiveAvgPool3d",
    "AdaptiveMaxPool1d",
    "AdaptiveMaxPool2d",
    "AdaptiveMaxPool3d",
]

Each = int | Sequence[int]  # a whole number, or one for each spatial axis


class _Pool(Module):
    """Base: the number of spatial axes, the operation and its options."""

    axes: ClassVar[int]
    operation: ClassVar[Any]
    options: dict[str, Any]

    def forward(self, x: Any) -> Any:
        name = type(self).__name__
        x = checked_array(name, x)
        if len(x.shape) != self.axes + 2:
            raise ValueError(f"{name}: x must be (N, C, and {self.axes} spatial axes), got shape {x.shape}")
        return type(self).operation(x, **self.options, name=name)

    def extra_repr(self) -> str:
        return ", ".join(f"{name}={value!r}" for name, value in self.options.items())


class _MaxPool(_Pool):
    operation = staticmethod(ops.max_pool)

    def __init__(self, kernel: Each, stride: Each | None = None, padding: Each = 0, dilation: Each = 1) -> None:
        stride = kernel if stride is None else stride
        window = window_of(type(self).__name__, self.axes, kernel, stride, padding, dilation)
        moves = {"stride": window.stride, "padding": window.before, "dilation": window.dilation}
        self.options = {"kernel": window.kernel, **moves}


class MaxPool1d(_MaxPool):
    """`ops.max_pool` as a layer, for x (N, C, L). stride is the kernel unless given."""

    axes = 1


class MaxPool2d(_MaxPool):
    """`ops.max_pool` as a layer, for x (N, C, H, W).

    >>> import numpy as np
    >>> MaxPool2d(2)(np.arange(16.0).reshape(1, 1, 4, 4)).tolist()
    [[[[5.0, 7.0], [13.0, 15.0]]]]
    """

    axes = 2


class MaxPool3d(_MaxPool):
    """`ops.max_pool` as a layer, for x (N, C, D, H, W)."""

    axes = 3


class _AvgPool(_Pool):
    operation = staticmethod(ops.avg_pool)

    def __init__(
        self, kernel: Each, stride: Each | None = None, padding: Each = 0, count_include_pad: bool = True
    ) -> None:
        window = window_of(type(self).__name__, self.axes, kernel, kernel if stride is None else stride, padding)
        moves = {"stride": window.stride, "padding": window.before}
        self.options = {"kernel": window.kernel, **moves, "count_include_pad": count_include_pad}


class AvgPool1d(_AvgPool):
    """`ops.avg_pool` as a layer, for x (N, C, L). stride is the kernel unless given."""

    axes = 1


class AvgPool2d(_AvgPool):
    """`ops.avg_pool` as a layer, for x (N, C, H, W)."""

    axes = 2


class AvgPool3d(_AvgPool):
    """`ops.avg_pool` as a layer, for x (N, C, D, H, W)."""

    axes = 3


class _Adaptive(_Pool):
    def __init__(self, size: int | Sequence[int | None] | None) -> None:
        given = size if isinstance(size, Sequence) else (size,) * self.axes
        per_axis(type(self).__name__, "size", [1 if n is None else n for n in given], self.axes, 1)
        self.options = {"size": tuple(given)}


class _AdaptiveAvgPool(_Adaptive):
    operation = staticmethod(ops.adaptive_avg_pool)


class AdaptiveAvgPool1d(_AdaptiveAvgPool):
    """`ops.adaptive_avg_pool` as a layer, for x (N, C, L). Size 1 is global pooling."""

    axes = 1


class AdaptiveAvgPool2d(_AdaptiveAvgPool):
    """`ops.adaptive_avg_pool` as a layer, for x (N, C, H, W).

    >>> import numpy as np
    >>> AdaptiveAvgPool2d(1)(np.arange(16.0).reshape(1, 1, 4, 4)).tolist()
    [[[[7.5]]]]
    """

    axes = 2


class AdaptiveAvgPool3d(_AdaptiveAvgPool):
    """`ops.adaptive_avg_pool` as a layer, for x (N, C, D, H, W)."""

    axes = 3


class _AdaptiveMaxPool(_Adaptive):
    operation = staticmethod(ops.adaptive_max_pool)


class AdaptiveMaxPool1d(_AdaptiveMaxPool):
    """`ops.adaptive_max_pool` as a layer, for x (N, C, L). Size 1 is global pooling."""

    axes = 1


class AdaptiveMaxPool2d(_AdaptiveMaxPool):
    """`ops.adaptive_max_pool` as a layer, for x (N, C, H, W)."""

    axes = 2


class AdaptiveMaxPool3d(_AdaptiveMaxPool):
    """`ops.adaptive_max_pool` as a layer, for x (N, C, D, H, W)."""

    axes = 3
