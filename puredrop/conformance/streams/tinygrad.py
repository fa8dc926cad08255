"""Beside masks and values that tinygrad made on a CPU."""

from __future__ import annotations

from functools import partial

from ...streams import Tinygrad
from .golden import compared
from .row import Row

ROWS = (Row("tinygrad", "Tensor.dropout", "golden", partial(compared, "tinygrad", lambda made: Tinygrad(**made))),)
