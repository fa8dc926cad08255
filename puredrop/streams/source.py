"""The seam: which source of masks is in force."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol

import numpy as np

from ..random import Draw, threshold
from ..random.journal import remembered


class Source(Protocol):
    """What can stand in for the native draw."""

    def keep(self, x: Any, draw: Draw, p: Any) -> Any:
        """The mask for array x: bool, True = kept, broadcasts to x. `draw.key` is None where no key was given.

        A row that an index names several times is asked for once: x and `draw.index` then hold it once.
        """

    def select(self, xp: Any, x: Any, keep: Any, scale: Any, shift: float | None, fill: Any) -> Any:
        """The map with that mask: `backends.select.select`, or the rule of the library that is replayed."""


_current: ContextVar[Source | None] = ContextVar("source", default=None)


@contextmanager
def draw_from(source: Source | None) -> Iterator[Source | None]:
    """Inside, every draw asks `source` for its mask; None is the native source.

    >>> import numpy as np, puredrop
    >>> with puredrop.draw_from(puredrop.streams.Given([np.array([True, False])])):
    ...     puredrop.dropout(np.ones(2), p=0.5)
    array([2., 0.])
    """
    if source is not None and not (hasattr(source, "keep") and hasattr(source, "select")):
        raise TypeError(
            f"draw_from: a source has keep and select, got {source!r}; for masks write streams.Given(masks)"
        )
    token = _current.set(source)
    try:
        yield source
    finally:
        _current.reset(token)


def current() -> Source | None:
    """The source in force; None is the native one."""
    return _current.get()


def answered(x: Any, draw: Draw, p: Any) -> tuple[Source, Any] | None:
    """The source in force and its mask for this draw; None where the draw is native. A recomputation gets the same."""
    source = _current.get()
    return remembered(lambda: None if source is None else (source, _rows_once(source, x, draw, p)))


def _rows_once(source: Source, x: Any, draw: Draw, p: Any) -> Any:
    """The mask of a source, which is asked once for rows that are the same: equal element numbers, equal decisions."""
    rows = draw.index.rows
    distinct, first, place = np.unique(() if rows is None else rows, return_index=True, return_inverse=True)
    if rows is None or len(distinct) == len(rows):
        return source.keep(x, draw, p)
    axis = x.ndim - len(draw.index.shape)  # 1 where keys stand in front
    keys = np.arange(x.shape[axis] // len(rows))[:, None]  # those merged with the rows
    index = draw.index[first]
    rate = np.broadcast_to(p, draw.index.noise_shape)[first] if np.ndim(p) else p
    some = np.take(x, (keys * len(rows) + first).reshape(-1), axis)
    keep = source.keep(some, Draw(draw.key, index, threshold(rate)), rate)
    return np.take(np.broadcast_to(keep, some.shape), (keys * len(distinct) + place).reshape(-1), axis)
