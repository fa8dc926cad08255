"""The door: arguments are checked here, once, before anything is changed; kernels validate nothing."""

from __future__ import annotations

import math
import numbers
import operator
from typing import Any

import numpy as np

from .. import ops
from ..backends import is_on_device, on_host
from ..random import Key, Keys
from ..tensor import Tensor, raw

Shape = tuple[int, ...]

_USUAL = (np.dtype(np.float32), np.dtype(np.float64))


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
    p = on_host(p) if is_on_device(p) else p  # thresholds are worked out there
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


def real_number(operation: str, name: str, value: Any, wanted: str = "a number") -> float:
    """A number. Raises TypeError."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Real):
        raise TypeError(f"{operation}: {name} must be {wanted}, got {value!r}")
    return float(value)


def not_negative(operation: str, name: str, value: Any) -> float:
    """A number of 0 or more, perhaps infinite. Raises TypeError, ValueError."""
    number = real_number(operation, name, value)
    if not number >= 0:
        raise ValueError(f"{operation}: {name} must not be negative or NaN, got {value}")
    return number


def finite_size(operation: str, name: str, value: Any) -> float:
    """A finite number of 0 or more. Raises TypeError, ValueError."""
    number = real_number(operation, name, value)
    if not 0 <= number < math.inf:
        raise ValueError(f"{operation}: {name} must be finite and not negative, got {value}")
    return number


def counted(operation: str, name: str, value: Any, least: int) -> int:
    """A number of things, `least` or more. Raises ValueError, for what is no whole number too."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)) or value < least:
        raise ValueError(f"{operation}: {name} must be a whole number, {least} or more, got {value!r}")
    return int(value)


def parameter(operation: str, name: str, value: Any, dtype: Any, shape: Shape, target: str = "shape") -> Any:
    """An array or tensor that broadcasts to `shape`, in that dtype. Raises TypeError, ValueError."""
    if raw(value).dtype.kind != "f":
        raise TypeError(f"{operation}: {name} must be floating-point, got dtype {raw(value).dtype}")
    if not broadcasts(value.shape, shape):
        raise ValueError(f"{operation}: {name} of shape {value.shape} does not broadcast to {target} {shape}")
    return value if value.dtype == dtype else ops.astype(value, dtype=dtype)


def learned_parameter(operation: str, name: str, value: Any, dtype: Any, shape: Shape) -> Any:
    """A learned number, array or tensor, finite, that broadcasts to `shape`, as an array or tensor of that dtype."""
    if not hasattr(value, "dtype"):
        value = np.dtype(dtype).type(real_number(operation, name, value))
    value = parameter(operation, name, value, dtype, shape)
    if not np.isfinite(raw(value)).all():
        raise ValueError(f"{operation}: {name} must be finite; somewhere it is not")
    return value


def broadcasts(small: Shape, shape: Shape) -> bool:
    """Whether an array of shape `small` broadcasts to `shape`."""
    return len(small) <= len(shape) and all(m in (1, n) for m, n in zip(small[::-1], shape[::-1], strict=False))


def unchanged(x: Any) -> Any:
    """What leaves x as it is gives: the same tensor; of an array a copy."""
    return x if isinstance(x, Tensor) else x.copy()


def _is_float_array(p: Any) -> bool:
    return isinstance(p, np.ndarray) and p.dtype.kind == "f"


def checked_array(operation: str, x: Any) -> Any:
    """A floating-point array or tensor; lists become arrays. Raises TypeError for whole numbers and booleans."""
    data = x.data if isinstance(x, Tensor) else x
    if type(data) is np.ndarray and data.dtype in _USUAL:
        return x
    if not hasattr(data, "dtype"):
        x = data = np.asarray(data)
    elif isinstance(data, np.ma.MaskedArray):
        raise TypeError(f"{operation}: a masked array would lose its mask; fill it first: x.filled(0)")
    elif type(data) is not np.ndarray and isinstance(data, np.ndarray) and data is x:
        x = data = np.asarray(data)  # np.matrix and other subclasses
    elif not getattr(data.dtype, "isnative", True):
        x = data = data.astype(data.dtype.newbyteorder("="))
    if not hasattr(data.dtype, "kind"):
        raise TypeError(f"{operation}: x must be an array or a puredrop.Tensor, got {type(data)}; write x.numpy()")
    if data.dtype.kind != "f":
        raise TypeError(
            f"{operation}: x must be floating-point, got dtype {data.dtype}; convert it first: x.astype('float32')"
        )
    return x


def checked_alike(operation: str, **arrays: Any) -> list[Any]:
    """Floating-point arrays of one shape and dtype. Raises TypeError, ValueError."""
    checked = checked_same_dtype(operation, **arrays)
    for name, a in zip(arrays, checked, strict=True):
        if a.shape != checked[0].shape:
            raise ValueError(
                f"{operation}: {name} must have the shape of {next(iter(arrays))}, {checked[0].shape}, got {a.shape}; "
                f"nothing is broadcast here"
            )
    return checked


def checked_same_dtype(operation: str, **arrays: Any) -> list[Any]:
    """Floating-point arrays of one dtype. Raises TypeError."""
    checked = [checked_array(f"{operation}, {name}", a) for name, a in arrays.items()]
    for name, a in zip(arrays, checked, strict=True):
        if a.dtype != checked[0].dtype:
            raise TypeError(
                f"{operation}: {name} must have the dtype of {next(iter(arrays))}, {checked[0].dtype}, got {a.dtype}; "
                f"convert one with .astype"
            )
    return checked


def checked_ids(operation: str, ids: Any, count: int | None = None, name: str = "ids") -> Any:
    """An array of whole numbers, in [0, count) where a count is given. Raises TypeError, ValueError."""
    ids = raw(ids) if is_on_device(raw(ids)) else np.asarray(raw(ids))
    if ids.size == 0 and ids.dtype.kind == "f":
        ids = ids.astype(np.int64)  # an empty list
    if ids.dtype.kind not in "iu":
        raise TypeError(f"{operation}: {name} must be whole numbers, got dtype {ids.dtype}")
    if count is not None and ids.size and not 0 <= ids.min() <= ids.max() < count:
        raise ValueError(f"{operation}: {name} must lie in [0, {count}), got {ids.min()} to {ids.max()}")
    return ids


def checked_key(operation: str, key: Any) -> Keys | None:
    """A key, or a tuple of one or more keys, or None. Raises TypeError."""
    if key is None or isinstance(key, Key) or (isinstance(key, tuple) and key and all(isinstance(k, Key) for k in key)):
        return key
    raise TypeError(
        f"{operation}: key must be a Key, or a tuple of Keys for a leading axis, got {key!r}; write Key(seed)"
    )
