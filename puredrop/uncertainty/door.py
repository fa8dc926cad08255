"""The door of the metrics: arrays are checked here, once; what comes out is float64."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..backends import on_host
from ..tensor import raw
from ..variants.door import real_number

# How far from one a float32 softmax may sum; coarser dtypes get the square root of their epsilon.
TOLERANCE = 1e-4


def checked_probabilities(operation: str, p: Any, shape: str = "(N, C)", axis: int = -1) -> np.ndarray:
    """Probabilities that sum to one along `axis`, as float64 within [0, 1]; `shape` names the axes that are wanted.

    A shape with `...` in it leaves the number of axes free. Raises TypeError, ValueError.
    """
    given = on_host(raw(p))
    wanted = shape.strip("()").split(",")
    if given.dtype.kind != "f":
        raise TypeError(f"{operation}: probabilities must be floating-point, got dtype {given.dtype}")
    if given.ndim < len(wanted) - 1 if "..." in shape else given.ndim != len(wanted):
        raise ValueError(f"{operation}: probabilities must have shape {shape}, got {given.shape}{_binary_hint(given)}")
    if not given.size:
        raise ValueError(f"{operation}: probabilities are empty, of shape {given.shape}; there is nothing to measure")
    tolerance = max(TOLERANCE, float(np.sqrt(np.finfo(given.dtype).eps)))
    exact = given.astype(np.float64)
    sums = exact.sum(axis=axis)
    if not (exact.min() >= -tolerance and exact.max() <= 1 + tolerance and np.abs(sums - 1).max() <= tolerance):
        raise ValueError(
            f"{operation}: probabilities must lie in [0, 1] and sum to one along axis {axis}, got values from "
            f"{exact.min():.4g} to {exact.max():.4g} and sums from {sums.min():.4g} to {sums.max():.4g}; "
            f"of logits take puredrop.ops.softmax first"
        )
    return exact.clip(0.0, 1.0)


def _binary_hint(given: np.ndarray) -> str:
    return "; for one column of a binary classifier write np.stack([1 - p, p], axis=-1)" if given.ndim == 1 else ""


def checked_labels(operation: str, labels: Any, rows: int, classes: int) -> np.ndarray:
    """A class for each row, in [0, classes). int64, (N,). Raises TypeError, ValueError."""
    given = on_host(raw(labels))
    if given.dtype.kind not in "iu":
        raise TypeError(f"{operation}: labels must be whole numbers, got dtype {given.dtype}")
    if given.shape != (rows,):
        raise ValueError(f"{operation}: needs a label for each of {rows} rows, of shape ({rows},), got {given.shape}")
    if not 0 <= given.min() <= given.max() < classes:
        raise ValueError(f"{operation}: labels must lie in [0, {classes}), got {given.min()} to {given.max()}")
    return given.astype(np.int64)


def classified(operation: str, probabilities: Any, labels: Any) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities (N, C) and a label for each row. Raises TypeError, ValueError."""
    p = checked_probabilities(operation, probabilities)
    return p, checked_labels(operation, labels, *p.shape)


def finite(operation: str, name: str, x: Any, ndim: int | None = None) -> np.ndarray:
    """A finite array of numbers with something in it. float64. Raises TypeError, ValueError."""
    given = on_host(raw(x))
    if given.dtype.kind not in "fiub":
        raise TypeError(f"{operation}: {name} must be numbers, got dtype {given.dtype}")
    if ndim is not None and given.ndim != ndim:
        raise ValueError(f"{operation}: {name} must have {ndim} axes, got shape {given.shape}")
    if not given.size:
        raise ValueError(f"{operation}: {name} is empty, of shape {given.shape}; there is nothing to measure")
    if not np.isfinite(given).all():
        raise ValueError(f"{operation}: {name} must be finite; NaN or infinite at {_first(~np.isfinite(given))}")
    return given.astype(np.float64)


def _first(where: np.ndarray) -> tuple[int, ...]:
    return tuple(int(i) for i in np.argwhere(where)[0])


def rows_alike(operation: str, **arrays: Any) -> list[np.ndarray]:
    """Finite arrays (N,), all of one length. float64. Raises TypeError, ValueError."""
    checked = [finite(operation, name, a, ndim=1) for name, a in arrays.items()]
    if len({len(a) for a in checked}) > 1:
        lengths = ", ".join(f"{name} {len(a)}" for name, a in zip(arrays, checked, strict=True))
        raise ValueError(f"{operation}: needs arrays of one length, got {lengths}")
    return checked


def gaussian(operation: str, mean: Any, std: Any, y: Any) -> list[np.ndarray]:
    """Means, standard deviations above 0 and targets, (N,) each. Raises TypeError, ValueError."""
    checked = rows_alike(operation, mean=mean, std=std, y=y)
    positive(operation, "std", checked[1])
    return checked


def positive(operation: str, name: str, x: np.ndarray) -> np.ndarray:
    """The array itself, where all of it exceeds 0. Raises ValueError."""
    if not (x > 0).all():
        raise ValueError(f"{operation}: {name} must be positive, got {x.min()} at {_first(~(x > 0))}")
    return x


def not_below_zero(operation: str, name: str, x: np.ndarray) -> np.ndarray:
    """The array itself, where none of it is negative. Raises ValueError."""
    if (x < 0).any():
        raise ValueError(f"{operation}: {name} must not be negative, got {x.min()} at {_first(x < 0)}")
    return x


def chosen(operation: str, name: str, value: Any, allowed: Iterable[Any]) -> Any:
    """One of the allowed values. Raises ValueError."""
    if not any(value == a and type(value) is type(a) for a in allowed):
        raise ValueError(f"{operation}: {name} must be one of {', '.join(map(repr, allowed))}, got {value!r}")
    return value


def share(operation: str, name: str, value: Any) -> float:
    """A number strictly between 0 and 1. Raises TypeError, ValueError."""
    number = real_number(operation, name, value, "a number between 0 and 1")
    if not 0 < number < 1:
        raise ValueError(f"{operation}: {name} must lie strictly between 0 and 1, got {value}")
    return number
