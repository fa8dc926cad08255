"""Checks of chance: fixed seeds, thresholds at a p-value of 1e-6, so that a right implementation never fails.

Each of them must fail on a dropout whose p is off by one per cent, and on one whose mask repeats every 32 rows: the
second passed the tests of a published library.
"""

from __future__ import annotations

import math

import numpy as np

from ...random import Key
from ..case import Arrays, Failed, Subject, called
from ..chance import binomial_p_value

LIMIT = 1e-6
Z_LIMIT = 5.5  # standard deviations: two-sided 4e-8, for the many comparisons of a check together below LIMIT
RATES = (0.1, 0.5, 0.9)
ROWS, COLUMNS = 256, 2048


def rate(subject: Subject) -> float:
    """The share dropped is p: over all elements, and in every column. Returns the smallest p-value found."""
    smallest = 1.0
    for p in RATES:
        keep, p = subject.matrix(ROWS, COLUMNS, p, 11), subject.case.drop_rate(p)
        chance = binomial_p_value(int(keep.sum()), keep.size, 1 - p)
        if chance < LIMIT:
            raise Failed(f"at p = {p} the share dropped is {1 - keep.mean():.5f}; chance of that: {chance:.0e}")
        smallest = min(smallest, chance)
        _require_spread(keep, p)
    return smallest


def _require_spread(keep: np.ndarray, p: float) -> None:
    """Column sums must scatter as Binomial(rows, 1 - p): more says that rows repeat, another mean that p is off."""
    z = (keep.sum(axis=0) - len(keep) * (1 - p)) / math.sqrt(len(keep) * p * (1 - p))  # (columns,)
    bias = z.sum() / math.sqrt(z.size)
    if abs(bias) > Z_LIMIT:
        side = "below" if bias > 0 else "above"
        raise Failed(f"at p = {p} the share dropped is {1 - keep.mean():.5f}, {abs(bias):.1f} sigma {side} p")
    excess = (z @ z - z.size) / math.sqrt(2 * z.size)
    if abs(excess) > Z_LIMIT:
        raise Failed(
            f"at p = {p} the numbers kept in columns scatter {excess:+.1f} sigma more than chance: rows depend"
        )


def structure(subject: Subject) -> float:
    """Neighbours at every distance agree as often as chance has it, and no two rows or columns are equal.

    Returns the largest deviation in standard deviations.
    """
    worst = 0.0
    for p in (0.5, 0.9):
        keep, p = subject.matrix(256, 2048, p, 23), subject.case.drop_rate(p)
        for axis, name in ((0, "rows"), (1, "columns")):
            lines = {line.tobytes() for line in np.moveaxis(keep, axis, 0)}
            if len(lines) < keep.shape[axis]:
                raise Failed(
                    f"at p = {p} only {len(lines)} of {keep.shape[axis]} {name} of the mask differ: it repeats"
                )
            for lag in (*range(1, 34), 48, 63, 64, 65, 96, 127, 128, 129):
                a, b = (np.moveaxis(keep, axis, 0)[s] for s in (slice(lag, None), slice(None, -lag)))
                worst = max(worst, _agreement(a, b, p, f"{name} at distance {lag}"))
    return worst


def _agreement(a: np.ndarray, b: np.ndarray, p: float, what: str) -> float:
    """How far, in standard deviations, the share of a == b is from p^2 + (1 - p)^2."""
    same = p * p + (1 - p) ** 2
    # Pairs overlap: the covariance of neighbouring pairs adds to the binomial variance.
    q = 1 - p
    variance = same * (1 - same) + 2 * (q**3 + p**3 - same**2)
    z = float((a == b).mean() - same) / math.sqrt(variance / a.size)
    if abs(z) > Z_LIMIT:
        raise Failed(
            f"at p = {p}, {what} agree in {(a == b).mean():.4f} of places, chance is {same:.4f} ({z:+.1f} sigma)"
        )
    return abs(z)


def calls(subject: Subject) -> float:
    """Different seeds give masks that agree as chance has it; the same seed gives the same mask."""
    masks = [subject.matrix(512, 512, 0.9, seed) for seed in (0, 1, 2, 1 << 20)]
    if not np.array_equal(masks[0], subject.matrix(512, 512, 0.9, 0)):
        raise Failed("the same seed gave two different masks")
    p = subject.case.drop_rate(0.9)
    worst = max(_agreement(masks[i], masks[j], p, f"masks of seeds {i} and {j}") for i in range(4) for j in range(i))
    for seed, mask in enumerate(masks):
        _require_spread(mask, p)
        worst = max(worst, _agreement(mask[32:], mask[:-32], p, f"rows at distance 32 of call {seed}"))
    return worst


def addresses(subject: Subject) -> float:
    """Neighbouring sites, steps, samples and draws give masks that agree as chance has it.

    A variant that draws several times must refuse a key that is one of several draws: some of its noise would be equal.
    """
    case, inputs = subject.case, subject.case.example(512, 512, np.float32)
    keys = [Key(7), Key(7, site=1), Key(7, step=1), Key(7, sample=1), Key(7, sample=1 << 16)]
    if case.draws_several:
        _require_draw_refused(subject, inputs)
    else:
        keys.append(Key(7).draw(1))
    noises = (called(case, *inputs, 0.9, key=key, return_mask=True, backend=subject.backend)[1] for key in keys)
    masks = [case.mask_matrix(noise, 0.9) for noise in noises]
    p = case.drop_rate(0.9)
    pairs = [(i, j) for i in range(len(keys)) for j in range(i)]
    worst = max(_agreement(masks[i], masks[j], p, f"masks of {keys[i]} and {keys[j]}") for i, j in pairs)
    for mask in masks:
        _require_spread(mask, p)
    return worst


def _require_draw_refused(subject: Subject, inputs: Arrays) -> None:
    try:
        called(subject.case, *inputs, 0.9, key=Key(7).draw(1), backend=subject.backend)
    except ValueError:
        return
    raise Failed("a key that is one of several draws was accepted; its noise would occur twice")


def moments(subject: Subject) -> float:
    """Mean and variance of y over seeds are the paper's: of the elements, and of the sum over rows.

    Bernstein's inequality bounds the chance of what is seen, so that no sum need be near normal. It takes the largest
    deviation seen for the largest possible one, and the fourth moment of the elements from the draws. Returns the
    smallest such bound.
    """
    draws, p, case = 600, 0.9, subject.case
    assert case.mean is not None
    assert case.variance is not None
    inputs = tuple(np.abs(a) + 0.5 if a.dtype.kind == "f" else a for a in case.example(128, 4))
    mean, variance = case.mean(*inputs, p), case.variance(*inputs, p)  # (rows, ...)
    off = np.array([subject.apply(inputs, p, seed) for seed in range(draws)]) - mean  # (draws, rows, ...)
    sums, total = off.sum(axis=1), variance.sum(axis=0)  # (draws, columns), (columns,); rows are independent
    rounding = 1e-9 * draws * np.abs(mean).sum(axis=0)  # what does not vary may be off by this
    chance = bernstein(sums.sum(axis=0), draws * total, np.abs(off).max(axis=(0, 1)), rounding)
    if chance.min() < LIMIT:
        raise Failed(f"at p = {p} the mean of y is off by {_relative(sums.mean(axis=0), mean):.3f} of the paper's")
    excess = sums**2 - total  # (draws, columns), of mean 0
    fourth = 3 * total**2 + ((off**4).mean(axis=0) - 3 * variance**2).sum(axis=0)  # of a sum of independent numbers
    spread_chance = bernstein(
        excess.sum(axis=0), draws * (fourth - total**2), np.abs(excess).max(axis=0), rounding**2 / draws
    )
    if spread_chance.min() < LIMIT:
        ratio = (sums**2).mean(axis=0).sum() / total.sum()
        raise Failed(f"at p = {p} the variance of sums of y is {ratio:.2f} times the paper's: rows depend")
    return float(min(chance.min(), spread_chance.min()))


def bernstein(deviation: np.ndarray, variance: np.ndarray, largest: np.ndarray, rounding: np.ndarray) -> np.ndarray:
    """A bound on the chance that a sum is so far from its mean: 2 exp(-t^2 / (2 V + 2 M t / 3)), at most 1.

    The terms are independent, their variances add up to V, and none is beyond M. Within `rounding` of it: 1.

    >>> bernstein(np.array([0.0, 30.0]), np.array([0.0, 25.0]), np.array([0.0, 1.0]), np.array([0.0, 0.0])).round(7)
    array([1.0e+00, 5.2e-06])
    """
    t = np.abs(deviation)
    beyond = t > rounding
    scale = np.where(beyond, 2 * variance + 2 * largest * t / 3, 1.0)
    return np.where(beyond, np.minimum(1.0, 2 * np.exp(-(t**2) / np.where(scale > 0, scale, 1e-300))), 1.0)


def _relative(deviation: np.ndarray, mean: np.ndarray) -> float:
    """The mean deviation of a sum over rows, by the size of the mean itself."""
    return float(np.abs(deviation).mean() / (np.abs(mean).sum(axis=0).mean() or 1.0))
