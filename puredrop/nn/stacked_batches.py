"""The batches of a stack: at every step one of each member's own, side by side."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from .. import backends
from ..random import PERMUTATION, Index, Key
from .data import Batches

__all__ = ["StackedBatches"]


class StackedBatches:
    """The next batch of each of M `Batches`, for as many steps as are asked for; each goes on to its own next epoch.

    At every step every member has a batch, so that after s steps every member has made s: members with fewer batches
    an epoch just reach the end of their last epoch earlier (`steps_of`), and are taken out of the stack as they are
    then. Examples lie at the front of a member's rows; what fills up a shorter batch repeats an example, with weight 0.

    Shapes: arrays (M, N, ...), N the examples of the longest batch of the step; weight (M, N), 1 / (examples of that
        member) in its rows. The arrays of members agree but in the number of rows.
    Draws: the orders that the Batches draw, from their seeds.
    Raises: ValueError for Batches whose arrays do not go together, or that stand in the middle of their data.

    >>> a, b = Batches(np.arange(3), batch_size=2, shuffle=False), Batches(np.arange(10, 12), batch_size=2, seed=1)
    >>> for x, weight in StackedBatches([a, b]).steps(2):
    ...     print(x.tolist(), weight.tolist())
    [[0, 1], [10, 11]] [[0.5, 0.5], [0.5, 0.5]]
    [[2, 2], [10, 11]] [[1.0, 0.0], [0.5, 0.5]]
    """

    def __init__(self, members: Sequence[Batches]) -> None:
        self.members = list(members)
        kinds = {tuple((a.shape[1:], a.dtype) for a in member.arrays) for member in self.members}
        if len(kinds) != 1 or not all(member.rows for member in self.members):
            raise ValueError(
                f"StackedBatches: the members' arrays must agree but in their rows, got {sorted(map(str, kinds))}"
            )
        if any(member.epoch or member.position for member in self.members):
            raise ValueError("StackedBatches: give Batches that are at their beginning")
        self.arrays = [np.concatenate(arrays) for arrays in zip(*(m.arrays for m in self.members), strict=True)]
        self.rows = np.array([member.rows for member in self.members])  # (M,)
        self.first = np.cumsum(self.rows) - self.rows  # where each member's rows begin in `arrays`
        self.size = np.array([member.batch_size for member in self.members])
        self.batches = -(-self.rows // self.size)  # an epoch of each member has so many
        self.step = 0
        self._orders = np.zeros((len(self.members), self.rows.max()), np.int64)
        self._epochs = np.full(len(self.members), -1)  # of which these orders are

    def steps_of(self, epochs: int) -> list[int]:
        """After how many steps each member has had so many epochs."""
        return (self.batches * epochs).tolist()

    def steps(self, count: int) -> Iterator[tuple[Any, ...]]:
        """The batches of the next `count` steps: (*arrays, weight)."""
        for _ in range(count):
            batch = self._batch()
            self.step += 1
            yield batch

    def _batch(self) -> tuple[Any, ...]:
        epochs, number = np.divmod(self.step, self.batches)  # (M,)
        if (epochs != self._epochs).any():
            self._draw_orders(epochs)
        begin = number * self.size
        examples = np.minimum(self.size, self.rows - begin)  # (M,)
        width = examples.max()
        place = np.arange(width)
        real = place < examples[:, None]  # (M, N)
        within = np.where(real, begin[:, None] + place, begin[:, None])
        rows = np.take_along_axis(self._orders, within, axis=1)
        return *(a[rows] for a in self.arrays), real / examples[:, None]

    def _draw_orders(self, epochs: np.ndarray) -> None:
        """The orders of these epochs, as rows of `arrays`, where they are not those at hand."""
        new = np.flatnonzero(epochs != self._epochs)
        keys = tuple(Key(self.members[m].seed, step=int(epochs[m])) for m in new)
        width = self._orders.shape[1]
        words = backends.get().words(keys, Index.whole(width), PERMUTATION).astype(np.uint64)  # (new, width)
        words[[not self.members[m].shuffle for m in new]] = 0  # ranked by their number alone
        ranked = words << np.uint64(32) | np.arange(width, dtype=np.uint64)  # by (word, number), in one sort
        ranked[np.arange(width) >= self.rows[new, None]] = np.iinfo(np.uint64).max  # behind all others
        ranked.sort(axis=1)
        self._orders[new] = (ranked & np.uint64(0xFFFFFFFF)).astype(np.int64) + self.first[new, None]
        self._epochs = epochs

    def state_dict(self) -> dict[str, int]:
        return {"step": self.step}

    def check_state(self, state: Mapping[str, int] | None) -> None:
        """Raise ValueError unless this state is one."""
        if state is None or not isinstance(state.get("step"), int) or state["step"] < 0:
            raise ValueError(f"StackedBatches: the state {state} is none of a stack's; nothing was loaded")

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Continue where that state stood. Raises as `check_state`, and changes nothing then."""
        self.check_state(state)
        self.step = state["step"]
