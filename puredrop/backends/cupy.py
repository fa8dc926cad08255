"""The CuPy backend: the kernels of `cuda/`, called on arrays in the memory of a GPU.

Everything passes one seam, `_launch`: the device is checked there, the function looked up (compiled once for each device,
kept by CuPy on disk), and put on the current stream. What a kernel is told by value is packed by `cuda.arguments`, which
needs no GPU. Masks are the reference's, bit for bit.

Arrays of other libraries come in and go out by DLPack: `from_torch_bits` and `cupy.from_dlpack(tensor)` copy nothing.
bfloat16, which CuPy has no arithmetic for, is passed as uint16: `drop` takes such an array for bfloat16.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Any, NamedTuple

import cupy
import numpy as np

from ..random import MASK, NORMAL, UNIFORM, Index, Key, Keys, Threshold
from . import Backend, BackendUnusable, cuda
from .cuda import arguments
from .select import composed_drop

OPTIONS = ("-std=c++17",)
ELEMENT = {"float64": "F64", "float32": "F32", "float16": "F16", "uint16": "BF16"}  # dtype -> what kernels call it
LEAST = {12: 70, 13: 75}  # the major version of CUDA -> the oldest compute capability that it compiles for


# ------------------------------------------------------------------------------------------------------ can it work here
@cache
def require_device() -> None:
    """Raise BackendUnusable, with one sentence that says why and what to do, unless a device can be used."""
    runtime = cupy.cuda.runtime
    try:
        count = runtime.getDeviceCount()
        found = [cupy.cuda.Device(number).compute_capability for number in range(count)]
        version = runtime.runtimeGetVersion() // 1000
    except runtime.CUDARuntimeError as error:
        raise BackendUnusable(f"backend 'cupy': {_explained(error)}") from error
    least = LEAST.get(version, max(LEAST.values()))
    if not count or max(map(int, found)) < least:
        raise BackendUnusable(
            f"backend 'cupy': CUDA {version} compiles for devices of compute capability {least / 10} and above, found "
            f"{', '.join(found) or 'none'}; an older device may work with cupy-cuda12x"
        )


def _explained(error: Exception) -> str:
    """Why the CUDA runtime could not start."""
    driver, built_for = cupy.cuda.runtime.driverGetVersion(), cupy.cuda.runtime.runtimeGetVersion()
    if "NoDevice" in str(error):
        return "no CUDA device is visible; see nvidia-smi, and CUDA_VISIBLE_DEVICES where it is set"
    if driver == 0:
        return "no NVIDIA driver was found; on a machine with an NVIDIA GPU install one, until nvidia-smi shows it"
    if driver // 1000 < built_for // 1000:
        wheel = f"cupy-cuda{driver // 1000}x"
        return (
            f"this CuPy is built for CUDA {_dotted(built_for)}, the driver knows CUDA {_dotted(driver)}: update the "
            f"driver, or pip install {wheel} in place of this wheel"
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
    except cupy.cuda.compiler.CompileException as error:
        raise BackendUnusable(
            f"backend 'cupy': {name} does not compile; NVRTC and the driver may be of different CUDA: {error}"
        ) from error


def _launch(name: str, keys: int, work: int, *told: Any) -> None:
    """Put a kernel on the current stream; `work` is what a key has of it, in its own units."""
    device = cupy.cuda.runtime.getDevice()
    for number, a in enumerate(told):
        if isinstance(a, cupy.ndarray) and a.data.device_id != device:
            raise ValueError(
                f"{name}: argument {number} lies on device {a.data.device_id} and the current device is {device}; move it "
                f"there, or call inside `with cupy.cuda.Device({a.data.device_id}):`"
            )
    grid, block = arguments.launch(name, work, keys)
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


# ----------------------------------------------------------------------------------------------- keys in device memory
@dataclass(frozen=True, slots=True)
class StoredKey(Key):
    """A key whose address kernels read from device memory when they run, so that a CUDA graph does not freeze a mask.

    `store(key)` makes one, `overwrite` gives it the address of another key, on the current stream.
    """

    memory: Any = None  # u32 (draws, kinds, 5)


def store(key: Key) -> StoredKey:
    """A key in device memory. It draws what `key` draws, until it is overwritten.

    To capture: `stored = store(Key(7))`, capture a step that draws with `stored`, then for each replay
    `overwrite(stored, Key(7, step=t))` and `graph.launch()`.
    """
    return StoredKey(key.seed, key.site, key.step, key.sample, key.draw_index, memory=cupy.asarray(arguments.addresses(key)))


def overwrite(stored: StoredKey, key: Key) -> None:
    """From now on, in the order of the current stream, `stored` draws what `key` draws."""
    stored.memory.set(arguments.addresses(key))


class _Told(NamedTuple):
    """What a kernel is told of a draw, as its arguments: how many keys, where the elements are, and tables of rates."""

    keys: int
    where: arguments.Where
    draw: tuple[Any, ...]  # draw, keys in memory, how many, where, rows
    rates: tuple[Any, Any]
    scales: Any

    def walking(self) -> _Told:
        """The same for a kernel that must walk."""
        where = arguments.as_walk(self.where)
        return self._replace(where=where, draw=(*self.draw[:3], where.value, self.draw[4]))


def _told(
    key: Keys, index: Index, kind: int, threshold: Threshold | None = None, scale: Any = 1.0, *, whole: bool = False
) -> _Told:
    """`whole`: all positions of the caller's array; else those of the noise tensor."""
    his, los, scales, steps = _tables(threshold, scale, index.shape if whole else index.noise_shape)
    where = arguments.where(index, whole, steps)
    count, keys = 1, None
    if isinstance(key, StoredKey):
        keys = key.memory[key.draw_index, kind]  # (5,)
    elif isinstance(key, tuple):
        count, keys = len(key), cupy.asarray(np.array([one.address(kind) for one in key], np.uint32))  # (keys, 5)
    draw = arguments.draw(key[0] if isinstance(key, tuple) else key, kind, threshold)
    return _Told(count, where, (draw, keys, np.uint32(count), where.value, place(where.rows)), (his, los), scales)


def _tables(threshold: Threshold | None, scale: Any, shape: tuple[int, ...]) -> tuple[Any, Any, Any, Any]:
    """Thresholds and scales that differ from element to element as tables on the device, and the steps through them."""
    hi, lo = (0, 0) if threshold is None else threshold
    if not np.ndim(hi) and not np.ndim(scale):
        return None, None, None, None
    common = np.broadcast_shapes(np.shape(hi), np.shape(scale))
    table = [np.ascontiguousarray(np.broadcast_to(a, common), dtype) for a, dtype in ((hi, np.uint32), (lo, np.uint64))]
    scales = None
    if np.ndim(scale):
        scales = cupy.ascontiguousarray(cupy.broadcast_to(place(scale), common))
    return *map(place, table), scales, arguments.steps_through(common, shape)


# ------------------------------------------------------------------------------------------------ the record's functions
def _drawn(kernel: str, key: Keys, index: Index, kind: int, dtype: Any, threshold: Threshold | None = None) -> Any:
    """What a kernel draws for every element of the noise: a new array, (keys,) + noise_shape."""
    out = _empty((len(key), *index.noise_shape) if isinstance(key, tuple) else index.noise_shape, dtype)
    if out.size:
        told = _told(key, index, kind, threshold)
        name = kernel.replace("W", told.where.kind)
        _launch(name, told.keys, told.where.size, out, *told.draw, *(told.rates if threshold is not None else ()))
    return out


def words(key: Keys, index: Index, kind: int) -> Any:
    return _drawn("words<W>", key, index, kind, np.uint32)


def keep(key: Keys, index: Index, threshold: Threshold) -> Any:
    return _drawn("keep_bytes<W>", key, index, MASK, np.bool_, threshold)


def uniform(key: Keys, index: Index, dtype: Any, kind: int = UNIFORM) -> Any:
    return _drawn(f"uniform<{ELEMENT[np.dtype(dtype).name]}, W>", key, index, kind, dtype)


def normal(key: Keys, index: Index, dtype: Any, kind: int = NORMAL) -> Any:
    return _drawn(f"normal<{ELEMENT[np.dtype(dtype).name]}, W>", key, index, kind, dtype)


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
    if np.ndim(scale) > len(index.shape) or np.ndim(threshold.hi) > len(index.shape):
        return composed_drop(keep, cupy, x, key, index, threshold, scale, shift, fill)  # rates that differ by key
    return _dropped(x, key, index, threshold, scale, shift, fill, None)


def drop_and_bits(
    x: Any, key: Keys, index: Index, threshold: Threshold, scale: float = 1.0, shift: float | None = None, fill: Any = 0.0
) -> tuple[Any, Any]:
    """The same, with the mask beside it: one bit an element, as `np.packbits(bitorder="little")` for each key."""
    count = len(key) if isinstance(key, tuple) else 1
    bits = _empty((count, (index.size + 7) // 8), np.uint8)
    return _dropped(x, key, index, threshold, scale, shift, fill, bits), bits


def _dropped(
    x: Any, key: Keys, index: Index, threshold: Threshold, scale: Any, shift: float | None, fill: Any, bits: Any
) -> Any:
    x = _flat(x)
    y, other = _empty(x.shape, x.dtype), _like(fill, x)
    if x.size:
        told = _told(key, index, MASK, threshold, scale, whole=True)
        scales = None if told.scales is None else told.scales.astype(_wide(x.dtype), copy=False)
        number = (1.0 if np.ndim(scale) else scale, shift, 0.0 if np.ndim(fill) else fill)
        name = f"drop<{ELEMENT[x.dtype.name]}, {told.where.kind}>"
        mapping = arguments.map_of(x.dtype, *number)
        _launch(name, told.keys, told.where.size, x, y, other, bits, scales, mapping, *told.draw, *told.rates)
    return y


def drop_saved(
    x: Any, bits: Any, keys: int = 1, scale: float = 1.0, shift: float | None = None, fill: Any = 0.0
) -> Any:
    """The same map with bits that `drop_and_bits` saved."""
    x = _flat(x)
    y, other = _empty(x.shape, x.dtype), _like(fill, x)
    if x.size:
        mapping = arguments.map_of(x.dtype, scale, shift, 0.0 if np.ndim(fill) else fill)
        size = x.size // keys
        name = f"drop_saved<{ELEMENT[x.dtype.name]}>"
        _launch(name, keys, size, x, y, other, bits, np.uint64(size), np.uint32(keys), mapping)
    return y


def bias_drop_residual(
    x: Any, bias: Any, residual: Any, key: Keys, index: Index, threshold: Threshold, scale: float = 1.0
) -> Any:
    """where(keep, (x + bias) * scale, 0) + residual, rounded once; bias, (the last axis,), and residual may be None."""
    x = _flat(x)
    y, bias, residual = _empty(x.shape, x.dtype), _absent_or_like(bias, x), _absent_or_like(residual, x)
    if x.size:
        told = _told(key, index, MASK, threshold, whole=True)
        name = f"bias_drop_residual<{ELEMENT[x.dtype.name]}, {told.where.kind}>"
        mapping, width = arguments.map_of(x.dtype, scale, None, 0.0), np.uint64(x.shape[-1])
        _launch(name, told.keys, told.where.size, x, bias, residual, y, width, mapping, *told.draw, *told.rates)
    return y


def gather_rows(table: Any, ids: Any, key: Keys, threshold: Threshold, scale: float = 1.0) -> Any:
    """The rows of a table (V, D) by number, ids (..., n) -> (..., n, D): row i is kept as element i of the noise is.

    Several keys divide the ids into equal parts.
    """
    table, ids = _flat(table), cupy.ascontiguousarray(ids, np.int64)
    y = _empty((*ids.shape, table.shape[1]), table.dtype)
    if y.size:
        draw, keys, count, *_ = _told(key, Index.whole(1), MASK, threshold).draw
        each, width = np.uint64(ids.size // int(count)), np.uint64(table.shape[1])
        mapping = arguments.map_of(table.dtype, scale, None, 0.0)
        arrays = (table, ids, y, each, width, mapping, draw, keys, count)
        _launch(f"gather_rows<{ELEMENT[table.dtype.name]}>", int(count), int(each) * -(-int(width) // 8), *arrays)
    return y


def add_rows(
    x: Any, ids: Any, count: int, key: Key | None = None, threshold: Threshold | None = None, scale: float = 1.0
) -> Any:
    """The sums of those rows of x (n, D) that have equal numbers, ids (n,). (count, D)

    With a key: those rows of the result are kept, and scaled, that the noise keeps: the gradient of `gather_rows`.
    """
    x, out = _flat(x), cupy.zeros((count, x.shape[1]), x.dtype)
    if x.size:
        order = cupy.argsort(ids, kind="stable")  # (n,)
        numbers = ids[order].astype(np.int64)  # (n,), equal ones lie together
        starts = cupy.flatnonzero(cupy.diff(numbers, prepend=-1))  # (segments,)
        draw, keys, *_ = _told(key or Key(0), Index.whole(1), MASK, threshold).draw
        ends = cupy.append(starts, len(numbers)).astype(np.int64)  # (segments + 1,)
        segments, width = starts.size, x.shape[1]
        mapping = arguments.map_of(x.dtype, scale, None, 0.0)
        sizes = np.uint64(segments), np.uint64(width)
        arrays = (x, order.astype(np.int64), ends, numbers[starts], out, *sizes, mapping, draw, keys)
        _launch(f"add_rows<{ELEMENT[x.dtype.name]}>", 1, segments * -(-width // 8), *arrays)
    return out


def block_mask(key: Keys, seeds: Index, threshold: Threshold, size: tuple[int, int], block: tuple[int, int]) -> Any:
    """DropBlock's mask of elements, (keys * maps, height, width): False where a block begins at a seed that is dropped.

    `seeds` is the index of the seeds, (..., height - block height + 1, width - block width + 1).
    """
    maps = arguments.first_seeds(seeds)
    told = _told(key, maps, MASK, threshold, whole=True)
    out = _empty((told.keys * maps.size, *size), np.bool_)
    if out.size:
        shape = arguments.blocks(seeds, size, block)
        tiles = maps.size * -(-size[0] // 32) * -(-size[1] // 32)
        _launch("block_mask", told.keys, tiles, out, None, shape, *told.walking().draw)
    return out


def softmax_drop(
    x: Any, key: Keys, index: Index, threshold: Threshold, scale: float = 1.0
) -> tuple[Any, Any]:
    """(p, y): the softmax of x over the last axis, zeros for a row of -inf; and where(keep, p * scale, 0)."""
    x = _flat(x)
    p, y = _empty(x.shape, x.dtype), _empty(x.shape, x.dtype)
    if x.size:
        _softmax("softmax_drop", (x, p, y), key, index, threshold, scale)
    return p, y


def softmax_drop_grad(g: Any, p: Any, key: Keys, index: Index, threshold: Threshold, scale: float = 1.0) -> Any:
    """The gradient by x of `softmax_drop`'s y."""
    g, p = _flat(g), _flat(p)
    dx = _empty(g.shape, g.dtype)
    if g.size:
        _softmax("softmax_drop_grad", (g, p, dx), key, index, threshold, scale)
    return dx


def _softmax(kernel: str, arrays: tuple[Any, ...], key: Keys, index: Index, threshold: Threshold, scale: float) -> None:
    x = arrays[0]
    told = _told(key, index, MASK, threshold, whole=True)
    if x.shape[-1] % 8:  # rows then begin in the middle of a block
        told = told.walking()
    mapping = arguments.map_of(x.dtype, scale, None, 0.0)
    name = f"{kernel}<{ELEMENT[x.dtype.name]}, {told.where.kind}>"
    rows = told.where.size // x.shape[-1]
    _launch(name, told.keys, rows, *arrays, np.uint64(x.shape[-1]), mapping, *told.draw, *told.rates)


# ---------------------------------------------------------------------------------------------------------------- arrays
def _flat(x: Any) -> Any:
    """x as it must lie for a kernel: C-contiguous, on the device; its shape stays."""
    if not isinstance(x, cupy.ndarray):
        raise TypeError(f"backend 'cupy': expected an array of CuPy, got {type(x)}; write cupy.asarray(x)")
    if x.dtype.name not in ELEMENT:
        known = ", ".join(ELEMENT)
        raise TypeError(f"backend 'cupy': no kernel for {x.dtype}; it may be {known} (which is bfloat16)")
    return x if x.flags.c_contiguous else cupy.ascontiguousarray(x)


def _wide(dtype: Any) -> Any:
    """The type of the arithmetic."""
    return np.float64 if dtype == np.float64 else np.float32


def _like(fill: Any, x: Any) -> Any:
    """A fill that is an array, as a contiguous one like x; None for a number."""
    if not np.ndim(fill):
        return None
    fill = cupy.broadcast_to(place(fill), x.shape)
    if fill.dtype != x.dtype:
        fill = fill.astype(_wide(x.dtype)).astype(x.dtype)
    return cupy.ascontiguousarray(fill)


def _absent_or_like(a: Any, x: Any) -> Any:
    return None if a is None else cupy.ascontiguousarray(place(a), x.dtype)


FUSED = MappingProxyType(
    {
        function.__name__: function
        for function in (
            add_rows,
            bias_drop_residual,
            block_mask,
            drop_and_bits,
            drop_saved,
            gather_rows,
            softmax_drop,
            softmax_drop_grad,
        )
    }
)

BACKEND = Backend("cupy", cupy, words, keep, drop, uniform, normal, FUSED, place, require_device)
