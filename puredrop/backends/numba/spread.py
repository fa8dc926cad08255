"""The map of dropout with its mask at hand: shared axes, masks handed in, a tensor to fill with.

A mask is spread over x as `select` does it, to the bit, without an array of the size of x in between. Neighbouring axes
that are all shared, or all not, are one axis; so four are enough for all that variants draw: A B M L, of which the mask
has A and M. A locked mask over time is (1, time, units, 1), one of channels (1, 1, N C, positions).
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from .compiling import flat, kernel

Layout = tuple[int, int, int, int]


@kernel
def _spread(x, y, keep, layout, scale, shift, fill, fills):  # type: ignore[no-untyped-def]
    """y = where(keep, x * scale [+ shift], fill, or the elements of `fills`), all flat. x may be y."""
    number = x.dtype.type
    factor, constant = number(scale), number(fill)
    first, repeats, units, positions = layout
    size = units * positions
    for a in range(first):
        kept = keep[a * units : (a + 1) * units]
        for b in range(repeats):
            at = (a * repeats + b) * size
            if positions == 1:
                source, target = x[at : at + size], y[at : at + size]
                for i in range(size):
                    value = source[i] * factor if shift is None else source[i] * factor + number(shift)
                    other = constant if fills is None else fills[at + i]
                    target[i] = value if kept[i] else other
                continue
            for m in range(units):
                here = at + m * positions
                source, target = x[here : here + positions], y[here : here + positions]
                if kept[m]:
                    for i in range(positions):
                        target[i] = source[i] * factor if shift is None else source[i] * factor + number(shift)
                else:
                    for i in range(positions):
                        target[i] = constant if fills is None else fills[here + i]


def spread(
    y: np.ndarray, x: np.ndarray, keep: np.ndarray, scale: float, shift: float | None, fill: Any, layout: Layout
) -> np.ndarray:
    """Fill y, in C order, by the map. keep has the A M elements of the layout; fill is a number or like y."""
    fills = fill.reshape(-1) if isinstance(fill, np.ndarray) and fill.ndim else None
    _spread(
        flat(x),
        y.ravel(),
        flat(keep).view(np.uint8),
        layout,
        scale,
        shift,
        0.0 if fills is not None else fill,
        fills,
    )
    return y


@lru_cache(maxsize=1024)
def layout_of(mask: tuple[int, ...], shape: tuple[int, ...]) -> Layout | None:
    """How a mask of that shape, with as many axes, lies in an array of `shape`; None where four axes do not tell.

    >>> layout_of((8, 16, 1, 1), (8, 16, 28, 28)), layout_of((1, 4, 6), (35, 4, 6))
    ((1, 1, 128, 784), (1, 35, 24, 1))
    >>> layout_of((1, 2, 1, 2), (3, 2, 3, 2))
    """
    merged: list[tuple[bool, int]] = []  # (shared, size), sizes above 1
    for m, n in zip(mask, shape, strict=True):
        if n != 1 and merged and merged[-1][0] == (m != n):
            merged[-1] = merged[-1][0], merged[-1][1] * n
        elif n != 1:
            merged.append((m != n, n))
    sizes = [1, 1, 1, 1]
    for shared, size in reversed(merged):
        # From the right: the last place not yet taken, of those that are shared or not.
        free = next((k for k in ((3, 1) if shared else (2, 0)) if k < _lowest(sizes)), None)
        if free is None:
            return None
        sizes[free] = size
    return sizes[0], sizes[1], sizes[2], sizes[3]


def _lowest(sizes: list[int]) -> int:
    return next((k for k, size in enumerate(sizes) if size != 1), 4)
