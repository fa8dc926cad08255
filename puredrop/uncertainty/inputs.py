"""What a model is given: x, and further inputs by name, cut into chunks of the batch and repeated for samples."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..nn.module import Module
from ..tensor import raw


@dataclass(frozen=True)
class Shared:
    """An input that is the same for all examples: `predict(model, x, allowed=Shared(mask))`.

    It is handed on as it is, where an array would have to have the batch on axis 0.
    """

    value: Any


@dataclass(frozen=True)
class Inputs:
    """x (N, ...), and further inputs by name. Of these, arrays have the batch on axis 0; anything else is handed on."""

    x: Any
    named: Mapping[str, Any]

    @property
    def rows(self) -> int:
        return len(self.x)

    def chunk(self, start: int, stop: int) -> Inputs:
        """Rows start to stop of the batch."""
        return self._each(lambda a: a[start:stop])

    def repeated(self, times: int) -> Inputs:
        """All rows once, then all rows again, and so on."""
        return self if times == 1 else self._each(lambda a: np.tile(a, (times, *[1] * (a.ndim - 1))))

    def _each(self, change: Callable[[Any], Any]) -> Inputs:
        named = {name: change(a) if getattr(a, "ndim", 0) else a for name, a in self.named.items()}
        return replace(self, x=change(self.x), named=named)

    def given(self) -> dict[str, Any]:
        """The further inputs as the model takes them."""
        return {name: a.value if isinstance(a, Shared) else a for name, a in self.named.items()}


def checked_inputs(operation: str, model: Module, x: Any, named: Mapping[str, Any]) -> Inputs:
    """The inputs, if the model takes them and they have one batch.

    Raises: TypeError for a name that the model does not take, or a value that is neither shared nor an array;
        ValueError for no rows, or an array of another batch.
    """
    x = raw(x) if hasattr(raw(x), "dtype") else np.asarray(x)
    if not x.ndim or not len(x):
        raise ValueError(f"{operation}: x must be (N, ...) with at least one row, got shape {x.shape}")
    try:
        inspect.signature(model.forward).bind(x, **named)
    except TypeError as error:
        raise TypeError(
            f"{operation}: {error}; what is no option of {operation} is an input of {type(model).__name__}.forward"
        ) from None
    return Inputs(x, {name: _with_batch(operation, name, value, len(x)) for name, value in named.items()})


def _with_batch(operation: str, name: str, value: Any, rows: int) -> Any:
    if value is None or isinstance(value, (Shared, str, bool, int, float)):
        return value
    array = raw(value)
    if isinstance(array, (list, tuple)) and all(isinstance(one, (bool, int, float)) for one in array):
        array = np.asarray(array)
    if not hasattr(array, "dtype"):
        raise TypeError(
            f"{operation}: {name} must be an array with the batch on axis 0, got {type(value).__name__}; write "
            f"Shared(...) around what is the same for all examples, and make anything else inside of the model"
        )
    if array.ndim and len(array) != rows:
        raise ValueError(
            f"{operation}: {name} of shape {array.shape} must have the {rows} rows of x on axis 0; write Shared(...) "
            f"around what is the same for all examples"
        )
    return array
