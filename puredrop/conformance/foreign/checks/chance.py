"""Chance: the share that is dropped, and that decisions are independent, by exact tests.

Sample sizes are those with which a rate that is off by one per cent is seen (`chance.sample_size`) where the variant's
arrays allow, at rates 0.5 and 0.9; at 0.1 that would take seven million decisions, and ten per cent are seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np

from ...case import Failed, Skipped, Subject
from ...chance import Observation, across_calls, binomial_p_value, lags, patterns, repeats, shards, surprising, totals
from ...chance.correction import LEVEL
from ...checks.statistics import moments as moments_of
from ..finding import Finding
from ..probe import SMALL, Probe
from ..target import Call

LARGE = (512, 2048)  # a million decisions


def rate(probe: Probe) -> Iterator[Finding]:
    """The share dropped is p, in all, in each row and in each column."""
    for p in probe.rates(0.1, 0.5, 0.9):
        keep = probe.matrix(*probe.size(*LARGE), p, 11)
        found = list(_found(probe, "rate", keep, p, totals(keep, probe.case.drop_rate(p))))
        if found:
            yield found[0]
            return


def small_rates(probe: Probe) -> Iterator[Finding]:
    """Rates below 1 / 256 and close to 1 are not rounded to the steps of few bits."""
    if max(probe.case.rates) > 1 or probe.case.name not in CONTINUOUS:
        raise Skipped("the rate of single decisions is not p at every p")
    for p in probe.rates(0.002, 0.998):
        keep = probe.matrix(*probe.size(*LARGE), p, 12)
        q = probe.case.drop_rate(p)
        dropped = int((~keep).sum())
        what = Observation("dropped", dropped / keep.size, q, binomial_p_value(dropped, keep.size, q))
        found = list(_found(probe, "small rates", keep, p, [what]))
        if found:
            yield found[0]
            return


CONTINUOUS = (
    "dropout",
    "classic_dropout",
    "alpha_dropout",
    "feature_alpha_dropout",
    "spatial_dropout",
    "dropout1d",
    "dropout2d",
    "dropout3d",
    "locked_dropout",
    "batchwise_dropout",
    "token_dropout",
    "drop_path",
    "stochastic_depth",
    "zoneout",
    "mixout",
    "weight_drop",
    "scaled_dot_product_attention",
)


def rows(probe: Probe) -> Iterator[Finding]:
    """Rows of the mask are independent, at every distance."""

    def observe(keep: np.ndarray, q: float) -> list[Observation]:
        keep = _distinct(keep, 1)
        return [*repeats(keep, q, 0), *lags(keep, q, 0)]

    return _structure(probe, "rows", (0.5, 0.9), observe)


def columns(probe: Probe) -> Iterator[Finding]:
    """So are its columns."""
    return _structure(probe, "columns", (0.5, 0.9), lambda keep, q: [*repeats(keep, q, 1), *lags(keep, q, 1)])


def neighbours(probe: Probe) -> Iterator[Finding]:
    """Groups of neighbours have the patterns that chance has: no bit is shared."""
    return _structure(probe, "neighbours", (0.5,), lambda keep, q: [*patterns(keep, q, 4), *patterns(keep.T, q, 4)])


def parts(probe: Probe) -> Iterator[Finding]:
    """The parts of a batch have masks of their own."""
    return _structure(probe, "shards", (0.5,), lambda keep, q: shards(_distinct(keep, 1), q))


def _structure(
    probe: Probe,
    check: str,
    rates: tuple[float, ...],
    observe: Callable[[np.ndarray, float], Iterable[Observation]],
) -> Iterator[Finding]:
    for p in probe.rates(*rates):
        keep = probe.matrix(*probe.size(*LARGE), p, 23)
        q, level = _rate_of([keep], probe.case.drop_rate(p))
        found = list(_found(probe, check, keep, p, observe(keep, q), level))
        if found:
            yield found[0]
            return


def _rate_of(masks: Sequence[np.ndarray], q: float) -> tuple[float, float]:
    """The rate to hold the structure against, and the level: where the share itself is wrong, which is a finding of
    another check, what is seen of it, more strictly. Raises Skipped where nothing, or everything, is dropped."""
    dropped, n = sum(int((~keep).sum()) for keep in masks), sum(keep.size for keep in masks)
    if binomial_p_value(dropped, n, q) >= LEVEL:
        return q, LEVEL
    if not 1e-3 < dropped / n < 1 - 1e-3:
        raise Skipped(f"{dropped / n:.2%} of all is dropped, so that nothing can be said")
    return dropped / n, LEVEL**2


def _distinct(keep: np.ndarray, axis: int) -> np.ndarray:
    """The mask without lines that repeat another: that is a finding of their own check, and no independent evidence."""
    lines = np.ascontiguousarray(np.moveaxis(keep, axis, 0))
    first = {line.tobytes(): number for number, line in reversed(list(enumerate(lines)))}
    return keep if len(first) == len(lines) else keep.take(sorted(first.values()), axis)


def calls(probe: Probe) -> Iterator[Finding]:
    """Different seeds give different masks, in place and shifted."""
    for p in probe.rates(0.5):
        masks = list(probe.matrices(5, *probe.size(*LARGE), p))
        q, level = _rate_of(masks, probe.case.drop_rate(p))
        columns = _distinct(np.concatenate(masks), 1)
        seen = surprising(across_calls(np.split(columns, len(masks)), q), level)
        if seen is not None:
            reused = all(np.array_equal(masks[0], mask) for mask in masks)
            text = "the mask is reused: five calls with different seeds drop the same elements"
            yield _finding(probe, "calls", seen, text if reused else _sentence(probe, p, seen))


def seeds(probe: Probe) -> Iterator[Finding]:
    """One seed gives one mask."""
    if not probe.target.has_seed:
        raise Skipped("the target takes no seed")
    call = probe.call(probe.example(*SMALL), probe.middle(), 5)
    one, other = probe.run(call).y, probe.run(call).y
    if one.shape != other.shape or not np.array_equal(one, other, equal_nan=True):
        text = "the same seed gave two different results"
        yield Finding("seeds", "wrong", str(call), "equal results", "different ones", text, call=call)


def moments(probe: Probe) -> Iterator[Finding]:
    """Mean and variance of y over seeds are the paper's; for targets whose masks are unknown."""
    if probe.masks != "unknown":
        raise Skipped("values and masks were held against the formula and chance")
    if probe.target.rates is not None and 0.9 not in probe.target.rates:
        raise Skipped("they are taken at p = 0.9")

    def apply(inputs: tuple[np.ndarray, ...], p: float, seed: int) -> np.ndarray:
        return probe.run(probe.call(_as_dtype(probe, inputs), p, seed)).y

    try:
        moments_of(Subject(probe.case, apply, lambda *_: np.zeros(0)))
    except Failed as verdict:
        assert probe.last is not None
        shown = (str(probe.last), "the paper's mean and variance", "others")
        yield Finding("moments", "unlikely", *shown, str(verdict), call=probe.last)


def _as_dtype(probe: Probe, inputs: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
    dtype = "float64" if "float64" in probe.dtypes() else probe.dtypes()[0]
    return tuple(a.astype(dtype) if a.dtype.kind == "f" else a for a in inputs)


def _found(
    probe: Probe, check: str, keep: np.ndarray, p: float, observations: Iterable[Observation], level: float = LEVEL
) -> Iterator[Finding]:
    seen = surprising(observations, level)
    if seen is not None:
        yield _finding(probe, check, seen, _sentence(probe, p, seen, keep.size))


def _finding(probe: Probe, check: str, seen: Observation, text: str) -> Finding:
    call = probe.last
    assert isinstance(call, Call)
    return Finding(check, "unlikely", str(call), f"{seen.expected:.6g}", f"{seen.got:.6g}", text, call=call)


def _sentence(probe: Probe, p: float, seen: Observation, size: int | None = None) -> str:
    q = probe.case.drop_rate(p)
    if "that differ" in seen.what:
        what = seen.what.split()[0]
        return f"at p = {p} only {seen.got:.0f} of {seen.expected:.0f} {what} of the mask differ: they repeat"
    if seen.what.startswith("dropped"):
        inverted = (
            ": p is taken for the probability of keeping" if abs(seen.got - (1 - q)) < 0.02 < abs(q - 0.5) else ""
        )
        return (
            f"at p = {p} the share {seen.what} is {seen.got:.5f}, where {seen.expected:.5f} is due{inverted} "
            f"(chance {_small(seen.p_value)}{f', {size:,} decisions' if size else ''})"
        )
    return (
        f"at p = {p} {seen.what} in {seen.got:.4f} of places, where chance has {seen.expected:.4f} "
        f"(chance {_small(seen.p_value)})"
    )


def _small(p_value: float) -> str:
    return f"{p_value:.0e}" if p_value else "below 1e-300"
