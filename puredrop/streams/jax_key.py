"""The keys of JAX as values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from .jax_words import ORIGINAL, PARTITIONABLE, Implementation, Words
from .numbers import MANTISSA, rounded, whole_number
from .thresholds import dyadic

WIDTH = {"float64": 64, "float32": 32, "float16": 16, "bfloat16": 8}  # random bits that a uniform number takes


class JAXKey:
    """A key of `jax.random`, and what that draws with it. Immutable; equal keys give equal numbers, time and again.

    seed: that of `jax.random.key`, a whole number in [-2^63, 2^63); or the words of a key, as `jax.random.key_data`
    and `jax.random.PRNGKey` give them.
    impl: threefry2x32, threefry4x32, philox2x32, philox4x32, rbg or unsafe_rbg. The last two are XLA's own generator;
    known is the one of its CPU. partitionable: `jax_threefry_partitionable`, JAX's default. x64: `jax_enable_x64`, with
    which a seed has 64 bits instead of 32, and a probability that is a Python number is a float64.
    Verified with jax 0.10.2. Reference: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3" (2011).
    Raises: ValueError for an unknown implementation, a seed out of range, or words that are no key; TypeError.

    >>> key = JAXKey(0)                                          # jax.random.key(0)
    >>> key.fold_in(7), key.split()[1]
    (JAXKey([2716826189, 292468403]), JAXKey([928981903, 3453687069]))
    >>> key.bernoulli(0.5, 8).astype(int)
    array([0, 0, 1, 1, 0, 1, 1, 0])
    """

    __slots__ = ("_implementation", "impl", "partitionable", "words", "x64")

    _implementation: Implementation
    impl: str
    partitionable: bool
    x64: bool
    words: Words

    def __init__(self, seed: Any, *, impl: str = "threefry2x32", partitionable: bool = True, x64: bool = False) -> None:
        if impl not in PARTITIONABLE:
            raise ValueError(f"JAXKey: unknown key implementation {impl!r}; known are {', '.join(PARTITIONABLE)}")
        implementation = (PARTITIONABLE if partitionable else ORIGINAL)[impl]
        words = (
            _given_words(seed, impl, implementation.size) if np.ndim(seed) else implementation.seed(*_halves(seed, x64))
        )
        values = implementation, impl, bool(partitionable), words, bool(x64)
        for name, value in zip(self.__slots__, values, strict=True):
            object.__setattr__(self, name, value)

    def split(self, n: int = 2) -> tuple[JAXKey, ...]:
        """`jax.random.split`: n keys."""
        n = whole_number("JAXKey.split", "n", n, 0, 2**32)
        return tuple(self._with(map(int, words)) for words in self._implementation.split(self.words, n))

    def fold_in(self, data: int) -> JAXKey:
        """`jax.random.fold_in`: the key for this number, in [0, 2^32)."""
        data = whole_number("JAXKey.fold_in", "data", data, 0, 2**32)
        return self._with(self._implementation.fold_in(self.words, data))

    def bits(self, shape: int | Sequence[int] = (), dtype: Any = None) -> np.ndarray:
        """`jax.random.bits`: whole numbers of an unsigned dtype, by default uint32 (uint64 with x64)."""
        dtype = np.dtype(dtype or (np.uint64 if self.x64 else np.uint32))
        if dtype.kind != "u":
            raise TypeError(f"JAXKey.bits: dtype must be an unsigned one, got {dtype}")
        self._require(dtype.name)
        return self._draw(_shape(shape), 8 * dtype.itemsize)

    def uniform(self, shape: int | Sequence[int] = (), dtype: Any = None) -> np.ndarray:
        """`jax.random.uniform` on [0, 1): m 2^-k with the k bits of the mantissa, those of the top of a draw."""
        name = self._dtype(dtype)
        if name == "bfloat16":
            raise TypeError("JAXKey.uniform: NumPy has no bfloat16; bernoulli takes it")
        numerators, bits = self._numerators(_shape(shape), name)
        return np.ldexp(numerators.astype(name), -bits)

    def bernoulli(self, p: float = 0.5, shape: int | Sequence[int] = (), dtype: Any = None) -> np.ndarray:
        """`jax.random.bernoulli(key, p, shape)`: True with probability p, where a uniform number is below p.

        dtype: that of p, a float: by default float32 (float64 with x64), which is what a Python number is to JAX. It
        decides how many random bits are drawn: p is met to 2^-23, 2^-52, in float16 2^-10, in bfloat16 2^-7.
        """
        if not 0 <= p <= 1:
            raise ValueError(f"JAXKey.bernoulli: p must lie in [0, 1], got {p}")
        name = self._dtype(dtype)
        numerators, bits = self._numerators(_shape(shape), name)
        return numerators < dyadic(rounded(p, name), bits)

    def _numerators(self, shape: tuple[int, ...], dtype: str) -> tuple[np.ndarray, int]:
        """The upper bits of a draw, as many as the mantissa of the dtype has; and how many these are."""
        width, bits = WIDTH[dtype], MANTISSA[dtype]
        draws = self._draw(shape, width)
        return draws >> draws.dtype.type(width - bits), bits

    def _draw(self, shape: tuple[int, ...], width: int) -> np.ndarray:
        return self._implementation.draw(self.words, math.prod(shape), width).reshape(shape)

    def _dtype(self, dtype: Any) -> str:
        default = "float64" if self.x64 else "float32"
        name = default if dtype is None else dtype if isinstance(dtype, str) else np.dtype(dtype).name
        if name not in WIDTH:
            raise TypeError(f"JAXKey: dtype must be one of {', '.join(WIDTH)}, got {name}")
        self._require(name)
        return name

    def _require(self, dtype: str) -> None:
        if dtype.endswith("64") and not self.x64:
            raise ValueError(f"JAXKey: JAX has {dtype} in its 64-bit mode only; give the key x64=True")

    def _with(self, words: Any) -> JAXKey:
        other = object.__new__(JAXKey)
        for name in self.__slots__:
            object.__setattr__(other, name, getattr(self, name))
        object.__setattr__(other, "words", tuple(words))
        return other

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"JAXKey: a key is a value, {name} cannot be set")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, JAXKey) and self._value() == other._value()

    def __hash__(self) -> int:
        return hash(self._value())

    def _value(self) -> tuple[Any, ...]:
        return self.words, self.impl, self.partitionable, self.x64

    def __repr__(self) -> str:
        options = "" if self.impl == "threefry2x32" else f", impl={self.impl!r}"
        options += "" if self.partitionable else ", partitionable=False"
        return f"JAXKey({list(self.words)}{options}{', x64=True' if self.x64 else ''})"


def _shape(shape: int | Sequence[int]) -> tuple[int, ...]:
    return (shape,) if isinstance(shape, int) else tuple(map(int, shape))


def _halves(seed: Any, x64: bool) -> tuple[int, int]:
    """The upper and lower words of a seed, of which JAX keeps 32 bits unless it is in its 64-bit mode."""
    number = whole_number("JAXKey", "seed", seed, -(2**63), 2**63)
    return number >> 32 & 0xFFFFFFFF if x64 else 0, number & 0xFFFFFFFF


def _given_words(data: Any, impl: str, size: int) -> Words:
    words = np.asarray(data)
    if words.shape != (size,) or words.dtype.kind not in "iu" or (words < 0).any() or (words >= 2**32).any():
        raise ValueError(
            f"JAXKey: a key of {impl} has {size} words in [0, 2^32), got {words.dtype} of shape {words.shape}; "
            f"write jax.random.key_data(key)"
        )
    return tuple(map(int, words))
