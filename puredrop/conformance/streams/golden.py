"""Masks that libraries made, kept in files: packed bits, 1 = kept, and a description of each."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from importlib.resources import files
from math import prod
from typing import Any

import numpy as np

from .row import Counts, total


def cases(library: str, operation: str) -> Iterator[tuple[dict[str, Any], np.ndarray]]:
    """The cases of an operation: what was asked, and the mask that the library drew."""
    for case, stored in _stored(library, operation, "mask"):
        yield case, np.unpackbits(stored)[: prod(case["shape"])].reshape(case["shape"]).astype(bool)


def values(library: str, operation: str) -> Iterator[tuple[dict[str, Any], np.ndarray]]:
    """The cases of an operation that gives numbers."""
    return _stored(library, operation, "value")


def _stored(library: str, operation: str, kind: str) -> Iterator[tuple[dict[str, Any], np.ndarray]]:
    with (files("puredrop.conformance") / "golden" / "streams" / f"{library}.npz").open("rb") as file:
        arrays = np.load(file)
        for case in json.loads(bytes(arrays["meta"]))["cases"]:
            if case["op"] == operation and case["kind"] == kind:
                yield case, arrays[str(case["i"])]


def compared(library: str, operation: str, mask: Callable[[dict[str, Any]], Any]) -> Counts:
    """Our masks of all cases of an operation, drawn by `mask(case)`, beside the library's."""
    pairs = ((mask(case), keep) for case, keep in cases(library, operation))
    return total(Counts(keep.size, int((ours != keep).sum())) for ours, keep in pairs)
