"""Checkpoints: memory for time. A stretch of graph is not kept but computed again, with the same masks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..random import journal, passes
from .differentiate import sweep
from .node import Node, set_recording, thread
from .tensor import Tensor, bare


class Checkpoint(Node):
    """A stretch of graph that was not kept. Its gradient runs the function again, with the same keys."""

    __slots__ = ()
    gives_each_its_own = False

    def again(self) -> Tensor:
        """The result, computed again, with the graph behind it."""
        f, inputs, events, run = self.saved
        with set_recording(True), passes.entered(run), journal.replaying(events):
            return f(*inputs)

    def gradients(self, g: Any, create_graph: bool) -> list[Any]:
        found = sweep(self.again(), g, set(self.parents), create_graph, partial=True)
        return [found[parent][0] for parent in self.parents]


def checkpoint(f: Callable[..., Tensor], *inputs: Any) -> Tensor:
    """`f(*inputs)`, keeping only the inputs; backward computes f again.

    Math: the same function and the same gradient, bit for bit: dropout inside f draws the same masks again, and no
    step counter moves a second time. Memory: what f keeps is alive only while f runs.
    Raises: TypeError unless f returns one tensor.

    >>> x = Tensor([1.0, 2.0], requires_grad=True)
    >>> checkpoint(lambda x: (x * x).sum(), x).backward()
    >>> x.grad
    array([2., 4.], dtype=float32)
    """
    if not thread.recording:
        return f(*inputs)
    born = next(Node.counter)
    run = passes.current()
    with journal.recording() as events:
        y = f(*inputs)
    if not isinstance(y, Tensor):
        raise TypeError(f"checkpoint: the function must return one tensor, got {type(y).__name__}")
    if y.node is None or y.node.index < born:
        return y
    outside = _frontier(y.node, born)
    node = Checkpoint((), outside, (f, inputs, events, run), y.shape, y.backend)
    return bare(y.data, y.backend, node)


def _frontier(node: Node, born: int) -> list[Node]:
    """The nodes older than `born` on which the graph behind `node` rests."""
    outside: list[Node] = []
    order, seen = [node], {node}
    for inner in order:
        for parent in inner.parents:
            if parent is not None and parent not in seen:
                seen.add(parent)
                (outside if parent.index < born else order).append(parent)
    return outside
