"""Masks that libraries made, kept in files: packed bits, 1 = kept, and a description of each."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.resources import files
from math import prod
from typing import Any

import numpy as np


def cases(library: str, operation: str) -> Iterator[tuple[dict[str, Any], np.ndarray]]:
    """The cases of an operation: what was asked, and the mask that the library drew."""
    with (files("puredrop.conformance") / "golden" / "streams" / f"{library}.npz").open("rb") as file:
        arrays = np.load(file)
        described = json.loads(bytes(arrays["meta"]))["cases"]
        for case in described:
            if case["op"] == operation and case["kind"] == "mask":
                bits = np.unpackbits(arrays[str(case["i"])])[: prod(case["shape"])]
                yield case, bits.reshape(case["shape"]).astype(bool)
