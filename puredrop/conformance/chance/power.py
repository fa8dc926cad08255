"""How large a sample must be for a test to see a fault: exact powers of binomial tests."""

from __future__ import annotations

import math
from statistics import NormalDist

from .correction import LEVEL
from .exact import binomial_p_value, binomial_tail


def power(n: int, p: float, truth: float, level: float = LEVEL) -> float:
    """How likely the test of n decisions for rate p is to reject, where the rate is `truth`; of the nearer tail.

    >>> round(power(10_000, 0.5, 0.5), 7), power(100_000, 0.5, 0.52) > 0.999
    (0.0, True)
    """
    upper = truth >= p
    critical = _critical(n, p, level, upper)
    if critical is None:
        return 0.0
    beyond = binomial_tail(critical, n, truth, upper)
    if (critical > n * truth) == upper:  # the smaller tail of the two
        return min(1.0, beyond)
    return max(0.0, 1 - binomial_tail(critical - 1 if upper else critical + 1, n, truth, not upper))


def sample_size(p: float, relative: float = 0.01, level: float = LEVEL, wanted: float = 0.999) -> int:
    """How many decisions it takes to see a rate that is off by the share `relative`, either way, as likely as `wanted`.

    Found from the normal approximation, then raised until the exact power is enough.

    >>> sample_size(0.5) < sample_size(0.1), sample_size(0.5, relative=0.1) < sample_size(0.5) / 90
    (True, True)
    """
    q = min(p, 1 - p)
    bell = NormalDist()
    reach = bell.inv_cdf(1 - level / 2) + bell.inv_cdf(wanted)
    n = max(8, math.ceil(reach**2 * p * (1 - p) / (relative * p) ** 2))
    worst = [min(1.0, p * (1 + relative)), p * (1 - relative)]
    while min(power(n, p, truth, level) for truth in worst) < wanted:
        n += max(1, math.ceil(n * min(0.02, q)))
    return n


def pairs_to_see_repetition(p: float, share: float, level: float = LEVEL) -> int:
    """How many disjoint pairs it takes to see that a share of them are copies, where the rest agree by chance."""
    agree = p * p + (1 - p) ** 2
    return sample_size(agree, relative=share * (1 - agree) / agree, level=level)


def _critical(n: int, p: float, level: float, upper: bool) -> int | None:
    """The count nearest to the mean that is rejected on that side; None where even the last one is not."""
    low, high = (math.floor(n * p), n) if upper else (0, math.ceil(n * p))
    if binomial_p_value(high if upper else low, n, p) >= level:
        return None
    while high - low > 1:
        middle = (low + high) // 2
        rejected = binomial_p_value(middle, n, p) < level
        if rejected == upper:
            high = middle
        else:
            low = middle
    return high if upper else low
