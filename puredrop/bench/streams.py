"""Masks as PyTorch draws them on the CPU, by PyTorch and from the seed alone.

Every contender draws the masks of one generator, the Mersenne twister, one after the other; they are the same masks.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .. import backends
from ..streams import TorchCPU
from .scaling import P, pytorch
from .suite import Contender, Suite
from .timing import Call

MASK = "mask"


def suite(names: Sequence[str] | None = None) -> Suite:
    """The contenders; the stream draws on the default backend, so `names` are checked and no more.

    Raises: ValueError or ImportError for a named backend that is unknown or not installed.
    """
    for name in names or ():
        backends.get(name)
    return Suite(
        name="streams",
        passes=(MASK,),
        contenders=(
            Contender("zeros", zeros),
            Contender("torch", torch_bernoulli),
            Contender("torch bernoulli_", torch_bernoulli_in_place),
            Contender("puredrop TorchCPU", torch_cpu),
        ),
        inputs=lambda size: (size,),
        p=P,
        dtype="bool",
        floor="zeros",
    )


def zeros(size: int) -> dict[str, Call]:
    """The memory floor: a mask is written, and nothing drawn."""
    return {MASK: lambda: np.full(size, False)}


def torch_bernoulli(size: int) -> dict[str, Call]:
    """`torch.bernoulli` of probabilities in float32: one word an element."""
    torch = pytorch()
    keep = torch.full((size,), 1 - P)
    return {MASK: lambda: torch.bernoulli(keep)}


def torch_bernoulli_in_place(size: int) -> dict[str, Call]:
    """What PyTorch's dropout does: two words an element."""
    torch = pytorch()
    out = torch.empty(size)
    return {MASK: lambda: out.bernoulli_(1 - P)}


def torch_cpu(size: int) -> dict[str, Call]:
    """The masks of PyTorch's dropout, without PyTorch."""
    stream = TorchCPU(0)
    return {MASK: lambda: stream.mask(size, P)}
