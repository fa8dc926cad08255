"""Batches in an order that is drawn from a key, and that can be resumed in its middle."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from ..random import PERMUTATION, Key, bernoulli


class Batches:
    """Rows of arrays, batch by batch. One `for` loop is one epoch, or what is left of it after a load.

    The order of epoch e is the permutation of Key(seed, step=e); the state is three integers.

    >>> data = Batches(np.arange(5), np.arange(5) * 10, batch_size=2, seed=0)
    >>> [(x.tolist(), y.tolist()) for x, y in data]
    [([4, 2], [40, 20]), ([1, 3], [10, 30]), ([0], [0])]
    >>> data.state_dict()
    {'seed': 0, 'epoch': 1, 'position': 0}
    """

    def __init__(self, *arrays: Any, batch_size: int, seed: int = 0, shuffle: bool = True) -> None:
        lengths = {len(a) for a in arrays}
        if len(lengths) != 1:
            raise ValueError(f"Batches: arrays must have equally many rows, got {[len(a) for a in arrays]}")
        if batch_size < 1:
            raise ValueError(f"Batches: batch_size must be at least 1, got {batch_size}")
        self.arrays, self.rows = arrays, lengths.pop()
        self.batch_size, self.shuffle = batch_size, shuffle
        self.seed, self.epoch, self.position = seed, 0, 0

    def order(self) -> np.ndarray:
        """The order of the present epoch."""
        if not self.shuffle:
            return np.arange(self.rows)
        return bernoulli.permutation(Key(self.seed, step=self.epoch), self.rows, PERMUTATION)

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        order = self.order()
        while self.position < self.rows:
            rows = order[self.position : self.position + self.batch_size]
            self.position += len(rows)
            yield tuple(a[rows] for a in self.arrays)
        self.epoch, self.position = self.epoch + 1, 0

    def __len__(self) -> int:
        return -(-self.rows // self.batch_size)

    def state_dict(self) -> dict[str, int]:
        return {"seed": self.seed, "epoch": self.epoch, "position": self.position}

    def check_state(self, state: Mapping[str, int] | None) -> None:
        """Raise ValueError unless this state is of these arrays."""
        if state is None or not 0 <= state["position"] <= self.rows:
            raise ValueError(f"Batches: the state {state} is not of these {self.rows} rows; nothing was loaded")

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Continue where that state stood. Raises as `check_state`, and changes nothing then."""
        self.check_state(state)
        self.seed, self.epoch, self.position = state["seed"], state["epoch"], state["position"]
