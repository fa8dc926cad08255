"""Timing calls against each other.

A machine's speed drifts, most of all a shared one's. So every round times every call once, in rotating order, and what
is compared are times of the same round: a slow minute slows both sides of a ratio.
"""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import numpy as np

Call = Callable[[], object]
Clock = Callable[[], int]  # nanoseconds

SHORTEST = 100_000  # ns that one timing takes at least: beside it the clock's own time is nothing
LONG = 20_000_000  # ns: a call that takes longer works on more than a cache holds
LEAST_ROUNDS = 5  # fewer than these have no spread


def interleaved(
    calls: Mapping[str, Call], rounds: int, seconds: float, clock: Clock = time.perf_counter_ns
) -> dict[str, np.ndarray]:
    """Nanoseconds of one call of each, for every round: (rounds,) each.

    At most `rounds` rounds, fewer where the next one would end after `seconds`, but never fewer than LEAST_ROUNDS
    (unless `rounds` is less). Each call is made before any is timed, for the first one may compile.
    """
    names = list(calls)
    deadline = clock() + seconds * 1e9
    timers = {name: timer(call, clock) for name, call in calls.items()}
    times: dict[str, list[float]] = {name: [] for name in names}
    start = clock()
    with _no_collection():
        for done in range(rounds):
            if done >= LEAST_ROUNDS and clock() + (clock() - start) / done > deadline:
                break
            first = done % len(names)
            for name in names[first:] + names[:first]:
                times[name].append(timers[name]())
    return {name: np.array(each) for name, each in times.items()}


def timer(call: Call, clock: Clock) -> Callable[[], float]:
    """A function that times the call: nanoseconds of one, averaged over as many as one timing needs."""
    call()
    if elapsed(call, 1, clock) > LONG:
        return lambda: elapsed(call, 1, clock)
    repeats = enough_repeats(call, clock)

    def warm() -> float:
        call()  # whoever was timed last has filled the caches; a slow call would pay for that and a quick one not
        return elapsed(call, repeats, clock) / repeats

    return warm


def enough_repeats(call: Call, clock: Clock) -> int:
    """How often to make the call so that one timing takes SHORTEST; a hiccup of the machine does not count as time."""
    repeats = 1
    while min(elapsed(call, repeats, clock) for _ in range(2)) < SHORTEST:
        repeats *= 2
    return repeats


def elapsed(call: Call, repeats: int, clock: Clock) -> int:
    """Nanoseconds of `repeats` calls, one after the other."""
    start = clock()
    for _ in range(repeats):
        call()
    return clock() - start


def spread(values: np.ndarray) -> dict[str, float]:
    """The median, and the quartiles as `low` and `high`; four digits, the clock gives no more."""
    low, median, high = np.percentile(values, (25, 50, 75))
    return {name: float(f"{value:.4g}") for name, value in (("median", median), ("low", low), ("high", high))}


@contextmanager
def _no_collection() -> Iterator[None]:
    """No garbage collection inside: it would hit one call and not the other."""
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()


@contextmanager
def one_thread() -> Iterator[None]:
    """PyTorch, where it is loaded, on one thread inside; everything else here has one anyway."""
    torch = sys.modules.get("torch")
    if torch is None:
        yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
