"""Masks of PyTorch with MKL's generator, as its x86 builds drew them before 2.7.

`bernoulli_` then took one word of the Mersenne twister, and seeded with it MKL's MCG31m1: x_0 = word mod (2^31 - 1), 1
where that is 0, x_(i+1) = 1132489760 x_i mod (2^31 - 1). Element i, in C order, is kept where x_i / (2^31 - 1) < 1 - p,
both in single precision. Sources: PyTorch 2.6, aten/src/ATen/native/cpu/DistributionTemplates.h and
UnaryOpsKernel.cpp; Intel, "oneMKL Vector Statistics Notes" for MCG31m1.
"""

from __future__ import annotations

import numpy as np

from .thresholds import first_false

MULTIPLIER, MODULUS = 1132489760, (1 << 31) - 1


def below(seed: int, q: float, count: int) -> np.ndarray:
    """Whether the first numbers of MCG31m1 with this seed are below q. (count,) bool

    >>> below(5, 0.5, 6).astype(int).tolist()
    [1, 0, 0, 0, 1, 1]
    """
    number = np.float32(q)
    threshold = first_false(lambda x: np.float32(x / MODULUS) < number, MODULUS)
    return numerators(seed, count) < threshold


def numerators(seed: int, count: int) -> np.ndarray:
    """x_0, x_1, ... of MCG31m1. (count,) uint64

    Each round doubles how many there are: those k places on are those here times the multiplier to the power k.
    """
    x = np.empty(count, np.uint64)
    x[:1] = seed % MODULUS or 1
    known = 1
    while known < count:
        more = min(known, count - known)
        x[known : known + more] = x[:more] * np.uint64(pow(MULTIPLIER, known, MODULUS)) % np.uint64(MODULUS)
        known += more
    return x
