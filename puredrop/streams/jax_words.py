"""The key implementations of JAX: how each makes, divides and reads its keys.

A key is a few 32-bit words. `draw(key, n, width)` gives n random numbers of `width` bits; number i depends on i alone,
but for Threefry in its original mode, which pairs counter i with counter i + n / 2.
Sources: jax/_src/random/threefry2x32.py, threefry4x32.py, philox2x32.py, philox4x32.py, rbg.py of jax 0.10.2.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from .philox import blocks_from, philox2x32, philox_blocks
from .threefry import threefry2x32, threefry4x32

Words: TypeAlias = tuple[int, ...]
UINT = {8: np.uint8, 16: np.uint16, 32: np.uint32, 64: np.uint64}


class Implementation(NamedTuple):
    """One of `jax.random.key(seed, impl=...)`.

    size: words of a key. seed(high, low) -> key. split(key, n) -> keys (n, size). fold_in(key, d) -> key.
    draw(key, n, width) -> (n,), unsigned numbers of that width.
    """

    size: int
    seed: Callable[[int, int], Words]
    split: Callable[[Words, int], np.ndarray]
    fold_in: Callable[[Words, int], Words]
    draw: Callable[[Words, int, int], np.ndarray]


def _counters(n: int) -> tuple[np.ndarray, np.ndarray]:
    """0 .. n - 1 as high and low words. (n,) each"""
    numbers = np.arange(n, dtype=np.uint64)
    return (numbers >> np.uint64(32)).astype(np.uint32), numbers.astype(np.uint32)


def _number(high: Any, low: Any, width: int) -> np.ndarray:
    """Numbers of a width out of pairs of words: both side by side for 64 bits, else their exclusive or's low bits."""
    if width == 64:
        return high.astype(np.uint64) << np.uint64(32) | low
    return (high ^ low).astype(UINT[width])


def _as_words(words: Any) -> Words:
    return tuple(int(np.squeeze(word)) for word in words)


def _threefry_seed(high: int, low: int) -> Words:
    return high, low


def _threefry_fold_in(key: Words, data: int) -> Words:
    return _as_words(threefry2x32((key[0], key[1]), (0, data)))


def _threefry_split(key: Words, n: int) -> np.ndarray:
    return np.stack(threefry2x32((key[0], key[1]), _counters(n)), axis=-1)  # (n, 2)


def _threefry_draw(key: Words, n: int, width: int) -> np.ndarray:
    return _number(*threefry2x32((key[0], key[1]), _counters(n)), width)


def _in_halves(key: Words, n: int) -> np.ndarray:
    """n words: counter i of the first half goes with counter i of the second, padded with a zero. (n,)"""
    half = (n + 1) // 2
    first = np.arange(half, dtype=np.uint32)
    second = first + np.uint32(half)
    second[n - half :] = 0
    return np.concatenate(threefry2x32((key[0], key[1]), (first, second)))[:n]


def _original_split(key: Words, n: int) -> np.ndarray:
    return _in_halves(key, 2 * n).reshape(n, 2)


def _original_draw(key: Words, n: int, width: int) -> np.ndarray:
    words = _in_halves(key, -(-n * width // 32))
    if width == 64:
        return _number(words[:n], words[n:], width)
    return words.astype("<u4", copy=False).view(UINT[width])[:n]


def _threefry4_seed(high: int, low: int) -> Words:
    return _as_words(threefry4x32((high, low, 0, 0), ([0], [0], [0], [0])))


def _threefry4_fold_in(key: Words, data: int) -> Words:
    return _as_words(threefry4x32(key, ([0], [0], [0], [data])))


def _threefry4_split(key: Words, n: int) -> np.ndarray:
    return np.stack(threefry4x32(key, (0, 0, *_counters(n))), axis=-1)  # (n, 4)


def _threefry4_draw(key: Words, n: int, width: int) -> np.ndarray:
    a, b, c, d = threefry4x32(key, (*_counters(n), 0, 0))
    return _number(a ^ c, b ^ d, width)


def _philox2_seed(high: int, low: int) -> Words:
    return _as_words(philox2x32(0, ([high], [low]))[:1])


def _philox2_fold_in(key: Words, data: int) -> Words:
    return _as_words(philox2x32(key[0], ([0], [data]))[:1])


def _philox2_split(key: Words, n: int) -> np.ndarray:
    return philox2x32(key[0], _counters(n))[0][:, None]  # (n, 1)


def _philox2_draw(key: Words, n: int, width: int) -> np.ndarray:
    return _number(*philox2x32(key[0], _counters(n)), width)


def _philox4_seed(high: int, low: int) -> Words:
    return _as_words(philox_blocks((0, 0), (high, low, 0, 0))[:2])


def _philox4_fold_in(key: Words, data: int) -> Words:
    return _as_words(philox_blocks((key[0], key[1]), (0, 0, 0, data))[:2])


def _philox4_split(key: Words, n: int) -> np.ndarray:
    return philox_blocks((key[0], key[1]), (0, 0, *_counters(n)))[:, :2]


def _philox4_draw(key: Words, n: int, width: int) -> np.ndarray:
    a, b, c, d = philox_blocks((key[0], key[1]), (*_counters(n), 0, 0)).T  # (n,) each
    return _number(a, b, width) if width == 64 else _number(a ^ c, b ^ d, width)


def _rbg_blocks(key: Words, count: int) -> np.ndarray:
    """XLA's RngBitGenerator: Philox, whose counter begins with the second half of the key. (count, 4)"""
    start = sum(word << shift for word, shift in zip((key[2], key[3], key[0], key[1]), (0, 32, 64, 96), strict=True))
    return blocks_from((key[0], key[1]), start, count)


def _rbg_seed(high: int, low: int) -> Words:
    return high, low, high, low


def _rbg_fold_in(key: Words, data: int) -> Words:
    return _threefry_fold_in(key[:2], data) + _threefry_fold_in(key[2:], data)


def _rbg_split(split: Callable[[Words, int], np.ndarray], key: Words, n: int) -> np.ndarray:
    return np.concatenate([split(key[:2], n), split(key[2:], n)], axis=-1)  # (n, 4)


def _rbg_draw(key: Words, n: int, width: int) -> np.ndarray:
    words = _rbg_blocks(key, -(-n * max(1, width // 32) // 4)).reshape(-1)
    if width == 64:
        return _number(words[1::2], words[::2], width)[:n]
    return words[:n].astype(UINT[width])


def _unsafe_fold_in(key: Words, data: int) -> Words:
    return tuple(word ^ int(other) for word, other in zip(key, _rbg_blocks((0, data, 0, data), 10)[9], strict=True))


def _unsafe_split(key: Words, n: int) -> np.ndarray:
    return _rbg_blocks(key, 10 * n)[::10]


_THREEFRY = Implementation(2, _threefry_seed, _threefry_split, _threefry_fold_in, _threefry_draw)
_RBG = Implementation(4, _rbg_seed, partial(_rbg_split, _threefry_split), _rbg_fold_in, _rbg_draw)
PARTITIONABLE = MappingProxyType(
    {
        "threefry2x32": _THREEFRY,
        "threefry4x32": Implementation(4, _threefry4_seed, _threefry4_split, _threefry4_fold_in, _threefry4_draw),
        "philox2x32": Implementation(1, _philox2_seed, _philox2_split, _philox2_fold_in, _philox2_draw),
        "philox4x32": Implementation(2, _philox4_seed, _philox4_split, _philox4_fold_in, _philox4_draw),
        "rbg": _RBG,
        "unsafe_rbg": _RBG._replace(split=_unsafe_split, fold_in=_unsafe_fold_in),
    }
)
# With `jax_threefry_partitionable` off: Threefry, and what divides its keys by it.
ORIGINAL = MappingProxyType(
    {
        **PARTITIONABLE,
        "threefry2x32": _THREEFRY._replace(split=_original_split, draw=_original_draw),
        "rbg": _RBG._replace(split=partial(_rbg_split, _original_split)),
    }
)
