"""A multi-layer perceptron."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from ... import ops
from ..forms import Form, Model, Noisy
from ..layers import Linear


class MLP(Model):
    """Linear layers with ReLU between them; x (N, ...) is flattened. What every layer but the first reads is dropped.

    Reference: Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting" (2014), with 0.5
    for hidden units and 0.2 for inputs.

    >>> MLP(4, 2, hidden=(8,), form="mc")
    MLP(
      (layers.0): Noisy(
        (noise): Identity()
        (layer): Linear(4 -> 8)
      )
      (layers.1): Noisy(
        (noise): Dropout(p=0.5)
        (layer): Linear(8 -> 2)
      )
    )
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        hidden: Sequence[int] = (256, 256),
        *,
        form: Form = "plain",
        p: float = 0.5,
        input_p: float = 0.0,
    ) -> None:
        rates = (input_p, *[p] * len(hidden))
        sizes = pairwise((inputs, *hidden, outputs))
        self.layers = [Noisy(form, rate, Linear(a, b)) for rate, (a, b) in zip(rates, sizes, strict=True)]

    def forward(self, x: Any) -> Any:
        x = ops.flatten(x, 1)  # (N, inputs)
        for layer in self.layers[:-1]:
            x = ops.relu(layer(x))  # (N, hidden)
        return self.layers[-1](x)  # (N, outputs)
