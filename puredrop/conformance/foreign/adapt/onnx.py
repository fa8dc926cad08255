"""ONNX: models with Dropout, run by the reference evaluator or by a runtime."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..target import Call, Target


def is_model(target: Any) -> bool:
    """A model, or the name of a file with one."""
    return type(target).__name__ == "ModelProto" or (isinstance(target, str) and target.endswith(".onnx"))


def model(target: Any, session: Callable[[Any], Any] | None = None) -> Target:
    """A model whose first inputs are the data; a number among the others is the ratio, a boolean the training mode.

    `session(model)` makes what runs it: ONNX's reference evaluator where none is given. The seed goes to every Dropout.
    """
    import onnx
    from onnx.reference import ReferenceEvaluator

    loaded = onnx.load(target) if isinstance(target, str) else target
    start = session or ReferenceEvaluator
    roles = [(one.name, one.type.tensor_type.elem_type, len(one.type.tensor_type.shape.dim)) for one in _asked(loaded)]
    boolean = onnx.TensorProto.BOOL
    switch = next((name for name, kind, _ in roles if kind == boolean), None)
    ratio = next((name for name, kind, rank in roles[1:] if kind != boolean and rank == 0), None)
    data = [name for name, *_ in roles if name not in (switch, ratio)]
    fixed = None if ratio else _ratio_of(loaded)

    def run(call: Call) -> Any:
        feeds: dict[str, Any] = dict(zip(data, call.inputs, strict=True))
        if ratio:
            feeds[ratio] = np.array(call.p, np.float32)
        if switch:
            feeds[switch] = np.array(call.training)
        given: Any = start(_seeded(loaded, call.seed)).run(None, feeds)
        return tuple(given) if len(given) == 2 else given[0]

    return Target(
        loaded.graph.name or "ONNX model",
        run,
        evaluates=switch is not None,
        rates=None if fixed is None else (fixed,),
        dtypes=("float32",),
        in_place=False,
    )


def _asked(loaded: Any) -> list[Any]:
    constants = {one.name for one in loaded.graph.initializer}
    return [one for one in loaded.graph.input if one.name not in constants]


def _ratio_of(loaded: Any) -> float:
    """The ratio that stands in the model: that of its first Dropout."""
    import onnx

    constants = {one.name: float(onnx.numpy_helper.to_array(one)) for one in loaded.graph.initializer if not one.dims}
    node = next((one for one in loaded.graph.node if one.op_type == "Dropout"), None)
    if node is None:
        raise TypeError("check: the model has no Dropout and no input for a ratio")
    return constants.get(node.input[1], 0.5) if len(node.input) > 1 else 0.5


def _seeded(loaded: Any, seed: int) -> Any:
    """A copy with that seed in every Dropout."""
    import onnx

    changed = onnx.ModelProto()
    changed.CopyFrom(loaded)
    for node in changed.graph.node:
        if node.op_type == "Dropout":
            rest = [one for one in node.attribute if one.name != "seed"]
            del node.attribute[:]
            node.attribute.extend([*rest, onnx.helper.make_attribute("seed", seed)])
    return changed
