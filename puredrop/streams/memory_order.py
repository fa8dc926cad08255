"""The order in which PyTorch fills the noise for an array that lies in memory in some other way than C order.

Noise is made by `empty_like(x, memory_format=torch.preserve_format)` and filled as it lies in memory. Where x is dense
and does not overlap itself (transposed, channels last), the noise has its strides. Otherwise (sliced, expanded) it is
dense, with axes sorted by the strides of x; an axis of stride 0 says nothing, and stays where it is.
Source: PyTorch 2.13, c10/core/TensorImpl.cpp (compute_non_overlapping_and_dense) and aten/src/ATen/ExpandUtils.cpp
(infer_dense_strides).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


def memory_order(shape: Sequence[int], strides: Sequence[int]) -> tuple[int, ...]:
    """The axes of the noise for an array of this shape and these strides (in elements), slowest first.

    >>> memory_order((2, 3), (1, 2)), memory_order((2, 3), (6, 2)), memory_order((2, 3), (0, 0))
    ((1, 0), (0, 1), (0, 1))
    """
    if not is_dense(shape, strides):
        return _as_inferred(shape, strides)
    return tuple(reversed(_by_stride(shape, strides)))


def is_dense(shape: Sequence[int], strides: Sequence[int]) -> bool:
    """Whether the array fills a piece of memory without gaps and without overlap.

    >>> is_dense((2, 3), (1, 2)), is_dense((2, 3), (6, 2)), is_dense((2, 3), (0, 1))
    (True, False, False)
    """
    step = 1
    for axis in _by_stride(shape, strides):
        if shape[axis] > 1 and strides[axis] != step:
            return False
        step *= shape[axis]
    return True


def _by_stride(shape: Sequence[int], strides: Sequence[int]) -> list[int]:
    return sorted(range(len(shape)), key=lambda axis: strides[axis] if shape[axis] > 1 else 0)


def in_memory_order(values: np.ndarray, shape: Sequence[int], strides: Sequence[int]) -> Any:
    """Values as they were drawn, one after the other, each where PyTorch puts it: an array of `shape`, a view.

    >>> in_memory_order(np.arange(6), (2, 3), (1, 2)).tolist()
    [[0, 2, 4], [1, 3, 5]]
    """
    order = memory_order(shape, strides)
    if order == tuple(range(len(shape))):
        return values.reshape(shape)
    return values.reshape([shape[axis] for axis in order]).transpose(np.argsort(order))


def _as_inferred(shape: Sequence[int], strides: Sequence[int]) -> tuple[int, ...]:
    """An insertion sort, for "says nothing" is no order: another way of sorting would give another result."""
    fastest_first = list(reversed(range(len(shape))))
    for start in range(1, len(shape)):
        place = start
        for before in reversed(range(start)):
            said = _faster(fastest_first[place], fastest_first[before], shape, strides)
            if said is None:
                continue
            if not said:
                break
            fastest_first[place], fastest_first[before] = fastest_first[before], fastest_first[place]
            place = before
    return tuple(reversed(fastest_first))


def _faster(a: int, b: int, shape: Sequence[int], strides: Sequence[int]) -> bool | None:
    """Whether axis a belongs inside of axis b; None where their strides do not say."""
    if strides[a] == 0 or strides[b] == 0:
        return None
    if strides[a] != strides[b]:
        return strides[a] < strides[b]
    return shape[a] < shape[b]
