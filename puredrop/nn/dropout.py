"""Layers that draw: thin shells over the functions of the same name."""

from __future__ import annotations

from .. import variants
from ..variants.schedules import Schedule
from .shell import Rated


class Dropout(Rated):
    """`puredrop.dropout` as a layer: in train and sample mode drop with probability p and scale by 1 / (1 - p).

    p is a number, or a schedule: a function of the number of training draws that this layer has made.

    >>> import numpy as np
    >>> layer = Dropout(0.5).seed(7)
    >>> layer(np.ones((2, 6), np.float32)).tolist()
    [[0.0, 2.0, 2.0, 2.0, 2.0, 0.0], [2.0, 0.0, 2.0, 0.0, 2.0, 2.0]]
    >>> layer.eval()(np.ones(3, np.float32)).tolist()
    [1.0, 1.0, 1.0]
    """

    function = staticmethod(variants.dropout)

    def __init__(self, p: float | Schedule = 0.5) -> None:
        super().__init__(p)
