"""Manners: inputs stay as they are, nothing is printed, wrong arguments are refused, and calls come back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ...case import Skipped
from ..finding import Finding
from ..guard import Trouble
from ..probe import SMALL, Probe, brief, shown
from ..shrink import Evidence, smallest
from ..target import Call
from .values import as_finding


def runs(probe: Probe) -> Iterator[Finding]:
    """An ordinary call gives an array."""
    call = probe.call(probe.example(*SMALL), probe.middle())
    try:
        answer = probe.run(call)
    except Trouble as trouble:
        verb = "does not come back" if trouble.kind == "hung" else "raises"
        text = f"an ordinary call {verb}: {trouble}"
        kind: Any = trouble.kind
        yield Finding("runs", kind, str(call), "an array", str(trouble), text, call=call)
        return
    if answer.y.dtype.kind not in "fiub":
        text = f"an ordinary call gives an array of dtype {answer.y.dtype}"
        yield as_finding(call, Evidence("runs", "numbers", str(answer.y.dtype), text))


def untouched(probe: Probe) -> Iterator[Finding]:
    """The inputs are not changed, and the result is new memory wherever something may be dropped."""
    if not probe.target.in_place:
        raise Skipped("the target's arrays cannot be changed")
    call = probe.call(probe.example(*SMALL), probe.middle(), 2)
    if _fault_touched(probe, call) is not None:
        yield as_finding(*smallest(probe, _fault_touched, call, "untouched"))


def _fault_touched(probe: Probe, call: Call) -> Evidence | None:
    inputs = tuple(a.copy() for a in call.inputs)
    probe.run_as_is(call._replace(inputs=inputs))
    probe.last = call
    for number, (before, after) in enumerate(zip(call.inputs, inputs, strict=True)):
        if not np.array_equal(before, after, equal_nan=before.dtype.kind == "f"):
            text = f"input {number} was changed by the call; an input is never mutated"
            return Evidence("untouched", *shown(before, after), text)
    return None


def silence(probe: Probe) -> Iterator[Finding]:
    """Nothing is written to the screen."""
    call = probe.call(probe.example(*SMALL), probe.middle())
    probe.guard.printed = ""
    probe.run(call)
    if probe.guard.printed:
        text = f"a call prints {probe.guard.printed.strip()[:60]!r}"
        yield as_finding(call, Evidence("silence", "nothing", repr(probe.guard.printed[:60]), text))


def rate_errors(probe: Probe) -> Iterator[Finding]:
    """A rate outside [0, 1], or NaN, is refused."""
    if max(probe.case.rates) > 1 or "rate errors" in probe.case.not_applicable:
        raise Skipped("its parameter is no rate")
    if probe.target.rates is not None:
        raise Skipped("the target's rate is fixed")
    above = (1.1,) if 1.0 in probe.case.rates else ()
    for p in (-0.1, *above, float("nan")):
        call = probe.call(probe.example(*SMALL), p)
        try:
            answer = probe.run(call)
        except Trouble as trouble:
            if trouble.kind == "hung":
                raise
            continue
        text = f"p = {p} is accepted; refuse rates outside [0, 1] at the door"
        yield as_finding(call, Evidence("rate errors", "ValueError", shown(call.inputs[0], answer.y)[1], text))
        return


def shared_axes(probe: Probe) -> Iterator[Finding]:
    """Where the variant has one decision for many elements, they share it."""
    case, p = probe.case, probe.middle()
    call = probe.call(probe.example(*SMALL), p)
    if case.index is None or probe.decode is None or case.real_noise or case.in_front:
        raise Skipped("no axes are shared, or the mask is unknown")
    answer = probe.run(call)
    noise, index = probe.noise(call, answer), case.index(*call.inputs)
    shared = [axis for axis, n in enumerate(index.noise_shape) if n == 1 and noise.ndim == len(index.noise_shape)]
    shared = [axis for axis in shared if noise.shape[axis] > 1]
    if not shared:
        raise Skipped("no axes are shared")
    if any((noise != noise.take([0], axis)).any() for axis in shared):
        text = f"elements along axes {tuple(shared)} share one decision, and here each has its own"
        first = noise.take([0], shared[0]).any()
        yield as_finding(call, Evidence("shared axes", f"all {first}", brief(noise), text))


def replay(probe: Probe) -> Iterator[Finding]:
    """The target draws what its stream says, value for value."""
    if probe.target.stream is None:
        raise Skipped("no stream was named")
    if probe.masks == "replayed":
        raise Skipped("the stream is how the mask is known")
    call = probe.call(probe.example(*SMALL), probe.middle(), 4)
    answer = probe.run(call)
    noise, stream = probe.noise(call, answer), probe.replayed(call)
    if noise.shape == stream.shape and not np.array_equal(noise, stream):
        share = np.mean(noise != stream)
        text = f"the mask is not the one that the stream has for this seed: {share:.0%} of the decisions differ"
        yield as_finding(call, Evidence("replay", *shown(stream, noise), text))
