"""Beside masks that PyTorch drew on a CPU, where it is not installed; and beside those that others have published."""

from __future__ import annotations

from functools import partial

import numpy as np

from ...streams import TorchCPU
from .golden import cases
from .row import Counts, Row

# torch.manual_seed(123); F.dropout(torch.ones(6, 6), 0.5): 1 = kept. Source: github.com/rasbt/LLMs-from-scratch, issue
# 57 (2024); the first on macOS, the second with PyTorch 2.2 on x86.
PUBLISHED = {
    "mt19937": ("110110", "000101", "111101", "011001", "010101", "011110"),
    "mkl": ("111111", "010000", "001010", "110001", "100001", "010000"),
}


def compared(operation: str) -> Counts:
    """All masks of an operation: several calls from each seed."""
    counts = Counts(0, 0)
    for case, keep in cases("torch", operation):
        stream = TorchCPU(case["seed"])
        for theirs in keep:
            name = operation.split(",")[0]
            ours = stream.mask(case["data"], case["p"], operation=name, strides=case.get("strides"))
            counts += Counts(theirs.size, int((np.broadcast_to(ours, theirs.shape) != theirs).sum()))
    return counts


def published() -> Counts:
    """A mask of either generator, as others have printed it."""
    counts = Counts(0, 0)
    for path, rows in PUBLISHED.items():
        theirs = np.array([list(row) for row in rows]) == "1"
        ours = TorchCPU(123, path=path).mask((6, 6), 0.5)  # type: ignore[arg-type]
        counts += Counts(36, int((ours != theirs).sum()))
    return counts


OPERATIONS = ("dropout", "dropout, strides", "dropout1d", "dropout2d", "dropout3d")
ROWS = (
    *(Row("torch", name, "golden", partial(compared, name)) for name in OPERATIONS),
    Row("torch", "dropout, both generators, as published", "golden", published),
)
