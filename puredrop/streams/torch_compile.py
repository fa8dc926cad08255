"""PyTorch's masks in functions compiled for the CPU."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from . import torch_values
from .memory_order import in_memory_order
from .numbers import rounded
from .philox import blocks_from
from .source import Rule
from .stream import Wanted
from .thresholds import first_false
from .torch_generator import TorchGenerator

NUMBERS = 1 << 31  # a word without its sign is the numerator
STEP = np.float32(4.6566127342e-10)  # what it is multiplied by: 1 / NUMBERS, as inductor writes it
SEEDS = (1 << 64) - 1  # seeds are drawn from so many


class TorchCompile(TorchGenerator):
    """The masks that functions under `torch.compile` draw on a CPU after `torch.manual_seed(seed)`.

    A compiled graph takes from the CPU generator one seed of 64 bits for each of its random operations, all at once and
    in their order. Element e, in the order of memory, has the first word of Philox4x32-10 with the seed's low 32 bits
    as key and e as counter; without its sign it is the numerator of a number in single precision, kept where that is
    above p, which is rounded to the dtype of x first.
    With `torch._inductor.config.fallback_random = True` the masks are those of `TorchCPU`.
    Sources: PyTorch 2.13, torch/_inductor/fx_passes/replace_random.py, torch/_decomp/decompositions.py and
    torch/csrc/inductor/cpp_prefix.h.
    Raises: TypeError, ValueError for a seed that PyTorch does not take.

    >>> TorchCompile(0).mask(8, p=0.5).astype(int)
    array([0, 0, 1, 1, 0, 0, 0, 1])
    """

    library = "torch.compile"
    verified = "torch 2.13.0 on x86-64 Linux, inductor"
    operations = ("dropout",)
    dtypes = ("float32", "float64", "float16", "bfloat16")

    def draw(self, wanted: Wanted) -> np.ndarray:
        if wanted.shape != wanted.data:
            self.refuse("shared axes", "a decision for each element")
        kept = numerators(self._next_key(), math.prod(wanted.shape)) >= _threshold(wanted.p, wanted.dtype)
        return in_memory_order(kept, wanted.shape, wanted.strides)

    def arithmetic(self, operation: str, p: float) -> Rule:
        def rule(xp: Any, x: Any, keep: Any, scale: Any, shift: float | None, fill: Any) -> Any:
            if p == 1:
                return np.zeros_like(x)
            return torch_values.times(torch_values.product(x, keep.astype(x.dtype)), 1.0 / (1.0 - p))

        return rule

    def _next_key(self) -> int:
        """The low half of the next operation's seed."""
        return int(self._moved().draw_pairs(1)[0]) % SEEDS & 0xFFFFFFFF


def numerators(key: int, count: int) -> np.ndarray:
    """The numerators of the elements 0, 1, ... (count,) uint32"""
    return blocks_from((key, 0), 0, count)[:, 0] & np.uint32(NUMBERS - 1)


def _threshold(p: float, dtype: str) -> int:
    """The smallest numerator that is kept; p is rounded to the dtype, and single precision then."""
    rate = np.float32(rounded(float(np.float32(p)), dtype))
    return first_false(lambda m: np.float32(m) * STEP <= rate, NUMBERS)
