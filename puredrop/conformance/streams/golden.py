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
    with (files("puredrop.conformance") / "golden" / "streams" / f"{library}.npz").open("rb") as file:
        arrays = np.load(file)
        described = json.loads(bytes(arrays["meta"]))["cases"]
        for case in described:
            if case["op"] == operation and case["kind"] == "mask":
                bits = np.unpackbits(arrays[str(case["i"])])[: prod(case["shape"])]
                yield case, bits.reshape(case["shape"]).astype(bool)


def compared(library: str, operation: str, mask: Callable[[dict[str, Any]], Any]) -> Counts:
    """Our masks of all cases of an operation, drawn by `mask(case)`, beside the library's."""
    pairs = ((mask(case), keep) for case, keep in cases(library, operation))
    return total(Counts(keep.size, int((ours != keep).sum())) for ours, keep in pairs)
