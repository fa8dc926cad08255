"""Rows for noise on single elements."""

from __future__ import annotations

import numpy as np

from ...variants import dropout
from ..case import Case


def _inverted(x: np.ndarray, keep: np.ndarray, p: float) -> np.ndarray:
    """x / (1 - p) where kept, else 0; all zeros at p = 1."""
    y = np.zeros_like(x)
    y[keep] = x[keep] / (1 - p) if p < 1 else 0
    return y


CASES = (
    Case(
        name="dropout",
        call=dropout,
        formula=_inverted,
        mean=lambda x, p: x,
        variance=lambda x, p: x**2 * p / (1 - p),
        at_one="zeros",
        eval="identity",
        pytorch=lambda torch, x, p: torch.nn.functional.dropout(x, p),
    ),
)
