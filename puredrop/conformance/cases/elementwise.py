"""Rows for noise on single elements."""

from __future__ import annotations

from typing import Any

from ...variants import classic_dropout, dropout
from ..case import Case


def inverted(xp: Any, x: Any, keep: Any, p: float) -> Any:
    """x / (1 - p) where kept, else 0; all zeros at p = 1."""
    return xp.where(keep, x / (1 - p) if p < 1 else x * 0, xp.zeros_like(x))


CASES = (
    Case(
        name="dropout",
        call=dropout,
        formula=inverted,
        mean=lambda x, p: x,
        variance=lambda x, p: x**2 * p / (1 - p),
        pytorch="dropout",
        applies_to=("dense", "conv", "recurrent", "attention", "embedding", "residual", "graph", "input"),
        elsewhere={
            "PyTorch": "torch.nn.Dropout",
            "Keras": "keras.layers.Dropout",
            "Flax": "flax.nnx.Dropout",
            "Equinox": "equinox.nn.Dropout",
            "Haiku": "haiku.dropout: p below 1",
            "TensorFlow": "tf.nn.dropout",
            "tinygrad": "Tensor.dropout",
            "ONNX": "Dropout: p below 1",
        },
    ),
    Case(
        name="classic_dropout",
        call=classic_dropout,
        formula=lambda xp, x, keep, p: xp.where(keep, x, xp.zeros_like(x)),
        mean=lambda x, p: (1 - p) * x,
        variance=lambda x, p: x**2 * p * (1 - p),
        evaluation=lambda xp, x, p: (1 - p) * x,
        applies_to=("dense", "conv", "input"),
    ),
)
