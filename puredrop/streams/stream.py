"""What the streams of all libraries have in common: whole masks, in order, and a refusal of what is not known."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np

from ..backends.select import select
from .source import Request, Rule

Shape = tuple[int, ...]


class Wanted(NamedTuple):
    """A mask as a library would see it: of noise of `shape`, each element dropped with probability p, 0 < p < 1.

    data: the shape of the array that it is for; strides: how that lies in memory, in elements. dtype: its name.
    site: the number of the layer that asks, None for a function.
    """

    operation: str
    shape: Shape
    p: float
    dtype: str
    data: Shape
    strides: Shape
    site: int | None = None


class Stream:
    """The generator of a library as a source of masks, for `draw_from`: the masks that it would draw, in order.

    A stream has a state and moves on with every mask. Where the library draws nothing (p = 0, p = 1, no elements), it
    does not move. What a stream is not known to reproduce raises NotImplementedError; there is no plausible guess.
    A subclass names its `library`, the version it was `verified` with, the `operations` and `dtypes` that it
    reproduces, and defines `draw` and, where the library's arithmetic differs from ours, `arithmetic`.
    """

    library: ClassVar[str]
    verified: ClassVar[str]
    operations: ClassVar[Collection[str]]
    dtypes: ClassVar[Collection[str]] = ("float32", "float64")

    def draw(self, wanted: Wanted) -> np.ndarray:
        """The next mask, bool of `wanted.shape`, True = kept; moves on."""
        raise NotImplementedError

    def draws_at(self, wanted: Wanted) -> bool:
        """Whether the library draws anything for this; at p = 0 and 1, or without elements, it does not."""
        return wanted.p not in (0, 1) and math.prod(wanted.data) > 0

    def arithmetic(self, operation: str, p: float) -> Rule:
        """How the library computes values with a mask: rule(xp, x, keep, scale, shift, fill)."""
        return select

    def mask(
        self,
        shape: int | Sequence[int],
        p: float,
        *,
        operation: str = "dropout",
        dtype: Any = "float32",
        strides: Sequence[int] | None = None,
    ) -> np.ndarray:
        """The mask that the library would draw next for an array of this shape: bool, True = kept.

        operation: the function of puredrop that it is for. strides: how the array lies in memory, in elements, as
        PyTorch's `x.stride()`; by default in C order.
        Raises: NotImplementedError for what this stream is not known to reproduce; ValueError for p outside [0, 1].
        """
        data = (shape,) if isinstance(shape, int) else tuple(map(int, shape))
        strides = contiguous(data) if strides is None else tuple(map(int, strides))
        name = dtype if isinstance(dtype, str) else np.dtype(dtype).name
        return self._next(Wanted(operation, noise_shape(operation, data), p, name, data, strides))

    def keep(self, request: Request) -> np.ndarray:
        """The next mask, for the variant that asks."""
        key, index, _ = request.draw
        if isinstance(key, tuple):
            self.refuse(f"{len(key)} samples at once", "one sample at a time, in the order of the library")
        if np.ndim(request.p):
            self.refuse("a rate for each element", "one rate")
        x = request.x
        if index.offset or index.rows is not None or index.shape != x.shape or not _is_whole(index):
            self.refuse("a part of a noise tensor", "whole arrays")
        strides = _in_order(x.shape, request.order) if request.order else _element_strides(x)
        site = getattr(key, "site", None)
        dtype = x.dtype.name
        return self._next(Wanted(request.operation, index.noise_shape, float(request.p), dtype, x.shape, strides, site))

    def rule(self, request: Request) -> Rule:
        return self.arithmetic(request.operation, float(request.p))

    def real(self, operation: str) -> None:
        self.refuse(f"the real noise of {operation}", "masks")

    def refuse(self, what: str, known: str) -> None:
        """Raise NotImplementedError: this stream cannot reproduce `what`; it is known to reproduce `known`."""
        raise NotImplementedError(
            f"{type(self).__name__}: cannot reproduce {what}; known to work ({self.verified}): {known}"
        )

    def _next(self, wanted: Wanted) -> np.ndarray:
        if wanted.operation not in self.operations:
            self.refuse(wanted.operation, ", ".join(self.operations))
        if wanted.dtype not in self.dtypes:
            self.refuse(f"masks for {wanted.dtype}", ", ".join(self.dtypes))
        if not 0 <= wanted.p <= 1:
            raise ValueError(f"{type(self).__name__}: p must lie in [0, 1], got {wanted.p}")
        return self.draw(wanted) if self.draws_at(wanted) else np.full(wanted.shape, wanted.p < 1)


# `dropout` with shared axes: what a library with a `noise_shape` does.
SHARED_AXES = (
    "dropout",
    "spatial_dropout",
    "dropout1d",
    "dropout2d",
    "dropout3d",
    "locked_dropout",
    "batchwise_dropout",
    "token_dropout",
)
PER_CHANNEL = ("spatial_dropout", "dropout1d", "dropout2d", "dropout3d", "feature_alpha_dropout")
WITHOUT_A_BATCH = {"dropout1d": 2, "dropout3d": 4}  # axes of (C, L) and (C, D, H, W)


def noise_shape(operation: str, data: Shape) -> Shape:
    """The shape of the noise of an operation on an array of shape `data`: (N, C, 1, ...) where channels are dropped.

    >>> noise_shape("dropout1d", (4, 3, 7)), noise_shape("dropout1d", (3, 7)), noise_shape("dropout", (3, 7))
    ((4, 3, 1), (3, 1), (3, 7))
    """
    if operation not in PER_CHANNEL:
        return data
    kept = 1 if WITHOUT_A_BATCH.get(operation) == len(data) else 2
    return (*data[:kept], *(1,) * (len(data) - kept))


def contiguous(shape: Shape) -> Shape:
    """The strides, in elements, of an array in C order.

    >>> contiguous((2, 3, 4))
    (12, 4, 1)
    """
    return _in_order(shape, range(len(shape)))


def _in_order(shape: Shape, order: Sequence[int]) -> Shape:
    """The strides, in elements, of a dense array whose axes lie in this order, slowest first."""
    strides, step = [0] * len(shape), 1
    for axis in reversed(order):
        strides[axis] = step
        step *= max(1, shape[axis])
    return tuple(strides)


def _element_strides(x: Any) -> Shape:
    return tuple(step // x.itemsize for step in x.strides)


def _is_whole(index: Any) -> bool:
    """Whether an index names every element of its noise once, in C order."""
    noise = index.noise_shape
    return all(s == step for n, s, step in zip(noise, index.strides, contiguous(noise), strict=True) if n > 1)
