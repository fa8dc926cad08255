"""PyTorch's masks on the CPU."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from . import torch_mkl, torch_values
from .memory_order import in_memory_order
from .mersenne import BITS
from .source import Rule
from .stream import PER_CHANNEL, Wanted, contiguous, noise_shape
from .thresholds import dyadic
from .torch_generator import TorchGenerator

Path = Literal["mt19937", "mkl"]
FLOAT_BITS = 24  # of a number in single precision


class TorchCPU(TorchGenerator):
    """The masks that PyTorch draws on a CPU after `torch.manual_seed(seed)`, one after the other.

    Every dropout fills noise with `bernoulli_(1 - p)`: for each element, in the order of memory (`memory_order`), two
    words of MT19937, of which 53 bits make a number, kept where it is below 2^53 (1 - p). That holds for all dtypes and
    any number of threads. Channels are dropped by noise of shape (N, C, 1, ...). At p = 0 and 1 nothing is drawn.
    Values are computed as PyTorch does (`torch_values`).
    path: "mkl" is the generator that PyTorch's x86 builds used before 2.7; `conformance.streams.torch.probe` says which
    one an installed PyTorch has.
    Reproduced beside the `operations` are `torch.bernoulli` and `torch.rand`, and whole networks under
    `with puredrop.draw_from(TorchCPU(seed))`: inter-layer dropout of LSTM, GRU and RNN, attention with weights or
    without, transformer layers in both layouts.
    Sources: PyTorch 2.13, aten/src/ATen/native/Dropout.cpp, native/cpu/DistributionTemplates.h and
    core/DistributionsHelper.h.
    Raises: TypeError, ValueError for a seed that PyTorch does not take, and for another path.

    >>> TorchCPU(0).mask(8, p=0.5).astype(int)          # torch.manual_seed(0); F.dropout(torch.ones(8), 0.5) > 0
    array([0, 0, 1, 0, 0, 0, 1, 1])
    """

    library = "torch"
    verified = "torch 2.13.0 on x86-64 Linux"
    operations = ("dropout", "alpha_dropout", *PER_CHANNEL, "native_dropout", "scaled_dot_product_attention")
    dtypes = ("float32", "float64", "float16", "bfloat16")

    def __init__(self, seed: int, *, path: Path = "mt19937") -> None:
        super().__init__(seed)
        if path not in ("mt19937", "mkl"):
            raise ValueError(f"TorchCPU: path must be 'mt19937' (PyTorch 2.7 and later) or 'mkl', got {path!r}")
        self.path = path

    def draw(self, wanted: Wanted) -> np.ndarray:
        if wanted.shape != noise_shape(wanted.operation, wanted.data):
            self.refuse(
                f"{wanted.operation} of {wanted.data} with noise of shape {wanted.shape}",
                f"noise of shape {noise_shape(wanted.operation, wanted.data)}",
            )
        strides = wanted.strides if wanted.shape == wanted.data else None
        return self.bernoulli_(wanted.shape, 1.0 - wanted.p, strides=strides)

    def draws_at(self, wanted: Wanted) -> bool:
        return wanted.operation == "native_dropout" or super().draws_at(wanted)

    def arithmetic(self, operation: str, p: float) -> Rule:
        return torch_values.rule_of(operation, p)

    def bernoulli_(self, shape: Sequence[int], q: float, *, strides: Sequence[int] | None = None) -> np.ndarray:
        """Where `torch.empty(shape).bernoulli_(q)`, of these strides, becomes 1: bool, True with probability q.

        >>> TorchCPU(3).bernoulli_((2, 3), 0.25).tolist()
        [[True, False, False], [True, False, False]]
        """
        shape = tuple(shape)
        if not 0 <= q <= 1:
            raise ValueError(f"TorchCPU.bernoulli_: the probability must lie in [0, 1], got {q}")
        count = math.prod(shape)
        if count == 0:
            return np.zeros(shape, np.bool_)
        words = self._moved()
        if self.path == "mkl":
            return torch_mkl.below(int(words.draw(1)[0]), q, count).reshape(shape)
        kept = words.draw_below(dyadic(q, BITS), count)
        return in_memory_order(kept, shape, contiguous(shape) if strides is None else strides)

    def bernoulli(self, q: np.ndarray) -> np.ndarray:
        """Where `torch.bernoulli(q)` is 1, for an array of probabilities: bool, like q.

        One word an element, or two where q is float64; in C order, however q lies in memory.

        >>> TorchCPU(0).bernoulli(np.full(4, 0.5, np.float32)).astype(int)
        array([1, 0, 1, 1])
        """
        name = q.dtype.name
        if name not in self.dtypes:
            self.refuse(f"bernoulli of {name}", ", ".join(self.dtypes))
        if not ((q >= 0) & (q <= 1)).all():
            raise ValueError("TorchCPU.bernoulli: probabilities must lie in [0, 1]; some do not")
        wide = q if name == "float64" else q.astype(np.float32)
        return self._uniform(wide.size, wide.dtype).reshape(q.shape) < wide

    def rand(self, shape: Sequence[int], dtype: Any = np.float32) -> np.ndarray:
        """What `torch.rand(shape)` gives: float16 and bfloat16 are float32 rounded, and 0 where that gives 1.

        >>> TorchCPU(0).rand((3,)).tolist()
        [0.49625658988952637, 0.7682217955589294, 0.08847743272781372]
        """
        dtype = np.dtype(dtype)
        if dtype.name not in self.dtypes:
            self.refuse(f"rand of {dtype.name}", ", ".join(self.dtypes))
        u = self._uniform(math.prod(shape), np.dtype(np.float64 if dtype.name == "float64" else np.float32))
        rounded = u.astype(dtype, copy=False)
        return np.where(rounded == 1, dtype.type(0), rounded).reshape(tuple(shape))

    def _uniform(self, count: int, dtype: np.dtype) -> np.ndarray:
        """Numbers in [0, 1), in float32 or float64. (count,)"""
        if count == 0:
            return np.empty(0, dtype)
        words = self._moved()
        if dtype == np.float64:
            numerators = words.draw_pairs(count) & np.uint64((1 << BITS) - 1)
            return numerators.astype(np.float64) * 2.0**-BITS
        return (words.draw(count) & np.uint32((1 << FLOAT_BITS) - 1)).astype(np.float32) * np.float32(2.0**-FLOAT_BITS)
