"""Record and replay: a recomputation must draw what the first computation drew.

Everything random that happens goes through `remembered`. Under `recording()` it is noted down; under
`replaying(events)` it is read back in the same order, so neither counters nor generators move a second time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

T = TypeVar("T")

# The journals in force, outermost first: (events, position), position None while recording.
_journals: ContextVar[tuple[tuple[list[Any], Iterator[Any] | None], ...]] = ContextVar("journals", default=())


def remembered(happen: Callable[[], T]) -> T:
    """What `happen()` gives; under a replay, what it gave the first time."""
    journals = _journals.get()
    if not journals:
        return happen()
    replays = [replay for _, replay in journals if replay is not None]
    event = _next_event(replays[-1]) if replays else happen()
    for events, replay in journals:
        if replay is None:
            events.append(event)
    return event


journals_in_force = _journals.get  # empty where nothing is noted down: a call that happens then is not `remembered`


_END = object()


def _next_event(replay: Iterator[Any]) -> Any:
    event = next(replay, _END)
    if event is _END:
        raise RuntimeError("checkpoint: the function drew more when it was run again; it must do the same both times")
    return event


@contextmanager
def recording() -> Iterator[list[Any]]:
    """Note down all that happens inside."""
    events: list[Any] = []
    with _in_force(events, None):
        yield events


@contextmanager
def replaying(events: list[Any]) -> Iterator[None]:
    """Read back, in order, what was noted down. Raises RuntimeError where the second run draws more, or less."""
    replay = iter(events)
    with _in_force(events, replay):
        yield
    if next(replay, _END) is not _END:
        raise RuntimeError("checkpoint: the function drew less when it was run again; it must do the same both times")


@contextmanager
def _in_force(events: list[Any], replay: Iterator[Any] | None) -> Iterator[None]:
    token = _journals.set((*_journals.get(), (events, replay)))
    try:
        yield
    finally:
        _journals.reset(token)
