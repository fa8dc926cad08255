"""PyTorch's masks on a CUDA device, derived from its sources."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from . import torch_values
from .cuda_words import BLOCK, below, calls_over, fused_numerators, plain_numerators, threads_over
from .memory_order import in_memory_order, is_dense
from .numbers import torch_seed, whole_number
from .source import Rule
from .stream import PER_CHANNEL, Stream, Wanted, contiguous

BYTES = {"float32": 4, "float64": 8, "float16": 2, "bfloat16": 2}
THREADS_PER_SM = (1024, 1536, 2048)  # of all compute capabilities so far


class TorchCUDA(Stream):
    """The masks that PyTorch draws on a CUDA device after `torch.cuda.manual_seed(seed)`, one after the other.

    Verified with PyTorch 2.11 on an H100 and an H200; on other GPUs, by outputs of three that others have published.

    Philox4x32-10 with the seed as key; a thread's counter is (its number, offset / 4 + its call), and each mask moves
    `offset` on by what it reserves. `dropout` runs the fused kernel: threads read vectors of `width` elements, and a
    thread's words go to the elements of its vectors. Where the width is 1, and in the other kernel (`bernoulli_`: of
    `dropout_`, which is `F.dropout(x, inplace=True)`, of the dropouts of channels and of the alpha dropouts), a
    thread's words go to elements that lie a whole grid apart. Kept where the word's number is below 1 - p.

    sm_count, threads_per_sm: of the device (`torch.cuda.get_device_properties`: multi_processor_count and
    max_threads_per_multi_processor); they matter from the element on that a full grid does not reach.
    wide_vectors: 16 bytes in one access (PyTorch 2.7 and later), or 4 elements (before). grid_by_unroll: a change of
    the grid of `bernoulli_` that was proposed for PyTorch (pull request 194828). alignment: the largest power of two
    that divides the address of the data, an attribute that may be set between masks; 512 for an array of its own.
    Not covered: attention (the flash and memory-efficient kernels have other generators), the RNNs of cuDNN, compiled
    functions, 2^31 elements and more, values of the alpha dropouts in 16 bits.
    Sources: PyTorch 2.13, aten/src/ATen/native/cuda/Dropout.cu and DistributionTemplates.h; cuRAND's device headers.
    Raises: TypeError, ValueError for a seed, an offset or a device that cannot be.

    >>> stream = TorchCUDA(1, sm_count=80, threads_per_sm=1536)       # a GeForce RTX 4080 SUPER
    >>> np.flatnonzero(~stream.mask(2_097_152, p=0.1))[[0, 1, 2, -3, -2, -1]]
    array([      8,      14,      20, 2097121, 2097140, 2097151])
    """

    library = "torch.cuda"
    verified = "torch 2.11.0 on an H100 and an H200"
    operations = ("dropout", "dropout_", "alpha_dropout", *PER_CHANNEL)
    dtypes = tuple(BYTES)

    def __init__(
        self,
        seed: int,
        offset: int = 0,
        *,
        sm_count: int,
        threads_per_sm: int,
        wide_vectors: bool = True,
        grid_by_unroll: bool = False,
        alignment: int = 512,
    ) -> None:
        self.seed = torch_seed("TorchCUDA", seed)
        self.offset = whole_number("TorchCUDA", "offset", offset, 0, 2**64)
        if offset % 4:
            raise ValueError(f"TorchCUDA: PyTorch's offsets are multiples of 4, got {offset}")
        sm_count = whole_number("TorchCUDA", "sm_count", sm_count, 1, 1024)
        if threads_per_sm not in THREADS_PER_SM:
            known = ", ".join(map(str, THREADS_PER_SM))
            raise ValueError(f"TorchCUDA: threads_per_sm of a device is one of {known}, got {threads_per_sm!r}")
        self._blocks = sm_count * (threads_per_sm // BLOCK)
        self.wide_vectors, self.grid_by_unroll = bool(wide_vectors), bool(grid_by_unroll)
        self.alignment = alignment
        self.width(1, "float32")  # checks it

    def width(self, n: int, dtype: str, dense: bool = True) -> int:
        """How many elements a thread of the fused kernel takes at once: 8, 4, 2 or 1.

        >>> stream = TorchCUDA(0, sm_count=132, threads_per_sm=2048)
        >>> [stream.width(n, "float32") for n in (1000, 1001, 1002)], stream.width(1000, "bfloat16")
        ([4, 1, 2], 8)
        """
        alignment = whole_number("TorchCUDA", "alignment", self.alignment, 1, 2**63)
        if alignment & (alignment - 1):
            raise ValueError(f"TorchCUDA: alignment must be a power of two, got {alignment}")
        width = 16 // BYTES[dtype] if self.wide_vectors else 4
        while width > 1 and (alignment % (width * BYTES[dtype]) or n % width):
            width //= 2
        return width if dense else 1

    def draw(self, wanted: Wanted) -> np.ndarray:
        n = math.prod(wanted.shape)
        if math.prod(wanted.data) >= 2**31:
            self.refuse("2^31 elements and more", "less than 2^31 elements")
        if wanted.operation == "dropout":
            return self._fused(n, wanted)
        strides = wanted.strides if wanted.shape == wanted.data else contiguous(wanted.shape)
        return in_memory_order(self._bernoulli(n, 1.0 - wanted.p, wanted.dtype), wanted.shape, strides)

    def bernoulli_(self, n: int, q: float, dtype: str = "float32") -> np.ndarray:
        """Where `torch.empty(n, dtype=dtype, device="cuda").bernoulli_(q)` becomes 1: bool, (n,).

        >>> TorchCUDA(0, sm_count=132, threads_per_sm=2048).bernoulli_(4, 0.5).tolist()
        [True, False, True, False]
        """
        return self._bernoulli(n, q, dtype)

    def _fused(self, n: int, wanted: Wanted) -> np.ndarray:
        if wanted.shape != wanted.data:
            self.refuse("dropout with shared axes", "noise of the shape of the data")
        width = self.width(n, wanted.dtype, is_dense(wanted.data, wanted.strides))
        threads = threads_over(n, self._blocks)
        words = fused_numerators(self.seed, self._reserved(calls_over(n, threads, 4)), threads, n, width)
        keep = words < np.uint64(below(1.0 - wanted.p, wanted.dtype, "word"))
        return keep.reshape(wanted.shape) if width == 1 else in_memory_order(keep, wanted.shape, wanted.strides)

    def _bernoulli(self, n: int, q: float, dtype: str) -> np.ndarray:
        unroll = 2 if dtype == "float64" else 4
        threads = threads_over(n, self._blocks, unroll if self.grid_by_unroll else 1)
        numbers = plain_numerators(self.seed, self._reserved(calls_over(n, threads, unroll)), threads, n, unroll)
        return numbers < np.uint64(below(q, dtype, "pair" if unroll == 2 else "word"))

    def _reserved(self, calls: int) -> int:
        """The number of the first call of a kernel that reserves so many; moves on."""
        first = self.offset // 4
        self.offset = (self.offset + 4 * calls) % 2**64
        return first

    def arithmetic(self, operation: str, p: float) -> Rule:
        if operation == "dropout":
            return _fused_values(p)
        if "alpha" not in operation:
            return torch_values.inverted(p)
        rule = torch_values.saturating(p)

        def checked(xp: Any, x: Any, *rest: Any) -> Any:
            if x.dtype.itemsize == 2:
                self.refuse(f"values of {operation} in {x.dtype}", "float32 and float64")
            return rule(xp, x, *rest)

        return checked


def _fused_values(p: float) -> Rule:
    """x * keep * scale, in float32 (float64 for float64), rounded once; the scale is of 1 - p in that precision."""

    def rule(xp: Any, x: Any, keep: Any, scale: Any, shift: Any, fill: Any) -> Any:
        wide = np.promote_types(x.dtype, np.float32)
        if p == 1:
            return torch_values.product(x, torch_values.zero_like(x))
        factor = wide.type(1.0 / float(wide.type(1.0 - p)))
        with np.errstate(invalid="ignore", over="ignore"):
            return (x.astype(wide) * keep * factor).astype(x.dtype)

    return rule
