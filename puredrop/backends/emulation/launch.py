"""Launches: the kernels' source compiled for the CPU, its arguments checked as CuPy does not check them.

CuPy hands on whatever it is given: a Python int as eight bytes, a float as float64, None as a null pointer, and where
one argument is missing what happens to lie there; a grid of no blocks becomes one of one. Here number, kind and size of
the arguments must be those of the kernel, and every pointer must point to the memory of the current device.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from functools import cache
from typing import Any

import cupy
import numpy as np

from .. import cuda
from ..cuda import host
from .memory import heap

launched: list[tuple[str, tuple[int, ...], tuple[int, ...]]] = []  # (name, grid, block), for those that count launches


@cache
def compiled() -> host.Module:
    """All kernels, for the CPU: compiled once, and kept where compiled things are kept."""
    return host.load(cuda.source(), cuda.instances())


class Function:
    """A kernel on the device, as `RawKernel.kernel` gives it."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, grid: Any, block: Any, args: Any, shared_mem: int = 0, stream: Any = None) -> None:
        if min(grid) < 1:
            raise ValueError(f"{self.name}: a grid of no blocks, {grid}; CuPy would launch one")
        packed = [host.pack(self._checked(number, a)) for number, a in enumerate(args)]
        launched.append((self.name, tuple(grid), tuple(block)))
        compiled().launch(self.name, grid, block, packed, shared_mem)
        heap.check(*(heap.find(a.data.ptr)[0] for a in args if isinstance(a, cupy.ndarray) and a.size))

    def _checked(self, number: int, a: Any) -> Any:
        """An argument that means to the host what it means to the device."""
        if isinstance(a, cupy.ndarray):
            if a.size:
                heap.find(a.data.ptr)
            if a.data.device_id != heap.device:
                raise RuntimeError(f"{self.name}: argument {number} lies on device {a.data.device_id}: no such address")
            return ctypes.c_void_p(a.data.ptr)
        if isinstance(a, np.ndarray) and not (a.dtype.kind == "V" and a.size == 1):
            raise TypeError(f"{self.name}: argument {number} is an array of NumPy; a kernel reads arrays of the device")
        return a


class _Kernel:
    def __init__(self, name: str) -> None:
        self.name, self.kernel = name, Function(name)


class RawModule:
    """`cupy.RawModule` of the project's own source."""

    def __init__(self, *, code: str, options: Any = (), name_expressions: Any = None, backend: str = "nvrtc") -> None:
        if code != cuda.source():
            raise ValueError("host emulation: only the source of puredrop.backends.cuda can be compiled")
        self._names = tuple(name_expressions or ())

    def get_function(self, name: str) -> _Kernel:
        if name not in self._names:
            raise KeyError(f"named symbol not found: {name}; list it in name_expressions")
        return _Kernel(name)


def replacements() -> Iterator[tuple[Any, str, Any]]:
    """All that must be put in place of CuPy's own."""
    yield cupy, "RawModule", RawModule
