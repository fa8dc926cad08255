"""Beside masks that TensorFlow made."""

from __future__ import annotations

from functools import partial
from typing import Any

from ...streams import TensorFlow
from .golden import compared
from .row import Row


def stateless(case: dict[str, Any]) -> Any:
    """The mask of a pair of seeds."""
    stream = TensorFlow(tuple(case["seed"]), xla=case.get("xla", False))
    return stream.mask(case["shape"], case["rate"], dtype=case.get("tdtype", "float32"))


def stateful(case: dict[str, Any]) -> Any:
    """The mask of call number `call` with an operation seed."""
    stream = TensorFlow(case["global_seed"], case["op_seed"])
    for _ in range(case["call"] + 1):
        keep = stream.mask(case["shape"], case["rate"])
    return keep


OPERATIONS = {
    "nn.experimental.stateless_dropout": stateless,
    "stateless_dropout XLA jit": stateless,
    "tf.nn.dropout legacy": stateful,
}
ROWS = tuple(
    Row("tensorflow", name, "golden", partial(compared, "tensorflow", name, mask)) for name, mask in OPERATIONS.items()
)
