"""Rows for masks that depend on the data."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...variants import jumpout, max_dropout, standout
from ..case import Arrays, Case, normal

TESTED = "tested in tests/test_data_dependent.py"
NO_CHANCE = "nothing is drawn: the mask is a function of x"


def unit_and_its_input(rows: int, columns: int) -> Arrays:
    """x and its pre-activation. Large examples are for statistics, where every unit has the rate p: the latter is 0."""
    a = normal(rows, columns, seed=1) if rows * columns < 4096 else np.zeros((rows, columns))
    return normal(rows, columns), a


def bias_for(p: float) -> float:
    """The beta that drops a unit of pre-activation 0 with probability p."""
    return float(np.log((1 - p) / p)) if 0 < p < 1 else (np.inf if p == 0 else -np.inf)


def kept(xp: Any, a: Any, p: float) -> Any:
    """sigmoid(alpha a + beta), alpha = 3/2."""
    return xp.where(a == a, 1 / (1 + xp.exp(-1.5 * a) * p / (1 - p)), a) if p < 1 else a * 0


def below(x: Any, p: float) -> Any:
    """Where x is not in the upper share p of its range."""
    if 0 in x.shape:
        return x == x
    low, high = x[x == x].min(), x[x == x].max()
    return ~(x - low > (1 - p) * (high - low))


def some_inactive(rows: int, columns: int) -> Arrays:
    """Activations of either sign, three in four of them active. Large examples, for statistics, are all active."""
    x = np.abs(normal(rows, columns))
    if rows * columns < 4096:
        x.reshape(-1)[1::4] *= -1
    return (x,)


def raised(x: Any, p: float) -> float:
    """The rate of the mask: p by the share of active elements."""
    active = float((x > 0).sum())
    return min(p * int(np.prod(x.shape)) / active, 1.0) if active else 0.0


def jumped(xp: Any, x: Any, keep: Any, p: float) -> Any:
    r = raised(x, p)
    return xp.where(keep, x * (1 - r) ** -0.75 if r < 1 else x * 0, xp.zeros_like(x))


CASES = (
    Case(
        name="standout",
        call=lambda x, a, p, **options: standout(x, a, 1.5, bias_for(p), **options),
        inputs=unit_and_its_input,
        formula=lambda xp, x, a, keep, p: xp.where(keep, x, xp.zeros_like(x)),
        mean=lambda x, a, p: kept(np, a, p) * x,
        variance=lambda x, a, p: kept(np, a, p) * (1 - kept(np, a, p)) * x**2,
        evaluation=lambda xp, x, a, p: kept(xp, a, p) * x,
        not_applicable={
            "rate errors": f"p stands for beta, of which every number is good; {TESTED}",
        },
        applies_to=("dense", "conv"),
    ),
    Case(
        name="max_dropout",
        call=max_dropout,
        formula=lambda xp, x, keep, p: xp.where(keep & below(x, p), x, xp.zeros_like(x)),
        mean=lambda x, p: np.where(below(x, p), x, 0),
        variance=lambda x, p: 0 * x,
        index=None,
        at_one="formula",
        not_applicable={
            **dict.fromkeys(("rate", "structure", "calls", "addresses"), NO_CHANCE),
            "nonfinite": f"a tensor with NaN or infinities has no range and is left as it is; {TESTED}",
            "shard": f"{NO_CHANCE}; it takes no index",
            "all dropped": f"the smallest elements stay at every p; {TESTED}",
            "injected mask": f"the formula has the mask of the rule; {TESTED}",
        },
        applies_to=("dense", "conv"),
    ),
    Case(
        name="jumpout",
        call=lambda x, p, **options: jumpout(x, p, p_min=p, **options),
        inputs=some_inactive,
        formula=jumped,
        mean=lambda x, p: x * (1 - raised(x, p)) ** 0.25,
        variance=lambda x, p: x**2 * raised(x, p) * (1 - raised(x, p)) ** -0.5,
        not_applicable={
            "nonfinite": f"the rate depends on how many elements are above 0; {TESTED}",
            "shard": f"the rate is that of the part, not of the whole; {TESTED}",
        },
        applies_to=("dense", "conv"),
    ),
)
