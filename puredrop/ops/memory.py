"""How results lie in memory while another library is replayed: as its own would, for its generator fills memory.

Natively nothing is copied: masks do not depend on memory here.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..streams import current
from ..streams.memory_order import memory_order
from ..tensor import primitive


def lying_like(y: Any, *operands: Any) -> Any:
    """y, or a copy of it, that lies as the first operand of its shape does: what element by element operations give."""
    if current() is None or np.ndim(y) < 2:
        return y
    for x in operands:
        if np.shape(x) == y.shape:
            return _lying(y, _order(x))
    return y


def lying_in_order(y: Any) -> Any:
    """y, or a copy of it, that lies in C order: what operations give that PyTorch makes contiguous."""
    return y if current() is None or np.ndim(y) < 2 else _lying(y, tuple(range(y.ndim)))


@primitive(x=lambda g: g)
def in_order(backend: Any, x: Any) -> Any:
    """The same numbers; in C order while another library is replayed."""
    return lying_in_order(x)


def _lying(y: Any, order: tuple[int, ...]) -> Any:
    if _order(y) == order:
        return y
    return y.transpose(order).copy(order="C").transpose(*np.argsort(order).tolist())


def _order(x: Any) -> tuple[int, ...]:
    return memory_order(x.shape, [step // x.itemsize for step in x.strides])
