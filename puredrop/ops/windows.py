"""Windows that move over the spatial axes of (N, C, L_1, ..., L_d): what convolution and pooling have in common.

Arrays made here have the batch last in memory, (C, L_1, ..., L_d, N), and look like (N, C, L_1, ..., L_d) from outside.
So neighbours along the last axis of a window's places are a whole stretch of memory, whatever the kernel: copying
windows, adding them up and comparing them all run at the speed of memory.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from ..streams import current

Sizes = tuple[int, ...]


class Window(NamedTuple):
    """A kernel and how it moves, a number for each spatial axis; `before` and `after` say how far x is padded."""

    kernel: Sizes
    stride: Sizes
    before: Sizes
    after: Sizes
    dilation: Sizes

    @property
    def extent(self) -> Sizes:
        """From the first element of a window to its last, both included."""
        return tuple(d * (k - 1) + 1 for k, d in zip(self.kernel, self.dilation, strict=True))

    @property
    def is_identity(self) -> bool:
        """Whether each window is one element, and each element one window."""
        return set(self.kernel) == set(self.stride) == {1} and not any(self.before + self.after)

    @property
    def overlaps(self) -> bool:
        """Whether two windows may hold the same element."""
        return any(e > s for e, s in zip(self.extent, self.stride, strict=True))

    def padded(self, size: Sizes) -> Sizes:
        """The size of a padded map."""
        return tuple(b + n + a for b, n, a in zip(self.before, size, self.after, strict=True))

    def places(self, size: Sizes) -> Sizes:
        """How many windows fit a map of `size`, along each axis; below 1 where none does."""
        axes = zip(self.padded(size), self.extent, self.stride, strict=True)
        return tuple((n - e) // s + 1 for n, e, s in axes)

    def size(self, places: Sizes) -> Sizes:
        """The size of the smallest map that has so many windows."""
        axes = zip(places, self.stride, self.extent, self.before, self.after, strict=True)
        return tuple((p - 1) * s + e - b - a for p, s, e, b, a in axes)

    def inside(self, size: Sizes) -> tuple[slice, ...]:
        """Where a map of `size` lies in the padded one."""
        return tuple(slice(b, b + n) for b, n in zip(self.before, size, strict=True))

    def elements(self, places: Sizes) -> Iterator[tuple[Sizes, tuple[slice, ...]]]:
        """Each element of the kernel, in C order, and where it lies in the padded map for all places."""
        moves = tuple(zip(self.dilation, self.stride, places, strict=True))
        for element in product(*map(range, self.kernel)):
            starts = zip(element, moves, strict=True)
            yield element, tuple(slice(i * d, i * d + (p - 1) * s + 1, s) for i, (d, s, p) in starts)


def window_of(operation: str, axes: int, kernel: Any, stride: Any = 1, padding: Any = 0, dilation: Any = 1) -> Window:
    """The door: whole numbers, one or one for each axis; `padding` also "same" (for stride 1) or "valid".

    Raises: TypeError, ValueError.
    """
    kernel = per_axis(operation, "kernel", kernel, axes, 1)
    stride = per_axis(operation, "stride", stride, axes, 1)
    dilation = per_axis(operation, "dilation", dilation, axes, 1)
    if not isinstance(padding, str):
        both = per_axis(operation, "padding", padding, axes, 0)
        return Window(kernel, stride, both, both, dilation)
    if padding not in ("same", "valid"):
        raise ValueError(f"{operation}: padding must be whole numbers, 'same' or 'valid', got {padding!r}")
    if padding == "same" and set(stride) != {1}:
        raise ValueError(f"{operation}: padding='same' needs stride 1, got {stride}; give the padding in numbers")
    total = [d * (k - 1) if padding == "same" else 0 for k, d in zip(kernel, dilation, strict=True)]
    return Window(kernel, stride, tuple(t // 2 for t in total), tuple(t - t // 2 for t in total), dilation)


def per_axis(operation: str, name: str, value: Any, axes: int, least: int) -> Sizes:
    """A whole number of at least `least` for each axis, from one or from one for each. Raises TypeError, ValueError."""
    given = tuple(value) if isinstance(value, Sequence) and not isinstance(value, str) else (value,) * axes
    if len(given) != axes:
        raise ValueError(f"{operation}: {name} has {len(given)} numbers for {axes} spatial axes")
    if any(isinstance(n, (bool, np.bool_)) or not hasattr(n, "__index__") for n in given):
        raise TypeError(f"{operation}: {name} must be a whole number, or one for each spatial axis, got {value!r}")
    if any(n < least for n in given):
        raise ValueError(f"{operation}: {name} must be {least} or more, got {value}")
    return tuple(operator.index(n) for n in given)


def fitting_places(operation: str, window: Window, size: Sizes) -> Sizes:
    """How many windows there are along each axis. Raises ValueError where the kernel is larger than the padded map."""
    places = window.places(size)
    if min(places) < 1:
        raise ValueError(
            f"{operation}: a kernel that extends over {window.extent} does not fit a map of {size}, "
            f"{window.padded(size)} with padding; give a smaller kernel, or more padding"
        )
    return places


def batch_last(x: Any) -> Any:
    """(N, C, L_1, ...) -> (C, L_1, ..., N), a view."""
    return x.transpose(*range(1, x.ndim), 0)


def batch_first(z: Any) -> Any:
    """(C, L_1, ..., N) -> (N, C, L_1, ...), a view.

    Where a library is replayed it is a copy in C order, as in that library's memory, which its generator fills.
    """
    x = z.transpose(-1, *range(z.ndim - 1))
    return x if current() is None else x.copy(order="C")


def padded(xp: Any, x: Any, window: Window, fill: float = 0.0) -> Any:
    """x (N, C, L_1, ...) with its padding, as (C, L_1 + padding, ..., N); a view where there is none."""
    z = batch_last(x)
    if not any(window.before + window.after):
        return z
    size = z.shape[1:-1]
    whole = xp.full((z.shape[0], *window.padded(size), z.shape[-1]), fill, z.dtype)
    whole[(slice(None), *window.inside(size))] = z
    return whole


def cropped(z: Any, window: Window, size: Sizes) -> Any:
    """What `padded` was given, of an array like what it gave: (C, L_1 + padding, ..., N) -> (N, C, L_1, ...)."""
    return batch_first(z[(slice(None), *window.inside(size))])


def windows(xp: Any, z: Any, window: Window, places: Sizes) -> Any:
    """All windows of z (C, L_1, ..., N), as a view of its memory: (C, kernel, places, N)."""
    channel, *along, example = z.strides
    steps = [[n * s for n, s in zip(apart, along, strict=True)] for apart in (window.dilation, window.stride)]
    shape = (z.shape[0], *window.kernel, *places, z.shape[-1])
    return xp.lib.stride_tricks.as_strided(z, shape, (channel, *steps[0], *steps[1], example))
