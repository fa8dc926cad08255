"""Threads that never hurt: one by default; more only where asked for, and only for long stretches.

What is cut are ranges of element numbers, so the result is the same. Threads take the next part as they come, and the
caller takes parts too: where another process keeps a core busy, whoever is awake does the work.
"""

from __future__ import annotations

import operator
import os
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor  # imported where it is needed: it takes 10 ms

LEAST = 1 << 20  # elements: below, waking a thread takes longer than the work
PART = 1 << 18  # elements a part: whole steps of every kernel, and few enough to share evenly

_threads = 1
_pool: ThreadPoolExecutor | None = None


def set_num_threads(threads: int) -> None:
    """How many threads the kernels may use, the caller's included; 1 unless set. Results do not depend on it.

    Only draws of 2^20 elements or more are shared out: memory is nearly as fast for one thread as for two. The setting
    is the process's; a forked process keeps it, and starts threads of its own.
    Raises: TypeError, ValueError unless it is a whole number, 1 or more.

    >>> set_num_threads(2)
    >>> get_num_threads()
    2
    >>> set_num_threads(1)
    """
    global _threads
    if isinstance(threads, bool) or not hasattr(threads, "__index__"):
        raise TypeError(f"set_num_threads: threads must be a whole number, got {threads!r}")
    wanted = operator.index(threads)
    if wanted < 1:
        raise ValueError(f"set_num_threads: threads must be 1 or more, got {wanted}; 1 is the caller's own")
    if wanted != _threads:
        _threads = wanted
        _forget_pool()


def get_num_threads() -> int:
    """What `set_num_threads` has set."""
    return _threads


def shared_out(size: int) -> bool:
    """Whether work on so many elements is to be cut into parts."""
    return _threads > 1 and size >= LEAST


def work_through(parts: Sequence[Any], work: Callable[[Any], Any]) -> None:
    """work(part) for each part, by several threads; returns when all are done. Raises what a part raised."""
    left = iter(parts)  # one iterator for all: next() holds the lock of the interpreter
    helpers = [_helpers().submit(_take, left, work) for _ in range(min(_threads, len(parts)) - 1)]
    try:
        _take(left, work)
    finally:
        for _ in left:  # where a part failed, the others are not begun
            pass
        running = [helper for helper in helpers if not helper.cancel()]  # one that never woke is not waited for
    for helper in running:
        helper.result()


def _take(left: Iterator[Any], work: Callable[[Any], Any]) -> None:
    for part in left:
        work(part)


def _helpers() -> ThreadPoolExecutor:
    global _pool
    if _pool is None:
        from concurrent.futures import ThreadPoolExecutor

        _pool = ThreadPoolExecutor(_threads - 1, thread_name_prefix="puredrop")
    return _pool


def _forget_pool() -> None:
    """Threads do not survive a fork, and a pool has a size: a new one is made when it is needed."""
    global _pool
    if _pool is not None:
        _pool.shutdown(wait=False)
    _pool = None


def _after_fork() -> None:
    global _pool
    _pool = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
