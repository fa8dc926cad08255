"""Nodes: what is remembered of a step, and whether steps are remembered at all."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

from ..backends import Backend


class Node:
    """One recorded step. `saved[i]` is what rule i asked for by name; nothing else stays alive."""

    __slots__ = ("backend", "index", "parents", "rules", "saved", "shape")
    counter = count(1)
    gives_each_its_own = True  # whether no two parents receive the same array

    def __init__(self, rules: Any, parents: Any, saved: Any, shape: tuple[int, ...], backend: Backend) -> None:
        self.rules = rules
        self.parents = parents
        self.saved = saved
        self.shape = shape
        self.backend = backend
        self.index = next(Node.counter)  # a node is younger than its parents: age is a topological order

    def gradients(self, g: Any, create_graph: bool) -> list[Any]:
        """What each parent receives when this node's result receives g."""
        found: list[Any] = []
        rules, kept = self.rules, self.saved
        for i, parent in enumerate(self.parents):  # a plain loop, as quick as possible: it runs for every node
            if parent is None:
                found.append(None)
            elif create_graph:
                found.append(rules[i].call(g, *rules[i].lifted(kept[i], self)))
            else:
                found.append(rules[i].call(g, *kept[i]))
        return found


class Leaf(Node):
    """Where differentiation ends: a parameter's place in the graph, and its gradient."""

    __slots__ = ("dtype", "grad")

    def __init__(self, shape: tuple[int, ...], dtype: Any, backend: Backend) -> None:
        super().__init__((), (), (), shape, backend)
        self.dtype = dtype
        self.grad = None


class _Thread(threading.local):
    recording = True
    composed = False  # whether fused primitives run as what they are made of
    backend: Backend | None = (
        None  # of the backward walk under way: its rules work on raw arrays, which have forgotten it
    )


thread = _Thread()


@contextmanager
def no_grad() -> Iterator[None]:
    """Inside, nothing is recorded (in this thread); results are constants."""
    with set_recording(False):
        yield


@contextmanager
def set_recording(on: bool) -> Iterator[None]:
    before, thread.recording = thread.recording, on
    try:
        yield
    finally:
        thread.recording = before
