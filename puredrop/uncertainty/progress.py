"""What is under way, as one line of a terminal, for runs that take long."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO, TypeAlias

Progress: TypeAlias = Callable[[int, int], object] | bool | None

PATIENCE = 2.0  # seconds without a line
WIDTH = 24


@contextmanager
def told(progress: Progress, label: str, total: int) -> Iterator[Callable[[int], None]]:
    """Gives what to call with the number of parts that are done.

    progress: a function of (done, total); True for a line; None for a line where standard error is a terminal and the
    run takes longer than two seconds; False for nothing.
    """
    if callable(progress):
        yield lambda done: void(progress(done, total))
        return
    if progress is False or (progress is None and not sys.stderr.isatty()):
        yield lambda done: None
        return
    line = Line(label, total, sys.stderr, patience=PATIENCE if progress is None else 0.0)
    try:
        yield line.tell
    finally:
        line.end()


def void(_: object) -> None:
    """Nothing, whatever was given."""


class Line:
    """A bar, how much is done, and how long the rest will take."""

    def __init__(self, label: str, total: int, file: TextIO, patience: float) -> None:
        self.label, self.total, self.file = label, total, file
        self.begun = time.monotonic()
        self.next = self.begun + patience
        self.shown = False

    def tell(self, done: int) -> None:
        now = time.monotonic()
        if now < self.next:
            return
        self.next, self.shown = now + 0.2, True
        full = WIDTH * done // self.total
        left = (now - self.begun) / done * (self.total - done)
        bar = "#" * full + "-" * (WIDTH - full)
        print(f"\r{self.label} [{bar}] {done}/{self.total}, {left:.0f} s left ", end="", file=self.file, flush=True)

    def end(self) -> None:
        if self.shown:
            print(f"\r{' ' * (len(self.label) + WIDTH + 40)}\r", end="", file=self.file, flush=True)
