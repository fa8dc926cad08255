"""Adapters: a target out of whatever was pointed at."""

from __future__ import annotations

from typing import Any

from ...case import Case
from ..target import Target
from . import functions, jax, keras, kernels, onnx, torch


def as_target(target: Any, case: Case, arrays: Any = None, device: str | None = None) -> Target:
    """The target that this is. Raises TypeError where it is none."""
    if isinstance(target, Target):
        return target
    if isinstance(target, tuple) and len(target) == 2 and all(map(callable, target)):
        return kernels.pair(*target, case)
    if onnx.is_model(target):
        return onnx.model(target)
    if keras.is_layer(target):
        return keras.layer(target)
    if torch.is_module(target):
        return torch.module(target, device)
    if not callable(target):
        raise TypeError(
            f"check: a target is a function of (x, p, seed), a torch.nn.Module, a Keras layer, an ONNX model or a pair "
            f"(forward, backward), got {type(target).__name__}"
        )
    kind = arrays if arrays is not None else _guessed(target)
    if kind == "torch":
        return torch.function(target, case, device)
    if kind == "jax":
        return jax.function(target, case)
    return functions.function(target, case, kind)


def _guessed(target: Any) -> str:
    """Which arrays a function wants, by where it comes from and what its parameters are called."""
    home = (getattr(target, "__module__", None) or "").split(".")[0]
    if home in ("torch", "torchvision", "timm", "torch_geometric"):
        return "torch"
    style = functions.style_of(target)
    annotations = " ".join(str(one) for one in getattr(target, "__annotations__", {}).values())
    if "torch" in annotations:
        return "torch"
    if home in ("jax", "flax", "equinox", "haiku") or "jax" in annotations or style.key == "key":
        return "jax"
    return "numpy"
