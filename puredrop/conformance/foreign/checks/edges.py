"""The edges: p = 1, NaN, signed zero, odd shapes, memory order, whole numbers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from ...case import Skipped
from ...checks.edges import ANY_SHAPE
from ..finding import Finding
from ..guard import Trouble
from ..masks import own_noise
from ..probe import SMALL, Probe, brief, shown
from ..shrink import Evidence
from ..target import Answer, Call
from .values import as_finding, close, common_factor, fault_of_values, found

ACCIDENTS = (ArithmeticError, LookupError, AttributeError, NameError, AssertionError)


def all_dropped(probe: Probe) -> Iterator[Finding]:
    """p = 1 gives zeros, or what the variant says; where it has no limit it is refused in words."""
    case = probe.case
    call = probe.call(probe.example(*SMALL), probe.require_rate(1.0))
    if 1.0 not in case.rates:
        raise Skipped("p = 1 is no rate of this variant")
    try:
        yield from found(probe, _fault_at_one, call, "p = 1")
    except Trouble as trouble:
        if trouble.kind == "hung":
            raise
        if isinstance(trouble.error, ACCIDENTS):
            text = f"p = 1 ends in {trouble}, which says nothing about p; decide p = 1 before dividing by 1 - p"
            expected = "ValueError that names p" if case.at_one == "raises" else "zeros"
            yield replace(as_finding(call, Evidence("p = 1", expected, str(trouble), text)), verdict="raised")
        elif case.at_one != "raises":
            raise Skipped(f"the target refuses p = 1 ({trouble})") from None


def _fault_at_one(probe: Probe, call: Call) -> Evidence | None:
    answer = probe.run(call)
    y = answer.y
    if probe.case.at_one == "raises":
        return Evidence("p = 1", "ValueError", brief(y), "p = 1 was accepted, where the noise has no limit")
    if probe.case.at_one == "zeros":
        expected = np.zeros(y.shape)
    else:
        drawn = own_noise(probe.case, call.inputs, 1.0)
        noise = drawn if drawn.dtype == np.bool_ and not drawn.any() else probe.noise(call, answer)
        expected = probe.expected(call, noise)
        if not np.isfinite(expected).all():
            raise Skipped("what p = 1 gives depends on what was drawn")
    if y.shape == expected.shape and close(y, expected):
        return None
    if not np.isfinite(y).all():
        text = "p = 1 gives values that are not finite; decide p = 1 before dividing by 1 - p"
    else:
        text = f"p = 1 leaves {np.mean(~np.isclose(y, expected)):.0%} of the elements that must be dropped"
    return Evidence("p = 1", *shown(expected, y), text)


def nonfinite(probe: Probe) -> Iterator[Finding]:
    """A NaN or infinity that is dropped does not reach the result."""
    yield from found(probe, _fault_nonfinite, probe.call(probe.example(*SMALL), probe.middle()), "nonfinite")


def _fault_nonfinite(probe: Probe, call: Call) -> Evidence | None:
    x, *rest = call.inputs
    answer = probe.run(call)
    expected = probe.expected(call, probe.noise(call, answer))
    if x.dtype.kind != "f" or x.shape != expected.shape:
        raise Skipped("x and y have different shapes")
    spoiled = probe.expected(call._replace(inputs=(np.full_like(x, np.nan), *rest)), probe.noise(call, answer))
    dropped = np.isfinite(spoiled)
    if not dropped.any():
        return None
    for bad in (np.nan, np.inf):
        changed = np.where(dropped, np.copysign(x.dtype.type(bad), x), x)
        y = probe.run(call._replace(inputs=(changed, *rest))).y
        if not np.isfinite(y).all() and np.array_equal(y[~dropped], answer.y[~dropped]):
            text = f"{bad} at a dropped place reaches the result; select, do not multiply by the mask"
            return Evidence("nonfinite", *shown(answer.y, y), text)
    return None


def signed_zero(probe: Probe) -> Iterator[Finding]:
    """A dropped element is +0."""
    yield from found(probe, _fault_signed_zero, probe.call(probe.example(*SMALL), probe.middle()), "signed zero")


def _fault_signed_zero(probe: Probe, call: Call) -> Evidence | None:
    inputs = tuple(-np.abs(a) if a.dtype.kind == "f" else a for a in call.inputs)
    call = call._replace(inputs=inputs)
    answer = probe.run(call)
    expected = probe.expected(call, probe.noise(call, answer))
    wrong = (expected == 0) & ~np.signbit(expected) & (answer.y == 0) & np.signbit(answer.y)
    if not wrong.any():
        return None
    text = "a dropped negative number becomes -0.0; it should be +0.0: select, do not multiply by the mask"
    return Evidence("signed zero", *shown(expected, answer.y), text)


def shapes(probe: Probe) -> Iterator[Finding]:
    """Empty, single, 0-d and many-dimensional arrays keep their shape and have the values of the formula."""
    case, dtype = probe.case, probe.dtypes()[0]
    few = probe.target.compiles
    examples = [case.example(*size, dtype) for size in ((33, 3), (1, 1), (1, 7), (7, 1))[: 1 if few else 4]]
    if case.any_shape:
        kinds = [a.dtype for a in case.example(2, 2, dtype)]
        examples += [tuple(np.ones(shape, kind) for kind in kinds) for shape in ANY_SHAPE[:: 4 if few else 1]]
    for inputs in examples:
        call = probe.injected(probe.call(inputs, probe.middle(), 2))
        evidence = fault_of_values(probe, call)
        if evidence is not None:
            text = f"for x of shape {inputs[0].shape} {evidence.sentence}"
            yield as_finding(call, evidence._replace(kind="shapes", sentence=text))
            return


def layout(probe: Probe) -> Iterator[Finding]:
    """What is dropped depends on the position of an element, not on how the array lies in memory."""
    if not probe.target.in_place:
        raise Skipped("the target's arrays have no memory order")
    x, p = probe.example(12, 10)[0], probe.middle()
    call = probe.call(probe.example(12, 10), p, 8)
    if x.ndim < 2 or not np.array_equal(probe.run(call).y, probe.run(call).y, equal_nan=True):
        raise Skipped("the seed does not fix the mask")
    for size in ((2, 2), (3, 4), (12, 10)):
        call = probe.call(probe.example(*size), p, 8)
        plain = probe.run(call).y
        for name, same in _in_other_orders(call.inputs[0]):
            y = probe.run_as_is(call._replace(inputs=(same, *call.inputs[1:]))).y
            if y.shape == plain.shape and not close(y, plain):
                text = f"the same numbers in another memory order ({name}) get another result from the same seed"
                yield as_finding(call, Evidence("layout", *shown(plain, y), text))
                return


def _in_other_orders(x: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    wide = np.zeros((*(2 * n for n in x.shape),), x.dtype)
    every_other = tuple(slice(None, None, 2) for _ in x.shape)
    wide[every_other] = x
    yield "Fortran order", np.asfortranarray(x)
    yield "strided", wide[every_other]


def whole_numbers(probe: Probe) -> Iterator[Finding]:
    """Whole numbers are refused, or dropped from as real numbers; never rounded in silence."""
    inputs = probe.example(*SMALL)
    if inputs[0].dtype.kind != "f" or len(inputs) > 1 or probe.decode is None or probe.case.real_noise:
        raise Skipped("x is not one array of real numbers, or the mask is unknown")
    for size in (SMALL,) if probe.target.compiles else ((1, 2), (2, 4), SMALL):
        shape = probe.example(*size)[0].shape
        x = np.arange(1, np.prod(shape, dtype=int) + 1).reshape(shape)
        call = probe.call((x,), probe.require_rate(0.3), 3)
        try:
            answer = probe.run(call)
        except Trouble as trouble:
            if trouble.kind == "hung":
                raise
            return
        expected = probe.expected(call, probe.noise(call._replace(inputs=(x.astype(np.float32),)), answer))
        if answer.y.dtype.kind in "iu" and not np.allclose(answer.y, expected, rtol=1e-2):
            text = f"{x.dtype} in gives {answer.y.dtype} out with rounded values; refuse whole numbers, or convert them"
            yield as_finding(call, Evidence("whole numbers", *shown(expected, answer.y), text))
            return


def half_precision(probe: Probe) -> Iterator[Finding]:
    """In float16 each result is within one rounding of its value, and the mean of all is not moved."""
    inputs = probe.case.example(64, 64, np.float16)
    if inputs[0].dtype != np.float16 or probe.case.real_noise or probe.decode is None:
        raise Skipped("y is not x times a scale")
    for p in (0.3, 0.1):
        call = probe.call(inputs, probe.require_rate(p), 5)
        try:
            answer = probe.run(call)
        except Trouble as trouble:
            if trouble.kind == "hung":
                raise
            raise Skipped(f"the target takes no float16 ({trouble})") from None
        if answer.y.dtype != np.float16:
            text = f"float16 in gives {answer.y.dtype} out; the dtype must stay"
            yield as_finding(call, Evidence("half precision", "float16", str(answer.y.dtype), text))
            return
        if not answer.y.any():
            text = f"in float16 at p = {p} all of {answer.y.size} elements are zero: a count or a sum is out of range"
            yield as_finding(call, Evidence("half precision", "mostly other numbers", "zeros", text))
            return
        evidence = _biased(probe, call, answer.y)
        if evidence is not None:
            yield as_finding(call, evidence)
            return


def _biased(probe: Probe, call: Call, y: np.ndarray) -> Evidence | None:
    expected = probe.expected(call, probe.noise(call, Answer(y)))
    kept = (expected != 0) & (np.abs(expected) > 2**-10)
    if expected.shape != call.inputs[0].shape or y.shape != expected.shape or not kept.any():
        return None
    if common_factor(expected, np.where(kept, call.inputs[0], 0.0)) is None:
        return None  # more than one operation, and more than one rounding
    ratios = y[kept].astype(np.float64) / expected[kept]
    if not np.isfinite(ratios).all() or np.abs(ratios - 1).max() > 2**-8:
        text = f"in float16 at p = {call.p} kept elements are off by up to {np.abs(ratios - 1).max():.1e}"
        return Evidence("half precision", "1 within 2^-11", f"{ratios[np.abs(ratios - 1).argmax()]:.6g}", text)
    spread, bias = 2.0**-11 / 3**0.5 / ratios.size**0.5, float(ratios.mean() - 1)
    if abs(bias) > 6 * spread:  # one rounding, at most 2^-11 off, either way alike
        text = f"in float16 at p = {call.p} the mean of what is kept is off by {bias:+.1e}: the scale itself is rounded"
        return Evidence("half precision", "1", f"{1 + bias:.6g}", text)
    return None
