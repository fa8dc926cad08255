"""Layers that put noise on weights, or learn which weights to do without; and zoneout."""

from __future__ import annotations

import math
from typing import Any, Literal

from .. import ops, variants
from ..random import Keys
from ..tensor import raw
from ..variants.door import Shape, checked_rate
from ..variants.schedules import Schedule
from .init import Initialiser, Normal, fan_in_uniform
from .module import Parameter, Site
from .shell import Expectation, Rated

__all__ = ["DropConnectLinear", "HardConcreteGate", "Zoneout"]


class DropConnectLinear(Rated):
    """`puredrop.drop_connect` as a layer: a Linear whose single weights are dropped, by default for each example anew.

    p is a number or a schedule. Shapes: x (N, ..., inputs) -> (N, ..., outputs). Evaluation uses all weights.

    >>> import numpy as np
    >>> layer = DropConnectLinear(4, 2, p=0.5).seed(0)
    >>> layer(np.ones((3, 4), np.float32)).shape
    (3, 2)
    """

    function = staticmethod(variants.drop_connect)
    per_example: bool

    def __init__(
        self,
        inputs: int,
        outputs: int,
        p: float | Schedule = 0.5,
        per_example: bool = True,
        bias: bool = True,
        init: Initialiser | None = None,
    ) -> None:
        super().__init__(p, per_example=per_example)
        self.inputs, self.outputs = inputs, outputs
        self.weight = Parameter((outputs, inputs), init or fan_in_uniform(inputs))
        self.bias = Parameter((outputs,), fan_in_uniform(inputs)) if bias else None

    def noise(self, shape: Shape) -> tuple[Shape, Shape]:
        if len(shape) < 2 or shape[-1] != self.inputs:
            raise ValueError(f"DropConnectLinear: x must be (N, ..., {self.inputs}), got shape {shape}")
        return (shape[0], self.outputs, self.inputs), () if self.per_example else (0,)

    def arguments(self, key: Keys | None) -> tuple[Any, ...]:
        return self.weight, self.bias, *super().arguments(key)

    def extra_repr(self) -> str:
        each = "" if self.per_example else ", one mask for all examples"
        return f"{self.inputs} -> {self.outputs}, p={self.p}{each}" + (", no bias" if self.bias is None else "")


class HardConcreteGate(Site):
    """`puredrop.hard_concrete_gate` as a layer: multiply features by gates that learn which of them to do without.

    shape: that of the gates, which stand at the last axes of x; axes of size 1 are broadcast. p: the probability that
    a gate is closed, under dropout; the parameters `log_alpha` start near log((1 - p) / p), as in the paper.
    Each pass draws gates for all examples together, or with per="example" for each. `penalty()` is the expected number
    of open gates, to be added to the loss.

    >>> import numpy as np
    >>> layer = HardConcreteGate(3).seed(0)
    >>> layer(np.ones((2, 3), np.float32)).shape, layer.penalty().shape
    ((2, 3), ())
    """

    def __init__(
        self,
        shape: int | tuple[int, ...],
        p: float = 0.5,
        temperature: float = 2 / 3,
        stretch: tuple[float, float] = (-0.1, 1.1),
        per: Literal["pass", "example"] = "pass",
    ) -> None:
        p = checked_rate("HardConcreteGate", p)
        if p in (0.0, 1.0):
            raise ValueError(
                f"HardConcreteGate: p must lie between 0 and 1, both excluded, got {p}: no gate would learn"
            )
        if per not in ("pass", "example"):
            raise ValueError(f"HardConcreteGate: per must be 'pass' or 'example', got {per!r}")
        self.shape = (shape,) if isinstance(shape, int) else tuple(shape)
        self.p, self.temperature, self.stretch, self.per = p, temperature, stretch, per
        self.log_alpha = Parameter(self.shape, _Around(math.log((1 - p) / p), 0.01))
        variants.hard_concrete_penalty(raw(self.log_alpha), temperature, stretch=stretch)  # refuses wrong ones now

    def forward(self, x: Any) -> Any:
        rank = len(self.shape)
        if len(x.shape) <= rank or any(g not in (1, n) for g, n in zip(self.shape[::-1], x.shape[::-1], strict=False)):
            raise ValueError(f"HardConcreteGate: gates of shape {self.shape} need x (N, ..., *gates), got {x.shape}")
        z = self._gates(x.shape)  # (gates), or (N, 1..., gates)
        closed = raw(z) == 0
        return ops.where(closed, 0.0, x) * z  # selected first: a closed gate stops NaN as well

    def _gates(self, shape: tuple[int, ...]) -> Any:
        options = {"temperature": self.temperature, "stretch": self.stretch}
        where = self.address((shape[0], *self.shape), () if self.per == "example" else (0,))
        if where is None:
            return variants.hard_concrete_gate(self.log_alpha, training=False, **options)  # type: ignore[arg-type]
        key, index = where
        z = variants.hard_concrete_gate(self.log_alpha, key=key, index=index, **options)  # type: ignore[arg-type]
        rows = index.shape[0]
        if isinstance(key, tuple):  # (samples, N or 1, gates) -> the samples one after the other
            z = ops.broadcast_to(z, shape=(len(key), rows, *self.shape))
        between = (1,) * (len(shape) - 1 - len(self.shape))
        return ops.reshape(z, shape=(-1, *between, *self.shape))

    def penalty(self) -> Any:
        """The expected number of open gates."""
        return ops.sum(variants.hard_concrete_penalty(self.log_alpha, self.temperature, stretch=self.stretch))

    def extra_repr(self) -> str:
        return f"{self.shape}, p={self.p}, temperature={self.temperature:.3g}, per={self.per}"


class _Around:
    """Normal around a mean."""

    def __init__(self, mean: float, std: float) -> None:
        self.mean, self.spread = mean, Normal(std)

    def __call__(self, key: Any, shape: tuple[int, ...]) -> Any:
        return self.spread(key, shape) + self.mean


class Zoneout(Expectation):
    """`puredrop.zoneout` as a layer: called with the new state and the old one, at every time step.

    p is a number or a schedule. Every call in training draws a fresh mask; evaluation gives the expectation.

    >>> import numpy as np
    >>> layer = Zoneout(0.25).eval()
    >>> layer(np.ones(2, np.float32), np.zeros(2, np.float32)).tolist()
    [0.75, 0.75]
    """

    function = staticmethod(variants.zoneout)

    def __init__(self, p: float | Schedule = 0.1) -> None:
        super().__init__(p)

    def forward(self, new: Any, old: Any) -> Any:  # type: ignore[override]
        return self.called(new, old)

    def eval_rate(self) -> Any:
        """p; of a schedule what it says at the step of the next draw, the first one without a seed."""
        if not callable(self.p):
            return self.p
        return checked_rate("Zoneout", self.p(0 if self.rng is None else self.rng.step))
