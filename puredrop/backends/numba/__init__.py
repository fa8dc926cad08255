"""CPU kernels in Numba: dropout at the speed of a copy.

`step` has the one intrinsic, on which masks and the map of dropout rest; `numbers` makes words, uniform and normal
numbers; `spread` carries out the map where the mask is at hand. Here they become the functions of a backend.
Kernels are serial, run without the GIL, are compiled on first use and kept on disk.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

import numpy as np

from ...random import MASK, NORMAL, UNIFORM, Index, Keys, Threshold
from .. import Backend
from .. import numpy as reference
from ..select import composed_drop
from .compiling import kernel
from .generators import mersenne_below, philox4x32, threefry2x32
from .numbers import normal_float32, normal_float64, uniform_numbers, whole_words
from .step import drop_runs, keep_runs


@kernel
def _add_rows(out, ids, x):  # type: ignore[no-untyped-def]
    for i in range(len(ids)):
        row = out[ids[i]]
        for j in range(x.shape[1]):
            row[j] += x[i, j]


def _addresses(key: Keys, kind: int) -> np.ndarray:
    keys = key if isinstance(key, tuple) else (key,)
    return np.array([one.address(kind) for one in keys], np.uint64)  # (keys, 5)


def _new(key: Keys, index: Index, dtype: Any) -> np.ndarray:
    shape = index.noise_shape
    return np.empty((len(key), *shape) if isinstance(key, tuple) else shape, dtype)


def words(key: Keys, index: Index, kind: int) -> np.ndarray:
    out = _new(key, index, np.uint32)
    whole_words(out.reshape(-1), _addresses(key, kind), *index.runs)
    return out


def keep(key: Keys, index: Index, threshold: Threshold) -> np.ndarray:
    if isinstance(threshold.hi, np.ndarray):  # a rate for each element: no kernel of its own yet
        return reference.BACKEND.keep(key, index, threshold)
    if threshold.hi == 1 << 16:  # p = 1: the one threshold beyond 16 bits
        return np.zeros_like(_new(key, index, np.bool_))
    out = _new(key, index, np.bool_)
    hi, lo = np.uint16(threshold.hi), np.uint64(threshold.lo)
    keep_runs(out.reshape(-1).view(np.uint8), _addresses(key, MASK), *index.runs, hi, lo)
    return out


def drop(
    x: np.ndarray,
    key: Keys,
    index: Index,
    threshold: Threshold,
    scale: Any = 1.0,
    shift: float | None = None,
    fill: Any = 0.0,
) -> np.ndarray:
    one_rate = not isinstance(threshold.hi, np.ndarray) and not np.ndim(scale)
    shared = index.noise_shape != index.shape
    if shared or not one_rate or np.ndim(fill) or threshold.hi == 1 << 16 or x.dtype.char not in "fd":
        # Shared axes, rates by element, a tensor to fill with, float16: the mask from the kernel, the map from NumPy.
        return composed_drop(keep, np, x, key, index, threshold, scale, shift, fill)
    x = np.ascontiguousarray(x).reshape(x.shape)  # ascontiguousarray makes 0-d arrays 1-d
    y = np.empty(x.shape, x.dtype)
    hi, lo, number = np.uint16(threshold.hi), np.uint64(threshold.lo), x.dtype.type
    shift = None if shift is None else number(shift)
    flat = x.reshape(-1), y.reshape(-1)
    drop_runs(*flat, _addresses(key, MASK), *index.runs, hi, lo, number(scale), shift, number(fill))
    return y


def uniform(key: Keys, index: Index, dtype: Any, kind: int = UNIFORM) -> np.ndarray:
    return _real(uniform_numbers, uniform_numbers, key, index, dtype, kind)


def normal(key: Keys, index: Index, dtype: Any, kind: int = NORMAL) -> np.ndarray:
    return _real(normal_float32, normal_float64, key, index, dtype, kind)


def _real(float32: Any, float64: Any, key: Keys, index: Index, dtype: Any, kind: int) -> np.ndarray:
    """Numbers of a kernel, by dtype; others are rounded once from float64."""
    single = np.dtype(dtype) == np.float32
    out = _new(key, index, np.float32 if single else np.float64)
    (float32 if single else float64)(out.reshape(-1), _addresses(key, kind), *index.runs)
    return out.astype(dtype, copy=False)


def add_rows(x: np.ndarray, ids: np.ndarray, count: int) -> np.ndarray:
    """The sums of those rows of x (n, D) that have equal numbers, ids (n,). (count, D)"""
    out = np.zeros((count, x.shape[1]), x.dtype)
    _add_rows(out, ids, np.ascontiguousarray(x))
    return out


FUSED: MappingProxyType[str, Any] = MappingProxyType(
    {
        "add_rows": add_rows,
        "mersenne_below": mersenne_below,
        "threefry2x32": threefry2x32,
        "philox4x32": philox4x32,
    }
)

BACKEND = Backend("numba", np, words, keep, drop, uniform, normal, FUSED)
