"""Independence of the decisions of a mask, by counts whose distribution is known exactly.

A mask is a matrix (rows, columns), True = kept, of independent decisions that drop with probability p. Two of them
agree with probability p^2 + (1 - p)^2; pairs that share no decision agree independently, so that the number of pairs
that agree is binomial.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import combinations

import numpy as np

from .correction import Observation
from .exact import binomial_p_value, multinomial_p_value

LAGS = (*range(1, 34), 48, 63, 64, 65, 96, 127, 128, 129, 192, 255, 256, 512, 1024)


def totals(keep: np.ndarray, p: float) -> Iterator[Observation]:
    """How many are kept: in all, in each row, in each column."""
    yield _count("dropped", int((~keep).sum()), keep.size, p)
    for axis, name in ((1, "row"), (0, "column")):
        counts, n = (~keep).sum(axis=axis), keep.shape[axis]
        chances = {count: binomial_p_value(count, n, p) for count in np.unique(counts).tolist()}
        for number, count in enumerate(counts.tolist()):
            yield Observation(f"dropped in {name} {number}", count / n, p, chances[count])


def lags(keep: np.ndarray, p: float, axis: int, distances: Sequence[int] = LAGS) -> Iterator[Observation]:
    """How often decisions at each distance along an axis agree; every decision is in one pair at most."""
    lines, name = np.moveaxis(keep, axis, 0), ("rows", "columns")[axis]
    for distance in distances:
        whole = len(lines) // (2 * distance) * 2 * distance
        if whole:
            pairs = lines[:whole].reshape(-1, 2, distance, lines.shape[1])
            yield agreement(pairs[:, 0], pairs[:, 1], p, f"{name} at distance {distance} agree")


def repeats(keep: np.ndarray, p: float, axis: int) -> Iterator[Observation]:
    """Whether lines occur more than once, at any distance; the p-value is that of one such pair among all."""
    lines, name = np.moveaxis(keep, axis, 0), ("rows", "columns")[axis]
    n, width = lines.shape
    distinct = len({line.tobytes() for line in lines})
    log_chance = math.log(max(1, n * (n - 1) / 2)) + width * math.log(_agree(p))
    if log_chance < math.log(1e-12):  # else equal lines are to be expected
        yield Observation(f"{name} that differ", distinct, n, math.exp(log_chance) if distinct < n else 1.0)


def patterns(keep: np.ndarray, p: float, width: int = 4) -> Iterator[Observation]:
    """How often each pattern of neighbours in a row occurs."""
    whole = keep.shape[1] // width * width
    if whole:
        bits = keep[:, :whole].reshape(-1, width) @ (1 << np.arange(width))
        counts = np.bincount(bits, minlength=1 << width).tolist()
        chances = [(1 - p) ** k.bit_count() * p ** (width - k.bit_count()) for k in range(1 << width)]
        far = max(range(1 << width), key=lambda k: abs(counts[k] / bits.size - chances[k]))
        text = f"patterns {far:0{width}b} of {width} neighbours"
        yield Observation(text, counts[far] / bits.size, chances[far], multinomial_p_value(counts, chances))


def across_calls(masks: Sequence[np.ndarray], p: float) -> Iterator[Observation]:
    """How often the masks of different calls agree: in place, and one shifted by a row or a column."""
    for (i, a), (j, b) in combinations(enumerate(masks), 2):
        name = f"masks of calls {i} and {j}"
        yield agreement(a, b, p, f"{name} agree")
        for one, other in ((a, b), (b, a)):
            if len(a) > 1:
                yield agreement(one[1:], other[:-1], p, f"{name}, shifted by a row, agree")
            if a.shape[1] > 1:
                yield agreement(one[:, 1:], other[:, :-1], p, f"{name}, shifted by a column, agree")


def shards(keep: np.ndarray, p: float, counts: Sequence[int] = (2, 3, 4, 8)) -> Iterator[Observation]:
    """How often the parts of a batch agree, as the workers that share it would see them."""
    for count in counts:
        size = len(keep) // count
        if size:
            parts = [keep[i * size : (i + 1) * size] for i in range(count)]
            for (i, a), (j, b) in combinations(enumerate(parts), 2):
                yield agreement(a, b, p, f"shards {i} and {j} of {count} agree")


def agreement(a: np.ndarray, b: np.ndarray, p: float, what: str) -> Observation:
    """How often two parts of masks, with no decision in common, agree."""
    return _count(what, int((a == b).sum()), a.size, _agree(p))


def _count(what: str, count: int, n: int, q: float) -> Observation:
    return Observation(what, count / n, q, binomial_p_value(count, n, q))


def _agree(p: float) -> float:
    return p * p + (1 - p) ** 2
