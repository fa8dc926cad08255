"""The CuPy backend: the kernels of `cuda/`, called on arrays in the memory of a GPU.

Everything passes one seam, `_launch`: the device is checked there, the function looked up (compiled once for each
device, kept by CuPy on disk), and put on the current stream. What a kernel is told by value is worked out by
`cuda.plan`, which needs no GPU. Masks are the reference's, bit for bit.

Arrays of other libraries go in and out by DLPack, without a copy: `cupy.from_dlpack(tensor)`,
`torch.from_dlpack(array)`. bfloat16, which CuPy cannot calculate with, is passed as uint16
(`tensor.view(torch.uint16)`): such an array `drop` and the fused kernels take for bfloat16.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Any, NamedTuple

import cupy
import numpy as np

from ..random import MASK, NORMAL, UNIFORM, Index, Key, Keys, Threshold
from . import Backend, BackendError, cuda
from .cuda import plan
from .select import composed_drop

OPTIONS = ("-std=c++17",)
LEAST = {12: 70, 13: 75}  # the major version of CUDA -> the oldest compute capability that it compiles for
DRAWS, KINDS = 32, 6  # of a key


# ----------------------------------------------------------------------------------------------------- can it work here
def require_device() -> None:
    """Raise BackendError, with one sentence that says why and what to do, unless a device can be used."""
    runtime = cupy.cuda.runtime
    try:
        found = [cupy.cuda.Device(number).compute_capability for number in range(runtime.getDeviceCount())]
        version = runtime.runtimeGetVersion() // 1000
    except runtime.CUDARuntimeError as error:
        raise BackendError(f"backend 'cupy': {_explained(error)}") from error
    least = LEAST.get(version, max(LEAST.values()))
    if not found or max(map(int, found)) < least:
        raise BackendError(
            f"backend 'cupy': CUDA {version} compiles for devices of compute capability {least / 10} and above, found "
            f"{', '.join(one[:-1] + '.' + one[-1] for one in found) or 'none'}; older ones may work with cupy-cuda12x"
        )


def _explained(error: Exception) -> str:
    """Why the CUDA runtime does not start."""
    driver, built_for = cupy.cuda.runtime.driverGetVersion(), cupy.cuda.runtime.runtimeGetVersion()
    if "NoDevice" in str(error):
        return "no CUDA device is visible; see nvidia-smi, and CUDA_VISIBLE_DEVICES where it is set"
    if driver == 0:
        return "no NVIDIA driver was found; on a machine with an NVIDIA GPU install one, until nvidia-smi shows it"
    if driver // 1000 < built_for // 1000:
        return (
            f"this CuPy is built for CUDA {_dotted(built_for)}, the driver knows CUDA {_dotted(driver)}; update the "
            f"driver, or install cupy-cuda{driver // 1000}x in place of this wheel"
        )
    return f"CUDA does not start: {error}"


def _dotted(version: int) -> str:
    return f"{version // 1000}.{version % 1000 // 10}"


# ------------------------------------------------------------------------------------------------------------- the seam
@cache
def _function(name: str, device: int) -> Any:
    """A kernel on a device, compiled when it is first asked for."""
    try:
        return cupy.RawModule(code=cuda.source(), options=OPTIONS, name_expressions=(name,)).get_function(name).kernel
    except (cupy.cuda.compiler.CompileException, cupy.cuda.driver.CUDADriverError) as error:
        raise BackendError(
            f"backend 'cupy': {name} cannot be compiled or loaded; NVRTC may be newer than the driver: {error}"
        ) from error


def forget_functions() -> None:
    """What is compiled is looked up anew: the devices are others now."""
    _function.cache_clear()
    _processors.cache_clear()


@cache
def _processors(device: int) -> int:
    return cupy.cuda.Device(device).attributes["MultiProcessorCount"]


def _launch(name: str, tasks: int, keys: int, *arguments: Any, threads: int = 1) -> None:
    """Put a kernel on the current stream, for so many tasks of so many threads for each key."""
    device = cupy.cuda.runtime.getDevice()
    for number, a in enumerate(arguments):
        if isinstance(a, cupy.ndarray) and a.data.device_id != device:
            raise ValueError(
                f"{name}: argument {number} lies on device {a.data.device_id}, the current device is {device}; move it "
                f"there, or call inside `with cupy.cuda.Device({a.data.device_id}):`"
            )
    grid, block = plan.launch(tasks, keys, threads=threads, processors=_processors(device))
    # Without their fields, which CuPy would ask for one by one: that takes longer than the launch itself.
    told = tuple(a.view(np.void) if isinstance(a, np.ndarray) else a for a in arguments)
    _function(name, device)(grid, block, told)


def _empty(shape: Any, dtype: Any) -> Any:
    try:
        return cupy.empty(shape, dtype)
    except cupy.cuda.memory.OutOfMemoryError as error:
        raise MemoryError(
            f"backend 'cupy': no room on the device for an array of shape {shape}, {np.dtype(dtype)}; make batches or "
            f"samples smaller, or cupy.get_default_memory_pool().free_all_blocks()"
        ) from error


def place(a: Any) -> Any:
    """An array of NumPy as one of the current device; anything else as it is; tuples and lists item by item."""
    if isinstance(a, np.ndarray):
        return cupy.asarray(a)
    if type(a) in (tuple, list) and any(isinstance(one, np.ndarray) for one in a):
        return type(a)(place(one) for one in a)
    return a


# ------------------------------------------------------------------------------------------------ keys in device memory
@dataclass(frozen=True, slots=True)
class StoredKey(Key):
    """A key whose address kernels read from device memory when they run, so that a CUDA graph does not freeze the mask.

    `store(key)` makes one, `overwrite` gives it the address of another key, in the order of the current stream.
    """

    memory: Any = None  # uint32 (draws, kinds, 5)


def store(key: Key) -> StoredKey:
    """A key in device memory. It draws what `key` draws, until it is overwritten.

    For a graph: `stored = store(Key(7))`, capture a step that draws with `stored`, and before each replay
    `overwrite(stored, Key(7, step=t))`.
    """
    return StoredKey(key.seed, key.site, key.step, key.sample, key.draw_index, memory=cupy.asarray(addresses(key)))


def overwrite(stored: StoredKey, key: Key) -> None:
    """From now on, in the order of the current stream, `stored` draws what `key` draws."""
    stored.memory.set(addresses(key))


def addresses(key: Key) -> np.ndarray:
    """The addresses of all draws of all kinds at a key. uint32, (draws, kinds, 5)."""
    table = np.empty((DRAWS, KINDS, 5), np.uint32)
    table[:] = Key(key.seed, key.site, key.step, key.sample).address(0)
    purpose = np.arange(DRAWS)[:, None] << 3 | np.arange(KINDS)  # (draws, kinds)
    table[..., 4] |= purpose.astype(np.uint32) << np.uint32(24)
    return table


class _Told(NamedTuple):
    """What a kernel is told of a draw: how many keys, where the elements are, its arguments, tables of rates."""

    keys: int
    where: plan.Where
    draw: tuple[Any, ...]  # draw, keys in memory, how many, where, rows
    rates: tuple[Any, Any] = (None, None)
    scales: Any = None


def _told(
    key: Keys, index: Index, kind: int, threshold: Threshold | None = None, scale: Any = 1.0, **layout: Any
) -> _Told:
    """`layout` is that of `plan.where`."""
    table = _common_shape(scale, *(threshold or ()))
    where = _where(index, rates=table, **layout)
    count, keys = 1, None
    if isinstance(key, StoredKey):
        keys = key.memory[key.draw_index, kind]  # (5,)
    elif isinstance(key, tuple):
        count, keys = len(key), cupy.asarray(np.array([one.address(kind) for one in key], np.uint32))  # (keys, 5)
    first = (key[0] if isinstance(key, tuple) else key).address(kind)
    draw = plan.draw(first) if threshold is None else plan.draw(first, threshold)
    told = _Told(count, where, (draw, keys, np.uint32(count), where.value, place(where.rows)))
    if threshold is None or not table:
        return told
    hi, lo = _table(threshold.hi, table, np.uint32), _table(threshold.lo, table, np.uint64)
    return told._replace(rates=(hi, lo), scales=_table(scale, table) if plan.rank(scale) else None)


def _common_shape(*rates: Any) -> tuple[int, ...]:
    return np.broadcast_shapes(*map(np.shape, rates)) if any(map(plan.rank, rates)) else ()


def _where(index: Index, noise: bool = False, rates: Any = (), **layout: Any) -> plan.Where:
    """As `plan.where`; with too many axes for it, by a list of all element numbers."""
    try:
        return plan.where(index, noise, rates, **layout)
    except ValueError:
        if rates:
            raise
    shape = index.noise_shape if noise else index.shape
    numbers = np.ascontiguousarray(np.broadcast_to(index.elements(), shape)).reshape(-1)
    return plan.where(Index.whole(index.size if not noise else numbers.size)[:], walk=True)._replace(rows=numbers)


def _table(values: Any, shape: tuple[int, ...], dtype: Any = None) -> Any:
    """Rates or scales, one for each element, on the device."""
    if not isinstance(values, cupy.ndarray):
        values = cupy.asarray(np.asarray(values, dtype))
    return cupy.ascontiguousarray(cupy.broadcast_to(values, shape))


# ----------------------------------------------------------------------------------------------- the record's functions
def _drawn(kernel: str, key: Keys, index: Index, kind: int, dtype: Any, threshold: Threshold | None = None) -> Any:
    """What a kernel draws for every element of the noise: a new array, (keys,) + noise_shape."""
    out = _empty((len(key), *index.noise_shape) if isinstance(key, tuple) else index.noise_shape, dtype)
    if out.size:
        told = _told(key, index, kind, threshold, noise=True)
        each = 4 if threshold is None else 8
        tasks = -(-out.size // told.keys // each)
        rates = () if threshold is None else told.rates
        _launch(kernel.replace("W", told.where.name), tasks, told.keys, out, *told.draw, *rates)
    return out


def words(key: Keys, index: Index, kind: int) -> Any:
    return _drawn("words<W>", key, index, kind, np.uint32)


def keep(key: Keys, index: Index, threshold: Threshold) -> Any:
    return _drawn("keep_bytes<W>", key, index, MASK, np.bool_, threshold)


def uniform(key: Keys, index: Index, dtype: Any, kind: int = UNIFORM) -> Any:
    return _drawn(f"uniform<{plan.element(dtype)}, W>", key, index, kind, dtype)


def normal(key: Keys, index: Index, dtype: Any, kind: int = NORMAL) -> Any:
    return _drawn(f"normal<{plan.element(dtype)}, W>", key, index, kind, dtype)


def drop(
    x: Any,
    key: Keys,
    index: Index,
    threshold: Threshold,
    scale: Any = 1.0,
    shift: float | None = None,
    fill: Any = 0.0,
) -> Any:
    """As the record says; uint16 is bfloat16."""
    if plan.rank(scale) > len(index.shape):  # other scales for each key
        return composed_drop(keep, cupy, x, key, index, threshold, scale, shift, fill)
    return _dropped(x, key, index, threshold, scale, shift, fill, None)


def drop_and_bits(
    x: Any,
    key: Keys,
    index: Index,
    threshold: Threshold,
    scale: float = 1.0,
    shift: float | None = None,
    fill: Any = 0.0,
) -> tuple[Any, Any]:
    """The same with the mask beside it, one bit an element: (keys, bytes), each row as packbits(bitorder="little")."""
    bits = _empty((len(key) if isinstance(key, tuple) else 1, -(-index.size // 8)), np.uint8)
    return _dropped(x, key, index, threshold, scale, shift, fill, bits), bits


def _dropped(
    x: Any, key: Keys, index: Index, threshold: Threshold, scale: Any, shift: float | None, fill: Any, bits: Any
) -> Any:
    x, t = _flat(x)
    y, other = _empty(x.shape, x.dtype), _like(fill, x)
    if x.size:
        told = _told(key, index, MASK, threshold, scale)
        scales = None if told.scales is None else told.scales.astype(_wide(t), copy=False)
        the_map = plan.the_map(t, 1.0 if plan.rank(scale) else scale, shift, 0.0 if plan.rank(fill) else fill)
        name, tasks = f"drop<{t}, {told.where.name}>", -(-index.size // 8)
        _launch(name, tasks, told.keys, x, y, other, bits, scales, the_map, *told.draw, *told.rates)
    return y


def drop_saved(
    x: Any, bits: Any, keys: int = 1, scale: float = 1.0, shift: float | None = None, fill: Any = 0.0
) -> Any:
    """The same map with bits that `drop_and_bits` saved."""
    x, t = _flat(x)
    y, other, size = _empty(x.shape, x.dtype), _like(fill, x), x.size // keys
    if x.size:
        the_map = plan.the_map(t, scale, shift, 0.0 if plan.rank(fill) else fill)
        counts = np.uint64(size), np.uint32(keys)
        _launch(f"drop_saved<{t}>", -(-size // 8), keys, x, y, other, bits, *counts, the_map)
    return y


# -------------------------------------------------------------------------------------------------------- fused kernels
def bias_drop_residual(
    x: Any, bias: Any, residual: Any, key: Keys, index: Index, threshold: Threshold, scale: float = 1.0
) -> Any:
    """where(keep, (x + bias) * scale, 0) + residual, rounded once; bias, (the last axis,), and residual may be None."""
    x, t = _flat(x)
    y = _empty(x.shape, x.dtype)
    bias, residual = (None if a is None else _flat(a)[0] for a in (bias, residual))
    if x.size:
        told = _told(key, index, MASK, threshold)
        name, tasks = f"bias_drop_residual<{t}, {told.where.name}>", -(-index.size // 8)
        inputs = x, bias, residual, y, np.uint64(x.shape[-1]), plan.the_map(t, scale)
        _launch(name, tasks, told.keys, *inputs, *told.draw, *told.rates)
    return y


def gather_rows(table: Any, ids: Any, key: Keys, threshold: Threshold, scale: float = 1.0) -> Any:
    """The rows of a table (V, D) by number, ids (..., n) -> (..., n, D): row i is kept as element i of the noise is.

    Several keys divide the ids into equal parts.
    """
    table, t = _flat(table)
    ids = cupy.ascontiguousarray(ids, np.int64)
    y, width = _empty((*ids.shape, table.shape[1]), table.dtype), table.shape[1]
    if y.size:
        told = _told(key, Index.whole(1), MASK, threshold)
        each = ids.size // told.keys
        inputs = table, ids, y, np.uint64(each), np.uint64(width), plan.the_map(t, scale)
        _launch(f"gather_rows<{t}>", each * -(-width // 8), told.keys, *inputs, *told.draw[:3])
    return y


def add_rows(
    x: Any, ids: Any, count: int, key: Key | None = None, threshold: Threshold | None = None, scale: float = 1.0
) -> Any:
    """The sums of those rows of x (n, D) that have equal numbers, ids (n,). (count, D)

    With a key, those rows of the result that the noise drops are zeros: the gradient of `gather_rows`.
    """
    x, t = _flat(x)
    out, width = cupy.zeros((count, x.shape[1]), x.dtype), x.shape[1]
    if x.size:
        order, starts, numbers = _runs_of_equal(ids)
        draw = _told(key or Key(0), Index.whole(1), MASK, threshold or Threshold(0, 0)).draw
        sizes = np.uint64(numbers.size), np.uint64(width)
        arrays = x, order, starts, numbers, out, *sizes, plan.the_map(t, scale), *draw[:2]
        _launch(f"add_rows<{t}>", numbers.size * -(-width // 8), 1, *arrays)
    return out


def _runs_of_equal(ids: Any) -> tuple[Any, Any, Any]:
    """The order that sorts ids, where a run of equal ones begins (and the last ends), and their numbers. int64."""
    order = cupy.argsort(ids, kind="stable")  # (n,)
    sorted_ids = ids[order]
    first = cupy.flatnonzero(cupy.diff(sorted_ids, prepend=-1))  # (segments,)
    starts = cupy.concatenate([first, cupy.asarray([ids.size])])  # (segments + 1,)
    return (*(a.astype(np.int64, copy=False) for a in (order, starts, sorted_ids[first])),)


def block_mask(key: Keys, seeds: Index, threshold: Threshold, size: tuple[int, int], block: tuple[int, int]) -> Any:
    """DropBlock's mask of elements, (keys * maps, height, width): False where a block lies whose seed is dropped.

    `seeds` is the index of the seeds, (..., height - block height + 1, width - block width + 1).
    """
    keys, maps = len(key) if isinstance(key, tuple) else 1, int(np.prod(seeds.shape[:-2]))
    out = _empty((keys * maps, *size), np.bool_)
    if out.size:
        told = _told(key, Index.whole(1), MASK, threshold)
        where = plan.maps(seeds)
        blocks = plan.blocks(*size, block, *seeds.strides[-2:])
        inputs = out, None, blocks, *told.draw[:3], where.value, place(where.rows)
        _launch("block_mask", maps * plan.tiles(*size), keys, *inputs, threads=plan.THREADS)
    return out


def softmax_drop(x: Any, key: Keys, index: Index, threshold: Threshold, scale: float = 1.0) -> tuple[Any, Any]:
    """(p, y): the softmax of x over the last axis, zeros for a row of -inf; and where(keep, p * scale, 0)."""
    x, t = _flat(x)
    p, y = _empty(x.shape, x.dtype), _empty(x.shape, x.dtype)
    if x.size:
        _over_rows(f"softmax_drop<{t}, W>", (x, p, y), t, key, index, threshold, scale)
    return p, y


def softmax_drop_grad(g: Any, p: Any, key: Keys, index: Index, threshold: Threshold, scale: float = 1.0) -> Any:
    """The gradient by x of the y of `softmax_drop`."""
    (g, t), (p, _) = _flat(g), _flat(p)
    dx = _empty(g.shape, g.dtype)
    if g.size:
        _over_rows(f"softmax_drop_grad<{t}, W>", (g, p, dx), t, key, index, threshold, scale)
    return dx


def _over_rows(kernel: str, arrays: Any, t: str, key: Keys, index: Index, threshold: Threshold, scale: float) -> None:
    width = arrays[0].shape[-1]
    told = _told(key, index, MASK, threshold, row_width=width)
    name, rows = kernel.replace("W", told.where.name), index.size // width
    inputs = *arrays, np.uint64(width), plan.the_map(t, scale)
    _launch(name, rows, told.keys, *inputs, *told.draw, *told.rates, threads=plan.THREADS)


# --------------------------------------------------------------------------------------------------------------- arrays
def _flat(x: Any) -> tuple[Any, str]:
    """x as it must lie for a kernel, C-contiguous, its shape as it is; and what kernels call its elements."""
    if not isinstance(x, cupy.ndarray):
        raise TypeError(f"backend 'cupy': expected an array of CuPy, got {type(x)}; write cupy.asarray(x)")
    return (x if x.flags.c_contiguous else cupy.ascontiguousarray(x)), plan.element(x.dtype)


def _wide(element: str) -> Any:
    """The type of the arithmetic."""
    return np.float64 if element == "F64" else np.float32


def _like(fill: Any, x: Any) -> Any:
    """A fill that is an array, as a contiguous one like x; None for a number."""
    if not plan.rank(fill):
        return None
    fill = cupy.broadcast_to(place(fill), x.shape)
    if fill.dtype != x.dtype:  # rounded as a number would be
        fill = fill.astype(_wide(plan.element(x.dtype))).astype(x.dtype)
    return cupy.ascontiguousarray(fill)


FUSED: Mapping[str, Callable[..., Any]] = MappingProxyType(
    {
        "add_rows": add_rows,
        "bias_drop_residual": bias_drop_residual,
        "block_mask": block_mask,
        "drop_and_bits": drop_and_bits,
        "drop_saved": drop_saved,
        "gather_rows": gather_rows,
        "softmax_drop": softmax_drop,
        "softmax_drop_grad": softmax_drop_grad,
    }
)

BACKEND = Backend("cupy", cupy, words, keep, drop, uniform, normal, FUSED, place, require_device)
