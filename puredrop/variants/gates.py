"""What variants with gates share: one decision for a whole example, a branch, a head."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..random import Index, Keys
from .door import checked_array, fitting_index


def checked_alike(operation: str, **arrays: Any) -> list[Any]:
    """Floating-point arrays of one shape and dtype."""
    checked = checked_same_dtype(operation, **arrays)
    first, first_name = checked[0], next(iter(arrays))
    for name, a in zip(arrays, checked, strict=True):
        if a.shape != first.shape:
            raise ValueError(
                f"{operation}: {name} must have the shape of {first_name}, {first.shape}, got {a.shape}; "
                f"nothing is broadcast here"
            )
    return checked


def checked_same_dtype(operation: str, **arrays: Any) -> list[Any]:
    """Floating-point arrays of one dtype."""
    checked = [checked_array(f"{operation}, {name}", a) for name, a in arrays.items()]
    first, first_name = checked[0], next(iter(arrays))
    for name, a in zip(arrays, checked, strict=True):
        if a.dtype != first.dtype:
            raise TypeError(
                f"{operation}: {name} must have the dtype of {first_name}, {first.dtype}, got {a.dtype}; "
                f"convert one with .astype"
            )
    return checked


def checked_mode(operation: str, mode: Any) -> Any:
    """ "row" or "batch"."""
    if mode not in ("row", "batch"):
        raise ValueError(f"{operation}: mode must be 'row' (a gate for each example) or 'batch' (one), got {mode!r}")
    return mode


def gate_index(operation: str, shape: tuple[int, ...], key: Keys | None, index: Index | None, mode: str) -> Index:
    """The index of one gate for each example ("row") or for all ("batch")."""
    first = int(checked_mode(operation, mode) == "row")
    part = shape[1:] if isinstance(key, tuple) and index is None else shape
    if len(part) < first:
        raise ValueError(f"{operation}: mode 'row' needs a batch axis, got x of shape {shape}; use mode='batch'")
    if index is None:
        return fitting_index(operation, shape, key, None, tuple(range(first, len(part))))
    index = fitting_index(operation, shape, key, index)
    if any(n != 1 for n in index.noise_shape[first:]):
        raise ValueError(
            f"{operation}: in mode {mode!r} an index must share the axes from {first} on, got one with noise of shape "
            f"{index.noise_shape}; write Index.whole(shape, shared=...)"
        )
    return index


def spread_keys(noise: Any, shape: tuple[int, ...], key: Keys | None, index: Index) -> Any:
    """Noise drawn at `index` so that it broadcasts to an array of `shape`, whose leading axis may enumerate keys."""
    if not isinstance(key, tuple):
        return np.broadcast_to(noise, index.noise_shape)
    noise = np.broadcast_to(noise, (len(key), *index.noise_shape))
    if len(shape) > len(index.shape):
        return noise
    rows = (len(key), *index.shape[:1], *index.noise_shape[1:])  # the axis of the keys is merged with the first
    return np.broadcast_to(noise, rows).reshape(-1, *index.noise_shape[1:])
