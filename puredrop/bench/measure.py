"""Running a suite: sizes, budgets of time, rows of results."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from . import kernels, predict, scaling, streams, tape
from .environment import environment
from .suite import Suite
from .timing import Call, Clock, interleaved, one_thread, spread

Progress = Callable[[int, int, str], object]  # (done, total, what is under way)

SUITES: dict[str, Callable[[Sequence[str] | None], Suite]] = {
    "scaling": scaling.suite,
    "kernels": kernels.suite,
    "tape": tape.suite,
    "predict": predict.suite,
    "streams": streams.suite,
}


@dataclass(frozen=True)
class Preset:
    """How much a run does: sizes, the most rounds of a measurement, and the seconds that the whole aims at."""

    sizes: tuple[int, ...]
    rounds: int
    seconds: float


PRESETS = {
    "full": Preset(tuple(1 << k for k in range(10, 25, 2)), rounds=201, seconds=55.0),  # a minute with the imports
    "quick": Preset(tuple(1 << k for k in range(10, 23, 4)), rounds=51, seconds=7.0),  # ten seconds
}


def run(
    sizes: Sequence[int] | None = None,
    backends: Sequence[str] | None = None,
    rounds: int | None = None,
    seconds: float | None = None,
    progress: Progress | None = None,
    preset: str = "full",
    suite: str = "scaling",
) -> dict[str, Any]:
    """Time the contenders of a suite against each other, on one thread.

    preset: "full" takes about a minute, "quick" ten seconds; `sizes`, `rounds` and `seconds` replace its own.
    sizes: numbers of elements.  backends: which of puredrop's take part, None for those of a CPU.  rounds: the most
    that one measurement takes.  seconds: what the whole run aims at; it takes longer where five rounds need it.
    progress(done, total, text) is told before each measurement and at the end.

    Returns, ready for JSON: "environment", "suite", "p", "floor", "interrupted" (whether Ctrl-C ended it: "rows" then
    holds what was finished), "skipped" ({"contender", "reason"}), and "rows", each with "size", "dtype",
    "pass", "contender", "rounds", and the spreads ({"median", "low", "high"}: median and quartiles over the rounds) of
    "ns_per_element", "ratio_to_floor" and "ratio_to_torch": its time over that of the floor, or of PyTorch, in the
    same round; None where there is nothing to compare with.
    Raises: ValueError for a preset, suite, backend, size or number of rounds that cannot be; ImportError for a backend
    that is named but not installed.

    >>> result = run(sizes=[1000], backends=["numpy"], rounds=1)
    >>> [row["ratio_to_floor"]["median"] for row in result["rows"] if row["contender"] == "copy"]
    [1.0, 1.0]
    """
    plan = planned(preset, sizes, rounds, seconds)
    if suite not in SUITES:
        raise ValueError(f"bench: unknown suite {suite!r}; known are {', '.join(SUITES)}")
    chosen, skipped = SUITES[suite](backends).here()
    if sizes is None and chosen.sizes is not None:
        plan = replace(plan, sizes=chosen.sizes)
    rows: list[dict[str, Any]] = []
    with one_thread():
        where = environment()
        interrupted = not measure(chosen, plan, rows, progress)
    return {
        "environment": where,
        "suite": suite,
        "p": chosen.p,
        "floor": chosen.floor,
        "interrupted": interrupted,
        "skipped": skipped,
        "rows": rows,
    }


def measure(
    suite: Suite,
    plan: Preset,
    rows: list[dict[str, Any]],
    progress: Progress | None = None,
    clock: Clock = time.perf_counter_ns,
) -> bool:
    """Append the rows of a suite as they are finished, small sizes first. False if Ctrl-C came before the end."""
    tell = progress or (lambda done, total, text: None)
    deadline = clock() + plan.seconds * 1e9
    done, total = 0, len(plan.sizes) * len(suite.passes)
    try:
        for size in plan.sizes:
            inputs = suite.inputs(size)
            prepared = {contender.name: contender.prepare(*inputs) for contender in suite.contenders}
            for which in suite.passes:
                tell(done, total, f"{elements(size)} elements, {which}")
                # What a measurement leaves of its share goes to the later ones, which are larger.
                share = (deadline - clock()) / (total - done) / 1e9
                calls = {name: passes[which] for name, passes in prepared.items() if which in passes}
                rows += measured_rows(suite, size, which, calls, interleaved(calls, plan.rounds, share, clock))
                done += 1
        tell(total, total, "")
    except KeyboardInterrupt:
        return False
    return True


def measured_rows(
    suite: Suite, size: int, which: str, calls: Mapping[str, Call], times: Mapping[str, np.ndarray]
) -> list[dict[str, Any]]:
    """A row for each contender from its times, round by round."""

    def ratio(name: str, other: str) -> dict[str, float] | None:
        return spread(times[name] / times[other]) if other in times else None

    return [
        {
            "size": size,
            "dtype": suite.dtype,
            "pass": which,
            "contender": name,
            "rounds": len(times[name]),
            "ns_per_element": spread(times[name] / size),
            "ratio_to_floor": ratio(name, suite.floor),
            "ratio_to_torch": ratio(name, "torch"),
        }
        for name in calls
    ]


def planned(preset: str, sizes: Sequence[int] | None, rounds: int | None, seconds: float | None) -> Preset:
    """The preset with what replaces it: checked, and sizes in ascending order, each once."""
    if preset not in PRESETS:
        raise ValueError(f"bench: unknown preset {preset!r}; known are {', '.join(PRESETS)}")
    plan = PRESETS[preset]
    sizes = plan.sizes if sizes is None else tuple(sorted({int(size) for size in sizes}))
    rounds = plan.rounds if rounds is None else rounds
    if not sizes or sizes[0] < 1:
        raise ValueError(f"bench: sizes must be numbers of elements, at least 1 each, got {list(sizes)}")
    if rounds < 1:
        raise ValueError(f"bench: rounds must be at least 1, got {rounds}")
    return Preset(sizes, rounds, plan.seconds if seconds is None else seconds)


def elements(size: int) -> str:
    """A number of elements, as a power of two where it is one.

    >>> elements(1 << 20), elements(1000)
    ('2^20', '1,000')
    """
    return f"2^{size.bit_length() - 1}" if size & (size - 1) == 0 else f"{size:,}"
