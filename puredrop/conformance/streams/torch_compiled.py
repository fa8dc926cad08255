"""Beside functions that PyTorch compiles for the CPU. Needs the compiler that inductor needs, and its time."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from shutil import which
from typing import Any
from warnings import catch_warnings

import numpy as np

from ...streams import TorchCompile, TorchCPU
from ..case import Skipped
from .row import Counts, Row, installed
from .torch import alone, compared, same_state

SEEDS = (0, -3, 2**32 + 7)
SHAPE, IN_ORDER, TRANSPOSED = (300, 40), (40, 1), (1, 300)


def quietly(compare: Callable[[], Counts]) -> Counts:
    """A comparison without the warnings that the compiler gives about its own parts."""
    with catch_warnings(action="ignore"):
        return alone(compare)


def two_dropouts(x: Any, function: Any) -> Any:
    """A graph with two random operations."""
    return function(function(x, 0.3) * 2, 0.5)


def compiled() -> Callable[[Any], Any]:
    """The graph, compiled. Raises Skipped where there is no compiler."""
    torch = installed("torch")
    if which("g++") is None and which("clang++") is None:
        raise Skipped("torch.compile needs a C++ compiler")
    torch._dynamo.reset()
    return torch.compile(partial(two_dropouts, function=torch.nn.functional.dropout), dynamic=False)


def tensor(strides: tuple[int, ...]) -> Any:
    """Numbers of both signs that lie in memory like that."""
    numbers = installed("torch").arange(1.0, 1 + SHAPE[0] * SHAPE[1]) - 6000.5
    return numbers.as_strided(SHAPE, strides)


def inductors() -> Counts:
    """Values bit for bit in float32, of an array that lies transposed; and where the generator stands afterwards."""
    torch, graph, x, counts = installed("torch"), compiled(), tensor(TRANSPOSED), Counts(0, 0)
    for seed in SEEDS:
        torch.manual_seed(seed)
        stream = TorchCompile(seed)
        for _ in range(2):
            counts += compared(replayed(stream, x), graph(x).numpy())
        counts += same_state(stream)
    return counts


def replayed(stream: TorchCompile | TorchCPU, x: Any) -> np.ndarray:
    """The graph with our masks and their arithmetic."""

    def dropout(y: np.ndarray, p: float) -> np.ndarray:
        return stream.arithmetic("dropout", p)(np, y, stream.mask(SHAPE, p, strides=x.stride()), 1 / (1 - p), None, 0.0)

    return two_dropouts(x.numpy(), dropout)


def fallback() -> Counts:
    """With inductor's option `fallback_random` the masks are those of uncompiled functions."""
    torch, x = installed("torch"), tensor(IN_ORDER)
    from torch._inductor import config

    with config.patch(fallback_random=True):
        graph = compiled()
        torch.manual_seed(1)
        stream = TorchCPU(1)
        return compared(replayed(stream, x), graph(x).numpy()) + same_state(stream)


ROWS = (
    Row("torch.compile", "dropout, two in a graph", "live", partial(quietly, inductors)),
    Row("torch.compile", "dropout, fallback_random", "live", partial(quietly, fallback)),
)
