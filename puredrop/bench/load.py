"""A busy machine: how long the slowest calls take while other processes keep every core at work."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from ..backends.threads import get_num_threads, set_num_threads
from ..random import Rng
from ..variants import dropout
from .environment import environment
from .report import machine, number, versions
from .scaling import SCALE, P

SIZE = 1 << 14


def run_load(
    calls: int = 5000, threads: tuple[int, ...] = (1, 2), processes: int | None = None, size: int = SIZE
) -> dict[str, Any]:
    """Time single calls of dropout, quiet and beside `processes` others (one core's less) that compute all the time.

    A scaled copy is timed in turn with it: what stalls both is the system, which gives the core to another process.
    Returns, ready for JSON: "environment", "size" and "rows", each with "what", "threads", "busy" (how many other
    processes), "calls", "median_us", "p99_us", "max_us" and "p99_over_median".
    """
    rows = []
    before = get_num_threads()
    try:
        for others in (0, max(1, (os.cpu_count() or 1) - 1) if processes is None else processes):
            with _busy(others):
                for n in threads:
                    set_num_threads(n)
                    named = {"threads": n, "busy": others, "calls": calls}
                    rows += [{"what": what, **named, **times} for what, times in _times(calls, size).items()]
    finally:
        set_num_threads(before)
    return {"environment": environment(), "suite": "load", "size": size, "rows": rows}


def _times(calls: int, size: int) -> dict[str, dict[str, float]]:
    x, rng = np.ones(size, np.float32), Rng(0)
    work = {"dropout": lambda: dropout(x, P, key=rng.next_key()), "copy": lambda: x * SCALE}
    times = {what: np.empty(calls) for what in work}
    for i in range(calls + 1):  # the first compiles, and is overwritten
        for what, call in work.items():
            start = time.perf_counter_ns()
            call()
            times[what][i - 1] = (time.perf_counter_ns() - start) / 1e3
    return {what: _summary(each) for what, each in times.items()}


def _summary(times: np.ndarray) -> dict[str, float]:
    median, late, latest = np.percentile(times, (50, 99, 100))
    found = {"median_us": median, "p99_us": late, "max_us": latest, "p99_over_median": late / median}
    return {name: float(f"{value:.4g}") for name, value in found.items()}


@contextmanager
def _busy(processes: int) -> Iterator[None]:
    """So many other processes that do nothing but compute, until the block ends."""
    context = multiprocessing.get_context("spawn")
    started = [context.Process(target=_spin, daemon=True) for _ in range(processes)]
    for process in started:
        process.start()
    try:
        time.sleep(0.5 if started else 0.0)  # until they run
        yield
    finally:
        for process in started:
            process.terminate()
            process.join()


def _spin() -> None:
    while True:
        sum(range(1000))


def load_table(result: dict[str, Any]) -> str:
    """A line for each number of threads, quiet and busy."""
    where = result["environment"]
    lines = [f"{machine(where)}, float32, p = {P}, {result['size']} elements", versions(where), ""]
    lines.append("what     threads  busy processes  median, us    p99, us    max, us  p99 / median")
    for row in result["rows"]:
        times = "  ".join(f"{number(row[name]):>{w}}" for name, w in (("median_us", 10), ("p99_us", 9), ("max_us", 9)))
        lines.append(
            f"{row['what']:<7}  {row['threads']:>7}  {row['busy']:>14}  {times}  {number(row['p99_over_median'])}"
        )
    return "\n".join(lines)
