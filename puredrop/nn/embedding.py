"""Tables that are looked up: one row for each token."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import ops
from ..tensor import raw
from ..variants.door import checked_ids, whole_number
from ..variants.schedules import Schedule
from .init import Initialiser, Normal
from .module import Module, Parameter
from .structured import EmbeddingDropout

__all__ = ["Embedding"]


class Embedding(Module):
    """One row of `weight` (count, width) for each token. Shapes: ids in [0, count) -> (*ids.shape, width).

    `padding`: the number of a token whose row starts as zeros, and receives no gradient. p drops whole words, wherever
    they occur (`EmbeddingDropout`; never the padding). First numbers: standard normal, as PyTorch's, or `init`.

    >>> layer = Embedding(5, 3, padding=0).seed(0)
    >>> y = layer(np.array([[4, 0]]))
    >>> y.shape, y[0, 1].tolist()
    ((1, 2, 3), [0.0, 0.0, 0.0])
    """

    def __init__(
        self,
        count: int,
        width: int,
        padding: int | None = None,
        p: float | Schedule = 0.0,
        init: Initialiser | None = None,
    ) -> None:
        self.count, self.width = (
            whole_number("Embedding", "count", count, 1),
            whole_number("Embedding", "width", width, 1),
        )
        self.padding = None if padding is None else whole_number("Embedding", "padding", padding, 0)
        if self.padding is not None and self.padding >= self.count:
            raise ValueError(f"Embedding: padding must be a token in [0, {count}), got {padding}")
        first = init or Normal(1.0)
        shape = (self.count, self.width)
        self.weight = Parameter(shape, first if self.padding is None else _ZeroRow(first, self.padding))
        self.dropout = None if p == 0 else EmbeddingDropout(p)

    def forward(self, ids: Any) -> Any:
        ids = checked_ids("Embedding", ids, self.count)
        y = ops.rows(self.weight, ids=ids) if self.dropout is None else self.dropout(self.weight, ids)
        if self.padding is None:
            return y
        fixed = raw(self.weight)[self.padding]  # (D,): a constant, so that no gradient reaches it
        return ops.where((ids != self.padding)[..., None], y, fixed)

    def extra_repr(self) -> str:
        return f"{self.count}, {self.width}" + ("" if self.padding is None else f", padding={self.padding}")


class _ZeroRow:
    """First numbers but for one row, which is zeros."""

    def __init__(self, init: Initialiser, row: int) -> None:
        self.init, self.row = init, row

    def __call__(self, key: Any, shape: tuple[int, ...]) -> np.ndarray:
        numbers = np.array(self.init(key, shape))
        numbers[self.row] = 0
        return numbers
