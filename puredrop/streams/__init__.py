"""Where masks come from: the one seam through which every drawing operation asks.

The native source (no source set) draws from keys, fused with the map. Any other source gives masks that a graph must
keep: masks made elsewhere, the enumeration of all masks, another library's generator.
"""

from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from .by_name import NAMES, as_text, named
from .enumeration import enumerate_masks
from .given import Given, checked_mask
from .source import Request, Rule, Source, answered, current, draw_from, lying_as
from .stream import Stream, Wanted, contiguous

if TYPE_CHECKING:
    from .flax import Flax
    from .jax import JAX, Equinox
    from .jax_key import JAXKey
    from .jax_layers import Broadcast
    from .keras import Keras
    from .mlx import MLX
    from .native import Native
    from .nnx import NNX
    from .onnx import ONNX
    from .tensorflow import TensorFlow
    from .tinygrad import Tinygrad
    from .torch_compile import TorchCompile
    from .torch_cpu import TorchCPU
    from .torch_cuda import TorchCUDA

__all__ = [
    "NAMES",
    "as_text",
    "named",
    "Broadcast",
    "Equinox",
    "Flax",
    "Given",
    "JAX",
    "JAXKey",
    "Keras",
    "MLX",
    "NNX",
    "Native",
    "ONNX",
    "Request",
    "Rule",
    "Source",
    "Stream",
    "TensorFlow",
    "Tinygrad",
    "TorchCompile",
    "TorchCPU",
    "TorchCUDA",
    "Wanted",
    "answered",
    "checked_mask",
    "contiguous",
    "current",
    "draw_from",
    "enumerate_masks",
    "lying_as",
]

_MODULES = MappingProxyType(
    {
        "Broadcast": "jax_layers",
        "Equinox": "jax",
        "Flax": "flax",
        "JAX": "jax",
        "JAXKey": "jax_key",
        "Keras": "keras",
        "MLX": "mlx",
        "NNX": "nnx",
        "Native": "native",
        "ONNX": "onnx",
        "TensorFlow": "tensorflow",
        "Tinygrad": "tinygrad",
        "TorchCPU": "torch_cpu",
        "TorchCUDA": "torch_cuda",
        "TorchCompile": "torch_compile",
    }
)


def __getattr__(name: str) -> Any:
    """The streams of libraries are imported when first used."""
    if name in _MODULES:
        return getattr(import_module(f".{_MODULES[name]}", __name__), name)
    raise AttributeError(f"module 'puredrop.streams' has no attribute {name!r}")
