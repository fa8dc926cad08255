"""What a tensor can do: each method is an operation of this package."""

from __future__ import annotations

import operator
from collections.abc import Iterator
from typing import Any

import numpy as np

from ..tensor import Tensor, raw
from . import arithmetic, elementwise, probability, reduce, shape


def _flipped(operation: Any) -> Any:
    return lambda self, other: operation(other, self)


def _comparison(compare: Any) -> Any:
    """Comparisons give plain boolean arrays: nothing to differentiate."""
    return lambda self, other: compare(self.data, other.data if isinstance(other, Tensor) else other)


def _unpacked(axes: tuple[Any, ...]) -> Any:
    """reshape(2, 3) and reshape((2, 3)) are the same."""
    return axes[0] if len(axes) == 1 and not isinstance(axes[0], int) else axes


def _number(exponent: Any) -> float:
    if isinstance(exponent, np.generic):
        return exponent.item()
    if not isinstance(exponent, (int, float)):
        raise TypeError(
            f"power: the exponent must be a number, got {type(exponent).__name__}; write (y * x.log()).exp()"
        )
    return exponent


def _iterate(self: Tensor) -> Iterator[Tensor]:
    return (self[i] for i in range(len(self)))


_METHODS: dict[str, Any] = {
    "__add__": arithmetic.add,
    "__radd__": arithmetic.add,
    "__sub__": arithmetic.subtract,
    "__rsub__": _flipped(arithmetic.subtract),
    "__mul__": arithmetic.multiply,
    "__rmul__": arithmetic.multiply,
    "__truediv__": arithmetic.divide,
    "__rtruediv__": _flipped(arithmetic.divide),
    "__matmul__": arithmetic.matmul,
    "__rmatmul__": _flipped(arithmetic.matmul),
    "__neg__": arithmetic.negative,
    "__pow__": lambda self, exponent: arithmetic.power(self, exponent=_number(exponent)),
    "__abs__": elementwise.absolute,
    "__getitem__": lambda self, index: shape.take(self, index=raw(index)),
    "__iter__": _iterate,
    **{f"__{name}__": _comparison(getattr(operator, name)) for name in ("lt", "le", "gt", "ge", "eq", "ne")},
    "sum": lambda self, axis=None, keepdims=False: reduce.sum(self, axis=axis, keepdims=keepdims),
    "mean": reduce.mean,
    "var": reduce.var,
    "std": reduce.std,
    "max": lambda self, axis=None, keepdims=False: reduce.max(self, axis=axis, keepdims=keepdims),
    "min": reduce.min,
    "reshape": lambda self, *new: shape.reshape(self, shape=_unpacked(new)),
    "view": lambda self, *new: shape.reshape(self, shape=_unpacked(new)),
    "flatten": shape.flatten,
    "squeeze": shape.squeeze,
    "unsqueeze": shape.unsqueeze,
    "transpose": lambda self, *axes: shape.transpose(self, axes=_unpacked(axes) or None),
    "swapaxes": lambda self, a, b: shape.swapaxes(self, a=a, b=b),
    "T": property(lambda self: shape.transpose(self)),
    "astype": lambda self, dtype: shape.astype(self, dtype=dtype),
    "float": lambda self: shape.astype(self, dtype="float32"),
    "double": lambda self: shape.astype(self, dtype="float64"),
    "exp": elementwise.exp,
    "log": elementwise.log,
    "sqrt": elementwise.sqrt,
    "abs": elementwise.absolute,
    "tanh": elementwise.tanh,
    "sigmoid": elementwise.sigmoid,
    "relu": elementwise.relu,
    "clip": lambda self, low=None, high=None: elementwise.clip(self, low=low, high=high),
    "softmax": lambda self, axis=-1: probability.softmax(self, axis=axis),
    "log_softmax": lambda self, axis=-1: probability.log_softmax(self, axis=axis),
}

for _name, _method in _METHODS.items():
    if getattr(_method, "__name__", "") == "<lambda>":  # so that help() shows what the operation says of itself
        _operation = next((vars(m)[_name] for m in (reduce, shape, elementwise, probability) if _name in vars(m)), None)
        _method.__name__, _method.__doc__ = _name, getattr(_operation, "__doc__", None)
    setattr(Tensor, _name, _method)
