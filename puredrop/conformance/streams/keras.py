"""Beside Keras on each of its backends: what layers drew, and what the functions under the layers draw here."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from importlib import import_module
from itertools import product
from typing import Any

import numpy as np

from ...streams import Keras, draw_from
from ...variants import dropout
from .golden import compared, inputs, same_values
from .row import Counts, Row, installed

BACKENDS = ("numpy", "jax", "torch", "tensorflow")
RATES = (1e-8, 0.1, 0.5, 0.9, 0.999999, 1.0)
SHAPES = ((0, 3), (5,), (3, 4, 5), (71, 1009))
DTYPES = {one: ("float32", "float16") if one == "jax" else ("float32", "float64", "float16") for one in BACKENDS}
SEEDS = {"numpy": (7, 2**32 - 1), "jax": (7, 2**32 - 1), "torch": (7, -(2**31)), "tensorflow": (7, -(2**40))}


def stream(made: dict[str, Any]) -> Keras:
    """The stream of a chain: of a layer with a seed, or of one without, made after so many others."""
    if "default_seed" not in made:
        return Keras(**made)
    return Keras(Keras.seeds_after(made["default_seed"], made["made_before"] + 1)[-1], backend=made["backend"])


def layer(backend: str, seed: int) -> Callable[[np.ndarray, float], np.ndarray]:
    """What a layer with that seed does, call after call: its SeedGenerator, and the backend's dropout.

    All backends in one process; Keras itself runs on NumPy, unless it runs or the environment says otherwise.
    """
    os.environ.setdefault("KERAS_BACKEND", "numpy")
    for package in ("keras", backend):
        installed(package)
    module, functions = (import_module(f"keras.src.backend.{backend}{part}") for part in ("", ".random"))
    generator = import_module("keras.src.random.seed_generator").SeedGenerator(seed, backend=module)

    def call(x: np.ndarray, p: float) -> np.ndarray:
        with np.errstate(all="ignore"):
            return np.asarray(functions.dropout(module.convert_to_tensor(x, x.dtype.name), p, seed=generator))

    return call


def values(backend: str) -> Counts:
    """Values of calls in a row, of every seed, dtype, shape and rate."""
    counts = Counts(0, 0)
    for seed, dtype in product(SEEDS[backend], DTYPES[backend]):
        theirs = layer(backend, seed)
        with draw_from(Keras(seed, backend=backend)):  # type: ignore[arg-type]
            for shape, p in product(SHAPES, RATES):
                x = inputs(shape).astype(dtype)
                counts += same_values(dropout(x, p), theirs(x, p))
    return counts


ROWS = (
    *(
        Row("keras", f"Dropout, SpatialDropout on {one}", "golden", partial(compared, f"keras_{one}", stream))
        for one in BACKENDS
    ),
    *(Row("keras", f"Dropout on {one}", "live", partial(values, one)) for one in BACKENDS),
)
