"""Tiles of attention weights: some queries (rows) by some keys (columns)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from ..random import Index


class Tile(NamedTuple):
    """The queries and the keys of a tile."""

    rows: slice
    columns: slice

    @property
    def shape(self) -> tuple[int, int]:
        return self.rows.stop - self.rows.start, self.columns.stop - self.columns.start


def cut(length: int, size: int) -> list[slice]:
    """Slices of `size` elements, the last one shorter, that make up `length`.

    >>> cut(5, 2)
    [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    return [slice(start, min(start + size, length)) for start in range(0, length, size)]


def tiled(queries: int, keys: int, size: int, causal: bool) -> Iterator[tuple[slice, list[Tile]]]:
    """The queries of each row of tiles, and its tiles; under `causal` without those in which nothing can be seen."""
    for rows in cut(queries, size):
        yield rows, [Tile(rows, columns) for columns in cut(keys, size) if not causal or columns.start < rows.stop]


def part(a: Any, tile: Tile) -> Any:
    """The tile of an array that broadcasts to the weights; numbers and None as they are."""
    if np.ndim(a) == 0:
        return a
    columns = tile.columns if a.shape[-1] != 1 else slice(None)
    if a.ndim == 1:
        return a[columns]
    return a[..., tile.rows if a.shape[-2] != 1 else slice(None), columns]


def index_part(index: Index, tile: Tile) -> Index:
    """The part of the noise that belongs to a tile."""
    return index[(*(slice(None),) * (len(index.shape) - 2), *tile)]
