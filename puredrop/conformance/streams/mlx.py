"""Beside masks that MLX made on a CPU."""

from __future__ import annotations

from functools import partial
from typing import Any

from ...streams import MLX
from .golden import compared
from .row import Row


def mask(case: dict[str, Any]) -> Any:
    """The mask of call number `call` after that seed."""
    stream = MLX(case["seed"])
    for _ in range(case["call"] + 1):
        keep = stream.mask(case["shape"], case["p"])
    return keep


ROWS = (Row("mlx", "nn.Dropout", "golden", partial(compared, "mlx", "mlx.nn.Dropout", mask)),)
