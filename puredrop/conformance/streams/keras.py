"""Beside masks that Keras made, on each of its backends."""

from __future__ import annotations

from functools import partial
from typing import Any

from ...streams import Keras
from .golden import compared
from .row import Row

BACKENDS = ("numpy", "jax", "torch", "tensorflow")
OPERATIONS = ("layers.Dropout", "layers.SpatialDropout2D noise (N,1,1,C)")


def mask(backend: Any, case: dict[str, Any]) -> Any:
    """The mask of call number `counter` of a layer with that seed."""
    stream = Keras(case["seed"], backend=backend)
    for _ in range(case["counter"] + 1):
        keep = stream.mask(case["shape"], case["rate"])
    return keep


def row(backend: str, operation: str) -> Row:
    compare = partial(compared, f"keras-{backend}", operation, partial(mask, backend))
    return Row("keras", f"{operation.split(' ')[0]} on {backend}", "golden", compare)


ROWS = tuple(row(backend, operation) for backend in BACKENDS for operation in OPERATIONS)
