"""Where the work is done: here, or by the workers of an executor. What comes out is the same."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from functools import cache
from threading import Lock
from typing import Any, TypeVar

from .. import streams

Task = TypeVar("Task")
Result = TypeVar("Result")

_lock = Lock()
_pinned: dict[str, Any] = {"users": 0, "limits": None}


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Matrix products inside use one thread, for their rounding depends on how many there are.

    The limit is one of the process. So the first of several users that overlap in time sets it, and the last lifts it.
    """
    with _lock:
        if not _pinned["users"]:
            _pinned["limits"] = _libraries().limit(limits=1, user_api="blas")
        _pinned["users"] += 1
    try:
        yield
    finally:
        with _lock:
            _pinned["users"] -= 1
            if not _pinned["users"]:
                _pinned["limits"].restore_original_limits()


@cache
def _libraries() -> Any:
    """The libraries that are loaded, NumPy's among them. To look for them takes longer than a small prediction."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def checked_executor(operation: str, executor: Any) -> Executor | None:
    """Raise TypeError for what is no executor, ValueError where a source of masks would stay behind."""
    if executor is None:
        return None
    if not callable(getattr(executor, "submit", None)):
        raise TypeError(
            f"{operation}: executor must be a concurrent.futures.Executor, got {executor!r}; "
            f"of a dask client take client.get_executor()"
        )
    if streams.current() is not None:
        raise ValueError(f"{operation}: `draw_from` does not reach the workers of an executor; leave executor out")
    return executor


def run_all(
    function: Callable[[Task], Result], tasks: Sequence[Task], executor: Executor | None, tell: Callable[[int], None]
) -> list[Result]:
    """function(task) for every task, in their order. tell(n) is called whenever the first n are done.

    An interruption or an error cancels what has not begun, and goes on to the caller; the executor stays usable.
    """
    if executor is None:
        return [_told(function(task), number, tell) for number, task in enumerate(tasks, 1)]
    futures = [executor.submit(function, task) for task in tasks]
    try:
        return [_told(future.result(), number, tell) for number, future in enumerate(futures, 1)]
    except Exception as error:
        _require_that_it_travels(tasks[0], error)
        raise
    finally:
        for future in futures:
            future.cancel()


def _told(result: Result, number: int, tell: Callable[[int], None]) -> Result:
    tell(number)
    return result


def _require_that_it_travels(task: Any, error: Exception) -> None:
    """Raise TypeError, naming the remedy, where an error came of a model that cannot be sent to another process."""
    try:
        pickle.dumps(task)
    except Exception as reason:
        if type(reason) is type(error):
            raise TypeError(
                f"the model could not be sent to a worker: {reason}; define its classes and functions at the top of "
                f"a module, or take an executor of threads"
            ) from error
