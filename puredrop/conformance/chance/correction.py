"""Many tests at once: the chance that any of them says something false stays bounded."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

LEVEL = 1e-8  # of one check, all its tests together; a report has about thirty


class Observation(NamedTuple):
    """One exact test: what was counted, how often it was seen, what chance has it be, and the p-value."""

    what: str
    got: float
    expected: float
    p_value: float


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values for that many tests, whatever their dependence: Holm (1979).

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    corrected, worst = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(order):
        worst = max(worst, min(1.0, (len(p_values) - rank) * p_values[place]))
        corrected[place] = worst
    return corrected


def surprising(observations: Iterable[Observation], level: float = LEVEL) -> Observation | None:
    """The least likely observation with its p-value for that many tests, if that is below the level."""
    seen = list(observations)
    if not seen:
        return None
    least = min(range(len(seen)), key=lambda i: seen[i].p_value)
    corrected = holm([one.p_value for one in seen])[least]
    return seen[least]._replace(p_value=corrected) if corrected < level else None
