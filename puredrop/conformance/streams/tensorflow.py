"""Beside masks that TensorFlow made."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from ...streams import TensorFlow
from .golden import cases
from .row import Counts, Row


def stateless(case: dict[str, Any], keep: np.ndarray) -> Counts:
    stream = TensorFlow(tuple(case["seed"]), xla=case.get("xla", False))
    ours = stream.mask(case["shape"], case["rate"], dtype=case.get("tdtype", "float32"))
    return Counts(keep.size, int((ours != keep).sum()))


def stateful(case: dict[str, Any], keep: np.ndarray) -> Counts:
    """The mask of call number `call` with an operation seed."""
    stream = TensorFlow(case["global_seed"], case["op_seed"])
    for _ in range(case["call"] + 1):
        ours = stream.mask(case["shape"], case["rate"])
    return Counts(keep.size, int((ours != keep).sum()))


OPERATIONS = {
    "nn.experimental.stateless_dropout": stateless,
    "stateless_dropout XLA jit": stateless,
    "tf.nn.dropout legacy": stateful,
}


def compared(operation: str) -> Counts:
    compare: Callable[..., Counts] = OPERATIONS[operation]
    return sum((compare(case, keep) for case, keep in cases("tensorflow", operation)), Counts(0, 0))


ROWS = tuple(Row("tensorflow", name, "golden", partial(compared, name)) for name in OPERATIONS)
