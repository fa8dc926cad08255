"""The masks of TensorFlow: stateless dropout, and the older one with a state."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any, Protocol, TypeAlias

import numpy as np

from ..backends.select import select
from ..random.philox import philox4x32
from .numbers import MANTISSA, rounded, scale_in, whole_number
from .philox import blocks_from
from .site import by_site
from .source import Rule
from .stream import SHARED_AXES, Stream, Wanted
from .thresholds import dyadic

Pair: TypeAlias = tuple[int, int]
MODULUS = 2**31 - 1  # of global and operation seeds


class Address(Protocol):
    """Where the next mask of `n` elements begins: (key, counter) of Philox. Moves on."""

    def __call__(self, wanted: Wanted, n: int) -> tuple[Pair, int]: ...


class TensorFlow(Stream):
    """The masks of `tf.nn.experimental.stateless_dropout` and of the eager `tf.nn.dropout`, on a CPU.

    seed: a pair for stateless dropout, which draws the same mask every time, or {site: pair} for the layers of a
    network; or one number, that of `tf.random.set_seed`, for `tf.nn.dropout`. Then op_seed is its `seed=`, one number
    or {site: number}; without it each call takes the next operation seed from Python's `random.Random(seed)`.
    xla: as under `jit_compile=True`, where seeds lose all but their low 32 bits and other bits of a word are taken.

    Philox4x32-10; the numerator m of element i, in C order, is the low 23 bits of word i (float64: 52 bits of two
    words, float16 10, bfloat16 7; XLA takes the high 23 for float32 and bfloat16), kept where m >= rate 2^23 with the
    rate rounded to the dtype. A stateless pair is scrambled into key and counter; a pair (global, operation) seed is
    the key and the counter's high half, and each call for n elements moves the counter of that seed and dtype on by
    256 n. Values are where(keep, x * scale, 0), with the scale rounded to the dtype.
    Not covered: `tf.nn.dropout` in XLA or unseeded in a `tf.function` (other operation seeds), GPUs, p = 1 (an error in
    TensorFlow). In eager mode `tf.nn.dropout` with rate 0 takes an operation seed too; a network here does not ask a
    source for p = 0, so leave such layers out when no op_seed is given.
    Sources: random_op_cpu.h, stateless_random_ops_v2_util.h, guarded_philox_random.cc of TensorFlow.

    >>> TensorFlow((1, 2)).mask((2, 6), p=0.5).astype(int)
    array([[1, 0, 1, 0, 0, 1],
           [0, 0, 0, 0, 0, 0]])
    """

    library = "tensorflow"
    verified = "tensorflow-cpu 2.21.0"
    operations = SHARED_AXES
    dtypes = tuple(MANTISSA)

    def __init__(
        self,
        seed: int | Pair | Mapping[int, Pair],
        op_seed: int | Mapping[int, int] | None = None,
        *,
        xla: bool = False,
    ) -> None:
        self.xla = bool(xla)
        if not isinstance(seed, (Mapping, tuple, list)):
            if xla:
                self.refuse("tf.nn.dropout under XLA", "a pair of seeds there; one seed without xla")
            self._address: Address = _Stateful(_any_whole("seed", seed), op_seed)
        elif op_seed is not None:
            raise ValueError("TensorFlow: op_seed goes with one seed; a pair of seeds is complete")
        else:
            pair = by_site("TensorFlow", "seed", seed, _checked_pair)
            self._address = lambda wanted, n: scrambled(pair(wanted.site), self.xla)

    def draws_at(self, wanted: Wanted) -> bool:
        if wanted.p == 1:
            self.refuse("p = 1, at which TensorFlow raises", "0 <= p < 1")
        return isinstance(self._address, _Stateful) or super().draws_at(wanted)  # an operation seed is taken anyway

    def draw(self, wanted: Wanted) -> np.ndarray:
        n = int(np.prod(wanted.shape))
        key, counter = self._address(wanted, n if wanted.p else 0)
        m, bits = numerators(key, counter, n, wanted.dtype, self.xla)
        return (m >= dyadic(rounded(wanted.p, wanted.dtype), bits)).reshape(wanted.shape)

    def arithmetic(self, operation: str, p: float) -> Rule:
        return rounded_scale(p)


def rounded_scale(p: float) -> Rule:
    """where(keep, x * scale, 0), with the scale 1 / (1 - p) rounded to the dtype of x."""

    def rule(xp: Any, x: Any, keep: Any, scale: Any, shift: Any, fill: Any) -> Any:
        return select(xp, x, keep, scale_in(x.dtype, p), shift, fill)

    return rule


def numerators(key: Pair, counter: int, n: int, dtype: str, xla: bool) -> tuple[np.ndarray, int]:
    """Whole numbers m, (n,), and bits, with m / 2^bits the uniform number that TensorFlow draws."""
    bits = MANTISSA[dtype]
    if dtype == "float64":
        return _wide(_words(key, counter, 2 * n).reshape(n, 2).astype(np.uint64), xla), bits
    words = _words(key, counter, n)
    if xla and dtype != "float16":  # a bfloat16 is a float32 cut off, which compares with the rate as the float32 does
        return words >> np.uint32(9), 23
    return words & np.uint32((1 << bits) - 1), bits


def _wide(words: np.ndarray, xla: bool) -> np.ndarray:
    first, second = words.T  # (n,) each
    if xla:
        return (second << np.uint64(32) | first) >> np.uint64(12)
    return (first & np.uint64(0xFFFFF)) << np.uint64(32) | second


def _words(key: Pair, counter: int, n: int) -> np.ndarray:
    """The first n words from a counter on. (n,) uint32"""
    return blocks_from(key, counter, -(-n // 4)).reshape(-1)[:n]


def scrambled(pair: Pair, xla: bool) -> tuple[Pair, int]:
    """Key and counter of a pair of seeds: one block of Philox."""
    words = [word & (2**32 - 1 if xla else 2**64 - 1) for word in pair]
    halves = [half for word in words for half in (word & 0xFFFFFFFF, word >> 32)]
    k0, k1, c2, c3 = map(int, philox4x32(tuple(halves), (0x3EC8F720, 0x02461E29)))
    return (k0, k1), c2 << 64 | c3 << 96


class _Stateful:
    """The state of eager `tf.nn.dropout`: one counter for each operation seed and dtype."""

    def __init__(self, seed: int, op_seed: int | Mapping[int, int] | None) -> None:
        self._global = seed % MODULUS
        self._random = random.Random(seed) if op_seed is None else None
        self._given = by_site("TensorFlow", "op_seed", op_seed or 0, lambda s: _any_whole("op_seed", s))
        self._blocks: dict[tuple[int, str], int] = {}

    def __call__(self, wanted: Wanted, n: int) -> tuple[Pair, int]:
        op = (self._random.randint(0, MODULUS) if self._random else self._given(wanted.site)) % MODULUS
        op = MODULUS if (self._global, op) == (0, 0) else op
        first = self._blocks.get((op, wanted.dtype), 0)
        self._blocks[op, wanted.dtype] = first + 256 * n
        return (self._global, 0), (op << 64) + first


def _any_whole(name: str, value: Any) -> int:
    return whole_number("TensorFlow", name, value, -(2**63), 2**63)


def _checked_pair(pair: Any) -> Pair:
    if not isinstance(pair, (tuple, list)) or len(pair) != 2:
        raise TypeError(f"TensorFlow: a stateless seed is a pair of whole numbers, got {pair!r}")
    return _any_whole("seed", pair[0]), _any_whole("seed", pair[1])
