"""The seam: which source of masks is in force, and what it is asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np

from ..random import Draw, threshold
from ..random.journal import journals_in_force, remembered

Rule: TypeAlias = Callable[..., Any]  # rule(xp, x, keep, scale, shift, fill), as `backends.select.select`


class Request(NamedTuple):
    """What a source is asked for: a mask.

    operation: the name of the variant that asks.  x: the array that the mask is for.  p: its rate.  `draw.key` is None
    where no key was given.  order: the axes of x as they lie in the memory of a library that is replayed, slowest
    first; None where it is that of x itself.
    """

    operation: str
    x: Any
    draw: Draw
    p: Any
    order: tuple[int, ...] | None = None


class Source(Protocol):
    """What can stand in for the native draw."""

    def keep(self, request: Request) -> Any:
        """The mask: bool, True = kept, broadcasts to x.

        A row that an index names several times is asked for once: x and `draw.index` then hold it once.
        """

    def rule(self, request: Request) -> Rule:
        """The map with that mask: `backends.select.select`, or the arithmetic of the library that is replayed."""

    def real(self, operation: str) -> None:
        """Called where an operation is about to draw real noise natively; raises where that would be wrong."""


_current: ContextVar[Source | None] = ContextVar("source", default=None)
_order: ContextVar[tuple[int, ...] | None] = ContextVar("order", default=None)


@contextmanager
def draw_from(source: Source | None) -> Iterator[Source | None]:
    """Inside, every draw asks `source` for its mask; None is the native source.

    >>> import numpy as np, puredrop
    >>> with puredrop.draw_from(puredrop.streams.Given([np.array([True, False])])):
    ...     puredrop.dropout(np.ones(2), p=0.5)
    array([2., 0.])
    """
    if source is not None and not all(hasattr(source, name) for name in ("keep", "rule", "real")):
        raise TypeError(
            f"draw_from: a source has keep, rule and real, got {source!r}; for masks write streams.Given(masks)"
        )
    token = _current.set(source)
    try:
        yield source
    finally:
        _current.reset(token)


@contextmanager
def lying_as(order: tuple[int, ...]) -> Iterator[None]:
    """Inside, the arrays that masks are drawn for lie in this order of axes, slowest first, in the library replayed.

    For layers: a generator fills memory, and where the library's layer holds a transposed view, ours need not.
    """
    token = _order.set(order)
    try:
        yield
    finally:
        _order.reset(token)


current = _current.get  # the source in force; None is the native one


def answered(operation: str, x: Any, draw: Draw, p: Any) -> tuple[Rule, Any] | None:
    """The mask for this draw and the rule that goes with it, of the source in force; None where the draw is native.

    A recomputation gets the same.
    """
    source = _current.get()
    if source is None and not journals_in_force():
        return None
    return remembered(lambda: _answer(source, Request(operation, x, draw, p, _order.get())))


def _answer(source: Source | None, request: Request) -> tuple[Rule, Any] | None:
    if source is None:
        return None
    keep = _rows_once(source, request)  # first, for it is here that a source refuses
    return source.rule(request), keep


def _rows_once(source: Source, request: Request) -> Any:
    """The mask of a source, which is asked once for rows that are the same: equal element numbers, equal decisions."""
    operation, x, draw, p, order = request
    rows = draw.index.rows
    distinct, first, place = np.unique(() if rows is None else rows, return_index=True, return_inverse=True)
    if rows is None or len(distinct) == len(rows):
        return source.keep(request)
    axis = x.ndim - len(draw.index.shape)  # 1 where keys stand in front
    keys = np.arange(x.shape[axis] // len(rows))[:, None]  # those merged with the rows
    index = draw.index[first]
    rate = np.broadcast_to(p, draw.index.noise_shape)[first] if np.ndim(p) else p
    some = np.take(x, (keys * len(rows) + first).reshape(-1), axis)
    keep = source.keep(Request(operation, some, Draw(draw.key, index, threshold(rate)), rate, order))
    return np.take(np.broadcast_to(keep, some.shape), (keys * len(distinct) + place).reshape(-1), axis)
