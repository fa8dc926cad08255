"""ONNX in its reference evaluator and its runtime, and tinygrad."""

from __future__ import annotations

from ...streams import ONNX
from .row import LibraryRow

MODEL = """
import onnx
from onnx.helper import make_graph, make_model, make_node, make_opsetid, make_tensor_value_info as info

def session(seed, kind):
    element = {"float16": onnx.TensorProto.FLOAT16, "float32": onnx.TensorProto.FLOAT}.get(kind, onnx.TensorProto.INT64)
    node = make_node("Dropout", ["x", "ratio", "training"], ["y", "mask"], seed=seed)
    inputs = [info("x", element, None), info("ratio", onnx.TensorProto.FLOAT, []), info("training", 9, [])]
    outputs = [info("y", element, None), info("mask", onnx.TensorProto.BOOL, None)]
    model = make_model(make_graph([node], "g", inputs, outputs), opset_imports=[make_opsetid("", 22)], ir_version=10)
    return start(model)

def run(x, p, seed, training):
    feeds = {"x": x, "ratio": np.array(p, np.float32), "training": np.array(training)}
    return session(seed, str(x.dtype)).run(None, feeds)
"""
REFERENCE = "from onnx.reference import ReferenceEvaluator as start\n"
RUNTIME = """
import onnxruntime

def start(model):
    return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
"""

ROWS = (
    LibraryRow(
        "onnx", "Dropout, reference", "dropout", "run(x, p, seed, training)", REFERENCE + MODEL, "numpy", stream=ONNX
    ),
    LibraryRow("onnxruntime", "Dropout, training", "dropout", "run(x, p, seed, training)", RUNTIME + MODEL, "numpy"),
    LibraryRow(
        "tinygrad",
        "Tensor.dropout",
        "dropout",
        "dropped(x, p, seed, training)",
        """
from tinygrad import Context, Tensor

def dropped(x, p, seed, training):
    Tensor.manual_seed(seed)
    with Context(TRAINING=int(training)):
        return Tensor(x).dropout(p).numpy()
""",
        "numpy",
        only=("runs", "values", "p = 0", "p = 1", "evaluation", "nonfinite", "signed zero", "rate errors", "seeds"),
    ),
)
