"""What a kernel is told, as pure functions of shapes: structures, the index as axes, and the size of a launch."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from functools import cache, lru_cache
from typing import Any, NamedTuple

import numpy as np

from ...random import Index, Threshold
from ...random.philox import ROUNDS, WEYL

AXES = 8  # of a Walk, after merging
THREADS = 256  # a block, of every kernel
BLOCKS_A_PROCESSOR = 128  # beyond that, threads take several turns: what they hoist out of the loop is then paid once
TILE, LARGEST_BLOCK = 32, 64  # of block_mask
_MOST_BLOCKS, _MOST_ROWS = (1 << 31) - 1, 65535  # of a grid, along x and along y

DRAW = np.dtype(
    [("k0", "<u4", ROUNDS), ("k1", "<u4", ROUNDS)]
    + [(name, "<u4") for name in ("c1", "c2", "c3", "hi")]
    + [("lo", "<u8")]
)
_PACKED = struct.Struct(f"<{2 * ROUNDS + 4}IQ")  # a Draw: five times as quick as NumPy makes one of a tuple
RUN = np.dtype([("start", "<u8"), ("size", "<u8")])
_DOUBLES = struct.Struct("<3d")
WALK = np.dtype(
    [(name, "<u8") for name in ("offset", "size", "axes")]
    + [("shape", "<u8", AXES), ("element", "<i8", AXES), ("rate", "<i8", AXES)]
)
MAP32 = np.dtype([("scale", "<f4"), ("shift", "<f4"), ("fill", "<f4"), ("shifts", "<u4")])
MAP64 = np.dtype([("scale", "<f8"), ("shift", "<f8"), ("fill", "<f8"), ("shifts", "<u4"), ("padding", "<u4")])
BLOCKS = np.dtype(
    [(name, "<u4") for name in ("height", "width", "block_height", "block_width")]
    + [("row_step", "<i8"), ("column_step", "<i8")]
)
_ELEMENTS = {"float64": "F64", "float32": "F32", "float16": "F16", "uint16": "BF16", "bfloat16": "BF16"}


_NEVER = Threshold(0, 0)


class Where(NamedTuple):
    """The index as a kernel takes it: `W`, the structure `where`, and the row numbers (on the host) or None."""

    name: str
    value: np.ndarray
    rows: np.ndarray | None


def rank(a: Any) -> int:
    """`np.ndim`, which takes a microsecond for a number."""
    return 0 if isinstance(a, (int, float)) else np.ndim(a)


@cache
def element(dtype: Any) -> str:
    """The kernels' name of a dtype; bfloat16 arrays come as they are or as uint16 views.

    >>> element(np.dtype(np.float16))
    'F16'
    """
    name = np.dtype(dtype).name
    if name not in _ELEMENTS:
        raise TypeError(f"the kernels know {', '.join(_ELEMENTS)}, got {name}")
    return _ELEMENTS[name]


def draw(address: Sequence[int], threshold: Threshold = _NEVER) -> np.ndarray:
    """The structure Draw: the address of a key and, where it is one for all elements, the threshold. (1,)"""
    hi, lo = (0, 0) if rank(threshold.hi) or rank(threshold.lo) else threshold
    if hi == 1 << 16:  # p = 1, in 16 bits: all that do not fall below the last halfword tie, and lose
        hi, lo = (1 << 16) - 1, 1 << 48
    return np.frombuffer(_PACKED.pack(*_schedule(*address[:2]), *address[2:], hi, lo), DRAW)


@lru_cache(maxsize=64)
def _schedule(k0: int, k1: int) -> tuple[int, ...]:
    """The first key word as each round has it, then the second."""
    return tuple(word + i * step & 0xFFFFFFFF for word, step in zip((k0, k1), WEYL, strict=True) for i in range(ROUNDS))


def the_map(element: str, scale: float = 1.0, shift: float | None = None, fill: float = 0.0) -> np.ndarray:
    """The structure Map, its numbers rounded once to the type of the arithmetic. (1,)"""
    return _map(element, _DOUBLES.pack(scale, shift or 0.0, fill), shift is not None)


@lru_cache(maxsize=64)
def _map(element: str, numbers: bytes, shifts: bool) -> np.ndarray:
    """Remembered by the bits of the numbers, for -0.0 equals 0.0."""
    told = (*_DOUBLES.unpack(numbers), shifts)
    with np.errstate(over="ignore"):  # a number beyond float32 is inf there, as in the reference
        return np.array([(*told, 0)], MAP64) if element == "F64" else np.array([told], MAP32)


def blocks(height: int, width: int, block: tuple[int, int], row_step: int, column_step: int) -> np.ndarray:
    """The structure Blocks. (1,)"""
    return np.array([(height, width, *block, row_step, column_step)], BLOCKS)


@lru_cache(maxsize=256)
def where(
    index: Index, noise: bool = False, rates: tuple[int, ...] = (), row_width: int = 0, walk: bool = False
) -> Where:
    """The index of an array of `index.shape` (noise=True: of `index.noise_shape`) in as few axes as possible.

    rates: the shape of a table of thresholds or scales, C-contiguous, that broadcasts to that shape.  row_width: the
    kernel begins anew at each row of so many positions.  walk: never a Run.
    Raises: ValueError where more than 8 axes are left.

    >>> where(Index.whole((4, 6))).name, where(Index.whole((4, 6), shared=0)).name
    ('Run', 'Walk')
    """
    shape = index.noise_shape if noise else index.shape
    size, axes = math.prod(shape), _merged(_axes(index, shape, rates), index.rows is not None)
    consecutive = index.rows is None and [axis[1:] for axis in axes] in ([(1, 0)], [])
    if consecutive and index.offset % 8 == 0 and row_width % 8 == 0 and not walk:
        return Where("Run", np.array([(index.offset, size)], RUN), None)
    if len(axes) > AXES:
        raise ValueError(f"the kernels walk along at most {AXES} axes; shape {shape} has {len(axes)} after merging")
    axes = axes or [(1, 0, 0)]
    padded = np.array(axes + [(1, 0, 0)] * (AXES - len(axes)), np.int64).T  # (3, AXES)
    return Where("Walk", np.array([(index.offset, size, len(axes), *padded)], WALK), index.rows)


def maps(seeds: Index) -> Where:
    """For block_mask: where the seeds of each map begin; the last two axes of `seeds` are those of a map."""
    axes = slice(0, -2)
    return where(Index(seeds.shape[axes], seeds.strides[axes], seeds.offset, seeds.rows), walk=True)


_Axis = tuple[int, int, int]  # length, stride in element numbers, stride in the table of rates


def _axes(index: Index, shape: Sequence[int], rates: tuple[int, ...]) -> list[_Axis]:
    table = (1,) * (len(shape) - len(rates)) + rates
    strides, total = [0] * len(table), 1
    for k in reversed(range(len(table))):
        if table[k] != 1:
            strides[k], total = total, total * table[k]
    return list(zip(shape, index.strides, strides, strict=True))


def _merged(axes: list[_Axis], first_has_rows: bool) -> list[_Axis]:
    """Two neighbours are one axis where the outer stride is what the inner axis spans, in both numberings."""
    kept: list[_Axis] = axes[:1] if first_has_rows else []
    fixed = len(kept)  # an arbitrary order of rows cannot be merged with the axis after it
    for n, stride, rate in axes[fixed:]:
        if n == 1:
            continue
        if len(kept) > fixed and kept[-1][1:] == (n * stride, n * rate):
            kept[-1] = (kept[-1][0] * n, stride, rate)
        else:
            kept.append((n, stride, rate))
    return kept


def launch(tasks: int, keys: int = 1, *, threads: int = 1, processors: int = 132) -> tuple[tuple[int, ...], ...]:
    """(grid, block) for so many tasks of `threads` threads each (1, or 256 for a row or tile) and so many keys.

    >>> launch(125_000), launch(10, keys=3, threads=256)
    (((489, 1), (256,)), ((10, 3), (256,)))
    """
    across = min(-(-tasks * threads // THREADS), processors * BLOCKS_A_PROCESSOR, _MOST_BLOCKS)
    return (max(1, across), max(1, min(keys, _MOST_ROWS))), (THREADS,)


def tiles(height: int, width: int) -> int:
    """How many tiles block_mask has for a map."""
    return -(-height // TILE) * -(-width // TILE)
