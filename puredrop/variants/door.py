"""The door: arguments are checked here, once, before anything is changed; kernels validate nothing."""

from __future__ import annotations

import numbers
import operator
from typing import Any

import numpy as np

from ..random import Index, Key, Keys
from ..tensor import Tensor, raw


def checked_rate(operation: str, p: Any, name: str = "p") -> Any:
    """A drop probability: a float, or an array of them. Raises TypeError or ValueError."""
    if type(p) is float and 0.0 <= p <= 1.0:
        return p
    if isinstance(p, Tensor):
        raise TypeError(
            f"{operation}: {name} must be a number in [0, 1], got a Tensor; a hard mask has no gradient by its rate, "
            f"and that of its scale is biased: learn a rate with concrete_dropout, estimate its gradient with "
            f"estimators.score_function_gradient or estimators.arm_gradient, or give float({name})"
        )
    if isinstance(p, (bool, np.bool_)) or not (isinstance(p, numbers.Real) or _is_float_array(p)):
        raise TypeError(f"{operation}: {name} must be a number in [0, 1], got {p!r}; it is the probability of dropping")
    value: Any = p.astype(np.float64) if _is_float_array(p) and p.ndim else float(p)
    if not np.all((value >= 0) & (value <= 1)):
        raise ValueError(f"{operation}: {name} must lie in [0, 1], got {p}; it is the probability of dropping")
    return value


def one_rate(operation: str, p: Any, name: str = "p") -> float:
    """A drop probability that is one number. Raises as `checked_rate`, and TypeError for an array of them."""
    p = checked_rate(operation, p, name)
    if not isinstance(p, float):
        raise TypeError(f"{operation}: {name} must be one number in [0, 1], got an array of shape {p.shape}")
    return p


def whole_number(operation: str, name: str, value: Any, least: int) -> int:
    """A whole number of at least `least`. Raises TypeError, ValueError."""
    if isinstance(value, (bool, np.bool_)) or not hasattr(value, "__index__"):
        raise TypeError(f"{operation}: {name} must be a whole number, got {value!r}")
    number = operator.index(value)
    if number < least:
        raise ValueError(f"{operation}: {name} must be {least} or more, got {number}")
    return number


def unchanged(x: Any) -> Any:
    """What leaves x as it is gives: the same tensor; of an array a copy."""
    return x if isinstance(x, Tensor) else x.copy()


def _is_float_array(p: Any) -> bool:
    return isinstance(p, np.ndarray) and p.dtype.kind == "f"


def checked_array(operation: str, x: Any) -> Any:
    """A floating-point array or tensor; lists become arrays. Raises TypeError for whole numbers and booleans."""
    data = raw(x)
    if not hasattr(data, "dtype"):
        x = data = np.asarray(data)
    elif isinstance(data, np.ma.MaskedArray):
        raise TypeError(f"{operation}: a masked array would lose its mask; fill it first: x.filled(0)")
    elif type(data) is not np.ndarray and isinstance(data, np.ndarray) and data is x:
        x = data = np.asarray(data)  # np.matrix and other subclasses
    elif not getattr(data.dtype, "isnative", True):
        x = data = data.astype(data.dtype.newbyteorder("="))
    if data.dtype.kind != "f":
        raise TypeError(
            f"{operation}: x must be floating-point, got dtype {data.dtype}; convert it first: x.astype('float32')"
        )
    return x


def checked_key(operation: str, key: Any) -> Keys | None:
    """A key, or a tuple of one or more keys, or None. Raises TypeError."""
    if key is None or isinstance(key, Key) or (isinstance(key, tuple) and key and all(isinstance(k, Key) for k in key)):
        return key
    raise TypeError(
        f"{operation}: key must be a Key, or a tuple of Keys for a leading axis, got {key!r}; write Key(seed)"
    )


def fitting_index(
    operation: str, shape: tuple[int, ...], key: Keys | None, index: Index | None, shared: Any = ()
) -> Index:
    """The index that was given, if it fits an array of `shape`, or the whole of that shape.

    A tuple of K keys enumerates a leading axis of size K, which may be merged with the axis after it.
    Raises: TypeError for something that is no Index; ValueError where it does not fit, or stands beside `shared`.
    """
    keys = len(key) if isinstance(key, tuple) else None
    if index is None:
        if keys is not None and (not shape or shape[0] != keys):
            raise ValueError(f"{operation}: {keys} keys need a leading axis of size {keys}, got x of shape {shape}")
        return Index.whole(shape if keys is None else shape[1:], shared)
    if not isinstance(index, Index):
        raise TypeError(f"{operation}: index must be an Index, got {index!r}; write Index.whole(shape)")
    if shared != ():
        raise ValueError(
            f"{operation}: give either index or shared; an index knows its shared axes: Index.whole(shape, shared)"
        )
    part = index.shape
    fits = {part} if keys is None else {(keys, *part), (keys * part[0], *part[1:]) if part else (keys,)}
    if shape not in fits:
        raise ValueError(
            f"{operation}: an index of shape {part} with {keys or 1} key(s) does not fit x of shape {shape}"
        )
    return index
