"""Beside masks and values that TensorFlow made on a CPU."""

from __future__ import annotations

from functools import partial
from typing import Any

from ...streams import TensorFlow
from .golden import compared
from .row import Row


def stream(made: dict[str, Any]) -> TensorFlow:
    """The stream with these arguments: in the file a pair is a list."""
    return TensorFlow(**made)


def operation(made: dict[str, Any]) -> str:
    """Which operation drew a chain."""
    if isinstance(made["seed"], int):
        return "tf.nn.dropout"
    return "stateless_dropout compiled by XLA" if made.get("xla") else "stateless_dropout"


def row(name: str) -> Row:
    return Row(
        "tensorflow", name, "golden", partial(compared, "tensorflow", stream, lambda made: operation(made) == name)
    )


ROWS = tuple(map(row, ("stateless_dropout", "stateless_dropout compiled by XLA", "tf.nn.dropout")))
