"""The door: arguments are checked here, once, before anything is changed; kernels validate nothing."""

from __future__ import annotations

import numbers
from typing import Any

import numpy as np

from ..tensor import raw


def checked_rate(operation: str, p: Any, name: str = "p") -> Any:
    """A drop probability: a float, or an array of them. Raises TypeError or ValueError."""
    if type(p) is float and 0.0 <= p <= 1.0:
        return p
    if isinstance(p, (bool, np.bool_)) or not (isinstance(p, numbers.Real) or _is_float_array(p)):
        raise TypeError(f"{operation}: {name} must be a number in [0, 1], got {p!r}; it is the probability of dropping")
    value: Any = p.astype(np.float64) if _is_float_array(p) and p.ndim else float(p)
    if not np.all((value >= 0) & (value <= 1)):
        raise ValueError(f"{operation}: {name} must lie in [0, 1], got {p}; it is the probability of dropping")
    return value


def _is_float_array(p: Any) -> bool:
    return isinstance(p, np.ndarray) and p.dtype.kind == "f"


def checked_array(operation: str, x: Any) -> Any:
    """A floating-point array or tensor; lists become arrays. Raises TypeError for whole numbers and booleans."""
    data = raw(x)
    if not hasattr(data, "dtype"):
        x = data = np.asarray(data)
    if data.dtype.kind != "f":
        raise TypeError(
            f"{operation}: x must be floating-point, got dtype {data.dtype}; convert it first: x.astype('float32')"
        )
    return x
