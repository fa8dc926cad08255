"""Host emulation: the CuPy backend's Python on genuine `cupy.ndarray` objects in host memory, its kernels on the CPU.

    with host_emulation() as backend:
        puredrop.dropout(x, 0.1, key=key, backend=backend)

What is real: `cupy.ndarray` (shapes, strides, views, dtypes, flags, pointers, the refusal of arrays of NumPy), the
source of the kernels, the geometry of each launch and every byte of its arguments. What is replaced: the allocator,
copies between host and device, what CuPy computes on arrays (NumPy does, on the same memory), launches (the same
source, compiled for the CPU), streams, events and devices. Whatever else of CuPy is called raises, for there is no
driver, so that nothing passes by being left out.

What it cannot show: asynchrony, streams, the memory pool, more than one real device, and how fast anything is.
A result of it is always said to be one: the backend's name is "cupy, host emulation".
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from .. import Backend, get, standing_in

NAME = "cupy, host emulation"
_ABSENT = object()


@contextmanager
def host_emulation() -> Iterator[Backend]:
    """Inside, CuPy works on host memory, and `backends.get("cupy")` is the backend that does so.

    Raises: ImportError where CuPy or a compiler for the CPU is missing; RuntimeError where a device could be used: its
    arrays would be mistaken for host memory; MemoryError at the end, where something was written beside an array.
    """
    import cupy

    from . import arrays, device, launch
    from .memory import heap

    saved = []
    for owner, name, what in (*arrays.replacements(), *device.replacements(), *launch.replacements()):
        saved.append((owner, name, vars(owner).get(name, _ABSENT)))
        setattr(owner, name, what)
    cupy.cuda.set_allocator(heap.allocate)
    try:
        with standing_in("cupy", replace(get_record(), name=NAME)) as backend:
            yield backend
        heap.check()
    finally:
        cupy.cuda.set_allocator(None)
        for owner, name, what in reversed(saved):
            delattr(owner, name) if what is _ABSENT else setattr(owner, name, what)


def get_record() -> Any:
    from ..cupy import BACKEND

    return BACKEND


assert get is not None
