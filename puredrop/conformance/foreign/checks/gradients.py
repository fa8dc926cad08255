"""Gradients by the target's own autograd: the same map with the same mask."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ....random import Key
from ...case import Skipped
from ..finding import Finding
from ..guard import Trouble
from ..probe import SMALL, Probe, shown
from ..shrink import Evidence
from ..target import Call
from .values import as_finding, close, common_factor, first, found


def gradient_mask(probe: Probe) -> Iterator[Finding]:
    """The gradient is zero where x was dropped, and not where it was kept."""
    return first(_faults(probe, "gradient mask"))


def gradient_scale(probe: Probe) -> Iterator[Finding]:
    """The gradient has the scale of the values."""
    return first(_faults(probe, "gradient scale"))


def gradient(probe: Probe) -> Iterator[Finding]:
    """The gradient is that of the formula with what was drawn."""
    return first(_faults(probe, "gradient"))


def _faults(probe: Probe, kind: str) -> Iterator[Finding]:
    for p in probe.rates():
        if 0 < p != 1:
            call = probe.injected(probe.call(probe.example(*SMALL), p, 3))
            yield from found(probe, fault_of_gradient, call, kind)


def fault_of_gradient(probe: Probe, call: Call) -> Evidence | None:
    """The gradient of each input for one incoming gradient."""
    g = incoming(probe, call)
    answer, gradients = probe.gradient(call, g)
    if answer.y.shape != g.shape:
        raise Skipped("the result has another shape, so that no gradient can come in")
    expected = probe.expected_gradient(call, probe.noise(call, answer), g)
    for number, (got, wanted) in enumerate(zip(gradients, expected, strict=True)):
        if got is None or wanted is None:
            continue
        if got.shape != wanted.shape:
            text = f"the gradient of input {number} has shape {got.shape} where it must have {wanted.shape}"
            return Evidence("gradient", str(wanted.shape), str(got.shape), text)
        if not close(got, wanted):
            return _wrong(probe, call, number, got, wanted)
    return None


def incoming(probe: Probe, call: Call) -> np.ndarray:
    """An incoming gradient without zeros, in the shape and dtype of the variant's result."""
    y = np.asarray(probe.case.call(*call.inputs, call.p, key=Key(0), backend="numpy"))
    ramp = 1 + np.arange(y.size).reshape(y.shape) % 7 / 4
    return np.asarray(ramp, y.dtype)


def _wrong(probe: Probe, call: Call, number: int, got: np.ndarray, wanted: np.ndarray) -> Evidence:
    both, where = shown(wanted, got), f"at p = {call.p} the gradient of input {number}"
    leaked, lost = ((got != 0) & (wanted == 0)).any(), ((got == 0) & (wanted != 0)).any()
    if (leaked or lost) and probe.case.real_noise is None:
        text = "is not zero where x was dropped" if leaked else "is zero where x was kept"
        return Evidence("gradient mask", *both, f"{where} {text}: it does not use the mask of the result")
    factor = common_factor(got, wanted)
    if factor is not None:
        cause = ": it lacks the scale 1 / (1 - p)" if abs(factor / (1 - call.p) - 1) < 2e-3 else ""
        return Evidence("gradient scale", *both, f"{where} is {factor:.6g} times what it must be{cause}")
    return Evidence("gradient", *both, f"{where} is not that of the formula")


def gradient_at_one(probe: Probe) -> Iterator[Finding]:
    """At p = 1 nothing reaches the result, so that the gradient is zero, and no NaN."""
    if probe.case.at_one != "zeros":
        raise Skipped("p = 1 does not give zeros here")
    call = probe.call(probe.example(*SMALL), probe.require_rate(1.0))
    try:
        yield from found(probe, _fault_at_one, call, "gradient at p = 1")
    except Trouble as trouble:
        raise Skipped(f"the target gives no result at p = 1 ({trouble})") from None


def _fault_at_one(probe: Probe, call: Call) -> Evidence | None:
    _, gradients = probe.gradient(call, incoming(probe, call))
    got = gradients[0]
    if got is None or not got.any():
        return None
    text = "the gradient at p = 1 is not zero, though nothing may be kept"
    if np.isnan(got).any():
        text = "the gradient at p = 1 is NaN; 1 / (1 - p) was formed before p = 1 was decided"
    return Evidence("gradient at p = 1", *shown(np.zeros_like(got), got), text)


def nonfinite_gradient(probe: Probe) -> Iterator[Finding]:
    """A NaN in the incoming gradient at a dropped place stays there."""
    yield from found(probe, _fault_nonfinite, probe.call(probe.example(*SMALL), probe.middle()), "nonfinite gradient")


def _fault_nonfinite(probe: Probe, call: Call) -> Evidence | None:
    g = incoming(probe, call)
    answer, plain = probe.gradient(call, g)
    dropped = probe.expected(call, probe.noise(call, answer)) == 0
    if not dropped.any() or dropped.shape != g.shape or plain[0] is None:
        return None
    again, gradients = probe.gradient(call, np.where(dropped, np.nan, g).astype(g.dtype))
    if not np.array_equal(again.y, answer.y) or gradients[0] is None or np.isfinite(gradients[0]).all():
        return None
    text = "a NaN in the gradient at a dropped place reaches the gradient of x; select, do not multiply by the mask"
    return Evidence("nonfinite gradient", *shown(plain[0], gradients[0]), text)


def rate_gradient(probe: Probe) -> Iterator[Finding]:
    """A hard mask has no gradient by its rate but for the scale, and that part alone is biased: E[y] does not move.

    The target must give none, 0, or refuse.
    """
    ask, p = probe.target.rate_gradient, probe.middle()
    if ask is None:
        raise Skipped("the target's rate cannot be differentiated from outside")
    if probe.case.mean is None:
        raise Skipped("no mean is stated in closed form")
    call = probe.call(tuple(np.ones_like(a) for a in probe.example(*SMALL)), p)
    probe.last = call
    try:
        got = probe.guard(lambda: ask(call))
    except Trouble:
        return  # refused
    if got != 0:
        text = (
            f"the gradient by the rate at p = {p} is {got:.4g}; it goes through 1 / (1 - p) alone and is biased, for "
            f"the mean of y does not depend on p: give 0, refuse, or name an estimator"
        )
        yield as_finding(call, Evidence("rate gradient", "0, or an error", f"{got:.6g}", text))
