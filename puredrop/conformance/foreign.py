"""The same checks on somebody else's dropout."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .case import foreign
from .checks import OUTSIDE
from .matrix import Row, _case, run_check, summary


@dataclass(frozen=True)
class Report:
    """What the checks found. `findings` says in plain words what is wrong, a sentence each; empty when all is well."""

    rows: tuple[Row, ...]

    @property
    def findings(self) -> list[str]:
        return [f"{row.check}: {row.reason}" for row in self.rows if row.status == "failed"]

    @property
    def passed(self) -> bool:
        """Whether nothing is wrong."""
        return not self.findings

    def __repr__(self) -> str:
        return str(self)

    def __str__(self) -> str:
        return "\n".join([*self.findings, summary(self.rows)])


def check(function: Callable[[np.ndarray, float, int], Any], like: str = "dropout") -> Report:
    """Hold `function(x, p, seed)`, which takes and gives arrays, against a variant.

    Checked: values, edges, the rate, independence and moments. Not checked, for the function shows neither mask nor
    gradient: gradients, injected masks, error texts.

    >>> def mine(x, p, seed):
    ...     keep = np.random.default_rng(seed).random(x.shape) >= p
    ...     return x * keep                                  # forgot to scale
    >>> [finding.split(":")[0] for finding in check(mine).findings]
    ['formula', 'all dropped', 'nonfinite', 'shapes', 'moments']
    """
    subject = foreign(_case(like), function)
    return Report(tuple(run_check(subject, name, one) for name, one in OUTSIDE.items()))
