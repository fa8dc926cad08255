"""CPU kernels in Numba: dropout at the speed of a copy.

`step` has the one intrinsic, on which masks and the map of dropout rest; `draws` makes words, uniform and normal
numbers, and multiplies by these; `lanes` has the vectors in which intrinsics are written; `spread` carries out the map
where the mask is at hand; `fused` has what else training repeats. Here they become the functions of a backend.
Kernels run without the GIL, are compiled on first use and kept on disk.
"""

from __future__ import annotations

from functools import lru_cache
from struct import Struct
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from ...random import MASK, NORMAL, UNIFORM, Index, Keys, Threshold
from .. import Backend, threads
from .. import numpy as reference
from ..select import composed_drop
from ..select import select as reference_select
from .compiling import flat, kernel
from .draws import normal_numbers, times_normal_runs, times_relaxed_runs, uniform_numbers, whole_words
from .fused import gelu, layer_norm, sgd, softmax
from .generators import mersenne_below, philox4x32, threefry2x32
from .spread import layout_of, spread
from .step import drop_runs, drop_runs_each, keep_bits_runs, keep_runs


@kernel
def _add_rows(out, ids, x):  # type: ignore[no-untyped-def]
    for i in range(len(ids)):
        row = out[ids[i]]
        for j in range(x.shape[1]):
            row[j] += x[i, j]


_WORD = np.dtype(np.uint64)
_packed = Struct("=5Q").pack


def _addresses(key: Keys, kind: int) -> np.ndarray:
    """(keys, 5)"""
    if isinstance(key, tuple):
        return np.array([one.address(kind) for one in key], _WORD)
    # As bytes, which NumPy takes over as they are: a third of the time of looking at five numbers of Python.
    return np.ndarray((1, 5), _WORD, bytearray(_packed(*key.address(kind))))


def _new(key: Keys, index: Index, dtype: Any) -> np.ndarray:
    shape = index.noise_shape
    return np.empty((len(key), *shape) if isinstance(key, tuple) else shape, dtype)


class Part(NamedTuple):
    """A stretch of a draw: where it lies in the flat array, and what it draws."""

    where: slice
    key: slice
    starts: np.ndarray
    length: int


def _parts(keys: int, starts: np.ndarray, length: int) -> list[Part]:
    """A draw, cut into stretches of about threads.PART elements: within a run, or between runs."""
    pieces: list[tuple[int, np.ndarray, int]] = []  # of one key
    if length > threads.PART:
        for i, start in enumerate(starts):
            cuts = range(0, length, threads.PART)
            pieces += [(i * length + c, np.array([start + c]), min(threads.PART, length - c)) for c in cuts]
    else:
        runs = threads.PART // max(1, length)
        pieces = [(i * length, starts[i : i + runs], length) for i in range(0, len(starts), runs)]
    size = len(starts) * length
    return [
        Part(slice(k * size + at, k * size + at + len(first) * n), slice(k, k + 1), first, n)
        for k in range(keys)
        for at, first, n in pieces
    ]


def words(key: Keys, index: Index, kind: int) -> np.ndarray:
    out = _new(key, index, np.uint32)
    _in_parts(whole_words, (out.ravel(),), _addresses(key, kind), index)
    return out


def keep(key: Keys, index: Index, threshold: Threshold) -> np.ndarray:
    if isinstance(threshold.hi, np.ndarray):  # a rate for each element: no kernel of its own yet
        return reference.BACKEND.keep(key, index, threshold)
    if threshold.hi == 1 << 16:  # p = 1: the one threshold beyond 16 bits
        return np.zeros_like(_new(key, index, np.bool_))
    out = _new(key, index, np.bool_)
    hi, lo = threshold
    _in_parts(keep_runs, (out.ravel().view(np.uint8),), _addresses(key, MASK), index, hi, lo)
    return out


def keep_bits(key: Keys, index: Index, threshold: Threshold) -> np.ndarray | None:
    """The mask as bits, (keys, bytes); None where it is not one run from the start of a block on, at one rate."""
    starts, length = index.runs
    hi, lo = threshold
    if _is_array(hi) or hi == 1 << 16 or len(starts) != 1 or starts[0] & 7:
        return None
    addresses = _addresses(key, MASK)
    out = np.empty((len(addresses), -(-length // 8)), np.uint8)
    keep_bits_runs(out, addresses, int(starts[0]), length, hi, lo)
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
    if x.dtype.char not in "fd":  # float16: the mask from the kernel, the map from NumPy
        return composed_drop(keep, np, x, key, index, threshold, scale, shift, fill)
    return drop_into(np.empty(x.shape, x.dtype), x, key, index, threshold, scale, shift, fill)


def drop_into(
    out: np.ndarray,
    x: np.ndarray,
    key: Keys,
    index: Index,
    threshold: Threshold,
    scale: Any = 1.0,
    shift: float | None = None,
    fill: Any = 0.0,
) -> np.ndarray:
    """`drop` into an array of float32 or float64 in C order, which may be x itself."""
    hi, lo = threshold
    one_rate = type(hi) is int and hi < 1 << 16 and not _is_array(scale)
    for_each = not one_rate and _one_a_key(key, index, hi) and _one_a_key(key, index, scale) and hi.max() < 1 << 16
    if not (one_rate or for_each) or _is_array(fill) or index.noise_shape != index.shape:
        full = (len(key), *index.shape) if isinstance(key, tuple) else index.shape
        mask = keep(key, index, threshold)
        if x.shape == full:
            return _select_into(out, x, mask, scale, shift, fill)
        if _is_array(fill):
            fill = np.broadcast_to(fill, x.shape).reshape(full)
        return _select_into(out.reshape(full), x.reshape(full), mask, scale, shift, fill).reshape(x.shape)
    source, to, addresses = flat(x), out.ravel(), _addresses(key, MASK)
    if for_each:
        rates = hi.reshape(-1), threshold.lo.reshape(-1), scale.reshape(-1)
        drop_runs_each(source, to, addresses, *index.runs, *rates, shift, float(fill))
        return out
    _in_parts(drop_runs, (source, to), addresses, index, hi, lo, float(scale), shift, float(fill))
    return out


def _one_a_key(key: Keys, index: Index, a: Any) -> bool:
    """Whether an array has one number for each key, on an axis in front of those of the noise."""
    return isinstance(key, tuple) and np.ndim(a) == 1 + len(index.shape) and len(a) == np.size(a) == len(key)


_common_shape = lru_cache(maxsize=1024)(np.broadcast_shapes)  # looking it up is a tenth of working it out


def select(x: np.ndarray, keep: np.ndarray, scale: Any = 1.0, shift: float | None = None, fill: Any = 0.0) -> Any:
    """`backends.select.select`, to the bit."""
    if x.dtype.char not in "fd":
        return reference_select(np, x, keep, scale, shift, fill)
    shape = _common_shape(x.shape, keep.shape, np.shape(scale), np.shape(fill))
    x = x if x.shape == shape else np.broadcast_to(x, shape)
    return _select_into(np.empty(shape, x.dtype), x, keep, scale, shift, fill)


def _select_into(out: np.ndarray, x: np.ndarray, keep: np.ndarray, scale: Any, shift: Any, fill: Any) -> np.ndarray:
    """The same into an array of x's shape in C order, which may be x itself."""
    mask_shape = (1,) * (x.ndim - keep.ndim) + keep.shape
    layout = None if _is_array(scale) or keep.dtype.char != "?" else layout_of(mask_shape, x.shape)
    if layout is None:  # a scale for each element, or many axes shared in turn
        out[...] = reference_select(np, x, keep, scale, shift, fill)
        return out
    shift = None if shift is None else float(shift)
    if not _is_array(fill):
        fill = float(fill)
    else:
        fill = np.ascontiguousarray(np.broadcast_to(fill, x.shape), x.dtype)
        fill = fill.copy() if np.may_share_memory(fill, out) else fill
    return spread(out, x, keep, float(scale), shift, fill, layout)


def _is_array(value: Any) -> bool:
    return type(value) is not float and isinstance(value, np.ndarray) and value.ndim > 0


def uniform(key: Keys, index: Index, dtype: Any, kind: int = UNIFORM) -> np.ndarray:
    return _real(uniform_numbers, key, index, dtype, kind)


def normal(key: Keys, index: Index, dtype: Any, kind: int = NORMAL) -> np.ndarray:
    return _real(normal_numbers, key, index, dtype, kind)


def _real(numbers: Any, key: Keys, index: Index, dtype: Any, kind: int) -> np.ndarray:
    """Numbers of a kernel; those of other types than float32 are rounded once from float64."""
    out = _new(key, index, np.float32 if np.dtype(dtype) == np.float32 else np.float64)
    _in_parts(numbers, (out.ravel(),), _addresses(key, kind), index)
    return out.astype(dtype, copy=False)


def times_normal(x: np.ndarray, key: Keys, index: Index, spread: float) -> np.ndarray | None:
    """x (1 + spread e), e = `normal(key, index)`, to the bit; None for other types, and shared axes."""
    if x.dtype.char not in "fd" or index.noise_shape != index.shape:
        return None
    out = np.empty(x.shape, x.dtype)
    _in_parts(times_normal_runs, (flat(x), out.ravel()), _addresses(key, NORMAL), index, spread)
    return out


def times_relaxed(x: np.ndarray, key: Keys, index: Index, numbers: tuple[float, ...]) -> np.ndarray | None:
    """x (a + b (1 - z)), z the relaxed masks of `ops.times_relaxed`; None for other types than float32, shared axes."""
    if x.dtype.char != "f" or index.noise_shape != index.shape:
        return None
    out = np.empty(x.shape, x.dtype)
    _in_parts(times_relaxed_runs, (flat(x), out.ravel()), _addresses(key, UNIFORM), index, *numbers)
    return out


def _in_parts(kernel: Any, arrays: tuple[np.ndarray, ...], addresses: np.ndarray, index: Index, *numbers: Any) -> None:
    """kernel(*arrays, addresses, starts, length, *numbers), by several threads where that pays."""
    if threads.shared_out(arrays[0].size):
        _by_threads(kernel, arrays, addresses, index, numbers)
    else:
        kernel(*arrays, addresses, *index.runs, *numbers)


def _by_threads(
    kernel: Any, arrays: tuple[np.ndarray, ...], addresses: np.ndarray, index: Index, numbers: tuple[Any, ...]
) -> None:
    def work(part: Part) -> None:
        kernel(*(a[part.where] for a in arrays), addresses[part.key], part.starts, part.length, *numbers)

    threads.work_through(_parts(len(addresses), *index.runs), work)


def add_rows(x: np.ndarray, ids: np.ndarray, count: int) -> np.ndarray:
    """The sums of those rows of x (n, D) that have equal numbers, ids (n,). (count, D)"""
    out = np.zeros((count, x.shape[1]), x.dtype)
    _add_rows(out, ids, np.ascontiguousarray(x))
    return out


FUSED: MappingProxyType[str, Any] = MappingProxyType(
    {
        "drop_into": drop_into,
        "keep_bits": keep_bits,
        "select": select,
        "times_normal": times_normal,
        "times_relaxed": times_relaxed,
        "gelu": gelu,
        "softmax": softmax,
        "layer_norm": layer_norm,
        "sgd": sgd,
        "add_rows": add_rows,
        "mersenne_below": mersenne_below,
        "threefry2x32": threefry2x32,
        "philox4x32": philox4x32,
    }
)

BACKEND = Backend("numba", np, words, keep, drop, uniform, normal, FUSED)
