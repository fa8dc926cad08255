"""Words of a counter-based generator in order, and rates as a dtype holds them: what several libraries share."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from ..random.philox import philox4x32

# Bits after the point of a uniform number that fills the mantissa.
MANTISSA = {"float64": 52, "float32": 23, "float16": 10, "bfloat16": 7}


def philox_words(key: tuple[int, int], counter: int, n: int) -> np.ndarray:
    """The first n words of Philox4x32-10 from a 128-bit counter on: uint32, (n,).

    >>> [hex(word) for word in philox_words((0, 0), 0, 5)[:4]]
    ['0x6627e8d5', '0xe169c58d', '0xbc57ac4c', '0x9b00dbd8']
    """
    number = np.arange(-(-n // 4), dtype=np.uint64)  # (blocks,)
    low, high = np.uint64(counter & 2**64 - 1), np.uint64(counter >> 64 & 2**64 - 1)
    c01 = low + number
    c23 = high + (c01 < low)
    words = philox4x32((*_halves(c01), *_halves(c23)), key)
    return np.stack(words, axis=-1).astype(np.uint32).reshape(-1)[:n]


def _halves(word: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return word & np.uint64(0xFFFFFFFF), word >> np.uint64(32)


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


def whole_number(where: str, name: str, value: Any, low: int, high: int) -> int:
    """The whole number, which must lie in [low, high). Raises TypeError or ValueError."""
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{where}: {name} must be a whole number, got {value!r}")
    number = operator.index(value)
    if not low <= number < high:
        raise ValueError(f"{where}: {name} must lie in [{_power(low)}, {_power(high)}), got {number}")
    return number


def _power(bound: int) -> str:
    size = abs(bound)
    text = f"2^{size.bit_length() - 1}" if size > 1024 and size & (size - 1) == 0 else str(size)
    return f"-{text}" if bound < 0 else text
