"""Device memory that is host memory: genuine `cupy.ndarray` objects whose elements NumPy can see.

Blocks are aligned as CUDA aligns them, filled with a poison so that what a kernel forgot to write shows, and fenced on
both sides; the fences are looked at after every launch and when a block is freed.
"""

from __future__ import annotations

import bisect
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import cupy
import numpy as np

FENCE = 256  # bytes on either side of a block
ALIGNMENT = 512
POISON = 0xA5


class _Owner:
    """What keeps a block alive: CuPy holds it beside the pointer."""

    __slots__ = ("__weakref__", "raw")

    def __init__(self, raw: np.ndarray) -> None:
        self.raw = raw


class Heap:
    """All live blocks of the emulated devices."""

    def __init__(self) -> None:
        self._blocks: dict[int, tuple[int, weakref.ref[_Owner], np.ndarray]] = {}  # pointer -> size, owner, whole
        self._pointers: list[int] = []  # sorted
        self.device = 0  # on which blocks are made
        self.limit: int | None = None  # bytes in one block beyond which memory is said to be used up

    def allocate(self, size: int) -> Any:
        """What CuPy asks for a block: a pointer to `size` bytes."""
        if self.limit is not None and size > self.limit:
            raise cupy.cuda.memory.OutOfMemoryError(size, 0, self.limit)
        raw = np.empty(max(size, 1) + 2 * FENCE + ALIGNMENT, np.uint8)
        raw.fill(POISON)
        start = FENCE + -(raw.ctypes.data + FENCE) % ALIGNMENT
        pointer = raw.ctypes.data + start
        owner = _Owner(raw)
        self._blocks[pointer] = size, weakref.ref(owner), raw[start - FENCE : start + size + FENCE]
        bisect.insort(self._pointers, pointer)
        weakref.finalize(owner, self._free, pointer)
        return cupy.cuda.MemoryPointer(cupy.cuda.UnownedMemory(pointer, size, owner, self.device), 0)

    def _free(self, pointer: int) -> None:
        self.check(pointer)
        del self._blocks[pointer]
        del self._pointers[bisect.bisect_left(self._pointers, pointer)]

    def check(self, *pointers: int) -> None:
        """Raise MemoryError where something was written beside a block (of all blocks by default)."""
        for pointer in pointers or self._pointers:
            size, _, whole = self._blocks[pointer]
            if (whole[:FENCE] != POISON).any() or (whole[FENCE + size :] != POISON).any():
                raise MemoryError(f"host emulation: something was written beside a block of {size} bytes")

    def mend(self, pointer: int) -> None:
        """Restore the fences of a block, for tests that break them."""
        size, _, whole = self._blocks[pointer]
        whole[:FENCE] = whole[FENCE + size :] = POISON

    def find(self, pointer: int) -> tuple[int, int, _Owner]:
        """(start, size, owner) of the block that a pointer lies in. Raises MemoryError where it lies in none."""
        place = bisect.bisect_right(self._pointers, pointer) - 1
        if place >= 0:
            start = self._pointers[place]
            size, owner, _ = self._blocks[start]
            if pointer <= start + size:
                return start, size, owner()  # type: ignore[return-value]
        raise MemoryError(f"host emulation: {pointer:#x} is no device memory")

    def holds(self, array: np.ndarray) -> bool:
        """Whether the elements of a NumPy array lie in a block."""
        place = bisect.bisect_right(self._pointers, array.__array_interface__["data"][0]) - 1
        if place < 0:
            return False
        start = self._pointers[place]
        return array.__array_interface__["data"][0] < start + self._blocks[start][0]


heap = Heap()


@contextmanager
def host_memory() -> Iterator[Heap]:
    """Inside, CuPy's arrays are made on the heap, which is looked over at the end."""
    cupy.cuda.set_allocator(heap.allocate)
    try:
        yield heap
        heap.check()
    finally:
        cupy.cuda.set_allocator(None)


class _Elements:
    """What NumPy asks of the elements of a device array; holds the array."""

    def __init__(self, array: Any) -> None:
        self.array = array
        self.__array_interface__ = {
            "version": 3,
            "shape": array.shape,
            "typestr": array.dtype.str,
            "data": (array.data.ptr, False),
            "strides": array.strides,
        }


def seen(array: Any) -> np.ndarray:
    """A device array as a NumPy array on the same memory."""
    if array.size == 0:
        return np.empty(array.shape, array.dtype)
    return np.asarray(_Elements(array))


def on_device(array: Any) -> Any:
    """A NumPy array as a device array: of the same memory where that is device memory, else of a copy."""
    array = np.asarray(array)
    if array.dtype.kind not in "biufc" or (array.dtype.itemsize > 8 and array.dtype.kind != "c"):
        raise TypeError(f"Unsupported dtype {array.dtype}")  # CuPy's words
    if array.size and heap.holds(array):
        pointer = array.__array_interface__["data"][0]
        start, size, owner = heap.find(pointer)
        memory = cupy.cuda.UnownedMemory(start, size, owner, heap.device)
        place = cupy.cuda.MemoryPointer(memory, pointer - start)
        return cupy.ndarray(array.shape, array.dtype, place, array.strides)
    order = "F" if array.flags.f_contiguous and not array.flags.c_contiguous else "C"
    new = cupy.empty(array.shape, array.dtype, order)
    if new.size:
        seen(new)[...] = array
    return new
