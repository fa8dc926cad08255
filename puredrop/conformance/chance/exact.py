"""Exact p-values of counts."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np


def binomial_tail(count: int, n: int, q: float, upper: bool) -> float:
    """P(K >= count), or P(K <= count) for the lower tail, of K ~ Binomial(n, q); for the smaller tail of the two.

    Terms are added from the count outwards, where they fall at least as fast as those of a normal distribution, so
    that those beyond 14 standard deviations and 400 counts are below the rounding of the first.

    >>> round(binomial_tail(9, 10, 0.5, upper=True) * 1024)
    11
    """
    if q in (0.0, 1.0):
        certain = n if q else 0
        return float(certain >= count if upper else certain <= count)
    reach = int(14 * math.sqrt(n * q * (1 - q))) + 400
    log_odds = math.log(q) - math.log1p(-q)
    # P(k - 1) / P(k) = k / (n - k + 1) / odds, and the reverse.
    if upper:
        k = np.arange(count + 1, min(n, count + reach) + 1)
        steps = np.log((n - k + 1) / k) + log_odds
    else:
        k = np.arange(count, max(0, count - reach), -1)
        steps = np.log(k / (n - k + 1)) - log_odds
    first = math.lgamma(n + 1) - math.lgamma(count + 1) - math.lgamma(n - count + 1)
    first += count * math.log(q) + (n - count) * math.log1p(-q)
    return math.exp(first) * (1 + float(np.exp(np.cumsum(steps)).sum()))


def binomial_p_value(count: int, n: int, q: float) -> float:
    """Twice the smaller tail of Binomial(n, q) at `count`, at most 1.

    >>> round(binomial_p_value(0, 3, 0.5), 4)
    0.25
    """
    if not 0 <= count <= n:
        raise ValueError(f"binomial_p_value: a count must lie in [0, {n}], got {count}")
    return min(1.0, 2 * binomial_tail(count, n, q, upper=count > n * q))


def multinomial_p_value(counts: Sequence[int], chances: Sequence[float]) -> float:
    """A p-value of counts in categories: each, given those before it, is binomial; the smallest p-value, corrected.

    Exact at any sample size: it is at most u with probability at most u. Where a category of chance 0 occurs it is 0.

    >>> round(multinomial_p_value([10, 0, 0], [0.5, 0.25, 0.25]), 4)
    0.0039
    """
    left, rest, smallest = int(sum(counts)), 1.0, 1.0
    for count, chance in zip(counts[:-1], chances[:-1], strict=True):
        share = min(1.0, chance / rest) if rest > 0 else 0.0
        smallest = min(smallest, binomial_p_value(int(count), left, share))
        left, rest = left - int(count), rest - chance
    return min(1.0, (len(counts) - 1) * smallest)
