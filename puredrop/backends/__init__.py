"""What a machine owes the engine: a backend is a frozen record of functions.

Each function below is told *which* elements to draw by (key, index), see `puredrop.random`; equal arguments give equal
bits on every backend. `key` may be a tuple of keys, which a leading axis of the result enumerates.
Contract, tested on every backend: any strides, zero size, 0-d, read-only input; the output is new, the input untouched.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from types import MappingProxyType
from typing import Any

_NEEDS = {"numpy": "numpy", "numba": "numba"}  # backend -> the package it needs
_EXTRA = {"numba": "numba"}  # backend -> what to install for it


@dataclass(frozen=True, eq=False)
class Backend:
    """The record. `dataclasses.replace` makes a variation of one, which is how tests put a spy in a backend.

    words(key, index, kind) -> uint32.  keep(key, index, threshold) -> bool.  All of `index.noise_shape`.
    An array of thresholds broadcasts to the noise, one with an axis more in front to (keys, *noise).
    drop(x, key, index, threshold, scale, shift, fill) -> like x: `where(keep, x * scale [+ shift], fill)`, with fill a
    number or an array; x has `index.size` elements for each key.
    uniform(key, index, dtype, kind) and normal(key, index, dtype, kind) -> dtype, rounded once from float64.
    fused: optional kernels by name; what is absent is composed from primitives.
    """

    name: str
    xp: Any
    words: Callable[..., Any]
    keep: Callable[..., Any]
    drop: Callable[..., Any]
    uniform: Callable[..., Any]
    normal: Callable[..., Any]
    fused: Mapping[str, Callable[..., Any]] = field(default_factory=lambda: MappingProxyType({}))

    def __reduce__(self) -> tuple[Any, ...]:
        return get, (self.name,)

    def __repr__(self) -> str:
        return f"<puredrop backend {self.name}>"


@cache
def _load(name: str) -> Backend:
    return import_module(f".{name}", __name__).BACKEND


def get(name: str | Backend | None = None) -> Backend:
    """The backend of that name; the default one for None; a backend itself is passed through.

    Raises: ValueError for an unknown name, ImportError (naming what to install) where its package is missing.

    >>> get("numpy")
    <puredrop backend numpy>
    >>> get("abacus")
    Traceback (most recent call last):
    ValueError: unknown backend 'abacus'; known are numpy, numba
    """
    if isinstance(name, Backend):
        return name
    name = name or default_name()
    if name not in _NEEDS:
        raise ValueError(f"unknown backend {name!r}; known are {', '.join(_NEEDS)}")
    if not _installed(name):
        raise ImportError(f"backend {name!r} needs the package {_NEEDS[name]!r}: pip install {_EXTRA[name]}")
    return _load(name)


def available() -> tuple[str, ...]:
    """The names of the backends whose packages are installed."""
    return tuple(name for name in _NEEDS if _installed(name))


def default_name() -> str:
    """What plain arrays use: PUREDROP_BACKEND where set, else numba where installed, else numpy."""
    wanted = os.environ.get("PUREDROP_BACKEND")
    if wanted and wanted not in _NEEDS:
        raise ValueError(f"PUREDROP_BACKEND names the unknown backend {wanted!r}; known are {', '.join(_NEEDS)}")
    return wanted or ("numba" if _installed("numba") else "numpy")


@cache
def _installed(name: str) -> bool:
    return find_spec(_NEEDS[name]) is not None
