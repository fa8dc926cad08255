"""What kernels are told by value: the structures of `philox.cu`, `where.cu` and `drop.cu`, packed by NumPy alone.

Pure functions, so that all of it is tested where there is no GPU.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ...random import Index, Key, Threshold

AXES = 8
DRAW = np.dtype([("k0", "u4"), ("k1", "u4"), ("c1", "u4"), ("c2", "u4"), ("c3", "u4"), ("hi", "u4"), ("lo", "u8")])
RUN = np.dtype([("start", "u8"), ("size", "u8")])
WALK = np.dtype(
    [("offset", "u8"), ("size", "u8"), ("axes", "u8"), ("shape", "u8", AXES), ("element", "i8", AXES), ("rate", "i8", AXES)]
)
MAP32 = np.dtype([("scale", "f4"), ("shift", "f4"), ("fill", "f4"), ("shifts", "u4")])
MAP64 = np.dtype([("scale", "f8"), ("shift", "f8"), ("fill", "f8"), ("shifts", "u4"), ("padding", "u4")])
BLOCKS = np.dtype([(name, "u4") for name in ("height", "width", "block_height", "block_width")] + [("row_step", "i8"), ("column_step", "i8")])
DRAWS, KINDS = 32, 6


class Where(NamedTuple):
    """Where the elements are: the structure, what kernels call it, and the row numbers of its first axis or None."""

    kind: str
    value: np.ndarray
    rows: np.ndarray | None
    size: int


def draw(key: Key, kind: int, threshold: Threshold | None = None) -> np.ndarray:
    """The address of a key, with the threshold where it is one number."""
    hi, lo = (0, 0) if threshold is None or np.ndim(threshold.hi) else threshold
    return np.array([(*key.address(kind), hi, lo)], DRAW)


def addresses(key: Key) -> np.ndarray:
    """The addresses of all draws and kinds at a key: u32, (draws, kinds, 5)."""
    table = np.empty((DRAWS, KINDS, 5), np.uint32)
    table[:] = Key(key.seed, key.site, key.step, key.sample).address(0)
    purpose = np.arange(DRAWS)[:, None] << 3 | np.arange(KINDS)  # (draws, kinds)
    table[..., 4] |= purpose.astype(np.uint32) << np.uint32(24)
    return table


def map_of(dtype: Any, scale: float, shift: float | None, fill: float) -> np.ndarray:
    """Scale, shift and fill in the type of the arithmetic."""
    numbers = (scale, shift or 0.0, fill, shift is not None)
    with np.errstate(over="ignore"):
        return np.array([(*numbers, 0)], MAP64) if np.dtype(dtype) == np.float64 else np.array([numbers], MAP32)


def where(index: Index, whole: bool, rates: Sequence[int] | None = None) -> Where:
    """The elements of all positions of the caller's array (`whole`), or of the noise tensor alone.

    `rates`: for each axis how far apart neighbours are in a table of rates; None: there is no table.
    """
    shape = index.shape if whole else index.noise_shape
    size = math.prod(shape)
    steps = list(rates or [0] * len(shape))
    axes = _merged(list(zip(shape, index.strides, steps, strict=True)), fixed=index.rows is not None)
    if index.rows is None and rates is None and len(axes) <= 1 and index.offset % 8 == 0:
        if not axes or axes[0][1] == 1:
            return Where("Run", np.array([(index.offset, size)], RUN), None, size)
    if len(axes) > AXES:
        return _listed(index, shape, steps, size)
    walk = np.zeros(1, WALK)
    walk["offset"], walk["size"], walk["axes"] = index.offset, size, len(axes) or 1
    for name, column in zip(("shape", "element", "rate"), zip(*(axes or [(1, 0, 0)]), strict=True), strict=True):
        walk[name][0, : len(column)] = column
    return Where("Walk", walk, index.rows, size)


def _merged(axes: list[tuple[int, int, int]], fixed: bool) -> list[tuple[int, int, int]]:
    """Neighbouring axes made one where they are walked as one; (n, element step, rate step) each. The first stays
    where its rows are listed (`fixed`); others of size 1 go."""
    kept: list[tuple[int, int, int]] = []
    for number, (n, element, rate) in enumerate(axes):
        if fixed and number == 0:
            kept.append((n, element, rate))
        elif n != 1:
            before = kept[-1] if len(kept) > fixed else None
            if before and before[1] == n * element and before[2] == n * rate:
                kept[-1] = (before[0] * n, element, rate)
            else:
                kept.append((n, element, rate))
    return kept


def _listed(index: Index, shape: tuple[int, ...], steps: list[int], size: int) -> Where:
    """More axes than a walk has: every element number in a list, and no table of rates."""
    if any(steps):
        raise ValueError(f"backend 'cupy': rates for each element need at most {AXES} axes, got shape {shape}")
    walk = np.zeros(1, WALK)
    walk["size"], walk["axes"] = size, 1
    walk["shape"][0, 0], walk["element"][0, 0] = size, 1
    return Where("Walk", walk, np.ascontiguousarray(np.broadcast_to(index.elements(), shape)).reshape(-1), size)


def as_walk(found: Where) -> Where:
    """The same elements, for a kernel that must walk."""
    if found.kind == "Walk":
        return found
    [(start, size)] = found.value
    walk = np.zeros(1, WALK)
    walk["offset"], walk["size"], walk["axes"] = start, size, 1
    walk["shape"][0, 0], walk["element"][0, 0] = size, 1
    return Where("Walk", walk, None, found.size)


def steps_through(table: tuple[int, ...], shape: tuple[int, ...]) -> list[int]:
    """How far apart neighbours along each axis of `shape` are in a table that broadcasts to it."""
    steps, step = [0] * len(shape), 1
    for axis, n in enumerate(reversed(table), start=1):
        if n != 1:
            steps[-axis], step = step, step * n
    return steps


def first_seeds(seeds: Index) -> Index:
    """The index of the first seed of each map, from that of all seeds, whose last two axes lie in a map."""
    return Index(seeds.shape[:-2], seeds.strides[:-2], seeds.offset, seeds.rows)


def blocks(seeds: Index, size: tuple[int, int], block: tuple[int, int]) -> np.ndarray:
    """The sizes of a map and of a block, and the steps from seed to seed."""
    return np.array([(*size, *block, *seeds.strides[-2:])], BLOCKS)


THREADS = 256
_EACH = {"words": 4, "uniform": 4, "normal": 4, "gather_rows": 1, "add_rows": 1}  # elements a thread takes; others: 8
_A_BLOCK = ("softmax_drop", "softmax_drop_grad", "block_mask")  # work is in rows and tiles, each of which a block takes


def launch(name: str, work: int, keys: int) -> tuple[tuple[int, int], tuple[int]]:
    """(grid, block) for a kernel instance: threads for all of the work of a key, and the keys beside each other."""
    kernel = name.split("<")[0]
    blocks = work if kernel in _A_BLOCK else -(-work // (THREADS * _EACH.get(kernel, 8)))
    return (max(1, min(blocks, (1 << 31) - 1)), min(keys, 65535)), (THREADS,)
