"""Fused primitives: one node for many steps, where a profile shows that it pays.

A fused primitive names its composed *reference*: a function of the same arguments, written in operations of the
library. The reference is the oracle of the tests, the documentation, and the source of second derivatives: under
`create_graph` it is run again on what was saved, and differentiated.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from typing import Any

from .. import backends
from .differentiate import sweep
from .node import Node, set_recording, thread
from .rules import PRIMITIVES, Rules, agreed_backend, explained, placed
from .tensor import Tensor, bare

Pull = Callable[[Any, Sequence[bool]], Sequence[Any]]


class _Gradients:
    """The gradients of all arguments of one call: computed together, once for each incoming gradient."""

    __slots__ = ("_arrays", "_found", "_g", "_parameters", "_parents", "_pull", "_reference")

    def __init__(self, pull: Pull, reference: Any, arrays: Sequence[Any], parents: Any, parameters: Any) -> None:
        self._pull, self._reference, self._arrays = pull, reference, arrays
        self._parents, self._parameters = parents, parameters
        self._g: Any = None
        self._found: Sequence[Any] = ()

    def of(self, i: int, g: Any, composed: bool) -> Any:
        """The gradient of argument i."""
        if self._g is not g:
            self._g = g
            self._found = self._composed(g) if composed else self._pull(g, [p is not None for p in self._parents])
        return self._found[i]

    def _composed(self, g: Tensor) -> list[Any]:
        """By way of the reference, on tensors: what comes out can be differentiated again."""
        with set_recording(True):
            inputs = [
                a if parent is None else bare(a, parent.backend, _identity(parent))
                for a, parent in zip(self._arrays, self._parents, strict=True)
            ]
            y = self._reference(*inputs, **self._parameters)
            nodes = [x.node if isinstance(x, Tensor) else None for x in inputs]
            found = sweep(y, g, {node for node in nodes if node}, create_graph=True, partial=True)
        return [
            found[node][0] if node in found else node and bare(a * 0, node.backend, None)
            for node, a in zip(nodes, self._arrays, strict=True)
        ]


def _identity(parent: Node) -> Node:
    """A node of its own for an argument: two arguments may be one tensor, or one may rest on another."""
    return Node((_PASS,), (parent,), ((),), parent.shape, parent.backend)


class _Pass:
    """The rule of a step that changes nothing."""

    @staticmethod
    def call(g: Any) -> Any:
        return g

    @staticmethod
    def lifted(saved: Any, node: Node) -> tuple[()]:
        return ()


_PASS = _Pass()


class _Shared:
    """The rule of one argument of a fused primitive."""

    __slots__ = ("i",)
    names = ()

    def __init__(self, i: int) -> None:
        self.i = i

    def call(self, g: Any, gradients: _Gradients, composed: bool = False) -> Any:
        return gradients.of(self.i, g, composed)

    def lifted(self, saved: tuple[_Gradients], node: Node) -> tuple[_Gradients, bool]:
        return saved[0], True


@contextmanager
def composed() -> Iterator[None]:
    """Inside, fused primitives are their references (in this thread): the graph has every step of them."""
    before, thread.composed = thread.composed, True
    try:
        yield
    finally:
        thread.composed = before


def fused(reference: Callable[..., Any]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Make a differentiable function of `body(backend, *arrays, **parameters) -> (y, pull)`.

    `pull(g, needed)` gives the gradient of every argument, a new array each; None where `needed` is False. It keeps
    alive, until backward, whatever arrays it closes over. `reference(*arrays, **parameters)` is the same function
    composed of operations, and has the same arguments.
    Raises: TypeError where tensors of two backends meet.
    """

    def decorate(body: Callable[..., Any]) -> Callable[..., Any]:
        spec = list(inspect.signature(body).parameters.values())[1:]
        arguments = sum(p.kind is p.POSITIONAL_OR_KEYWORD for p in spec)
        table = Rules(body.__name__, map(_Shared, range(arguments)))

        @wraps(body)
        def apply(*inputs: Any, backend: Any = None, **parameters: Any) -> Any:
            tensors = [a for a in inputs if isinstance(a, Tensor)]
            if tensors and thread.composed:
                return reference(*inputs, **parameters)
            for a in tensors:
                backend = agreed_backend(a.backend, backend, body.__name__)
            arrays = [a.data if isinstance(a, Tensor) else a for a in inputs]
            backend = backends.of(arrays, backend or thread.backend)
            if backend.place is not None:
                arrays, parameters = placed(backend, arrays, parameters)
            try:
                y, pull = body(backend, *arrays, **parameters)
            except ValueError as error:
                raise ValueError(explained(body.__name__, error, arrays)) from error
            if not tensors:
                return y
            parents = [a.node if isinstance(a, Tensor) else None for a in inputs]
            if not thread.recording or all(parent is None for parent in parents):
                return bare(y, backend, None)
            saved = (_Gradients(pull, reference, arrays, parents, parameters),)
            return bare(y, backend, Node(table, parents, [saved] * len(parents), y.shape, backend))

        apply.reference = reference  # type: ignore[attr-defined]
        PRIMITIVES[body.__name__] = apply
        return apply

    return decorate
