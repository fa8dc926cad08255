"""Differentiation: one walk over the graph, youngest node first, without recursion.

Rules work on raw arrays in the ordinary walk; under `create_graph` the same rules work on tensors, and what they
compute can be differentiated again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from operator import attrgetter
from typing import Any, NamedTuple

from .node import Leaf, Node, thread
from .tensor import Tensor, bare

_age = attrgetter("index")


class Part(NamedTuple):
    """A gradient that is g at a basic `index` and 0 elsewhere.

    A rule may give one in place of an array: the walk adds it up in place, so that a tensor cut into n slices costs one
    buffer and not n.
    """

    index: Any
    g: Any


def grad(y: Tensor, xs: Sequence[Tensor], gradient: Any = None, create_graph: bool = False) -> list[Any]:
    """dy/dx for each x: arrays, or under `create_graph` tensors that can be differentiated again.

    Math: the vector-Jacobian product of `gradient` (ones for a y of one element). Zero where y does not depend on x.
    Raises: RuntimeError where y has several elements and no gradient is given, or where its graph was freed.

    >>> x = Tensor([2.0], requires_grad=True)
    >>> [first] = grad((x**3).sum(), [x], create_graph=True)
    >>> grad(first.sum(), [x])                       # 6 x
    [array([12.], dtype=float32)]
    """
    if isinstance(xs, Tensor) or not all(isinstance(x, Tensor) for x in xs):
        raise TypeError("grad: xs must be a list of tensors; write grad(y, [x])")
    found = sweep(y, gradient, {x.node for x in xs if x.node is not None}, create_graph)
    return [_own(*found[x.node], create_graph) if x.node in found else _zeros(x, create_graph) for x in xs]


def _own(g: Any, owned: bool, create_graph: bool) -> Any:
    """A gradient that shares its memory with nothing else."""
    return g if owned or create_graph else g.copy()


def _backward(self: Tensor, gradient: Any = None) -> None:
    """Add d(self)/d(leaf) to the `.grad` of every leaf. `gradient` is needed unless self has one element."""
    for leaf, g in _leaf_gradients(self, gradient):
        leaf.grad = g if leaf.grad is None else leaf.grad + g


Tensor.backward = _backward  # type: ignore[method-assign]


def _zeros(x: Tensor, create_graph: bool) -> Any:
    zeros = x.backend.xp.zeros_like(x.data)
    return bare(zeros, x.backend, None) if create_graph else zeros


def _leaf_gradients(y: Tensor, gradient: Any) -> Iterator[tuple[Leaf, Any]]:
    """Leaf by leaf: a gradient that is the leaf's own, in the leaf's dtype."""
    for leaf, (g, owned) in sweep(y, gradient).items():
        assert isinstance(leaf, Leaf)  # without `wanted`, a sweep finds leaves only
        g = leaf.backend.xp.asarray(g, leaf.dtype)
        yield leaf, _own(g, owned, create_graph=False)


def sweep(
    y: Tensor, g: Any, wanted: set[Node] | None = None, create_graph: bool = False, partial: bool = False
) -> dict[Node, tuple[Any, bool]]:
    """The gradients of y at the nodes `wanted` (at every leaf for None), youngest node first, without recursion.

    Each comes with whether its buffer was made here, so that nobody else holds it. `partial` does not look behind the
    wanted nodes: where one depends on another, it gives partial and not total derivatives.
    """
    if y.node is None:
        raise RuntimeError("backward: this tensor does not depend on any tensor with requires_grad=True")
    oldest = min(node.index for node in wanted) if wanted else 0  # nothing older can matter
    order = _by_age(y.node, oldest, stop=wanted if partial and wanted else set())
    grads: dict[Node, Any] = {y.node: _seed(y, g, create_graph)}
    owned: set[Node] = set()  # accumulate in place only in buffers made here
    found: dict[Node, tuple[Any, bool]] = {}
    before, thread.backend = thread.backend, y.backend
    try:
        for node in order:
            g = grads.pop(node)
            if type(node) is Leaf if wanted is None else node in wanted:
                found[node] = g, node in owned
                if partial or not node.parents:
                    continue
            if node.saved is None:
                raise RuntimeError("backward: an earlier backward pass freed this graph; compute the result again")
            alone, parents = node.gives_each_its_own and not create_graph, node.parents
            for i, d in enumerate(node.gradients(g, create_graph)):
                parent = parents[i]
                if parent is None or parent.index < oldest:
                    continue
                if type(d) is Part:
                    _accumulate_part(grads, owned, parent, d)
                    continue
                made = alone and d is not g and d.base is None  # for one parent alone: neither g itself nor a view
                if d.shape != parent.shape:
                    d, made = unbroadcast(d, parent.shape), False
                if parent in grads:
                    _accumulate(grads, owned, parent, d)
                else:
                    grads[parent] = d
                    if made:
                        owned.add(parent)
            if parents and not create_graph:
                node.saved = None
    finally:
        thread.backend = before
    return found


def _by_age(node: Node, oldest: int, stop: set[Node]) -> list[Node]:
    """All nodes behind `node`, youngest first, none older than `oldest` or behind one of `stop`."""
    order, seen = [node], {node}
    for node in order:  # grows while we walk it
        if node in stop:
            continue
        for parent in node.parents:
            if parent is not None and parent not in seen and parent.index >= oldest:
                seen.add(parent)
                order.append(parent)
    order.sort(key=_age, reverse=True)
    return order


def _accumulate(grads: dict[Node, Any], owned: set[Node], parent: Node, d: Any) -> None:
    if parent in owned:
        grads[parent] += d
    else:
        grads[parent] = grads[parent] + d
        if not isinstance(d, Tensor):
            owned.add(parent)


def _accumulate_part(grads: dict[Node, Any], owned: set[Node], parent: Node, d: Part) -> None:
    if parent not in owned:
        before = grads.get(parent)
        grads[parent] = parent.backend.xp.zeros(parent.shape, d.g.dtype) if before is None else before.copy()
        owned.add(parent)
    grads[parent][d.index] += d.g


def _seed(y: Tensor, g: Any, create_graph: bool) -> Any:
    if g is None:
        if y.size != 1:
            raise RuntimeError(
                f"backward: a result of shape {y.shape} needs a gradient of that shape; or call .sum() first"
            )
        g = y.backend.xp.ones_like(y.data)
    elif not isinstance(g, Tensor):
        g = y.backend.xp.asarray(g, y.dtype)
    elif not create_graph:
        g = g.data
    if g.shape != y.shape:
        raise ValueError(f"backward: the gradient's shape {g.shape} is not the result's shape {y.shape}")
    return bare(g, y.backend, None) if create_graph and not isinstance(g, Tensor) else g


def unbroadcast(d: Any, shape: tuple[int, ...]) -> Any:
    """Sum d over the axes that broadcasting added or stretched."""
    lead = len(d.shape) - len(shape)
    stretched = [i + lead for i, n in enumerate(shape) if n == 1 != d.shape[i + lead]]
    axes = (*range(lead), *stretched)
    return (d.sum(axis=axes, keepdims=True) if axes else d).reshape(shape)
