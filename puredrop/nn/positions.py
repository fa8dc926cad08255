"""Where a token stands: added to it, or as a turn of queries and keys."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from .. import ops
from ..variants.door import whole_number
from .init import Initialiser, Normal
from .module import Module, Parameter

__all__ = ["LearnedPositions", "RotaryPositions", "SinusoidalPositions"]

BASE = 10000.0  # of the wavelengths, in both papers


class SinusoidalPositions(Module):
    """x + table: sine and cosine of t / 10000^(2 i / D) at channels 2 i and 2 i + 1. Shapes: x (..., T, D).

    Nothing is learned, and no length is too long.
    Reference: Vaswani et al., "Attention is all you need" (2017).

    >>> SinusoidalPositions(4)(np.zeros((1, 2, 4))).numpy().round(2).tolist()
    [[[0.0, 1.0, 0.0, 1.0], [0.84, 0.54, 0.01, 1.0]]]
    """

    def __init__(self, width: int) -> None:
        self.width = whole_number("SinusoidalPositions", "width", width, 1)

    def forward(self, x: Any) -> Any:
        _require_tokens(self, x, self.width)
        angles = _angles(x.shape[-2], self.width)  # (T, ceil(D / 2))
        table = np.stack([np.sin(angles), np.cos(angles)], axis=-1).reshape(x.shape[-2], -1)[:, : self.width]  # (T, D)
        return x + table.astype(x.dtype)

    def extra_repr(self) -> str:
        return str(self.width)


class LearnedPositions(Module):
    """x + weight[:T], with a learned row for each of the first `longest` positions. Shapes: x (..., T, D).

    First numbers: normal with standard deviation 0.02 (Radford et al. 2018), or `init`.

    >>> LearnedPositions(8, 4).seed(0)(np.zeros((1, 2, 4), np.float32)).shape
    (1, 2, 4)
    """

    def __init__(self, longest: int, width: int, init: Initialiser | None = None) -> None:
        self.longest = whole_number("LearnedPositions", "longest", longest, 1)
        self.width = whole_number("LearnedPositions", "width", width, 1)
        self.weight = Parameter((self.longest, self.width), init or Normal(0.02))

    def forward(self, x: Any) -> Any:
        _require_tokens(self, x, self.width)
        if x.shape[-2] > self.longest:
            raise ValueError(
                f"LearnedPositions: x has {x.shape[-2]} tokens and the table {self.longest} positions; "
                f"cut x, or make a longer table"
            )
        return x + self.weight[: x.shape[-2]]

    def extra_repr(self) -> str:
        return f"{self.longest}, {self.width}"


class RotaryPositions(Module):
    """Pair i of the token at t turned by the angle t / 10000^(2 i / D). Shapes: x (..., T, D), D even; y like x.

    It is for the queries and keys of each head: their products then depend on the distance of two tokens alone.
    Reference: Su et al., "RoFormer: enhanced transformer with rotary position embedding" (2021).

    >>> RotaryPositions(2)(np.array([[1.0, 0.0], [1.0, 0.0]])).numpy().round(2).tolist()
    [[1.0, 0.0], [0.54, 0.84]]
    """

    def __init__(self, width: int) -> None:
        self.width = whole_number("RotaryPositions", "width", width, 2)
        if self.width % 2:
            raise ValueError(f"RotaryPositions: width must be even, got {width}; channels are turned in pairs")

    def forward(self, x: Any) -> Any:
        _require_tokens(self, x, self.width)
        angles = _angles(x.shape[-2], self.width)  # (T, D / 2)
        return ops.turn(x, cos=np.cos(angles).astype(x.dtype), sin=np.sin(angles).astype(x.dtype))

    def extra_repr(self) -> str:
        return str(self.width)


@lru_cache(maxsize=64)
def _angles(length: int, width: int) -> np.ndarray:
    """t / BASE^(2 i / width). (length, ceil(width / 2))"""
    return np.arange(length)[:, None] / BASE ** (np.arange(0, width, 2) / width)


def _require_tokens(layer: Module, x: Any, width: int) -> None:
    if len(x.shape) < 2 or x.shape[-1] != width:
        raise ValueError(f"{type(layer).__name__}: x must be (..., T, {width}), got shape {x.shape}")
