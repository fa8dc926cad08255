"""All masks, one after the other: the exact answer that Monte-Carlo estimates."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import numpy as np

from ..backends.select import select
from ..random import Draw
from .source import draw_from

T = TypeVar("T")


class Assignment:
    """One of the 2^n masks: bit i of a number says whether the i-th random element is kept.

    Elements with p = 0 or 1 are not random and use no bit. `count` and `probability` tell what was asked for.
    """

    def __init__(self, number: int) -> None:
        self.number, self.count, self.probability = number, 0, 1.0

    def keep(self, x: Any, draw: Draw, p: Any) -> np.ndarray:
        p = np.broadcast_to(np.asarray(p, np.float64), draw.index.noise_shape)
        free = (p > 0) & (p < 1)
        bits = np.array([self.number >> i & 1 for i in range(self.count, self.count + int(free.sum()))], np.bool_)
        self.count += bits.size
        self.probability *= float(np.prod(np.where(bits, 1 - p[free], p[free])))
        keep = p < 1
        keep[free] = bits
        return keep

    select = staticmethod(select)


def enumerate_masks(f: Callable[[], T], limit: int = 1 << 20) -> Iterator[tuple[float, T]]:
    """Every value that `f()` can take over its dropout masks, with its probability. The probabilities sum to one.

    Raises: ValueError where there are more than `limit` masks.

    >>> import numpy as np, puredrop
    >>> x = np.array([1.0, 3.0])
    >>> [(q, y.tolist()) for q, y in enumerate_masks(lambda: puredrop.dropout(x, p=0.5))][1:3]
    [(0.25, [2.0, 0.0]), (0.25, [0.0, 6.0])]
    """
    number, count = 0, 0
    while number < 1 << count or number == 0:
        source = Assignment(number)
        with draw_from(source):
            value = f()
        count = source.count
        if 1 << count > limit:
            raise ValueError(f"enumeration needs 2^{count} masks, more than the limit of {limit}; drop fewer units")
        yield source.probability, value
        number += 1
