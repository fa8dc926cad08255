"""Beside masks and values that MLX made on a CPU."""

from __future__ import annotations

from functools import partial

from ...streams import MLX
from .golden import compared
from .row import Row

ROWS = (Row("mlx", "nn.Dropout, Dropout2d, Dropout3d", "golden", partial(compared, "mlx", lambda made: MLX(**made))),)
