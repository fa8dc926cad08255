"""Beside ONNX's reference evaluator."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np

from ...streams import ONNX, draw_from
from ...variants import dropout
from .golden import inputs, same_values
from .row import Counts, Row, installed

RATES = (1e-50, 1e-8, 0.1, 0.5, 0.9, 0.999999, 1.0)
SEEDS = (0, 1, 12345, 2**32 - 1)
SHAPES = ((0,), (1,), (7, 9), (2, 3, 4, 5), (30_001,))


def node(seed: int, dtype: str) -> Any:
    """A model of one Dropout in training mode: run(x, ratio) -> y, mask."""
    onnx = installed("onnx")
    evaluator = installed("onnx.reference").ReferenceEvaluator
    make = onnx.helper
    dropped = make.make_node("Dropout", ["x", "ratio", "training"], ["y", "mask"], seed=seed)
    kinds = onnx.TensorProto
    kind = kinds.DOUBLE if dtype == "float64" else kinds.FLOAT
    inputs: list[Any] = [("x", kind, None), ("ratio", kinds.FLOAT, []), ("training", kinds.BOOL, [])]
    outputs: list[Any] = [("y", kind, None), ("mask", kinds.BOOL, None)]
    graph = make.make_graph(
        [dropped],
        "dropout",
        [make.make_tensor_value_info(*one) for one in inputs],
        [make.make_tensor_value_info(*one) for one in outputs],
    )
    session = evaluator(make.make_model(graph, opset_imports=[make.make_opsetid("", 22)]))
    return lambda x, p: session.run(None, {"x": x, "ratio": np.float32(p), "training": np.array(True)})


def masks_and_values() -> Counts:
    """The mask and the values bit for bit, of every seed, shape, rate and dtype."""
    counts = Counts(0, 0)
    for seed, shape, p, dtype in product(SEEDS, SHAPES, RATES, ("float32", "float64")):
        x = inputs(shape).astype(dtype)
        with np.errstate(all="ignore"):
            theirs, keep = node(seed, dtype)(x, p)
        with draw_from(ONNX(seed)):
            y, mask = dropout(x, p, return_mask=True)
        counts += Counts(x.size, int((mask != keep).sum())) + same_values(y, theirs)
    return counts


ROWS = (Row("onnx", "Dropout", "live", masks_and_values),)
