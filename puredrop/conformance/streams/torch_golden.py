"""Beside masks that PyTorch drew on a CPU, where it is not installed; and beside those that others have published."""

from __future__ import annotations

from functools import partial

import numpy as np

from ...streams import TorchCPU
from .golden import compared
from .row import Counts, Row

# torch.manual_seed(123); F.dropout(torch.ones(6, 6), 0.5): 1 = kept. Source: github.com/rasbt/LLMs-from-scratch, issue
# 57 (2024); the first on macOS, the second with PyTorch 2.2 on x86.
PUBLISHED = {
    "mt19937": ("110110", "000101", "111101", "011001", "010101", "011110"),
    "mkl": ("111111", "010000", "001010", "110001", "100001", "010000"),
}


def published() -> Counts:
    """A mask of either generator, as others have printed it."""
    counts = Counts(0, 0)
    for path, rows in PUBLISHED.items():
        theirs = np.array([list(row) for row in rows]) == "1"
        ours = TorchCPU(123, path=path).mask((6, 6), 0.5)  # type: ignore[arg-type]
        counts += Counts(36, int((ours != theirs).sum()))
    return counts


ROWS = (
    Row(
        "torch",
        "dropout, dropout1d to 3d, strides",
        "golden",
        partial(compared, "torch", lambda made: TorchCPU(**made)),
    ),
    Row("torch", "dropout, both generators, as published", "golden", published),
)
