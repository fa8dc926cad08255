"""Normalisation layers, with PyTorch's names; and the independent-component layer, which is one of them and dropout."""

from __future__ import annotations

import math
import numbers
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from .. import ops
from ..ops.normalise import along_channels, channelwise, group_norm, layer_norm, standardise
from ..random import journal
from ..tensor import raw
from ..variants.door import checked_array, whole_number
from ..variants.schedules import Schedule
from .dropout import Dropout
from .init import ones, zeros
from .module import Buffer, Module, Parameter

__all__ = ["BatchNorm1d", "BatchNorm2d", "BatchNorm3d", "GroupNorm", "IndependentComponent", "LayerNorm"]


class BatchNorm(Module):
    """Base of batch normalisation; use the class with the number of spatial axes in its name.

    In train mode each channel (axis 1) is standardised over the batch and the spatial axes, and the running statistics
    move by `momentum` towards those of the batch (the variance with the divisor n - 1); momentum=None gives the mean
    over all batches so far. In eval and sample mode the running statistics are used and stay as they are: Monte-Carlo
    samples are those of dropout alone. Without `track_running_stats` every mode uses those of the batch.
    Raises: ValueError for another rank or number of channels, or for a batch with one value for each channel.
    Reference: Ioffe & Szegedy, "Batch normalization" (2015).
    """

    expected: ClassVar[dict[int, str]]  # rank of x -> its axes

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
    ) -> None:
        name = type(self).__name__
        self.num_features, self.eps = whole_number(name, "num_features", num_features, 1), _number(name, "eps", eps)
        self.momentum = None if momentum is None else _number(name, "momentum", momentum, most=1.0)
        channels = (self.num_features,)
        self.weight = Parameter(channels, ones) if affine else None
        self.bias = Parameter(channels, zeros) if affine else None
        self.running_mean: Any = Buffer(np.zeros(channels, np.float32)) if track_running_stats else None
        self.running_var: Any = Buffer(np.ones(channels, np.float32)) if track_running_stats else None
        self.num_batches_tracked: Any = Buffer(np.int64(0)) if track_running_stats else None

    def forward(self, x: Any) -> Any:
        x = checked_array(type(self).__name__, x)
        _require_channels(self, x, self.num_features, self.expected)
        given = journal.remembered(self._given_statistics)
        return channelwise(self._by_the_batch(x) if given is None else self._by(x, *given), *_affine(self))

    def _given_statistics(self) -> tuple[Any, Any] | None:
        """The running statistics, where they are to be used and not those of the batch."""
        if self.running_mean is None or self.current_mode() == "train":
            return None
        return self.running_mean.data, self.running_var.data

    def _by(self, x: Any, mean: Any, variance: Any) -> Any:
        rank = len(x.shape)
        return (x - along_channels(mean, rank)) / ops.sqrt(along_channels(variance, rank) + self.eps)

    def _by_the_batch(self, x: Any) -> Any:
        values = math.prod(x.shape) // self.num_features
        if values < 2:
            raise ValueError(
                f"{type(self).__name__}: the statistics of a batch need two values or more for each channel, "
                f"got x of shape {x.shape}; give more examples, or call .eval()"
            )
        y, mean, variance = standardise(x, (0, *range(2, len(x.shape))), self.eps)
        if self.running_mean is not None:  # a recomputation does not move them again
            journal.remembered(lambda: self._move(raw(mean), raw(variance) * (values / (values - 1))))
        return y

    def _move(self, mean: Any, variance: Any) -> None:
        """Move the running statistics towards these."""
        count = int(self.num_batches_tracked) + 1
        share = 1 / count if self.momentum is None else self.momentum
        self.num_batches_tracked.fill(count)
        for running, new in ((self.running_mean, mean), (self.running_var, variance)):
            running.fill((1 - share) * running.data + share * new.reshape(-1))

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.weight is not None}, "
            f"track_running_stats={self.running_mean is not None}"
        )


class BatchNorm1d(BatchNorm):
    """Batch normalisation of (N, C) or (N, C, L).

    >>> layer = BatchNorm1d(2).seed(0)
    >>> layer(np.array([[1.0, 5.0], [3.0, 5.0]])).numpy().round(3).tolist(), layer.running_mean.tolist()
    ([[-1.0, 0.0], [1.0, 0.0]], [0.20000000298023224, 0.5])
    """

    expected: ClassVar = {2: "(N, C)", 3: "(N, C, L)"}


class BatchNorm2d(BatchNorm):
    """Batch normalisation of (N, C, H, W)."""

    expected: ClassVar = {4: "(N, C, H, W)"}


class BatchNorm3d(BatchNorm):
    """Batch normalisation of (N, C, D, H, W)."""

    expected: ClassVar = {5: "(N, C, D, H, W)"}


class GroupNorm(Module):
    """`ops.normalise.group_norm` as a layer, the same in every mode: x (N, C, ...), in groups of channels.

    >>> GroupNorm(2, 4).seed(0)(np.array([[1.0, 3.0, 5.0, 9.0]])).numpy().round(3).tolist()
    [[-1.0, 1.0, -1.0, 1.0]]
    """

    def __init__(self, num_groups: int, num_channels: int, eps: float = 1e-5, affine: bool = True) -> None:
        self.num_groups = whole_number("GroupNorm", "num_groups", num_groups, 1)
        self.num_channels = whole_number("GroupNorm", "num_channels", num_channels, 1)
        if self.num_channels % self.num_groups:
            raise ValueError(f"GroupNorm: {num_channels} channels do not make {num_groups} equal groups")
        self.eps = _number("GroupNorm", "eps", eps)
        self.weight = Parameter((self.num_channels,), ones) if affine else None
        self.bias = Parameter((self.num_channels,), zeros) if affine else None

    def forward(self, x: Any) -> Any:
        x = checked_array("GroupNorm", x)
        _require_channels(self, x, self.num_channels)
        return group_norm(x, self.num_groups, *_affine(self), self.eps)

    def extra_repr(self) -> str:
        return f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.weight is not None}"


class LayerNorm(Module):
    """`ops.normalise.layer_norm` as a layer, the same in every mode: over the last axes, of `normalized_shape`.

    >>> LayerNorm(2).seed(0)(np.array([[1.0, 3.0], [0.0, 8.0]])).numpy().round(3).tolist()
    [[-1.0, 1.0], [-1.0, 1.0]]
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
    ) -> None:
        shape = (normalized_shape,) if hasattr(normalized_shape, "__index__") else tuple(normalized_shape)
        self.normalized_shape = tuple(whole_number("LayerNorm", "normalized_shape", n, 1) for n in shape)
        if not shape:
            raise ValueError("LayerNorm: normalized_shape must have one axis or more, got ()")
        self.eps = _number("LayerNorm", "eps", eps)
        self.weight = Parameter(self.normalized_shape, ones) if elementwise_affine else None
        self.bias = Parameter(self.normalized_shape, zeros) if elementwise_affine and bias else None

    def forward(self, x: Any) -> Any:
        x, dims = checked_array("LayerNorm", x), len(self.normalized_shape)
        if x.shape[-dims:] != self.normalized_shape:
            raise ValueError(f"LayerNorm: the last axes of x must be {self.normalized_shape}, got shape {x.shape}")
        return layer_norm(x, *_affine(self), self.eps, dims)

    def extra_repr(self) -> str:
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.weight is not None}"


class IndependentComponent(Module):
    """Batch normalisation, then dropout: to be put before a layer with a weight, in place of batch norm behind it.

    Its outputs are less dependent on each other than its inputs: standardised, then kept at random. The rates of the
    paper are small; a batch norm further on still sees a variance of 1 / (1 - p) times that of evaluation.
    Reference: Chen et al., "Rethinking the usage of batch normalization and dropout in the training of deep neural
    networks" (2019).

    >>> IndependentComponent(BatchNorm1d(8, affine=False), p=0.05)
    IndependentComponent(
      (norm): BatchNorm1d(8, eps=1e-05, momentum=0.1, affine=False, track_running_stats=True)
      (dropout): Dropout(p=0.05)
    )
    """

    def __init__(self, norm: BatchNorm, p: float | Schedule = 0.05) -> None:
        if not isinstance(norm, BatchNorm):
            raise TypeError(
                f"IndependentComponent: norm must be batch normalisation, got {norm!r}; write BatchNorm1d(features)"
            )
        self.norm, self.dropout = norm, Dropout(p)

    def forward(self, x: Any) -> Any:
        return self.dropout(self.norm(x))


def _affine(layer: Any) -> tuple[Any, Any]:
    """Weight and bias of a layer; the numbers that change nothing in place of absent ones."""
    return (1.0 if layer.weight is None else layer.weight, 0.0 if layer.bias is None else layer.bias)


def _number(layer: str, name: str, value: Any, most: float = math.inf) -> float:
    """A number from 0 to `most`. Raises TypeError, ValueError."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{layer}: {name} must be a number, got {value!r}")
    if not 0 <= float(value) <= most:
        raise ValueError(f"{layer}: {name} must lie in [0, {most:g}], got {value}")
    return float(value)


def _require_channels(layer: Module, x: Any, channels: int, expected: dict[int, str] | None = None) -> None:
    name, rank = type(layer).__name__, len(x.shape)
    if rank < 2 or (expected is not None and rank not in expected):
        raise ValueError(
            f"{name}: x must be {' or '.join((expected or {2: '(N, C, ...)'}).values())}, got shape {x.shape}"
        )
    if x.shape[1] != channels:
        raise ValueError(f"{name}: axis 1 of x must have {channels} channels, got shape {x.shape}")
