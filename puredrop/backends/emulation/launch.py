"""Launches: the kernels' source compiled for the CPU, its arguments checked as CuPy does not check them.

CuPy hands on whatever it is given: a Python int as eight bytes, a float as float64, None as a null pointer, one argument
too few as what happens to lie there; and a grid of no blocks as one of one. Here number, kind and size of the arguments
must be those of the kernel, and every pointer must point to the memory of the current device.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import cupy
import numpy as np

from .. import cuda
from ..cuda import host
from .memory import heap

_BOUNDS = re.compile(r"__launch_bounds__\((\d+)\)\s*(\w+)\s*\(")
launched: list[tuple[str, tuple[int, ...], tuple[int, ...]]] = []  # (name, grid, block), for those that count launches


@cache
def _compiled() -> Any:
    """All kernels, for the CPU: compiled once, and kept where compiled things are kept."""
    return host.build(cuda.source(), cuda.instances())


@cache
def _most_threads() -> dict[str, int]:
    return {name: int(count) for count, name in _BOUNDS.findall(cuda.source())}


class Function:
    """A kernel on the device, as `RawKernel.kernel` gives it."""

    def __init__(self, name: str) -> None:
        self.name, self._kernel = name, _compiled()[name]
        self._most = _most_threads()[name.split("<")[0]]

    def __call__(self, grid: Any, block: Any, args: Any, shared_mem: int = 0, stream: Any = None) -> None:
        grid, block = (tuple(grid) + (1, 1))[:3], (tuple(block) + (1, 1))[:3]
        if min(grid) < 1:
            raise ValueError(f"{self.name}: a grid of no blocks, {grid}; CuPy would launch one")
        if np.prod(block) > self._most:
            raise ValueError(f"{self.name}: a block of {block} threads; __launch_bounds__ allows {self._most}")
        self._require_all(args)
        packed = [self._packed(number, a) for number, a in enumerate(args)]
        launched.append((self.name, grid, block))
        self._kernel.launch(grid, block, packed)
        heap.check(*(heap.find(a.data.ptr)[0] for a in args if isinstance(a, cupy.ndarray) and a.size))

    def _require_all(self, args: Any) -> None:
        expected = len(self._kernel.sig)
        if len(args) != expected:
            raise TypeError(f"{self.name} takes {expected} arguments, got {len(args)}")

    def _packed(self, number: int, a: Any) -> bytes:
        kind, size = self._kernel.sig[number]
        given, raw = _bytes_of(a)
        if given != kind or len(raw) != size:
            raise TypeError(
                f"{self.name}: argument {number} must be {_WORDS[kind]} of {size} bytes, got {_WORDS[given]} of "
                f"{len(raw)} bytes ({type(a).__name__})"
            )
        return raw


_WORDS = {"p": "a pointer", "i": "a whole number", "u": "a whole number, not negative,", "f": "a real", "s": "a structure"}


def _bytes_of(a: Any) -> tuple[str, bytes]:
    """What CuPy would hand on for an argument, and what it is."""
    if a is None:
        return "p", bytes(8)
    if isinstance(a, cupy.ndarray):
        heap.find(a.data.ptr)
        return "p", a.data.ptr.to_bytes(8, "little")
    if isinstance(a, np.ndarray) and a.size == 1:  # a structure by value
        return "s" if a.dtype.fields else a.dtype.kind, a.tobytes()
    if isinstance(a, np.generic):
        return a.dtype.kind, a.tobytes()
    if isinstance(a, int):
        return "i", (a % 2**64).to_bytes(8, "little")
    if isinstance(a, float):
        return "f", np.float64(a).tobytes()
    raise TypeError(f"Unsupported type {type(a)}")


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
