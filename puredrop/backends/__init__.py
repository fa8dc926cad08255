"""What a machine owes the engine: a backend is a frozen record of functions.

Each function below is told *which* elements to draw by (key, index), see `puredrop.random`; equal arguments give equal
bits on every backend. `key` may be a tuple of keys, which a leading axis of the result enumerates.
Contract, tested on every backend: any strides, zero size, 0-d, read-only input; the output is new, the input untouched.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from types import MappingProxyType
from typing import Any

import numpy as np

_NEEDS = {"numpy": "numpy", "numba": "numba", "cupy": "cupy"}  # backend -> the package it needs
_EXTRA = {"numba": "numba", "cupy": "cupy-cuda13x (cupy-cuda12x for a driver of CUDA 12)"}  # what to install for it
_ON_HOST = frozenset({np.ndarray, float, int})  # what operations are usually given: no module's name is compared

KNOWN = tuple(_NEEDS)
_stand_ins: dict[str, Backend] = {}


class BackendError(RuntimeError):
    """A backend whose package is there, and which cannot work on this machine."""


@dataclass(frozen=True, eq=False)
class Backend:
    """The record. `dataclasses.replace` makes a variation of one, which is how tests put a spy in a backend.

    words(key, index, kind) -> uint32.  keep(key, index, threshold) -> bool.  All of `index.noise_shape`.
    An array of thresholds broadcasts to the noise, one with an axis more in front to (keys, *noise).
    drop(x, key, index, threshold, scale, shift, fill) -> like x: `where(keep, x * scale [+ shift], fill)`, with fill a
    number or an array; x has `index.size` elements for each key.
    uniform(key, index, dtype, kind) -> dtype, rounded once from float64.
    normal(key, index, dtype, kind) -> dtype, within 1e-14 of the reference's float64, in float32 within 1e-6.
    fused: optional kernels by name; what is absent is composed from primitives.
    require(): raises BackendError where it cannot work on this machine; None: it always can.
    place(a) -> an array of NumPy brought to where the backend computes, anything else as it is; None: it computes
    there already.
    """

    name: str
    xp: Any
    words: Callable[..., Any]
    keep: Callable[..., Any]
    drop: Callable[..., Any]
    uniform: Callable[..., Any]
    normal: Callable[..., Any]
    fused: Mapping[str, Callable[..., Any]] = field(default_factory=lambda: MappingProxyType({}))
    place: Callable[[Any], Any] | None = None
    require: Callable[[], None] | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return get, (self.name,)

    def __repr__(self) -> str:
        return f"<puredrop backend {self.name}>"


@cache
def _load(name: str) -> Backend:
    backend: Backend = import_module(f".{name}", __name__).BACKEND
    if backend.require is not None:
        backend.require()
    return backend


def get(name: str | Backend | None = None) -> Backend:
    """The backend of that name; the default one for None; a backend itself is passed through.

    Raises: ValueError for an unknown name, ImportError (naming what to install) where its package is missing,
    BackendError (saying why, and what to do) where it cannot work on this machine.

    >>> get("numpy")
    <puredrop backend numpy>
    >>> get("abacus")
    Traceback (most recent call last):
    ValueError: unknown backend 'abacus'; known are numpy, numba, cupy
    """
    if isinstance(name, Backend):
        return name
    name = name or default_name()
    if name in _stand_ins:
        return _stand_ins[name]
    if name not in _NEEDS:
        raise ValueError(f"unknown backend {name!r}; known are {', '.join(_NEEDS)}")
    if not _installed(name):
        raise ImportError(f"backend {name!r} needs the package {_NEEDS[name]!r}: pip install {_EXTRA[name]}")
    return _load(name)


def of(arrays: Iterable[Any], name: str | Backend | None = None) -> Backend:
    """The backend of that name; for None the one that arrays of these types belong to, else the default one."""
    if name is None:
        for a in arrays:
            if type(a) not in _ON_HOST and is_on_device(a):
                return get("cupy")
    return get(name)


def is_on_device(a: Any) -> bool:
    """Whether a is an array of CuPy."""
    return type(a).__module__ == "cupy"  # asked without importing it


def on_host(a: Any) -> np.ndarray:
    """An array of any backend as one of NumPy."""
    return a.get() if is_on_device(a) else np.asarray(a)


@contextmanager
def standing_in(name: str, record: Backend) -> Iterator[Backend]:
    """Inside, that record is the backend of this name, and of its own."""
    before = dict(_stand_ins)
    _stand_ins.update({name: record, record.name: record})
    try:
        yield record
    finally:
        _stand_ins.clear()
        _stand_ins.update(before)


def available() -> tuple[str, ...]:
    """The names of the backends that can be used on this machine."""
    return tuple(name for name in _NEEDS if why_not(name) is None)


def why_not(name: str) -> str | None:
    """Why a backend cannot be used on this machine, and what to do about it; None where it can."""
    if name in _stand_ins:
        return None
    if not _installed(name):
        return f"the package {_NEEDS[name]!r} is not installed: pip install {_EXTRA[name]}"
    if name == "cupy" and not _has_driver():
        return "no NVIDIA driver was found; on a machine with an NVIDIA GPU install one, until nvidia-smi shows it"
    try:
        get(name)
    except (ImportError, BackendError) as error:
        return str(error).removeprefix(f"backend {name!r}: ")
    return None


@cache
def _has_driver() -> bool:
    """Whether the driver's library can be loaded: asked before CuPy is imported, which takes a second."""
    try:
        ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return False
    return True


@cache
def default_name() -> str:
    """What plain arrays use: PUREDROP_BACKEND where set, else numba where installed, else numpy.

    Looked up once, when it is first needed: the environment is slow to read beside a small dropout.
    """
    wanted = os.environ.get("PUREDROP_BACKEND")
    if wanted and wanted not in _NEEDS:
        raise ValueError(f"PUREDROP_BACKEND names the unknown backend {wanted!r}; known are {', '.join(_NEEDS)}")
    return wanted or ("numba" if _installed("numba") else "numpy")


@cache
def _installed(name: str) -> bool:
    return find_spec(_NEEDS[name]) is not None
