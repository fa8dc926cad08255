"""Layers that draw: thin shells over the functions of the same name."""

from __future__ import annotations

from typing import Any

from .. import variants
from ..variants.door import checked_rate
from ..variants.schedules import Schedule
from .module import Site


class Dropout(Site):
    """`puredrop.dropout` as a layer: in train and sample mode drop with probability p and scale by 1 / (1 - p).

    p is a number, or a schedule: a function of the number of training draws that this layer has made.

    >>> import numpy as np
    >>> layer = Dropout(0.5).seed(7)
    >>> layer(np.ones((2, 6), np.float32)).tolist()
    [[0.0, 2.0, 2.0, 2.0, 2.0, 0.0], [2.0, 0.0, 2.0, 0.0, 2.0, 2.0]]
    >>> layer.eval()(np.ones(3, np.float32)).tolist()
    [1.0, 1.0, 1.0]
    """

    def __init__(self, p: float | Schedule = 0.5) -> None:
        self.p = p if callable(p) else checked_rate("Dropout", p)

    def forward(self, x: Any) -> Any:
        where = self.address(x.shape)
        if where is None:
            return variants.dropout(x, training=False)
        key, index = where
        return variants.dropout(x, self.rate(self.p, key), key=key, index=index)

    def extra_repr(self) -> str:
        return f"p={self.p}"
