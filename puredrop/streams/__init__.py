"""Where masks come from: the one seam through which every drawing operation asks.

The native source (no source set) draws from keys, fused with the map. Any other source gives masks that a graph must
keep: masks made elsewhere, the enumeration of all masks, another library's generator.
"""

from .enumeration import enumerate_masks
from .flax import Flax
from .given import Given, checked_mask
from .jax import JAX, Equinox
from .jax_key import JAXKey
from .jax_layers import Broadcast
from .keras import Keras
from .mlx import MLX
from .named import NAMES, as_text, named
from .nnx import NNX
from .onnx import ONNX
from .source import Request, Rule, Source, answered, current, draw_from, lying_as
from .stream import Stream, Wanted, contiguous
from .tensorflow import TensorFlow
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
    "ONNX",
    "Request",
    "Rule",
    "Source",
    "Stream",
    "TensorFlow",
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
