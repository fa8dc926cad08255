"""A row of the table of layers: a puredrop layer with some option, and the same thing in PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...nn.module import Module

SEED = 7


@dataclass(frozen=True)
class LayerCase:
    """One layer with one option.

    make(): the layer or model, not yet seeded; small, for every number of it is differentiated numerically too.
    inputs(): example arrays, floating-point ones in float64; the first is the one that matters most.
    reference(torch, weights, noise, *inputs): the same output by PyTorch: its own layer where it has that option, else
        the paper's formula in PyTorch's operations. `weights` maps the names of `state_dict` to tensors, `noise` gives
        what the layer drew, in the order in which it drew: `noise.take()`.
    smooth: whether finite differences make sense (no kink within reach, no straight-through gradient).
    second: whether second derivatives are exact; a reason where they are not.
    learning_rate: of the steps beside PyTorch. Where steps are too long for a model they are chaotic: a last bit of
        difference between equal implementations grows without bound.
    """

    layer: str
    option: str
    make: Callable[[], Module]
    inputs: Callable[[], tuple[np.ndarray, ...]]
    reference: Callable[..., Any]
    smooth: bool = True
    second: str | None = None
    learning_rate: float = 0.05

    @property
    def name(self) -> str:
        return f"{self.layer}: {self.option}"

    def built(self, backend: Any, dtype: Any = np.float64) -> Module:
        """The layer with its numbers drawn, in train mode at step 0."""
        return self.make().to(backend).seed(SEED).astype(dtype)

    def example(self, dtype: Any = np.float64) -> tuple[np.ndarray, ...]:
        """The inputs, floating-point ones in `dtype`."""
        return tuple(a.astype(dtype) if a.dtype.kind == "f" else a for a in self.inputs())


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    """Standard normal numbers, equal for equal arguments."""
    return np.random.default_rng([seed, *shape]).standard_normal(shape)
