"""Arrays joined into one: as many arguments as there are, and each gets its part of the gradient."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from .. import backends
from ..tensor import Node, Tensor, raw
from ..tensor.node import thread
from ..tensor.rules import Rules, agreed_backend, explained
from ..tensor.tensor import bare
from .shape import take, unsqueeze


class _Place:
    """The rule of one argument: its part of g, a view. Nothing is saved."""

    __slots__ = ("index",)

    def __init__(self, index: Any) -> None:
        self.index = index

    def call(self, g: Any) -> Any:
        return take(g, index=self.index)

    def lifted(self, saved: Any, node: Node) -> tuple[()]:
        return ()


def concatenate(xs: Sequence[Any], axis: int = 0) -> Any:
    """Arrays joined along an axis.

    >>> concatenate([np.zeros(1), np.ones(2)])
    array([0., 1., 1.])
    """
    rank = len(xs[0].shape)
    if not -rank <= axis < rank:
        raise ValueError(f"concatenate: axis {axis} does not exist in shape {xs[0].shape}")
    backend, parents = None, []
    for x in xs:
        parents.append(x.node if isinstance(x, Tensor) else None)
        backend = agreed_backend(x.backend, backend, "concatenate") if isinstance(x, Tensor) else backend
    arrays = [raw(x) for x in xs]
    try:
        y = (backend or backends.get(thread.backend)).xp.concatenate(arrays, axis)
    except ValueError as error:
        raise ValueError(explained("concatenate", error, arrays)) from error
    if backend is None:
        return y
    if not thread.recording or all(parent is None for parent in parents):
        return bare(y, backend, None)
    stops = np.cumsum([0, *(x.shape[axis] for x in xs)]).tolist()
    lead = (slice(None),) * (axis % rank)
    rules = Rules("concatenate", (_Place((*lead, slice(a, b))) for a, b in pairwise(stops)))
    return bare(y, backend, Node(rules, parents, ((),) * len(xs), y.shape, backend))


def stack(xs: Sequence[Any], axis: int = 0) -> Any:
    """Arrays joined along a new axis.

    >>> stack([np.zeros(2), np.ones(2)], axis=1).shape
    (2, 2)
    """
    return concatenate([unsqueeze(x, axis) for x in xs], axis)
