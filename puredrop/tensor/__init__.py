"""The tape: a tensor is an array, its backend, and the node that made it; a primitive brings its gradient along."""

from .differentiate import Part, grad
from .fused import composed, fused
from .node import Node, no_grad
from .recompute import checkpoint
from .rules import PRIMITIVES, operation, primitive
from .tensor import Tensor, backend_of, moved, on_backend, raw

__all__ = [
    "PRIMITIVES",
    "Node",
    "Part",
    "Tensor",
    "backend_of",
    "checkpoint",
    "composed",
    "fused",
    "grad",
    "moved",
    "no_grad",
    "on_backend",
    "operation",
    "primitive",
    "raw",
]
