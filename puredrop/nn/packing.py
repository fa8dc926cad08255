"""Sequences of different lengths: padded to the longest, or packed into rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import ops
from ..backends import on_host
from ..tensor import raw

__all__ = ["pack", "unpack"]


def pack(x: Any, lengths: Any, batch_first: bool = False) -> tuple[Any, np.ndarray]:
    """The rows of padded sequences, without the padding, and the number of the sequence that each belongs to.

    Shapes: x (L, N, ...), or (N, L, ...) with `batch_first`; lengths (N,) whole numbers up to L -> rows (P, ...), step
        by step and within a step in the order of the batch; sequences (P,) int64, which
        `locked_dropout(rows, p, sequences=sequences)` takes: its masks are those of the padded form.
    Raises: TypeError, ValueError for lengths that do not fit.

    >>> x = np.arange(6.0).reshape(3, 2)
    >>> pack(x, [1, 3])
    (array([0., 1., 3., 5.]), array([0, 1, 1, 1]))
    """
    x = ops.swapaxes(x, a=0, b=1) if batch_first else x
    steps, sequences = _places(checked_lengths("pack", lengths, x.shape[1], x.shape[0]))
    return ops.take(x, index=(steps, sequences)), sequences


def unpack(rows: Any, lengths: Any, batch_first: bool = False) -> Any:
    """Padded sequences of packed rows: the way back from `pack`.

    Shapes: rows (P, ...), lengths (N,) -> (L, N, ...), or (N, L, ...) with `batch_first`, L the longest; 0 behind the
        end of a sequence.
    Raises: TypeError, ValueError for lengths that do not fit.

    >>> unpack(np.array([0.0, 1.0, 3.0, 5.0]), [1, 3])
    array([[0., 1.],
           [0., 3.],
           [0., 5.]])
    """
    lengths = checked_lengths("unpack", lengths)
    if rows.shape[0] != lengths.sum():
        raise ValueError(f"unpack: lengths that sum to {lengths.sum()} do not fit {rows.shape[0]} rows")
    shape = (int(lengths.max(initial=0)), len(lengths), *rows.shape[1:])
    x = ops.scatter(rows, index=_places(lengths), shape=shape)
    return ops.swapaxes(x, a=0, b=1) if batch_first else x


def _places(lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(step, sequence) of each row, step by step."""
    steps, sequences = np.nonzero(np.arange(lengths.max(initial=0))[:, None] < lengths)
    return steps, sequences


def checked_lengths(operation: str, lengths: Any, rows: int | None = None, steps: int | None = None) -> np.ndarray:
    """Whole numbers (rows,) from 0 to `steps`. Raises TypeError, ValueError."""
    numbers = on_host(raw(lengths))
    if numbers.dtype.kind not in "iu" or numbers.ndim != 1:
        raise TypeError(
            f"{operation}: lengths must be whole numbers, one for each sequence, got {numbers.dtype} "
            f"of shape {numbers.shape}"
        )
    if rows is not None and len(numbers) != rows:
        raise ValueError(f"{operation}: {len(numbers)} lengths for {rows} sequences; give one for each")
    if numbers.min(initial=0) < 0 or (steps is not None and numbers.max(initial=0) > steps):
        raise ValueError(f"{operation}: lengths must lie between 0 and the {steps} steps of x, got {numbers.tolist()}")
    return numbers
