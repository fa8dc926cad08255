"""Evaluation: nothing is drawn."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ....random import Key
from ...case import Skipped
from ..finding import Finding
from ..probe import SMALL, Probe, brief, shown
from ..shrink import Evidence
from ..target import Call
from .values import BOUND, close, first, found


def evaluation(probe: Probe) -> Iterator[Finding]:
    """Evaluation gives what the variant says: mostly x itself."""
    if not probe.target.evaluates:
        raise Skipped("the target has no switch for training")
    call = probe.call(probe.example(*SMALL), probe.middle(), training=False)
    yield from found(probe, _fault, call, "evaluation")


def _fault(probe: Probe, call: Call) -> Evidence | None:
    case, y = probe.case, probe.run(call).y
    wide = tuple(a.astype(np.float64) if a.dtype.kind == "f" else a for a in call.inputs)
    expected = wide[0] if case.evaluation == "identity" else case.evaluation(np, *wide, call.p)
    if y.shape == np.shape(expected) and close(y, np.asarray(expected)):
        return None
    again = probe.run(call._replace(seed=call.seed + 1)).y
    if not np.array_equal(y, again):
        text = "evaluation still drops: two calls with different seeds give different results"
    elif y.shape == np.shape(expected) and ((y == 0) & (expected != 0)).any():
        text = "evaluation still drops: some elements are zero"
    else:
        rule = "x" if case.evaluation == "identity" else "the expectation of what training gives"
        text = f"evaluation at p = {call.p} must give {rule}, and does not"
    return Evidence("evaluation", *shown(expected, y), text)


def nothing_dropped(probe: Probe) -> Iterator[Finding]:
    """p = 0 gives what the formula makes of x when all is kept: mostly x itself."""
    return first(_at_zero(probe))


def _at_zero(probe: Probe) -> Iterator[Finding]:
    if 0.0 not in probe.case.rates:
        raise Skipped("p = 0 is no rate of this variant")
    for dtype in probe.dtypes():
        call = probe.injected(probe.call(probe.example(*SMALL, dtype), probe.require_rate(0.0)))
        yield from found(probe, _fault_at_zero, call, "p = 0")


def _fault_at_zero(probe: Probe, call: Call) -> Evidence | None:
    y = probe.run(call).y
    expected = np.asarray(probe.case.call(*call.inputs, 0.0, key=Key(0), training=True, backend="numpy"))
    bound = BOUND.get(str(expected.dtype), 0.0)
    if y.shape == expected.shape and np.allclose(y, expected, rtol=bound, atol=bound):
        return None
    return Evidence("p = 0", brief(expected), brief(y), "p = 0 must drop nothing and leave x as it is, and does not")
