"""The tensor: an array, its backend, and the node that made it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import backends
from ..backends import Backend
from .node import Leaf, Node


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
        self.backend = backends.of((given,), backend or (data.backend if isinstance(data, Tensor) else None))
        self.data = on_backend(self.backend, given) if hasattr(given, "dtype") else _from_python(self.backend.xp, given)
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
            if value is None:
                return
            raise AttributeError(
                "Tensor: only a leaf with requires_grad=True holds a gradient; for others use grad(y, [x])"
            )
        self.node.grad = value

    def detach(self) -> Tensor:
        """The same data outside the graph."""
        return bare(self.data, self.backend, None)

    def to(self, backend: str | Backend) -> Tensor:
        """The same data on another backend, outside the graph."""
        target = backends.get(backend)
        return Tensor(moved(self.data, target), target, self.requires_grad)

    def numpy(self) -> np.ndarray:
        """The data as a NumPy array."""
        return backends.on_host(self.data)

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
        return np.array(backends.on_host(self.data), dtype=dtype, copy=copy)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self)._rebuilt, (self.data, self.backend, self.requires_grad)

    @classmethod
    def _rebuilt(cls, data: Any, backend: Backend, requires_grad: bool) -> Tensor:
        new = bare(data, backend, None, cls)
        new.requires_grad = requires_grad
        return new

    def __len__(self) -> int:
        return len(self.data)

    def __bool__(self) -> bool:
        return bool(self.data)

    def __float__(self) -> float:
        return float(self.data)

    def __int__(self) -> int:
        return int(self.data)

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if spec else str(self)

    def __repr__(self) -> str:
        grad = ", requires_grad=True" if self.requires_grad else ""
        return f"Tensor({np.array2string(self.numpy(), separator=', ')}, backend={self.backend.name!r}{grad})"

    __hash__ = object.__hash__

    if TYPE_CHECKING:  # bound where they are defined: backward in differentiate.py, operations in ops/methods.py
        T: Tensor

        def backward(self, gradient: Any = None) -> None: ...
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


def bare(data: Any, backend: Backend, node: Node | None, cls: type[Tensor] = Tensor) -> Tensor:
    """A tensor without the checks of the front door."""
    new = cls.__new__(cls)
    new.data = data
    new.backend = backend
    new.node = node
    return new


def backend_of(x: Any, named: str | Backend | None = None) -> Backend:
    """That of a tensor; for an array the one named, else the one that arrays of its type belong to."""
    return x.backend if isinstance(x, Tensor) else backends.of((x,), named)


def raw(x: Any) -> Any:
    """The array of a tensor; an array as it is."""
    return x.data if isinstance(x, Tensor) else x


def moved(data: Any, target: Backend) -> Any:
    """The array where another backend computes; a copy only where that is another memory."""
    return backends.on_host(data) if target.place is None else target.place(data)


def on_backend(backend: Backend, data: Any) -> Any:
    """The array where the backend computes."""
    return data if backend.place is None else backend.place(data)


def _from_python(xp: Any, numbers: Any) -> Any:
    data = xp.asarray(numbers)
    if data.dtype.kind not in "fiub":
        raise TypeError(f"Tensor: data must be numbers, got {numbers!r}")
    return data.astype(xp.float32) if data.dtype.kind == "f" else data
