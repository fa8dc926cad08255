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
from .scaling import P

SIZE = 1 << 14


def run_load(
    calls: int = 5000, threads: tuple[int, ...] = (1, 2), processes: int | None = None, size: int = SIZE
) -> dict[str, Any]:
    """Time single calls of dropout, quiet and with `processes` others (one for each core) that compute all the time.

    Returns, ready for JSON: "environment", "size" and "rows", each with "threads", "busy" (how many other processes),
    "calls", "median_us", "p99_us", "max_us" and "p99_over_median".
    """
    rows = []
    before = get_num_threads()
    try:
        for others in (0, processes or os.cpu_count() or 1):
            with _busy(others):
                for n in threads:
                    set_num_threads(n)
                    rows.append({"threads": n, "busy": others, "calls": calls, **_times(calls, size)})
    finally:
        set_num_threads(before)
    return {"environment": environment(), "size": size, "rows": rows}


def _times(calls: int, size: int) -> dict[str, float]:
    x, rng = np.ones(size, np.float32), Rng(0)
    dropout(x, P, key=rng.next_key())
    times = np.empty(calls)
    for i in range(calls):
        start = time.perf_counter_ns()
        dropout(x, P, key=rng.next_key())
        times[i] = (time.perf_counter_ns() - start) / 1e3
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
    lines.append("threads  busy processes  median, us    p99, us    max, us  p99 / median")
    for row in result["rows"]:
        times = "  ".join(f"{number(row[name]):>{w}}" for name, w in (("median_us", 10), ("p99_us", 9), ("max_us", 9)))
        lines.append(f"{row['threads']:>7}  {row['busy']:>14}  {times}  {number(row['p99_over_median'])}")
    return "\n".join(lines)
