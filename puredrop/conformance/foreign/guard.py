"""Calling what nobody vouches for: it may raise, hang or print, and nothing of that must be ours."""

from __future__ import annotations

import io
import queue
import threading
import warnings
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from typing import Any

import numpy as np


class Trouble(Exception):  # noqa: N818  # a verdict, not a malfunction
    """A call that gave no result. kind: "raised" or "hung"."""

    def __init__(self, kind: str, text: str, error: BaseException | None = None) -> None:
        super().__init__(text)
        self.kind, self.error = kind, error


class Guard:
    """Runs functions, one after the other, on a thread of its own, so that one that hangs does not hang us.

    `printed` holds what was written to the screen. After a hang nothing more is run.
    """

    def __init__(self, time_limit: float) -> None:
        self.time_limit, self.hung, self.printed = time_limit, False, ""
        self._todo: queue.SimpleQueue[Callable[[], Any] | None] = queue.SimpleQueue()
        self._done: queue.SimpleQueue[tuple[bool, Any, str]] = queue.SimpleQueue()
        threading.Thread(target=self._work, daemon=True).start()

    def __call__(self, function: Callable[[], Any]) -> Any:
        """The result. Raises Trouble."""
        if self.hung:
            raise Trouble("hung", "an earlier call did not come back")
        self._todo.put(function)
        try:
            good, value, printed = self._done.get(timeout=self.time_limit)
        except queue.Empty:
            self.hung = True
            raise Trouble("hung", f"no result after {self.time_limit:g} seconds") from None
        self.printed += printed
        if not good:
            raise Trouble("raised", _sentence(value), value)
        return value

    def close(self) -> None:
        """Let the thread end."""
        self._todo.put(None)

    def _work(self) -> None:
        while (function := self._todo.get()) is not None:
            screen = io.StringIO()
            try:
                with redirect_stdout(screen), redirect_stderr(screen), warnings.catch_warnings(), _quiet():
                    warnings.simplefilter("ignore")
                    result = (True, function())
            except BaseException as error:
                result = (False, error)
            self._done.put((*result, screen.getvalue()))


def _quiet() -> Any:
    return np.errstate(all="ignore")


def _sentence(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {' '.join(lines[:2])}"[:300].removesuffix(": ")
