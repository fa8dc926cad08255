"""MT19937, the word source of PyTorch on the CPU, of NumPy's RandomState, and of ONNX's reference.

Seeded as in Matsumoto & Nishimura's init_genrand (2002). The state is 624 words and the place of the next among them.
Words come from NumPy's RandomState, whose stream is frozen; masks from a kernel where the backend has one.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import backends

SIZE = 624  # words of state
BITS = 53  # of a numerator


class Mersenne:
    """MT19937 as a value that moves on. words: (624,) uint32; position: of the next word, 624 where all are used.

    >>> Mersenne.seeded(0).draw(3).tolist()
    [2357136044, 2546248239, 3071714933]
    """

    def __init__(self, words: np.ndarray, position: int) -> None:
        self.words, self.position = words, position
        self._source: Any = None  # a generator of NumPy, made when it is needed

    @classmethod
    def seeded(cls, seed: int) -> Mersenne:
        """From the low 32 bits of the seed."""
        words: Any = np.random.RandomState(seed & 0xFFFFFFFF).get_state(legacy=False)["state"]["key"]
        return cls(words.astype(np.uint32), SIZE)

    def draw(self, count: int) -> np.ndarray:
        """The next words. (count,) uint32"""
        return self._whole(1 << 32, count, np.uint32)

    def draw_pairs(self, count: int) -> np.ndarray:
        """The next words, two and two: the first is the high half. (count,) uint64"""
        return self._whole(1 << 64, count, np.uint64)

    def draw_below(self, threshold: int, count: int) -> np.ndarray:
        """Whether the next pairs, of which the low 53 bits count, are below the threshold. (count,) bool"""
        kernel = backends.get().fused.get("mersenne_below")
        if kernel is None:
            return (self.draw_pairs(count) & np.uint64((1 << BITS) - 1)) < np.uint64(threshold)
        below, self.position = kernel(self.words, self.position, threshold, count)
        return below

    def _whole(self, stop: int, count: int, dtype: Any) -> np.ndarray:
        self._source = self._source or np.random.RandomState(0)
        self._source.set_state(("MT19937", self.words, self.position))
        drawn = self._source.randint(0, stop, count, dtype)
        _, self.words, self.position = self._source.get_state()[:3]
        return drawn
