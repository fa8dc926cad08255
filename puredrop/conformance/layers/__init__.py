"""Layers beside PyTorch's: the same weights, the same draws, every number compared."""

from .case import LayerCase
from .matrix import as_text, verify_layers
from .noise import Noise, Recorder
from .rows import CASES

__all__ = ["CASES", "LayerCase", "Noise", "Recorder", "as_text", "verify_layers"]
