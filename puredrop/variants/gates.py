"""What variants with gates share: one decision for a whole example, a branch, a head."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ..random import Index
from .asked import Asked
from .door import Shape


def checked_mode(operation: str, mode: Any) -> Any:
    """ "row" or "batch"."""
    if mode not in ("row", "batch"):
        raise ValueError(f"{operation}: mode must be 'row' (a gate for each example) or 'batch' (one), got {mode!r}")
    return mode


def gate_index(asked: Asked, shape: Shape, mode: str) -> Index:
    """The index of one gate for each example ("row") or for all ("batch")."""
    first = int(checked_mode(asked.operation, mode) == "row")
    rank = len(asked.shape_of_one_key(shape))
    if rank < first:
        raise ValueError(f"{asked.operation}: mode 'row' needs a batch axis, got x of shape {shape}; use mode='batch'")
    rule = f"in mode {mode!r} an index must share the axes from {first} on"
    return asked.index_sharing(shape, range(first, rank), rule)


def masks_apart(asked: Asked, count: int) -> list[Asked]:
    """What is asked with each of the `count` masks that were handed in on one leading axis."""
    if len(asked.mask) != count:
        raise ValueError(f"{asked.operation}: mask must hold {count} masks on its first axis, got {len(asked.mask)}")
    return [replace(asked, mask=m if hasattr(m, "dtype") else np.asarray(m)) for m in asked.mask]
