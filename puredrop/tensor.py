"""The tape: a tensor is an array, its backend, and the node that made it.

A primitive is a function of arrays with one gradient rule per argument, and *the names of a rule's parameters say
what the graph keeps* until backward. A rule runs on arrays in the ordinary walk and on tensors under `create_graph`,
so second derivatives come from the same rule. A dropout's rule names its key and no array: an activation before it
is free at once.
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from itertools import count
from operator import attrgetter, itemgetter
from typing import TYPE_CHECKING, Any

import numpy as np

from . import backends
from .backends import Backend
from .random import journal, passes


class Node:
    """One recorded step. `saved[i]` is what rule i asked for by name; nothing else stays alive."""

    __slots__ = ("backend", "index", "parents", "rules", "saved", "shape")
    counter = count(1)

    def __init__(self, rules: Any, parents: Any, saved: Any, shape: tuple[int, ...], backend: Backend) -> None:
        self.rules = rules
        self.parents = parents
        self.saved = saved
        self.shape = shape
        self.backend = backend
        self.index = next(Node.counter)  # a node is younger than its parents: age is a topological order

    def gradients(self, g: Any, create_graph: bool) -> list[Any]:
        """What each parent receives when this node's result receives g."""
        return [
            parent and rule.call(g, *(rule.lifted(saved, self) if create_graph else saved))
            for parent, rule, saved in zip(self.parents, self.rules, self.saved, strict=True)
        ]

    def made(self, d: Any, g: Any) -> bool:
        """Whether d was made here, for one parent alone: not g itself, nor a view, nor a saved array."""
        return d is not g and d.base is None and all(d is not one for saved in self.saved if saved for one in saved)


class Leaf(Node):
    """Where differentiation ends: a parameter's place in the graph, and its gradient."""

    __slots__ = ("dtype", "grad")

    def __init__(self, shape: tuple[int, ...], dtype: Any, backend: Backend) -> None:
        super().__init__((), (), (), shape, backend)
        self.dtype = dtype
        self.grad = None


class Tensor:
    """An array that remembers how it was made.

    `Tensor(data, backend=None, requires_grad=False)`: data is an array, or Python numbers (which become float32);
    arrays are not copied and must not be changed while a graph uses them. Copying or pickling a tensor drops its graph.
    Raises: TypeError where a gradient is asked of anything but floating-point data.

    >>> x = Tensor([1.0, 2.0, 3.0], backend="numpy", requires_grad=True)
    >>> (x * x).sum().backward()
    >>> x.grad
    array([2., 4., 6.], dtype=float32)
    """

    __slots__ = ("__weakref__", "backend", "data", "node")
    __array_ufunc__ = None  # array * tensor comes to Tensor.__rmul__

    data: Any
    backend: Backend
    node: Node | None

    def __init__(self, data: Any, backend: str | Backend | None = None, requires_grad: bool = False) -> None:
        given = data.data if isinstance(data, Tensor) else data
        self.backend = backends.get(backend or (data.backend if isinstance(data, Tensor) else None))
        self.data = given if hasattr(given, "dtype") else _from_python(self.backend.xp, given)
        self.node = None
        self.requires_grad = requires_grad

    @property
    def shape(self) -> tuple[int, ...]:
        return self.data.shape

    @property
    def dtype(self) -> Any:
        return self.data.dtype

    @property
    def ndim(self) -> int:
        return self.data.ndim

    @property
    def size(self) -> int:
        return self.data.size

    @property
    def requires_grad(self) -> bool:
        """Whether gradients reach this tensor. Setting it makes a leaf of it, or a constant."""
        return self.node is not None

    @requires_grad.setter
    def requires_grad(self, wanted: bool) -> None:
        if wanted and self.dtype.kind != "f":
            raise TypeError(f"Tensor: only floating-point data has a gradient, got {self.dtype}; convert with .astype")
        if wanted != self.requires_grad:
            self.node = Leaf(self.shape, self.dtype, self.backend) if wanted else None

    @property
    def grad(self) -> Any:
        """The gradient that `backward` has added up here: an array, or None. Leaves only."""
        return getattr(self.node, "grad", None)

    @grad.setter
    def grad(self, value: Any) -> None:
        if not isinstance(self.node, Leaf):
            raise AttributeError(
                "Tensor: only a leaf with requires_grad=True holds a gradient; for others use grad(y, [x])"
            )
        self.node.grad = value

    def backward(self, gradient: Any = None) -> None:
        """Add d(self)/d(leaf) to the `.grad` of every leaf. `gradient` is needed unless self has one element."""
        for leaf, g in _leaf_gradients(self, gradient):
            leaf.grad = g if leaf.grad is None else leaf.grad + g

    def detach(self) -> Tensor:
        """The same data outside the graph."""
        return _tensor(self.data, self.backend, None)

    def to(self, backend: str | Backend) -> Tensor:
        """The same data on another backend, outside the graph."""
        target = backends.get(backend)
        return Tensor(target.xp.asarray(self.data), target, self.requires_grad)

    def numpy(self) -> np.ndarray:
        """The data as a NumPy array."""
        return np.asarray(self.data)

    def item(self) -> float:
        """The only element, as a Python number."""
        return self.data.item()

    def tolist(self) -> Any:
        """The data as nested lists of Python numbers."""
        return self.data.tolist()

    def argmax(self, axis: int | None = None) -> Any:
        """Where the largest element is: an array of indices."""
        return self.data.argmax(axis=axis)

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return np.array(self.data, dtype=dtype, copy=copy)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self)._rebuilt, (self.data, self.backend, self.requires_grad)

    @classmethod
    def _rebuilt(cls, data: Any, backend: Backend, requires_grad: bool) -> Tensor:
        new = _tensor(data, backend, None, cls)
        new.requires_grad = requires_grad
        return new

    def __len__(self) -> int:
        return len(self.data)

    def __bool__(self) -> bool:
        return bool(self.data)

    def __float__(self) -> float:
        return float(self.data)

    def __repr__(self) -> str:
        grad = ", requires_grad=True" if self.requires_grad else ""
        return f"Tensor({np.array2string(np.asarray(self.data), separator=', ')}, backend={self.backend.name!r}{grad})"

    __hash__ = object.__hash__

    if TYPE_CHECKING:  # bound in ops/methods.py, where each is an operation with its gradient
        T: Tensor

        def __add__(self, other: Any) -> Tensor: ...
        def __radd__(self, other: Any) -> Tensor: ...
        def __sub__(self, other: Any) -> Tensor: ...
        def __rsub__(self, other: Any) -> Tensor: ...
        def __mul__(self, other: Any) -> Tensor: ...
        def __rmul__(self, other: Any) -> Tensor: ...
        def __truediv__(self, other: Any) -> Tensor: ...
        def __rtruediv__(self, other: Any) -> Tensor: ...
        def __pow__(self, exponent: float) -> Tensor: ...
        def __matmul__(self, other: Any) -> Tensor: ...
        def __rmatmul__(self, other: Any) -> Tensor: ...
        def __neg__(self) -> Tensor: ...
        def __abs__(self) -> Tensor: ...
        def __getitem__(self, index: Any) -> Tensor: ...
        def __iter__(self) -> Iterator[Tensor]: ...
        def __lt__(self, other: Any) -> Any: ...
        def __le__(self, other: Any) -> Any: ...
        def __gt__(self, other: Any) -> Any: ...
        def __ge__(self, other: Any) -> Any: ...
        def sum(self, axis: Any = None, keepdims: bool = False) -> Tensor: ...
        def mean(self, axis: Any = None, keepdims: bool = False) -> Tensor: ...
        def var(self, axis: Any = None, ddof: int = 0, keepdims: bool = False) -> Tensor: ...
        def std(self, axis: Any = None, ddof: int = 0, keepdims: bool = False) -> Tensor: ...
        def max(self, axis: Any = None, keepdims: bool = False) -> Tensor: ...
        def min(self, axis: Any = None, keepdims: bool = False) -> Tensor: ...
        def reshape(self, *shape: Any) -> Tensor: ...
        def view(self, *shape: Any) -> Tensor: ...
        def flatten(self, start: int = 0) -> Tensor: ...
        def squeeze(self, axis: Any = None) -> Tensor: ...
        def unsqueeze(self, axis: int) -> Tensor: ...
        def transpose(self, *axes: Any) -> Tensor: ...
        def swapaxes(self, a: int, b: int) -> Tensor: ...
        def astype(self, dtype: Any) -> Tensor: ...
        def float(self) -> Tensor: ...
        def double(self) -> Tensor: ...
        def exp(self) -> Tensor: ...
        def log(self) -> Tensor: ...
        def sqrt(self) -> Tensor: ...
        def abs(self) -> Tensor: ...
        def tanh(self) -> Tensor: ...
        def sigmoid(self) -> Tensor: ...
        def relu(self) -> Tensor: ...
        def clip(self, low: Any = None, high: Any = None) -> Tensor: ...
        def softmax(self, axis: int = -1) -> Tensor: ...
        def log_softmax(self, axis: int = -1) -> Tensor: ...


def _tensor(data: Any, backend: Backend, node: Node | None, cls: type[Tensor] = Tensor) -> Tensor:
    """A tensor without the checks of the front door."""
    new = cls.__new__(cls)
    new.data = data
    new.backend = backend
    new.node = node
    return new


def raw(x: Any) -> Any:
    """The array of a tensor; an array as it is."""
    return x.data if isinstance(x, Tensor) else x


def _from_python(xp: Any, numbers: Any) -> Any:
    data = xp.asarray(numbers)
    return data.astype(xp.float32) if data.dtype.kind == "f" else data


# ----------------------------------------------------------------------------------------------------- differentiation
def grad(y: Tensor, xs: Sequence[Tensor], gradient: Any = None, create_graph: bool = False) -> list[Any]:
    """dy/dx for each x: arrays, or under `create_graph` tensors that can be differentiated again.

    Math: the vector-Jacobian product of `gradient` (ones for a y of one element). Zero where y does not depend on x.
    Raises: RuntimeError where y has several elements and no gradient is given, or where its graph was freed.

    >>> x = Tensor([2.0], requires_grad=True)
    >>> [first] = grad((x**3).sum(), [x], create_graph=True)
    >>> grad(first.sum(), [x])                       # 6 x
    [array([12.], dtype=float32)]
    """
    found = _sweep(y, gradient, {x.node for x in xs if x.node is not None}, create_graph)
    return [found[x.node][0] if x.node in found else _zeros(x, create_graph) for x in xs]


def _zeros(x: Tensor, create_graph: bool) -> Any:
    zeros = x.backend.xp.zeros_like(x.data)
    return _tensor(zeros, x.backend, None) if create_graph else zeros


def _leaf_gradients(y: Tensor, gradient: Any) -> Iterator[tuple[Leaf, Any]]:
    """Leaf by leaf: a gradient that is the leaf's own, in the leaf's dtype."""
    for leaf, (g, owned) in _sweep(y, gradient).items():
        assert isinstance(leaf, Leaf)  # without `wanted`, a sweep finds leaves only
        g = leaf.backend.xp.asarray(g, leaf.dtype)
        yield leaf, g if owned else g.copy()


def _sweep(
    y: Tensor, g: Any, wanted: set[Node] | None = None, create_graph: bool = False, partial: bool = False
) -> dict[Node, tuple[Any, bool]]:
    """The gradients of y at the nodes `wanted` (at every leaf for None), youngest node first, without recursion.

    Each comes with whether its buffer was made here, so that nobody else holds it. `partial` does not look behind the
    wanted nodes: where one depends on another, it gives partial and not total derivatives.
    """
    if y.node is None:
        raise RuntimeError("backward: this tensor does not depend on any tensor with requires_grad=True")
    oldest = min((node.index for node in wanted or ()), default=0)  # nothing older can matter
    order = _by_age(y.node, oldest, stop=wanted if partial and wanted else set())
    grads: dict[Node, Any] = {y.node: _seed(y, g, create_graph)}
    owned: set[Node] = set()  # accumulate in place only in buffers made here
    found: dict[Node, tuple[Any, bool]] = {}
    before, _thread.backend = _thread.backend, y.backend
    try:
        for node in order:
            g = grads.pop(node)
            if type(node) is Leaf if wanted is None else node in wanted:
                found[node] = g, node in owned
                if partial:
                    continue
            if node.saved is None:
                raise RuntimeError("backward: an earlier backward pass freed this graph; compute the result again")
            for parent, d in zip(node.parents, node.gradients(g, create_graph), strict=True):
                if parent is not None and parent.index >= oldest:
                    _accumulate(grads, owned, parent, d, not create_graph and node.made(d, g))
            if not create_graph and node.parents:
                node.saved = None
    finally:
        _thread.backend = before
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
    order.sort(key=attrgetter("index"), reverse=True)
    return order


def _accumulate(grads: dict[Node, Any], owned: set[Node], parent: Node, d: Any, made: bool) -> None:
    if d.shape != parent.shape:
        d, made = _unbroadcast(d, parent.shape), False
    if parent not in grads:
        grads[parent] = d
        if made:
            owned.add(parent)
    elif parent in owned:
        grads[parent] += d
    else:
        grads[parent] = grads[parent] + d
        if not isinstance(d, Tensor):
            owned.add(parent)


def _seed(y: Tensor, g: Any, create_graph: bool) -> Any:
    if g is None:
        if y.size != 1:
            raise RuntimeError(
                f"backward: a result of shape {y.shape} needs a gradient of that shape; or call .sum() first"
            )
        g = y.backend.xp.ones_like(y.data)
    elif g.shape != y.shape:
        raise ValueError(f"backward: the gradient's shape {g.shape} is not the result's shape {y.shape}")
    return _tensor(g, y.backend, None) if create_graph and not isinstance(g, Tensor) else g


def _unbroadcast(d: Any, shape: tuple[int, ...]) -> Any:
    """Sum d over the axes that broadcasting added or stretched."""
    lead = len(d.shape) - len(shape)
    stretched = [i + lead for i, n in enumerate(shape) if n == 1 != d.shape[i + lead]]
    axes = (*range(lead), *stretched)
    return (d.sum(axis=axes, keepdims=True) if axes else d).reshape(shape)


# ----------------------------------------------------------------------------------------------------------- recording
class _Thread(threading.local):
    recording = True
    backend: Backend | None = (
        None  # of the backward walk under way: its rules work on raw arrays, which have forgotten it
    )


_thread = _Thread()


@contextmanager
def no_grad() -> Iterator[None]:
    """Inside, nothing is recorded (in this thread); results are constants."""
    with _set_recording(False):
        yield


@contextmanager
def _set_recording(on: bool) -> Iterator[None]:
    before, _thread.recording = _thread.recording, on
    try:
        yield
    finally:
        _thread.recording = before


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
        self.save = (
            itemgetter(*places)
            if len(places) > 1
            else itemgetter(slice(*([places[0], places[0] + 1] if places else [0, 0])))
        )
        self.names = [env[place] for place in places]

    def lifted(self, saved: tuple[Any, ...], node: Node) -> list[Any]:
        """What was saved, its arrays as tensors again: arguments on their own nodes, the result on this one."""
        sources = (*node.parents, node)
        return [
            value if place is None or sources[place] is None else _tensor(value, node.backend, sources[place])
            for value, place in zip(saved, self.arrays, strict=True)
        ]


def _environment_names(arguments: list[str], parameters: list[str]) -> list[str]:
    return [*arguments, "y", "backend", *parameters, *(f"{a}_{what}" for what in ("shape", "dtype") for a in arguments)]


PRIMITIVES: dict[str, Callable[..., Any]] = {}


def primitive(**rules: Callable[..., Any]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Make a differentiable function of `body(backend, *arrays, *, **parameters)`; `rules` has a gradient per argument.

    The function takes arrays or tensors: arrays in, arrays out (`backend=` then chooses one).
    Raises: TypeError where tensors of two backends meet.
    """

    def decorate(body: Callable[..., Any]) -> Callable[..., Any]:
        spec = inspect.signature(body).parameters.values()
        arguments = [p.name for p in spec if p.kind is p.POSITIONAL_OR_KEYWORD][1:]
        defaults = {p.name: p.default for p in spec if p.kind is p.KEYWORD_ONLY}
        table = [Rule(rules[name], arguments, list(defaults)) if name in rules else None for name in arguments]
        describes = any(name.endswith(("_shape", "_dtype")) for rule in table if rule for name in rule.names)

        @wraps(body)
        def apply(*inputs: Any, backend: Any = None, **parameters: Any) -> Any:
            arrays, parents, live, tensors = [], [], False, False
            for a in inputs:
                if isinstance(a, Tensor):
                    if a.backend is not backend:
                        backend = _agreed(a.backend, backend, body.__name__)
                    tensors = True
                    node = a.node
                    live = live or node is not None
                    arrays.append(a.data)
                    parents.append(node)
                else:
                    arrays.append(float(a) if type(a) is np.float64 else a)  # no scalar promotes, not even NumPy's
                    parents.append(None)
            if not tensors:
                return body(backends.get(backend or _thread.backend), *arrays, **parameters)
            y = body(backend, *arrays, **parameters)
            if not (live and _thread.recording):
                return _tensor(y, backend, None)
            env = (*arrays, y, backend, *({**defaults, **parameters} if defaults else parameters).values())
            if describes:
                env += (*(np.shape(a) for a in arrays), *(getattr(a, "dtype", None) for a in arrays))
            saved = [
                rule.save(env) if rule and parent is not None else None
                for parent, rule in zip(parents, table, strict=False)
            ]
            kept = [parent if rule else None for parent, rule in zip(parents, table, strict=False)]
            return _tensor(y, backend, Node(table, kept, saved, y.shape, backend))

        PRIMITIVES[body.__name__] = apply
        return apply

    return decorate


def _agreed(mine: Backend, other: Any, operation: str) -> Backend:
    if other is not None and backends.get(other) is not mine:
        raise TypeError(
            f"{operation}: tensors of two backends meet, {mine.name} and {backends.get(other).name}; "
            f"move one with .to({mine.name!r})"
        )
    return mine


# ---------------------------------------------------------------------------------------------------------- checkpoint
class _Checkpoint(Node):
    """A stretch of graph that was not kept. Its gradient runs the function again, with the same keys."""

    __slots__ = ()

    def gradients(self, g: Any, create_graph: bool) -> list[Any]:
        f, inputs, events, run = self.saved
        with _set_recording(True), passes.entered(run), journal.replaying(events):
            y = f(*inputs)
        found = _sweep(y, g, set(self.parents), create_graph, partial=True)
        return [found[parent][0] for parent in self.parents]

    def made(self, d: Any, g: Any) -> bool:
        return False  # two parents may have received the same array


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
    if not _thread.recording:
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
    node = _Checkpoint((), outside, (f, inputs, events, run), y.shape, y.backend)
    return _tensor(y.data, y.backend, node)


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
