"""PyTorch's CPU generator: its seed, its words, its state taken over and handed back."""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from .mersenne import Mersenne
from .numbers import torch_seed
from .stream import Stream
from .torch_state import State, packed, unpacked


class TorchGenerator(Stream):
    """Base of the streams that draw from it."""

    def __init__(self, seed: int) -> None:
        number = torch_seed(type(self).__name__, seed)
        self._at = State(number, Mersenne.seeded(number))

    @classmethod
    def from_state(cls, state: Any, **options: Any) -> Self:
        """The stream that goes on where PyTorch stands: `state` is `torch.get_rng_state()`, an array or its bytes.

        Raises: TypeError, ValueError for what is no state of a seeded CPU generator.
        """
        at = unpacked(state)
        stream = cls(at.seed, **options)
        stream._at = at
        return stream

    def state(self) -> np.ndarray:
        """Where this stream stands, for `torch.set_rng_state(torch.from_numpy(...))`. (5056,) uint8"""
        return packed(self._at)

    def _moved(self) -> Mersenne:
        """The words, of which some are about to be drawn."""
        self._at = self._at._replace(fresh=False)
        return self._at.words
