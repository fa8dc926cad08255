"""Values: each element is what the formula makes of its decision."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ....random import Key
from ..finding import Finding
from ..probe import SMALL, Probe, shown
from ..shrink import Evidence, Fault, smallest
from ..target import Call

BOUND = {"float16": 2e-3, "float32": 5e-6, "float64": 1e-11}


def found(probe: Probe, fault: Fault, call: Call, kind: str) -> Iterator[Finding]:
    """A finding of that kind, shrunk, if the call has the fault."""
    evidence = fault(probe, call)
    if evidence is not None and evidence.kind == kind:
        call, evidence = smallest(probe, fault, call, kind)
        yield as_finding(call, evidence)


def as_finding(call: Call, evidence: Evidence) -> Finding:
    check, expected, got, sentence = evidence
    return Finding(check, "wrong", str(call), expected, got, sentence, call=call)


def first(findings: Iterator[Finding]) -> Iterator[Finding]:
    """One is enough: the others would say the same of other rates."""
    finding = next(findings, None)
    if finding is not None:
        yield finding


def scale(probe: Probe) -> Iterator[Finding]:
    """What is kept is scaled as the variant says."""
    return first(_faults(probe, "scale"))


def values(probe: Probe) -> Iterator[Finding]:
    """All values are those of the formula for what was drawn."""
    return first(_faults(probe, "values"))


def dtype(probe: Probe) -> Iterator[Finding]:
    """The result has the dtype of x."""
    return first(_faults(probe, "dtype"))


def shape(probe: Probe) -> Iterator[Finding]:
    """The result has the shape that the variant gives it."""
    return first(_faults(probe, "shape"))


def _faults(probe: Probe, kind: str) -> Iterator[Finding]:
    for dtype in probe.dtypes():
        for p in probe.rates():
            if 0 < p != 1:  # both ends have checks of their own
                call = probe.injected(probe.call(probe.example(*SMALL, dtype), p, 3))
                yield from found(probe, fault_of_values, call, kind)


def fault_of_values(probe: Probe, call: Call) -> Evidence | None:
    """Shape, dtype and values of one call."""
    answer, x = probe.run(call), call.inputs[0]
    template = np.asarray(probe.case.call(*call.inputs, call.p, training=True, key=Key(0), backend="numpy"))
    if answer.y.shape != template.shape:
        text = f"the result has shape {answer.y.shape} where it must have {template.shape}"
        return Evidence("shape", str(template.shape), str(answer.y.shape), text)
    if answer.y.dtype != template.dtype:
        text = f"{x.dtype} in gives {answer.y.dtype} out; the dtype must stay"
        return Evidence("dtype", str(template.dtype), str(answer.y.dtype), text)
    expected = probe.expected(call, probe.noise(call, answer))
    if close(answer.y, expected):
        return None
    return _wrong_values(probe, call, answer.y, expected)


def close(got: np.ndarray, expected: np.ndarray) -> bool:
    """Whether each element is within rounding; NaN and infinities must be the same."""
    bound = BOUND.get(str(got.dtype), 1e-6)
    size = float(np.abs(expected[np.isfinite(expected)]).max(initial=0.0))
    return bool(np.allclose(got.astype(np.float64), expected, rtol=bound, atol=bound * size, equal_nan=True))


def _wrong_values(probe: Probe, call: Call, y: np.ndarray, expected: np.ndarray) -> Evidence:
    factor = common_factor(y, expected)
    if factor is not None and probe.case.real_noise is None:
        times = f"{factor:.6g}" if abs(factor - 1) > 1e-4 else f"(1 {factor - 1:+.0e})"
        text = f"at p = {call.p} what is kept is {times} times what it must be{_explained(factor, call.p)}"
        return Evidence("scale", *shown(expected, y), text)
    text = f"at p = {call.p} the result does not have the values of the formula for what was kept"
    return Evidence("values", *shown(expected, y), text)


def common_factor(got: np.ndarray, expected: np.ndarray) -> float | None:
    """By which number all elements are too large, if it is one number."""
    some = (expected != 0) & np.isfinite(expected)
    if not some.any() or not np.array_equal(got != 0, expected != 0):
        return None
    factors = got[some].astype(np.float64) / expected[some]
    return float(np.median(factors)) if np.ptp(factors) <= 1e-3 * abs(np.median(factors)) else None


def _explained(factor: float, p: float) -> str:
    if abs(factor - 1) < 1e-3:
        return ""
    q = 1 - p
    causes = {
        q: "it is not scaled by 1 / (1 - p)",
        q / p: "it is scaled by 1 / p in place of 1 / (1 - p)",
        q * q: "it is scaled by 1 - p in place of 1 / (1 - p)",
        1 / q: "it is scaled twice by 1 / (1 - p), or where the variant does not scale",
        p * q: "it is scaled by p in place of 1 / (1 - p)",
        q**0.5: "it is scaled by the square root of 1 / (1 - p)",
    }
    return next((f": {text}" for value, text in causes.items() if abs(factor / value - 1) < 2e-3), "")
