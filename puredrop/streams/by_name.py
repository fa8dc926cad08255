"""Streams by name, and masks as text: what `puredrop masks` needs."""

from __future__ import annotations

from functools import partial
from importlib import import_module
from inspect import signature
from types import MappingProxyType
from typing import Any

import numpy as np

from .stream import Stream

BY_NAME: MappingProxyType[str, tuple[str, dict[str, Any]]] = MappingProxyType(  # the class, and options that are set
    {
        "puredrop": ("Native", {}),
        "torch-cpu": ("TorchCPU", {}),
        "torch-compile": ("TorchCompile", {}),
        "torch-cuda": ("TorchCUDA", {}),
        "jax": ("JAX", {}),
        "flax": ("Flax", {}),
        "nnx": ("NNX", {}),
        "equinox": ("Equinox", {}),
        "tensorflow": ("TensorFlow", {}),
        **{f"keras-{name}": ("Keras", {"backend": name}) for name in ("numpy", "jax", "torch", "tensorflow")},
        "onnx": ("ONNX", {}),
        "mlx": ("MLX", {}),
        "tinygrad": ("Tinygrad", {}),
    }
)
NAMES = tuple(BY_NAME)


def named(name: str, seed: int, **options: Any) -> Stream:
    """The stream of that name. Raises ValueError for an unknown name or option, and what the stream raises.

    >>> named("puredrop", 7).mask(6, p=0.5).astype(int)
    array([0, 1, 1, 1, 1, 0])
    """
    if name not in BY_NAME:
        raise ValueError(f"unknown stream {name!r}; known are {', '.join(NAMES)}")
    kind, fixed = BY_NAME[name]
    make = partial(getattr(import_module(__package__), kind), **fixed)
    known = list(signature(make).parameters)[1:]
    for option in options:
        if option not in known:
            raise ValueError(f"{name} has no option {option!r}; it has {', '.join(known) or 'none'}")
    return make(seed, **options)


def as_text(keep: np.ndarray) -> str:
    """A mask as 1 (kept) and 0, a line for each row of the last axis, with an empty line between matrices.

    >>> print(as_text(np.eye(2, dtype=bool)))
    1 0
    0 1
    """
    if keep.ndim < 2:
        return " ".join(map(str, keep.reshape(-1).astype(int)))
    return ("\n\n" if keep.ndim > 2 else "\n").join(as_text(part) for part in keep)
