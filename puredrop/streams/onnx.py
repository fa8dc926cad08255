"""The masks of ONNX's reference evaluator."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .mersenne import Mersenne
from .numbers import rounded, whole_number
from .site import by_site
from .source import Rule
from .stream import Stream, Wanted
from .thresholds import dyadic


class ONNX(Stream):
    """The masks of the operator Dropout in ONNX's reference evaluator, for nodes with a `seed` attribute.

    Each run of a node starts `numpy.random.RandomState(seed)` afresh, so a node draws the same mask every time; the
    ratio is a float32. seed: that of all nodes, or {site: seed} for the layers of a network, in [0, 2^32).
    Element i, in C order, takes two words a, b of MT19937, m = (a >> 5) 2^26 + (b >> 6), and is kept where
    m >= ratio 2^53. Values are keep * x * scale, with the scale a float32: a dropped NaN stays NaN, a dropped negative
    number is -0.0, and at p = 1 everything is 0 * inf = NaN.
    Not covered: float16, which the evaluator turns into float32; other runtimes, which have their own generators.
    Source: onnx/reference/ops/op_dropout.py.

    >>> ONNX(seed=0).mask((2, 6), p=0.5).astype(int)
    array([[1, 1, 1, 1, 0, 1],
           [0, 1, 1, 0, 1, 1]])
    """

    library = "onnx"
    verified = "onnx 1.23.2"
    operations = ("dropout",)

    def __init__(self, seed: int | Mapping[int, int]) -> None:
        self._seed = by_site("ONNX", "seed", seed, lambda s: whole_number("ONNX", "seed", s, 0, 2**32))

    def draw(self, wanted: Wanted) -> np.ndarray:
        m = numerators(self._seed(wanted.site), int(np.prod(wanted.shape)))  # (n,)
        return (m >= np.uint64(dyadic(rounded(wanted.p, "float32"), 53))).reshape(wanted.shape)

    def arithmetic(self, operation: str, p: float) -> Rule:
        def rule(xp: Any, x: Any, keep: Any, scale: Any, shift: Any, fill: Any) -> Any:
            with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
                return keep * x * (np.float32(1) / (np.float32(1) - np.float32(p))).astype(x.dtype)

        return rule


def numerators(seed: int, n: int) -> np.ndarray:
    """The first n numbers of `RandomState(seed).random_sample`, times 2^53: uint64, (n,)."""
    a, b = Mersenne.seeded(seed).draw(2 * n).reshape(n, 2).astype(np.uint64).T  # (n,) each
    return a >> np.uint64(5) << np.uint64(26) | b >> np.uint64(6)
