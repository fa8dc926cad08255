"""Gradients held against finite differences, with every key fixed: first order, and second from the same rules."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from . import backends
from .tensor import Tensor, grad


class GradientErrors(NamedTuple):
    """Largest relative errors, max|a - b| / max|b| over one array; `second` is None where not asked for."""

    first: float
    second: float | None


def gradcheck(
    f: Callable[..., Tensor], *inputs: Any, second: bool = True, seed: int = 0, backend: Any = None
) -> GradientErrors:
    """Compare the gradients of `f(*inputs)` with central differences in float64.

    Math: for random directions u and w, d/dx sum(u * f(x)) against differences of f, and the derivative of
    sum(w * that gradient), by x and by u, against differences of the gradient.
    f must draw the same at every call (fixed keys). Returns errors and raises nothing: the caller knows the bound that
    fits; smooth functions stay below 1e-6 (first) and 1e-5 (second).

    >>> errors = gradcheck(lambda x: x * x * x, np.array([1.0, 2.0]))
    >>> errors.first < 1e-6 and errors.second < 1e-5
    True
    """
    rng = np.random.default_rng(seed)
    xs = [np.array(x, np.float64) for x in inputs]
    value = _value(f, backend)
    u = rng.standard_normal(value(*xs).shape)
    first = _worst(_gradients(f, xs, u, backend), _differences(lambda *a: np.sum(value(*a) * u), xs))
    if not second:
        return GradientErrors(first, None)
    ws = [rng.standard_normal(x.shape) for x in xs]

    def projected(*args: np.ndarray) -> Any:
        *at, direction = args
        return sum(np.sum(g * w) for g, w in zip(_gradients(f, at, direction, backend), ws, strict=True))

    exact = _second_gradients(f, xs, u, ws, backend)
    return GradientErrors(first, _worst(exact, _differences(projected, [*xs, u])))


def _value(f: Callable[..., Tensor], backend: Any) -> Callable[..., np.ndarray]:
    return lambda *xs: f(*(Tensor(x, backend) for x in xs)).numpy()


def _gradients(f: Callable[..., Tensor], xs: Sequence[np.ndarray], u: np.ndarray, backend: Any) -> list[np.ndarray]:
    leaves = [Tensor(x, backend, requires_grad=True) for x in xs]
    y = f(*leaves)
    return list(map(backends.on_host, grad(y, leaves, u))) if y.requires_grad else [np.zeros_like(x) for x in xs]


def _second_gradients(
    f: Callable[..., Tensor], xs: Sequence[np.ndarray], u: np.ndarray, ws: Sequence[np.ndarray], backend: Any
) -> list[np.ndarray]:
    """The gradient of sum(w * first gradient), by every x and by u."""
    leaves = [Tensor(x, backend, requires_grad=True) for x in (*xs, u)]
    y = f(*leaves[:-1])
    if not y.requires_grad:
        return [np.zeros(leaf.shape) for leaf in leaves]
    firsts = grad(y, leaves[:-1], leaves[-1], create_graph=True)
    total = sum(((g * w).sum() for g, w in zip(firsts, ws, strict=True)), start=Tensor(np.zeros(()), backend))
    return grad(total, leaves) if total.requires_grad else [np.zeros(leaf.shape) for leaf in leaves]


def _differences(f: Callable[..., Any], xs: Sequence[np.ndarray], step: float = 1e-5) -> list[np.ndarray]:
    """Central differences of a number by every element of every array."""
    results = []
    for i, x in enumerate(xs):
        d = np.zeros_like(x)
        for at in np.ndindex(x.shape):
            up, down = x.copy(), x.copy()
            up[at] += step
            down[at] -= step
            d[at] = (f(*xs[:i], up, *xs[i + 1 :]) - f(*xs[:i], down, *xs[i + 1 :])) / (2 * step)
        results.append(d)
    return results


def _worst(ours: Sequence[Any], numeric: Sequence[np.ndarray]) -> float:
    return max((relative_error(a, b) for a, b in zip(ours, numeric, strict=True)), default=0.0)


def relative_error(ours: Any, reference: Any) -> float:
    """max|a - b| / max|b| over one named array; absolute where the reference is all zero; infinite for NaN or wrong
    shape.

    >>> relative_error([1.0, 2.1], [1.0, 2.0]) < 0.0501
    True
    """
    a, b = (np.asarray(backends.on_host(x), np.float64) for x in (ours, reference))
    if a.shape != b.shape:
        return float("inf")
    if a.size == 0:
        return 0.0
    error = np.abs(a - b).max() / (np.abs(b).max() or 1.0)
    return float(error) if np.isfinite(error) else float("inf")
