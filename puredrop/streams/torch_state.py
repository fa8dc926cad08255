"""The state of PyTorch's CPU generator as `torch.get_rng_state()` gives it: 5,056 bytes, little endian.

Seed (8 bytes), `left` (4), whether it is seeded (4), `next` (8), the 624 words of the Mersenne twister, 8 bytes each,
and 40 bytes with normal numbers that wait to be used. left = 1 says that the words are used up; next is then 624, or 0
right after seeding. Source: PyTorch 2.13, aten/src/ATen/CPUGeneratorImpl.cpp and core/MT19937RNGEngine.h.
"""

from __future__ import annotations

import struct
from typing import Any, NamedTuple

import numpy as np

from .mersenne import SIZE, Mersenne

HEAD = struct.Struct("<QiiQ")
TAIL = 40  # bytes
BYTES = HEAD.size + 8 * SIZE + TAIL


class State(NamedTuple):
    """What the bytes say. fresh: nothing was drawn since seeding. normals: kept as they are; masks do not use them."""

    seed: int
    words: Mersenne
    fresh: bool = True
    normals: bytes = bytes(TAIL)


def unpacked(blob: Any) -> State:
    """The state behind bytes, or an array of uint8. Raises TypeError, ValueError for what no CPU generator gave."""
    data = _as_bytes(blob)
    if len(data) != BYTES:
        raise ValueError(
            f"TorchCPU.from_state: expected the {BYTES} bytes of torch.get_rng_state(), got {len(data)}; the state of "
            f"a generator on another device has another size"
        )
    seed, left, seeded, following = HEAD.unpack_from(data)
    words = np.frombuffer(data, "<u8", SIZE, HEAD.size)
    if seeded != 1:
        raise ValueError("TorchCPU.from_state: this generator was never seeded, or these bytes are no generator's")
    if not 1 <= left <= SIZE or following not in ({0, SIZE} if left == 1 else {SIZE + 1 - left}):
        raise ValueError(
            f"TorchCPU.from_state: left = {left} and next = {following} cannot be; these bytes are no CPU generator's"
        )
    if (words >> np.uint64(32)).any() or not words.any():
        raise ValueError("TorchCPU.from_state: the words are not those of a Mersenne twister of 32 bits")
    position = SIZE if left == 1 else following
    fresh = left == 1 and following == 0
    return State(seed, Mersenne(words.astype(np.uint32), position), fresh, data[-TAIL:])


def packed(state: State) -> np.ndarray:
    """The bytes of a state. (5056,) uint8"""
    position = state.words.position
    following = 0 if state.fresh else position
    left = SIZE + 1 - position
    head = HEAD.pack(state.seed, left, 1, following)
    return np.frombuffer(head + state.words.words.astype("<u8").tobytes() + state.normals, np.uint8).copy()


def _as_bytes(blob: Any) -> bytes:
    if isinstance(blob, (bytes, bytearray, memoryview)):
        return bytes(blob)
    array = np.asarray(blob)
    if array.dtype != np.uint8 or array.ndim != 1:
        raise TypeError(
            f"TorchCPU.from_state: expected bytes, or an array of uint8 with one axis, as torch.get_rng_state() gives "
            f"them, got {array.dtype} of shape {array.shape}"
        )
    return array.tobytes()
