"""From a failing call to the smallest one that fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from ..case import Skipped
from .guard import Trouble
from .probe import Probe
from .target import Call

SIZES = ((1, 1), (1, 2), (2, 2), (2, 4), (4, 4), (4, 8))
SEEDS = range(4)


class Evidence(NamedTuple):
    """What is wrong with the result of one call. kind: the check that it belongs to."""

    kind: str
    expected: str
    got: str
    sentence: str


Fault = Callable[[Probe, Call], Evidence | None]


def smallest(probe: Probe, fault: Fault, failing: Call, kind: str) -> tuple[Call, Evidence]:
    """The first of some smaller calls with a fault of the same kind, or the failing one itself."""
    for call in _smaller(probe, failing):
        try:
            evidence = fault(probe, call)
        except (Skipped, Trouble):
            continue
        if evidence is not None and evidence.kind == kind:
            return call, evidence
    evidence = fault(probe, failing)
    assert evidence is not None
    return failing, evidence


def _smaller(probe: Probe, failing: Call) -> Iterator[Call]:
    dtype = next((str(a.dtype) for a in failing.inputs if a.dtype.kind == "f"), None)
    for size in SIZES:
        inputs = probe.example(*size, dtype)
        if sum(a.size for a in inputs) >= sum(a.size for a in failing.inputs):
            return
        simple = tuple(np.ones_like(a) if a.dtype.kind == "f" else a for a in inputs)
        for candidate in (simple, inputs) if len(inputs) == 1 else (inputs,):
            for seed in SEEDS:
                yield failing._replace(inputs=candidate, seed=seed)
