"""Numbers as a dtype holds them, and whole numbers at the door: what several streams share."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

# Bits after the point of a uniform number that fills the mantissa.
MANTISSA = {"float64": 52, "float32": 23, "float16": 10, "bfloat16": 7}


def rounded(value: float, dtype: str) -> float:
    """The number of that dtype nearest to `value`, ties to even; bfloat16 by way of float32.

    >>> rounded(0.1, "float32"), rounded(0.1, "bfloat16"), rounded(1e-8, "float16")
    (0.10000000149011612, 0.10009765625, 0.0)
    """
    if dtype != "bfloat16":
        return float(np.dtype(dtype).type(value))
    bits = int(np.float32(value).view(np.uint32))
    bits += 0x7FFF + (bits >> 16 & 1)
    return float(np.uint32(bits >> 16 << 16).view(np.float32))


def scale_in(dtype: Any, p: float) -> Any:
    """1 / (1 - p), rounded to the dtype: infinite where it overflows, 0 at p = 1."""
    with np.errstate(over="ignore"):
        return np.dtype(dtype).type(1 / (1 - p) if p < 1 else 0.0)


def whole_number(where: str, name: str, value: Any, low: int, high: int) -> int:
    """The whole number, which must lie in [low, high). Raises TypeError or ValueError."""
    if isinstance(value, (bool, np.bool_)) or not hasattr(value, "__index__"):
        raise TypeError(f"{where}: {name} must be a whole number, got {value!r}")
    number = operator.index(value)
    if not low <= number < high:
        raise ValueError(f"{where}: {name} must lie in [{_power(low)}, {_power(high)}), got {number}")
    return number


def torch_seed(where: str, seed: Any) -> int:
    """The seed as PyTorch's generators keep it, modulo 2^64. Raises TypeError or ValueError for another."""
    return whole_number(where, "seed", seed, -(2**63), 2**64) % 2**64


def _power(bound: int) -> str:
    size = abs(bound)
    text = f"2^{size.bit_length() - 1}" if size > 1024 and size & (size - 1) == 0 else str(size)
    return f"-{text}" if bound < 0 else text
