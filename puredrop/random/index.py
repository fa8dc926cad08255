"""Which elements of a noise tensor a call draws: one affine rule for shapes, shards and chunks.

A noise tensor has a *global* shape, shared axes have size 1, and its elements are numbered in C order. An `Index` is a
virtual array of those numbers: slice it as you would slice the array, and it says which elements the slice holds.
Hence a shard draws exactly its part of the whole.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

ELEMENT_LIMIT = 1 << 48
_INTEGERS = frozenset({int})  # neither truth values nor what merely equals a whole number, such as 2.0


@dataclass(frozen=True, eq=False)
class Index:
    """Element numbers `offset + rows[i0] * strides[0] + sum_k i_k * strides[k]`; stride 0 marks a shared axis.

    Shapes: `shape` is what the caller's array has; `noise_shape` is the same with shared axes of size 1.

    >>> Index.whole((4, 3)).elements()[2]
    array([6, 7, 8])
    >>> Index.whole((4, 3))[2:, 1:].elements()              # a shard holds its part of the whole
    array([[ 7,  8],
           [10, 11]])
    >>> Index.whole((4, 3), shared=1).elements().ravel()    # one number a row
    array([0, 1, 2, 3])
    """

    shape: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int = 0
    rows: np.ndarray | None = None
    __iter__ = None  # an index is sliced, not walked over

    def __post_init__(self) -> None:
        last = self.offset + sum(max(0, n - 1) * s for n, s in zip(self.shape, self.strides, strict=True))
        if not 0 <= last < ELEMENT_LIMIT:
            raise ValueError(f"Index: element number {last} is beyond 2^48; draw parts of the noise from several keys")

    @staticmethod
    def whole(shape: int | Sequence[int], shared: int | Sequence[int] = ()) -> Index:
        """The index of a whole noise tensor for arrays of `shape`; all positions along `shared` axes get one draw."""
        return _whole(_whole_numbers("shape", shape), _whole_numbers("shared", shared))

    @staticmethod
    def of(array_shape: tuple[int, ...]) -> Index:
        """`whole` for a shape that an array has, nothing shared: there is nothing to check."""
        return _whole(array_shape, ())

    @cached_property
    def noise_shape(self) -> tuple[int, ...]:
        """The shape with shared axes of size 1: what is really drawn."""
        return tuple(1 if stride == 0 else n for n, stride in zip(self.shape, self.strides, strict=True))

    @cached_property
    def size(self) -> int:
        """How many elements the caller's array has."""
        return math.prod(self.shape)

    @cached_property
    def runs(self) -> tuple[np.ndarray, int]:
        """(starts, length): the elements of the noise tensor, in order, as runs of consecutive numbers."""
        axes = list(zip(self.noise_shape, self.strides, strict=True))
        fixed = 0 if self.rows is None else 1  # an arbitrary row order cannot be merged with the axis after it
        length = 1
        while len(axes) > fixed and (axes[-1][0] == 1 or axes[-1][1] == length):
            length *= axes.pop()[0]
        starts = np.asarray(self.offset, np.int64)
        for axis, (n, stride) in enumerate(axes):
            along = np.arange(n) if self.rows is None or axis else self.rows[:n]  # (n,)
            starts = starts[..., None] + along * stride
        return starts.reshape(-1), length

    def elements(self) -> np.ndarray:
        """The element numbers, int64, of `noise_shape`."""
        starts, length = self.runs
        return (starts[:, None] + np.arange(length)).reshape(self.noise_shape)

    def __getitem__(self, item: Any) -> Index:
        """A basic slice of any axes, or whole numbers in any order along the first."""
        parts = item if isinstance(item, tuple) else (item,)
        if len(parts) > len(self.shape):
            raise IndexError(f"Index: {len(parts)} subscripts for {len(self.shape)} axes")
        result = self
        for axis, part in enumerate(parts):
            result = result._slice(axis, part) if isinstance(part, slice) else result._take(axis, part)
        return result

    def _slice(self, axis: int, part: slice) -> Index:
        start, stop, step = part.indices(self.shape[axis])
        if step < 1:
            raise IndexError(f"Index: a slice needs a positive step, got {step}")
        shape = _with(self.shape, axis, len(range(start, stop, step)))
        if axis == 0 and self.rows is not None:
            return replace(self, shape=shape, rows=self.rows[part])
        stride = self.strides[axis]
        return replace(
            self, shape=shape, strides=_with(self.strides, axis, stride * step), offset=self.offset + start * stride
        )

    def _take(self, axis: int, part: Any) -> Index:
        rows = np.asarray(part)
        if axis or rows.ndim != 1 or rows.dtype.kind not in "iu":
            raise IndexError(f"Index: axis {axis} takes a slice; only axis 0 takes a list of row numbers; got {part!r}")
        if rows.size and not 0 <= rows.min() <= rows.max() < self.shape[0]:
            raise IndexError(f"Index: rows must lie in [0, {self.shape[0]}), got {rows.min()} to {rows.max()}")
        shape = _with(self.shape, 0, len(rows))
        if self.strides[0] == 0:  # shared: all rows are one
            return replace(self, shape=shape)
        return replace(self, shape=shape, rows=rows.astype(np.int64) if self.rows is None else self.rows[rows])


def _whole_numbers(name: str, given: Any) -> tuple[int, ...]:
    if type(given) is tuple and _INTEGERS.issuperset(map(type, given)):
        return given
    try:
        return (operator.index(given),) if hasattr(given, "__index__") else tuple(map(operator.index, given))
    except TypeError:
        raise TypeError(f"Index: {name} must be a whole number or several, got {given!r}") from None


@lru_cache(maxsize=1024)
def _whole(shape: tuple[int, ...], shared: tuple[int, ...]) -> Index:
    rank = len(shape)
    if any(not -rank <= axis < rank for axis in shared):
        raise ValueError(
            f"Index: shared axes {shared} do not exist in shape {shape}; use axes from {-rank} to {rank - 1}"
        )
    if any(n < 0 for n in shape):
        raise ValueError(f"Index: sizes must not be negative, got shape {shape}")
    alone = {axis % rank for axis in shared}
    strides, total = [0] * rank, 1
    for axis in reversed(range(rank)):
        if axis not in alone:
            strides[axis], total = total, total * max(1, shape[axis])  # an empty axis is not a shared one
    return Index(shape, tuple(strides))


def _with(values: tuple[int, ...], axis: int, value: int) -> tuple[int, ...]:
    return (*values[:axis], value, *values[axis + 1 :])
