"""One run of a model, to be looked at: which layer was called with what, and how each value came about.

The run is that of a copy. So whatever it moves (counters, running statistics, a state that a layer keeps), the model
itself stays as it is.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property, reduce
from operator import or_
from typing import Any

import numpy as np

from ...random import Draw, passes
from ...streams import draw_from
from ...tensor import Node, Tensor, composed, operation, raw
from ...tensor.node import set_recording
from ...tensor.recompute import Checkpoint
from ..module import Module

MOVES = {"reshape", "transpose", "swap", "swapaxes", "broadcast_to", "take", "scatter", "concatenate", "astype"}
PRODUCTS = {"linear", "_matmul", "convolve", "spread"}


@dataclass(frozen=True)
class Call:
    """A layer was called: with x as its first argument it gave y, and made the nodes between two ages."""

    layer: str
    module: Module
    x: Any
    y: Any
    ages: range


@dataclass(frozen=True, eq=False)
class Drop:
    """A node of `drop` or `drop_given`. It has a draw where its mask was drawn, a mask where that was handed in."""

    node: Node
    scale: Any
    draw: Draw | None
    mask: Any

    @property
    def stream(self) -> tuple[int, int, int] | None:
        """What its keys have in common: those of one site differ in step and sample. None for masks handed in."""
        if self.draw is None:
            return None
        key = self.draw.key[0] if isinstance(self.draw.key, tuple) else self.draw.key
        return key.seed, key.site, key.draw_index

    @property
    def rate(self) -> float | None:
        """p, if the scale is 1 / (1 - p) with the p that it drops with."""
        if np.ndim(self.scale) or self.scale <= 1:
            return None
        p = 1 - 1 / float(self.scale)
        return p if self.draw is None or abs(self.draw.threshold.hi / 2**16 - p) < 2**-15 else None

    @property
    def filled(self) -> bool:
        """Whether dropped places take another value of the graph, as the old state in zoneout."""
        return self.node.parents[1] is not None

    @property
    def gates(self) -> bool:
        """Whether it decides for whole examples, and not for their elements."""
        noise = self.draw.index.noise_shape if self.draw else np.shape(raw(self.mask))
        return all(n == 1 for n in noise[1:])

    def same_mask(self, other: Drop) -> bool:
        """Whether both drop the same places."""
        if self.draw is None or other.draw is None:
            return self.draw is other.draw and np.array_equal(raw(self.mask), raw(other.mask))
        return self.draw.key == other.draw.key and np.array_equal(
            self.draw.index.elements(), other.draw.index.elements()
        )


class Trace:
    """The calls of a run, in the order in which they ended, and the graph behind its results."""

    def __init__(self, calls: list[Call], results: list[Node], parameters: Iterable[Node]) -> None:
        self.calls, self.results = calls, results
        self._parents: dict[Node, list[Node]] = {}
        self.nodes = self._in_order(results)
        self.bits = {node: 1 << i for i, node in enumerate(parameters)}  # a number for each parameter

    def parents(self, node: Node) -> list[Node]:
        """What a node was made of; behind a checkpoint the graph that it did not keep."""
        if node not in self._parents:
            inner = self._inside(node) if isinstance(node, Checkpoint) and node.saved else None
            self._parents[node] = [p for p in node.parents if p is not None] if inner is None else [inner]
        return self._parents[node]

    def _inside(self, node: Checkpoint) -> Node | None:
        """What a checkpoint did not keep, run again as a part of the call that it belongs to."""
        outer, start = self.call_of(node), next(Node.counter)
        inner = node.again().node
        if outer is not None:
            self.calls.append(replace(outer, x=None, y=None, ages=range(start, next(Node.counter))))
        return inner

    def behind(self, node: Node) -> set[Node]:
        """All that a node depends on, and the node itself."""
        seen, todo = {node}, [node]
        while todo:
            new = [parent for parent in self.parents(todo.pop()) if parent not in seen]
            seen.update(new)
            todo += new
        return seen

    def ahead(self, start: Iterable[Node], through: Callable[[Node], bool]) -> set[Node]:
        """The nodes `start`, and all that is made of them by way of nodes that `through` allows."""
        seen, todo = set(start), list(start)
        while todo:
            new = [child for child in self.children[todo.pop()] if child not in seen and through(child)]
            seen.update(new)
            todo += new
        return seen

    @cached_property
    def children(self) -> dict[Node, list[Node]]:
        """What was made of a node."""
        children: dict[Node, list[Node]] = {node: [] for node in self.nodes}
        for node in self.nodes:
            for parent in self.parents(node):
                children[parent].append(node)
        return children

    @cached_property
    def parameters(self) -> dict[Node, int]:
        """The parameters behind each node, as a sum of their bits."""
        behind: dict[Node, int] = {}
        for node in self.nodes:
            behind[node] = reduce(or_, (behind[parent] for parent in self.parents(node)), self.bits.get(node, 0))
        return behind

    @cached_property
    def drops(self) -> list[Drop]:
        """Every drop, each after those that it depends on."""
        return [d for d in (_drop(node) for node in self.nodes) if d is not None]

    def call_of(self, node: Node) -> Call | None:
        """The innermost call in which a node was made."""
        return min((c for c in self.calls if node.index in c.ages), key=lambda c: len(c.ages), default=None)

    def _in_order(self, results: list[Node]) -> list[Node]:
        """All nodes behind the results, each after its parents. (By age they are not: a checkpoint's are younger.)"""
        order, seen, todo = [], set(), [(node, False) for node in results]
        while todo:
            node, complete = todo.pop()
            if complete:
                order.append(node)
            elif node not in seen:
                seen.add(node)
                todo += [(node, True), *((parent, False) for parent in self.parents(node))]
        return order


def traced(model: Module, inputs: Iterable[Any]) -> Trace:
    """The trace of one pass of a copy of the model in train mode, with native masks."""
    twin = copy.deepcopy(model).train()
    if any(not p.drawn for p in twin.parameters()) or any(site.rng is None for _, site in twin.named_sites()):
        twin.seed(0)
    for parameter in twin.parameters():
        parameter.requires_grad = True  # a frozen one is used all the same
    calls: list[Call] = []
    for name, module in twin.named_modules():
        setattr(module, "forward", _noted(name, module, calls))  # noqa: B010  # a method cannot be assigned to
    with set_recording(True), composed(), passes.entered(None), draw_from(None):
        y = twin(*(_watched(twin, x) for x in inputs))
        return Trace(calls, list(_nodes(y)), [p.node for p in twin.parameters() if p.node is not None])


def _noted(name: str, module: Module, calls: list[Call]) -> Any:
    """The forward of a module, which notes down its calls."""
    forward = module.forward

    def noted(*args: Any, **kwargs: Any) -> Any:
        start = next(Node.counter)
        y = forward(*args, **kwargs)
        calls.append(Call(name, module, args[0] if args else None, y, range(start, next(Node.counter))))
        return y

    return noted


def _watched(model: Module, x: Any) -> Any:
    """An input as a leaf of the graph, so that what is made of it is recorded; whole numbers as they are."""
    if type(x) in (tuple, list):
        return type(x)([_watched(model, part) for part in x])
    if getattr(getattr(x, "dtype", None), "kind", "") != "f":
        return x
    return Tensor(raw(x), x.backend if isinstance(x, Tensor) else model.backend, requires_grad=True)


def _nodes(y: Any) -> Iterator[Node]:
    if isinstance(y, Tensor):
        if y.node is not None:
            yield y.node
    elif isinstance(y, (tuple, list, dict)):
        for part in y.values() if isinstance(y, dict) else y:
            yield from _nodes(part)


def _drop(node: Node) -> Drop | None:
    if operation(node) not in ("drop", "drop_given") or node.saved is None:
        return None
    kept: dict[str, Any] = {}
    for rule, saved in zip(node.rules, node.saved, strict=True):
        kept |= dict(zip(rule.names, saved, strict=True)) if saved is not None else {}
    return Drop(node, kept.get("scale", 1.0), kept.get("draw"), kept.get("keep"))
