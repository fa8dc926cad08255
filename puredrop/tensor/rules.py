"""Primitives: functions of arrays with one gradient rule per argument.

*The names of a rule's parameters say what the graph keeps* until backward. A dropout's rule names its key and no array:
an activation before it is free at once.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from operator import itemgetter
from typing import Any

import numpy as np

from .. import backends
from ..backends import Backend
from .node import Node, thread
from .tensor import Tensor, bare


class Rule:
    """One argument's gradient. The names of its parameters after g say what to save until backward:

    an argument's name saves that array (`x_shape`, `x_dtype` only these), `y` the result, `backend` the backend, the
    name of a keyword parameter that parameter.
    """

    __slots__ = ("arrays", "call", "names", "save")

    def __init__(self, call: Callable[..., Any], arguments: list[str], parameters: list[str]) -> None:
        env = _environment_names(arguments, parameters)
        places = [env.index(name) for name in list(inspect.signature(call).parameters)[1:]]
        self.call = call
        self.arrays = [place if place <= len(arguments) else None for place in places]  # lifted to tensors when needed
        self.save = _picker(places)
        self.names = [env[place] for place in places]

    def lifted(self, saved: tuple[Any, ...], node: Node) -> list[Any]:
        """What was saved, its arrays as tensors again: arguments on their own nodes, the result on this one."""
        sources = (*node.parents, node)
        return [
            value if place is None or sources[place] is None else bare(value, node.backend, sources[place])
            for value, place in zip(saved, self.arrays, strict=True)
        ]


def _picker(places: list[int]) -> Callable[[tuple[Any, ...]], tuple[Any, ...]]:
    """A fast way to the values at these places, as a tuple; `itemgetter` gives one only for two places or more."""
    if len(places) > 1:
        return itemgetter(*places)
    return itemgetter(slice(places[0], places[0] + 1) if places else slice(0))


def _environment_names(arguments: list[str], parameters: list[str]) -> list[str]:
    return [*arguments, "y", "backend", *parameters, *(f"{a}_{what}" for what in ("shape", "dtype") for a in arguments)]


_WIDE = (np.float64, np.integer, np.bool_)  # scalars that would widen a float32 array

PRIMITIVES: dict[str, Callable[..., Any]] = {}


class Rules(list[Any]):
    """A rule for each argument of an operation, None where it has no gradient; nodes hold it."""

    def __init__(self, operation: str, rules: Iterable[Any]) -> None:
        super().__init__(rules)
        self.operation = operation


def operation(node: Node) -> str:
    """The name of the operation that made this node; empty for a leaf or a checkpoint."""
    return getattr(node.rules, "operation", "")


def primitive(**rules: Callable[..., Any]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Make a differentiable function of `body(backend, *arrays, *, **parameters)`; `rules` has a gradient per argument.

    The function takes arrays or tensors: arrays in, arrays out (`backend=` then chooses one). A rule returns g, a view,
    or a new array, never an array that it saved: the walk adds up in new ones.
    Raises: TypeError where tensors of two backends meet.
    """

    return lambda body: _differentiable(body, rules)


def _differentiable(body: Callable[..., Any], rules: dict[str, Callable[..., Any]]) -> Callable[..., Any]:
    spec = inspect.signature(body).parameters.values()
    arguments = [p.name for p in spec if p.kind is p.POSITIONAL_OR_KEYWORD][1:]
    defaults = {p.name: p.default for p in spec if p.kind is p.KEYWORD_ONLY}
    made = (Rule(rules[name], arguments, list(defaults)) if name in rules else None for name in arguments)
    table = Rules(body.__name__, made)
    describes = any(name.endswith(("_shape", "_dtype")) for rule in table if rule for name in rule.names)
    savers: list[Any] = [rule and rule.save for rule in table]

    @wraps(body)
    def apply(*inputs: Any, backend: Any = None, **parameters: Any) -> Any:
        # The price of every operation is paid here: a line more is a line for each of thousands of small ones.
        # Hence plain loops: for one or two arguments, a comprehension or zip(strict=True) takes twice as long.
        for a in inputs:
            if isinstance(a, Tensor):
                break
        else:
            return _on_arrays(body, backend or thread.backend, inputs, parameters)
        arrays: list[Any] = []
        parents: list[Node | None] = []
        live = False
        for a in inputs:
            if isinstance(a, Tensor):
                if backend is None:
                    backend = a.backend
                elif a.backend is not backend:
                    backend = agreed_backend(a.backend, backend, body.__name__)
                node = a.node
                if node is not None:
                    live = True
                arrays.append(a.data)
                parents.append(node)
            else:
                arrays.append(a.item() if isinstance(a, _WIDE) else a)  # beside tensors no scalar promotes
                parents.append(None)
        if backend.place is not None:
            arrays, parameters = placed(backend, arrays, parameters)
        try:
            y = body(backend, *arrays, **parameters)
        except ValueError as error:
            raise ValueError(explained(body.__name__, error, arrays)) from error
        new = Tensor.__new__(Tensor)
        new.data, new.backend, new.node = y, backend, None
        if live and thread.recording:
            env = (*arrays, y, backend, *({**defaults, **parameters} if defaults else parameters).values())
            if describes:
                env += _descriptions(arrays)
            saved = []
            for i, parent in enumerate(parents):
                save = savers[i]
                if save is None:
                    parents[i] = None
                saved.append(parent and save and save(env))
            new.node = Node(table, parents, saved, y.shape, backend)
        return new

    PRIMITIVES[body.__name__] = apply
    return apply


def _on_arrays(body: Callable[..., Any], named: Any, arrays: Sequence[Any], parameters: dict[str, Any]) -> Any:
    backend = named if type(named) is Backend else backends.of(arrays, named)
    if backend.place is not None:
        arrays, parameters = placed(backend, arrays, parameters)
    try:
        return body(backend, *arrays, **parameters)
    except ValueError as error:
        raise ValueError(explained(body.__name__, error, arrays)) from error


def _descriptions(arrays: list[Any]) -> tuple[Any, ...]:
    """What rules ask for as `x_shape` and `x_dtype`."""
    shapes = [a.shape if type(a) is np.ndarray else np.shape(a) for a in arrays]  # np.shape is slow, most of all of 0.0
    return (*shapes, *[getattr(a, "dtype", None) for a in arrays])


def placed(backend: Backend, arrays: Sequence[Any], parameters: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    """What an operation is given, arrays of NumPy brought to where its backend computes."""
    assert backend.place is not None
    return [backend.place(a) for a in arrays], {name: backend.place(value) for name, value in parameters.items()}


def explained(operation: str, error: ValueError, arrays: Sequence[Any]) -> str:
    """The array library's message, with the operation and the shapes it was given."""
    shapes = ", ".join(str(np.shape(a)) for a in arrays)
    return f"{operation.strip('_')}: {error}; got shapes {shapes}"


def agreed_backend(mine: Backend, other: Any, operation: str) -> Backend:
    if other is not None and backends.get(other) is not mine:
        raise TypeError(
            f"{operation}: tensors of two backends meet, {mine.name} and {backends.get(other).name}; "
            f"move one with .to({mine.name!r})"
        )
    return mine
