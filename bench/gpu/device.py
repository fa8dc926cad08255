"""The device as the day's script needs it: the clock, arrays of every type, and kernels for the checks of the CPU."""

from __future__ import annotations

import ctypes
import statistics
import time
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import cupy
import numpy as np

from puredrop.backends import cuda
from puredrop.backends import cupy as backend
from puredrop.backends.cuda.host import checks

ELEMENTS = {"fp32": np.float32, "fp16": np.float16, "bf16": np.uint16, "fp64": np.float64}
GUARD = checks.GUARD


class Clock:
    """Times on the null stream, which PyTorch and Triton use too: by events, or (`host`) by the clock of the host."""

    def __init__(self, host: bool) -> None:
        self.host = host

    def milliseconds(self, work: Callable[[], Any], repeats: int = 25, warm: int = 3) -> dict[str, float]:
        """Median, best and quartiles of single runs of `work`."""
        repeats, warm = (3, 1) if self.host else (repeats, warm)
        for _ in range(warm):
            work()
        times = sorted(self._by_host(work) if self.host else t for t in self._times(work, repeats))
        quartiles = statistics.quantiles(times, n=4)
        return {"median": statistics.median(times), "best": times[0], "low": quartiles[0], "high": quartiles[2]}

    def _times(self, work: Callable[[], Any], repeats: int) -> list[float]:
        if self.host:
            return [0.0] * repeats
        stream = cupy.cuda.Stream.null
        events = [(cupy.cuda.Event(), cupy.cuda.Event()) for _ in range(repeats)]
        stream.synchronize()
        for before, after in events:
            before.record(stream)
            work()
            after.record(stream)
        stream.synchronize()
        return [cupy.cuda.get_elapsed_time(before, after) for before, after in events]

    @staticmethod
    def _by_host(work: Callable[[], Any]) -> float:
        start = time.perf_counter()
        work()
        return (time.perf_counter() - start) * 1e3

    def microseconds_a_call(self, work: Callable[[], Any], repeats: int = 2000) -> dict[str, float]:
        """What the host spends on a call that it does not wait for, and how long it takes until all are done."""
        repeats = 10 if self.host else repeats
        stream = cupy.cuda.Stream.null
        for _ in range(10):
            work()
        stream.synchronize()
        start = time.perf_counter()
        for _ in range(repeats):
            work()
        submitted = time.perf_counter() - start
        stream.synchronize()
        return {"submitted": submitted / repeats * 1e6, "done": (time.perf_counter() - start) / repeats * 1e6}


def filled(n: int, element: str) -> Any:
    """An array of n normal numbers on the device; bfloat16 as its bits."""
    some = np.random.default_rng(1).standard_normal(min(n, 1 << 20)).astype(np.float32)
    if element == "bf16":
        some = (some.view(np.uint32) >> 16).astype(np.uint16)
    part = cupy.asarray(some.astype(ELEMENTS[element]))
    x = cupy.empty(n, ELEMENTS[element])
    for start in range(0, n, part.size):
        x[start : start + part.size] = part[: n - start]
    return x


def free() -> None:
    """Give the memory of arrays that are gone back to the device."""
    cupy.get_default_memory_pool().free_all_blocks()


class DeviceModule:
    """Launches for `puredrop.backends.cuda.host.checks`: its arrays, with the canaries beside them, go to the device
    at the same distance from a multiple of 16, and come back."""

    def __init__(self) -> None:
        self.bench = checks.Bench(self)  # type: ignore[arg-type]

    @cached_property
    def _module(self) -> Any:
        return cupy.RawModule(code=cuda.source(), options=backend.OPTIONS, name_expressions=cuda.instances())

    def launch(self, name: str, grid: Sequence[int], block: Sequence[int], arguments: Sequence[Any], **_: Any) -> None:
        """Run a kernel on arrays of the host."""
        fenced = {canaries.ctypes.data + canaries.nbytes for canaries in self.bench.arrays}  # where an array begins
        there = [
            Mirror(a, GUARD if a.ctypes.data in fenced else 0) if isinstance(a, np.ndarray) and not a.dtype.names else a
            for a in arguments
        ]
        told = tuple(a.array if isinstance(a, Mirror) else a for a in there)
        self._module.get_function(name).kernel(tuple(grid), tuple(block), told)
        for a in there:
            if isinstance(a, Mirror):
                a.back()


class Mirror:
    """An array of the host, and `guard` bytes on each side of it, on the device."""

    def __init__(self, host: np.ndarray, guard: int) -> None:
        pointer, size = host.ctypes.data - guard, host.nbytes + 2 * guard
        self._owner = host
        self._whole = np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(pointer))
        memory = cupy.empty(size + 16, np.uint8)
        skip = (pointer - memory.data.ptr) % 16
        self._there = memory[skip : skip + size]
        self._there.set(self._whole.copy())
        self.array = self._there[guard : guard + host.nbytes]

    def back(self) -> None:
        """What is on the device, in the memory of the host again."""
        if self._owner.flags.writeable:
            self._whole[:] = self._there.get()
