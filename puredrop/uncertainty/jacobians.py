"""The Jacobian of a model's outputs by its parameters, example by example."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..nn.module import Module, Parameter
from ..tensor import grad
from .parameter_vectors import one_output

NUMBERS = 1 << 24  # of a block of Jacobians, at most


class Block(NamedTuple):
    """Some rows of the data: outputs (n, K) and their Jacobian (n, K, P). float64."""

    rows: slice
    outputs: np.ndarray
    jacobian: np.ndarray


def jacobian_blocks(operation: str, model: Module, parameters: Sequence[Parameter], x: np.ndarray) -> Iterator[Block]:
    """The outputs in evaluation, flattened to K for each example, and d output / d parameter, block by block.

    One backward pass for each example and output: exact for any model, whose examples do not see each other.
    """
    width = one_output(operation, model, x[:1]).size
    numbers = sum(parameter.size for parameter in parameters)
    size = max(1, NUMBERS // (width * numbers))
    for start in range(0, len(x), size):
        rows = slice(start, min(start + size, len(x)))
        found = [_of_one(operation, model, parameters, x[i : i + 1]) for i in range(rows.start, rows.stop)]
        yield Block(rows, np.stack([y for y, _ in found]), np.stack([J for _, J in found]))


def _of_one(operation: str, model: Module, parameters: Sequence[Parameter], x: Any) -> tuple[np.ndarray, np.ndarray]:
    """(K,), (K, P). The walk frees the graph, so each output has a run of its own."""
    y = one_output(operation, model, x)
    lines = [_gradient(y, 0, parameters)]
    lines += [_gradient(one_output(operation, model, x), k, parameters) for k in range(1, y.size)]
    return y.numpy().ravel().astype(np.float64), np.stack(lines)


def _gradient(y: Any, k: int, parameters: Sequence[Parameter]) -> np.ndarray:
    direction = np.zeros(y.size)
    direction[k] = 1.0
    gradients = grad(y, list(parameters), direction.reshape(y.shape))
    return np.concatenate([np.asarray(g, np.float64).ravel() for g in gradients])  # (P,)
