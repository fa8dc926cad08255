"""First numbers of parameters, drawn from a key so that they too are a pure function of (key, element index)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from ..random import INITIALISATION, Index, Key, bernoulli

Initialiser: TypeAlias = Callable[[Key, tuple[int, ...]], np.ndarray]


def zeros(key: Key, shape: tuple[int, ...]) -> np.ndarray:
    """All zeros."""
    return np.zeros(shape)


def ones(key: Key, shape: tuple[int, ...]) -> np.ndarray:
    """All ones."""
    return np.ones(shape)


class Uniform:
    """Uniform on [-bound, bound]."""

    def __init__(self, bound: float) -> None:
        self.bound = bound

    def __call__(self, key: Key, shape: tuple[int, ...]) -> np.ndarray:
        return (2 * bernoulli.uniform(key, Index.whole(shape), INITIALISATION) - 1) * self.bound


class Normal:
    """Normal with mean 0 and standard deviation `std`."""

    def __init__(self, std: float) -> None:
        self.std = std

    def __call__(self, key: Key, shape: tuple[int, ...]) -> np.ndarray:
        return bernoulli.normal(key, Index.whole(shape), INITIALISATION) * self.std


def fan_in_uniform(fan_in: int) -> Uniform:
    """Uniform on 1 / sqrt(fan_in) either side: what PyTorch's Linear uses for weight and bias."""
    return Uniform(1 / math.sqrt(fan_in) if fan_in else 0.0)


def he_normal(fan_in: int) -> Normal:
    """Normal with variance 2 / fan_in, which keeps the variance through ReLU (He et al. 2015)."""
    return Normal(math.sqrt(2 / fan_in))


def glorot_uniform(fan_in: int, fan_out: int) -> Uniform:
    """Uniform with variance 2 / (fan_in + fan_out) (Glorot & Bengio 2010)."""
    return Uniform(math.sqrt(6 / (fan_in + fan_out)))
