"""Which random words the elements of an array get from PyTorch's CUDA kernels.

curand_init(seed, thread, offset) and curand4: the k-th block of a thread is Philox4x32-10 at the counter
(offset / 4 + k, thread), 64 bits each, with the seed as key.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from .philox import philox_blocks
from .thresholds import first_false

BLOCK = 256  # threads


def threads_over(n: int, most: int, per_thread: int = 1) -> int:
    """The threads of a kernel over n elements, on a device that holds `most` blocks at a time."""
    return BLOCK * min(-(-n // (BLOCK * per_thread)), most)


def calls_over(n: int, threads: int, unroll: int) -> int:
    """How often a thread is reckoned to call the generator, for `unroll` elements at each call."""
    return (n - 1) // (threads * unroll) + 1


def thread_blocks(seed: int, first: int, calls: int, threads: int) -> np.ndarray:
    """The blocks of all threads at `calls` calls, from call number `first` on. (calls, threads, 4) uint32"""
    call = (np.arange(calls, dtype=np.uint64) + np.uint64(first))[:, None]  # (calls, 1)
    thread = np.arange(threads, dtype=np.uint64)  # (threads,)
    low, half = np.uint64(0xFFFFFFFF), np.uint64(32)
    return philox_blocks((seed & 0xFFFFFFFF, seed >> 32), (call & low, call >> half, thread, 0))


def fused_numerators(seed: int, first: int, threads: int, n: int, width: int) -> np.ndarray:
    """The word of each element, in the order of memory, in the fused kernel with vectors of `width`. (n,) uint32

    A thread that takes 2 elements leaves two words of its block unused; one that takes 8 calls twice, though only one
    call is reckoned with where the offset is reserved.
    """
    if width == 1:
        return plain_numerators(seed, first, threads, n, 4)
    rounds = -(-n // (threads * width))
    threads = min(threads, -(-n // width))  # no more than these have elements
    calls = max(1, width // 4)
    blocks = thread_blocks(seed, first, rounds * calls, threads)  # (rounds calls, threads, 4)
    words = blocks[:, :, : width // calls].reshape(rounds, calls, threads, width // calls)
    return words.swapaxes(1, 2).reshape(-1)[:n]


def plain_numerators(seed: int, first: int, threads: int, n: int, unroll: int) -> np.ndarray:
    """The number of each element where a thread's numbers lie a grid apart. (n,)

    unroll 4: the words, uint32. unroll 2: two words to a number of 53 bits, uint64.
    """
    blocks = thread_blocks(seed, first, calls_over(n, threads, unroll), threads)  # (calls, threads, 4)
    if unroll == 2:
        x, y = blocks[..., 0::2].astype(np.uint64), blocks[..., 1::2].astype(np.uint64)  # (calls, threads, 2)
        blocks = x ^ y << np.uint64(21)
    return blocks.swapaxes(1, 2).reshape(-1)[:n]


def below(q: float, dtype: str, number: Literal["word", "pair"]) -> int:
    """The threshold t: a number m is below q exactly where m < t.

    A word stands for m 2^-32 + 2^-33 in float32, which float64 data compare with q in float64; a pair for
    m 2^-53 + 2^-54 in float64.

    >>> below(0.5, "float32", "word") == 2**31 - 64, below(0.5, "float64", "pair") == 2**52
    (True, True)
    """
    if number == "pair":
        return first_false(lambda m: np.float64(m) * 2.0**-53 + 2.0**-54 < q, 1 << 53)
    limit = np.float64(q) if dtype == "float64" else np.float32(q)
    step, half = np.float32(2.0**-32), np.float32(2.0**-33)
    return first_false(lambda m: bool(np.float32(m) * step + half < limit), 1 << 32)
