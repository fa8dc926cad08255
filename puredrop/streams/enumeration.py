"""All masks, one after the other: the exact answer that Monte-Carlo estimates."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

import numpy as np

from ..backends.select import select
from .source import Request, Rule, draw_from

T = TypeVar("T")


class Branch:
    """One way through all decisions: those of `path` as given, False (dropped) for any that are asked for after it.

    Elements with p = 0 or 1 are no decisions. Afterwards `path` holds all decisions, and `probability` is theirs.
    """

    def __init__(self, path: list[bool]) -> None:
        self.path, self.taken, self.probability = path, 0, 1.0

    def keep(self, request: Request) -> np.ndarray:
        p = np.broadcast_to(np.asarray(request.p, np.float64), request.draw.index.noise_shape)
        free = (p > 0) & (p < 1)
        stop = self.taken + int(free.sum())
        self.path += [False] * (stop - len(self.path))
        bits = np.array(self.path[self.taken : stop], np.bool_)
        self.taken = stop
        self.probability *= float(np.prod(np.where(bits, 1 - p[free], p[free])))
        keep = p < 1
        keep[free] = bits
        return keep

    def rule(self, request: Request) -> Rule:
        return select

    def real(self, operation: str) -> None:
        """Real noise has no masks to enumerate: it is drawn as ever."""


def enumerate_masks(f: Callable[[], T], limit: int = 1 << 20) -> Iterator[tuple[float, T]]:
    """Every value that `f()` can take over its dropout masks, with its probability. The probabilities sum to one.

    What is drawn later may depend on what was drawn before: the decisions are walked as a tree.

    Raises: ValueError where there are more than `limit` masks.

    >>> import numpy as np, puredrop
    >>> x = np.array([1.0, 3.0])
    >>> [(q, y.tolist()) for q, y in enumerate_masks(lambda: puredrop.dropout(x, p=0.5))][1:3]
    [(0.25, [0.0, 6.0]), (0.25, [2.0, 0.0])]
    """
    path: list[bool] = []
    while True:
        branch = Branch(path)
        with draw_from(branch):
            value = f()
        if 1 << branch.taken > limit:
            raise ValueError(
                f"enumeration needs 2^{branch.taken} masks, more than the limit of {limit}; drop fewer units"
            )
        yield branch.probability, value
        while path and path[-1]:  # the next branch: the last False becomes True
            path.pop()
        if not path:
            return
        path[-1] = True
