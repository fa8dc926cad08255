"""Streams by name, and masks as text: what `puredrop masks` needs."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from inspect import signature
from types import MappingProxyType
from typing import Any

import numpy as np

from .flax import Flax
from .jax import JAX, Equinox
from .keras import Keras
from .mlx import MLX
from .native import Native
from .nnx import NNX
from .onnx import ONNX
from .stream import Stream
from .tensorflow import TensorFlow
from .torch_compile import TorchCompile
from .torch_cpu import TorchCPU
from .torch_cuda import TorchCUDA

BY_NAME: MappingProxyType[str, Callable[..., Stream]] = MappingProxyType(
    {
        "puredrop": Native,
        "torch-cpu": TorchCPU,
        "torch-compile": TorchCompile,
        "torch-cuda": TorchCUDA,
        "jax": JAX,
        "flax": Flax,
        "nnx": NNX,
        "equinox": Equinox,
        "tensorflow": TensorFlow,
        **{f"keras-{backend}": partial(Keras, backend=backend) for backend in ("numpy", "jax", "torch", "tensorflow")},
        "onnx": ONNX,
        "mlx": MLX,
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
    known = list(signature(BY_NAME[name]).parameters)[1:]
    for option in options:
        if option not in known:
            raise ValueError(f"{name} has no option {option!r}; it has {', '.join(known) or 'none'}")
    return BY_NAME[name](seed, **options)


def as_text(keep: np.ndarray) -> str:
    """A mask as 1 (kept) and 0, a line for each row of the last axis, with an empty line between matrices.

    >>> print(as_text(np.eye(2, dtype=bool)))
    1 0
    0 1
    """
    if keep.ndim < 2:
        return " ".join(map(str, keep.reshape(-1).astype(int)))
    return ("\n\n" if keep.ndim > 2 else "\n").join(as_text(part) for part in keep)
