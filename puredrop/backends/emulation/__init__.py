"""Host emulation: the CuPy backend's Python on genuine `cupy.ndarray` objects in host memory, its kernels on the CPU.

    with host_emulation() as backend:
        puredrop.dropout(x, 0.1, key=key, backend=backend)

What is real: `cupy.ndarray` (shapes, strides, views, dtypes, flags, pointers, the refusal of arrays of NumPy), the
source of the kernels, the geometry of each launch and every byte of its arguments. What is replaced: the allocator,
copies between host and device, what CuPy computes on arrays (NumPy does, on the same memory), launches (the same
source, compiled for the CPU), streams, events and devices. Whatever else of CuPy is called raises, for there is no
driver, so that nothing passes by being left out.

What it cannot show: asynchrony, streams, the memory pool, a second real device, and how fast anything is.
A result of it is always said to be one: the backend's name is "cupy, host emulation".
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from importlib.util import find_spec
from typing import Any

from .. import Backend, BackendError, standing_in

NAME = "cupy, host emulation"


def missing() -> str | None:
    """What is not there that the emulation needs; None where it can run."""
    from ..cuda import host

    if find_spec("cupy") is None:
        return "the package 'cupy' is not installed: pip install cupy-cuda13x (no GPU is needed)"
    return host.missing()


@contextmanager
def host_emulation() -> Iterator[Backend]:
    """Inside, CuPy works on host memory, and `backends.get("cupy")` is the backend that does so.

    Raises: BackendError where something is missing, by name; MemoryError at the end, where something was written beside
    an array.
    """
    if reason := missing():
        raise BackendError(f"host emulation: {reason}")
    from .. import cupy as backend
    from . import arrays, device, launch
    from .memory import host_memory

    with ExitStack() as stack:
        for owner, name, what in (*arrays.replacements(), *device.replacements(), *launch.replacements()):
            stack.enter_context(_replaced(owner, name, what))
        stack.enter_context(host_memory())
        stack.callback(backend.forget_functions)
        backend.forget_functions()
        yield stack.enter_context(standing_in("cupy", replace(backend.BACKEND, name=NAME)))


_ABSENT = object()


@contextmanager
def _replaced(owner: Any, name: str, what: Any) -> Iterator[None]:
    before = vars(owner).get(name, _ABSENT)
    setattr(owner, name, what)
    try:
        yield
    finally:
        if before is _ABSENT:
            delattr(owner, name)
        else:
            setattr(owner, name, before)
