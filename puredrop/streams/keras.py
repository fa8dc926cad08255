"""The masks of Keras 3, on each of its backends."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeAlias

import numpy as np

from ..backends.select import select
from .mersenne import Mersenne
from .numbers import MANTISSA, rounded, whole_number
from .site import by_site
from .source import Rule
from .stream import SHARED_AXES, Stream, Wanted
from .tensorflow import TensorFlow, rounded_scale
from .threefry import threefry2x32
from .thresholds import dyadic
from .torch_values import quotient

Backend: TypeAlias = Literal["numpy", "jax", "torch", "tensorflow"]
SEEDS = {"numpy": (0, 2**32), "jax": (0, 2**32), "torch": (-(2**31), 2**31), "tensorflow": (-(2**63), 2**63)}


class Keras(Stream):
    """The masks of `keras.layers.Dropout` and `SpatialDropout1D`, `2D`, `3D`, with a `noise_shape` or without.

    Each layer holds a SeedGenerator: its seed, and a counter that moves on by one with every mask.
    seed: that of the layer, or {site: seed} for the layers of a network; one seed for several layers is what they have
    if each was given that seed. Layers without a seed take theirs as they are made: see `seeds_after`.
    backend: what Keras runs on. Element i, in C order, is kept

    - numpy: where number i of `numpy.random.default_rng([seed, counter])` is below 1 - rate
    - jax: where the upper 23 bits of Threefry's word i, with (seed, counter) as key, are below float32(1 - rate) 2^23
    - torch: where the low 24 bits of word i of MT19937, seeded with seed + counter, are below float32(1 - rate) 2^24
    - tensorflow: as TensorFlow's stateless dropout has it with the pair (seed, counter) modulo 2^31 - 2

    Values are select(keep, x / (1 - rate), 0); jax multiplies by 1 / (1 - rate) instead, tensorflow as `TensorFlow`
    does. Not covered: AlphaDropout, GaussianDropout; layers without a seed on torch, which draw from
    PyTorch's own generator (`TorchCPU` has those, where noise_shape is not given); 64-bit mode of JAX; models compiled
    with XLA on TensorFlow; a dropout within attention or a recurrent layer.
    Sources: keras/src/random/seed_generator.py, keras/src/backend/*/random.py.
    Raises: TypeError, ValueError for another backend or a seed that it does not take.

    >>> stream = Keras(seed=0, backend="numpy")
    >>> stream.mask((2, 6), p=0.5).astype(int)
    array([[0, 1, 1, 1, 0, 0],
           [0, 0, 0, 0, 0, 1]])
    """

    library = "keras"
    verified = "keras 3.15.1 with numpy 2.4.6, jax 0.10.2, torch 2.13.0, tensorflow-cpu 2.21.0"
    operations = SHARED_AXES
    dtypes = tuple(MANTISSA)

    def __init__(self, seed: int | Mapping[int, int], *, backend: Backend) -> None:
        if backend not in SEEDS:
            raise ValueError(f"Keras: backend must be one of {', '.join(SEEDS)}, got {backend!r}")
        self.backend = backend
        self._seed = by_site("Keras", "seed", seed, lambda s: whole_number("Keras", "seed", s, *SEEDS[backend]))
        self._counter: Counter[int | None] = Counter()

    @staticmethod
    def seeds_after(seed: int, count: int) -> list[int]:
        """The seeds that objects without one take after `keras.utils.set_random_seed(seed)`, in their order.

        Each such dropout takes one as it is made, and so does each such initializer: the Dense layer before a dropout
        takes the one before.

        >>> Keras.seeds_after(7, 2)
        [347712783, 161973070]
        """
        source = random.Random(seed)
        return [source.randint(1, 10**9) for _ in range(count)]

    def draws_at(self, wanted: Wanted) -> bool:
        return 0 < wanted.p < 1  # the counter moves on even where there are no elements

    def draw(self, wanted: Wanted) -> np.ndarray:
        if self.backend == "jax" and wanted.dtype == "float64":
            self.refuse("float64 on jax, which needs its 64-bit mode", "float32, float16, bfloat16")
        seed, counter = self._seed(wanted.site), self._counter[wanted.site]
        self._counter[wanted.site] += 1
        return _DRAW[self.backend](seed, counter, wanted)

    def arithmetic(self, operation: str, p: float) -> Rule:
        return _RULES[self.backend](p)


def _numpy(seed: int, counter: int, wanted: Wanted) -> np.ndarray:
    words = np.random.PCG64([seed, counter]).random_raw(wanted.shape)
    return words >> np.uint64(11) < np.uint64(dyadic(1.0 - wanted.p, 53))


def _jax(seed: int, counter: int, wanted: Wanted) -> np.ndarray:
    number = np.arange(np.prod(wanted.shape, dtype=np.int64))  # (n,)
    first, second = threefry2x32((seed, counter), (number >> 32, number & 0xFFFFFFFF))
    keep = (first ^ second) >> np.uint32(9) < dyadic(rounded(1.0 - wanted.p, "float32"), 23)
    return keep.reshape(wanted.shape)


def _torch(seed: int, counter: int, wanted: Wanted) -> np.ndarray:
    words = Mersenne.seeded(seed + counter).draw(int(np.prod(wanted.shape)))  # (n,)
    keep = words & np.uint32(0xFFFFFF) < dyadic(rounded(1.0 - wanted.p, "float32"), 24)
    return keep.reshape(wanted.shape)


def _tensorflow(seed: int, counter: int, wanted: Wanted) -> np.ndarray:
    modulus = 2**31 - 2
    return TensorFlow((seed % modulus, counter % modulus)).draw(wanted)


_DRAW: dict[str, Callable[[int, int, Wanted], np.ndarray]] = {
    "numpy": _numpy,
    "jax": _jax,
    "torch": _torch,
    "tensorflow": _tensorflow,
}


def _by_rounded(p: float) -> Rule:
    """NumPy: divided by 1 - p as the dtype holds it."""

    def rule(xp: Any, x: Any, keep: Any, scale: Any, shift: Any, fill: Any) -> Any:
        return _quotient(float(x.dtype.type(1.0 - p)), xp, x, keep)

    return rule


def _by_unrounded(p: float) -> Rule:
    """PyTorch: divided by 1 - p in float32, and rounded."""

    def rule(xp: Any, x: Any, keep: Any, scale: Any, shift: Any, fill: Any) -> Any:
        return _quotient(1.0 - p, xp, x, keep)

    return rule


def _quotient(q: float, xp: Any, x: Any, keep: Any) -> Any:
    return xp.where(keep, quotient(x, q), x.dtype.type(0)) if q else xp.zeros_like(x)


def _reciprocal(p: float) -> Rule:
    """The scale is the reciprocal of 1 - p as the dtype holds it."""

    def rule(xp: Any, x: Any, keep: Any, scale: Any, shift: Any, fill: Any) -> Any:
        with np.errstate(over="ignore"):
            factor = 0.0 if p == 1 else x.dtype.type(1) / x.dtype.type(1.0 - p)
        return select(xp, x, keep, factor, shift, fill)

    return rule


_RULES: dict[str, Callable[[float], Rule]] = {
    "numpy": _by_rounded,
    "jax": _reciprocal,
    "torch": _by_unrounded,
    "tensorflow": rounded_scale,
}
