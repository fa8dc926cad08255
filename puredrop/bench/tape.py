"""The tape: what an operation costs that hardly computes anything, forward and backward.

A chain of operations on ten numbers; the size is its length. So what is timed is Python, nodes and the walk back.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from .. import backends, ops
from ..random import Rng
from ..tensor import Tensor
from ..variants import dropout
from .scaling import P, pytorch
from .suite import Contender, Suite
from .timing import Call

NUMBERS = 10
Step = Callable[[Any, Any], Any]  # (what the chain has so far, the other operand) -> the next


def suite(names: Sequence[str] | None = None) -> Suite:
    """The contenders; those of `names` that do not compute on the CPU cannot take part.

    Raises: ValueError or ImportError for a named backend that is unknown or not installed.
    """
    chosen = list(names or (backends.default_name(),))
    for name in chosen:
        backends.get(name)
    return Suite(
        name="tape",
        passes=tuple(ARRAY_STEPS),
        contenders=(
            Contender("numpy, no tape", on_arrays),
            Contender("torch", in_torch),
            *(Contender(f"puredrop[{name}]", partial(in_puredrop, name)) for name in chosen),
        ),
        inputs=lambda length: (length,),
        p=P,
        dtype="float32",
        floor="numpy, no tape",
        sizes=(20,),
    )


def _shared_steps(lib: Any) -> dict[str, Step]:
    return {
        "add": lambda y, b: y + b,
        "multiply": lambda y, b: y * b,
        "divide": lambda y, b: y / b,
        "multiply by a number": lambda y, b: y * 0.9,
        "tanh": lambda y, b: lib.tanh(y),
        "exp": lambda y, b: lib.exp(y * -1.0),
    }


ARRAY_STEPS = {
    **_shared_steps(np),
    "relu": lambda y, b: np.maximum(y, 0),
    "sigmoid": lambda y, b: 1 / (1 + np.exp(-y)),
    "dropout": lambda y, b: y * b,
}


def on_arrays(length: int) -> dict[str, Call]:
    """The forward arithmetic alone: what NumPy itself costs."""
    a, b = _operands()
    return {name: partial(_chain, step, length, a, b) for name, step in ARRAY_STEPS.items()}


def in_torch(length: int) -> dict[str, Call]:
    """PyTorch's operations and PyTorch's tape."""
    torch = pytorch()
    steps = _shared_steps(torch) | {
        "relu": lambda y, b: torch.relu(y),
        "sigmoid": lambda y, b: torch.sigmoid(y),
        "dropout": lambda y, b: torch.nn.functional.dropout(y, P),
    }
    a, b = (torch.from_numpy(x).requires_grad_() for x in _operands())
    return {name: partial(_both_ways, step, length, a, b, torch.ones(NUMBERS)) for name, step in steps.items()}


def in_puredrop(name: str, length: int) -> dict[str, Call]:
    """Tensors of a backend."""
    next_key = Rng(seed=0).next_key
    steps = _shared_steps(ops) | {
        "relu": lambda y, b: ops.relu(y),
        "sigmoid": lambda y, b: ops.sigmoid(y),
        "dropout": lambda y, b: dropout(y, P, key=next_key()),
    }
    a, b = (Tensor(x, name, requires_grad=True) for x in _operands())
    g = np.ones(NUMBERS, np.float32)
    return {name: partial(_both_ways, step, length, a, b, g) for name, step in steps.items()}


def _operands() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.random(NUMBERS, np.float32), rng.random(NUMBERS, np.float32) * 0.1 + 1


def _chain(step: Step, length: int, a: Any, b: Any) -> Any:
    y = a
    for _ in range(length):
        y = step(y, b)
    return y


def _both_ways(step: Step, length: int, a: Any, b: Any, g: Any) -> Any:
    a.grad = b.grad = None
    _chain(step, length, a, b).backward(g)
    return a.grad
