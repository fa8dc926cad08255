"""Rows for pooling that chooses by chance."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from ...random import Index
from ...variants import max_pool_dropout, stochastic_pool
from ..case import Case, normal

NO_RATE = "there is no rate; the other arguments are in tests/test_blocks.py"


def pairs(x: Any) -> tuple[Any, Any]:
    """The two elements of each window of two."""
    return x[..., 0::2], x[..., 1::2]


def largest_left(xp: Any, x: Any, keep: Any, p: float) -> Any:
    """Dropout without a scale, then max pooling."""
    return xp.maximum(*pairs(xp.where(keep, x, xp.zeros_like(x))))


def expected_largest(x: Any, p: float) -> Any:
    """The larger one unless it is dropped; then the smaller, unless that is dropped too."""
    a, b = np.sort(pairs(x), axis=0)
    return (1 - p) * b + p * (1 - p) * a


def in_proportion(xp: Any, x: Any, u: Any, p: float) -> Any:
    """The first of two with probability a / (a + b)."""
    a, b = pairs(x)
    return xp.where(u.reshape(a.shape) * (a + b) < a, a, b)


def expected_in_proportion(x: Any, power: int = 2) -> Any:
    """sum x^power / sum x."""
    a, b = pairs(x)
    return (a**power + b**power) / (a + b)


CASES = (
    Case(
        name="max_pool_dropout",
        call=partial(max_pool_dropout, spatial_dims=1, size=2),
        inputs=lambda rows, columns: (np.abs(normal(rows, columns // 4 or 1, 4)),),
        any_shape=False,
        noise_matrix=lambda noise: noise.reshape(len(noise), -1),
        formula=largest_left,
        mean=expected_largest,
        variance=lambda x, p: expected_largest(x**2, p) - expected_largest(x, p) ** 2,
        evaluation=lambda xp, x, p: expected_largest(x, p),
        at_one="formula",
        not_applicable={"signed zero": "the larger of -0 and +0 is either of them"},
        applies_to=("pooling",),
    ),
    Case(
        name="stochastic_pool",
        call=lambda x, p, **options: stochastic_pool(x, spatial_dims=1, size=2, **options),
        inputs=lambda rows, columns: (np.abs(normal(rows, columns // 2 or 1, 4)),),
        any_shape=False,
        index=lambda x: Index.whole((*x.shape[:2], 2)),
        noise_matrix=lambda u: u.reshape(len(u), -1),
        formula=in_proportion,
        mean=lambda x, p: expected_in_proportion(x),
        variance=lambda x, p: expected_in_proportion(x, 3) - expected_in_proportion(x) ** 2,
        evaluation=lambda xp, x, p: expected_in_proportion(x),
        rates=(0.5,),
        at_one="formula",
        real_noise="uniform",
        not_applicable={"identity": NO_RATE, "rate errors": NO_RATE, "signed zero": "zeros have no proportions"},
        applies_to=("pooling",),
    ),
)
