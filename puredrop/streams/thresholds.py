"""Float comparisons of a generator's number as comparisons of whole numbers."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any


def first_false(holds: Callable[[int], Any], stop: int) -> int:
    """The smallest n in 0 .. stop for which `holds(n)` is false, where it is true below some n and false from there.

    >>> first_false(lambda n: n * 0.1 < 0.3, 100)
    3
    """
    low = 0
    while low < stop:
        middle = (low + stop) // 2
        if holds(middle):
            low = middle + 1
        else:
            stop = middle
    return low


def dyadic(q: float, bits: int) -> int:
    """The t for which `m < t` says the same as `m * 2^-bits < q`, for every whole number m; exact.

    >>> dyadic(0.5, 53) == 2**52, dyadic(1e-20, 53)
    (True, 1)
    """
    return math.ceil(math.ldexp(q, bits))
