"""Gates on residual branches: what is dropped is large, and the network goes round it."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from .. import ops
from ..random import Index, Keys
from .asked import Asked
from .bernoulli_map import bernoulli_map, inverted_scale, map_and_mask
from .door import checked_alike, checked_array, one_rate, unchanged
from .gates import gate_index, masks_apart

__all__ = ["drop_path", "stochastic_depth", "swapout"]


def drop_path(
    x: Any,
    p: float,
    *,
    mode: Literal["row", "batch"] = "row",
    scale_by_keep: bool = True,
    key: Keys | None = None,
    mask: Any = None,
    training: bool = True,
    index: Index | None = None,
    return_mask: bool = False,
    backend: Any = None,
) -> Any:
    """Drop a whole residual branch x with probability p, for each example or for the batch.

    Math: y = x * b / (1 - p), one gate b for each example (`mode="row"`) or one for all (`mode="batch"`); E[y] = x.
        `scale_by_keep=False` leaves out 1 / (1 - p). Gradient: dx = g * b / (1 - p). Evaluation and p = 0 give x; p = 1
        gives zeros with a zero gradient: the branch is removed. The block is `x + drop_path(branch(x), p)`.
    Shapes: x (N, ...), for `mode="batch"` any; y like x. `index` says which part of a global noise tensor x is; it
        shares all axes but the first.
    Dtypes: float32, float64 (and float16 on NumPy); y like x.
    Draws: one halfword a gate, at (key, number of the example). `mask=` (True = kept) replaces the draw and broadcasts
        to x; `return_mask=True` gives (y, mask).
    Raises: TypeError for whole-number x or a p that is no number; ValueError for p outside [0, 1], an unknown mode, x
        without a batch axis, an index or mask that does not fit, or no key.
    Reference: Huang et al., "Deep networks with stochastic depth" (2016); Larsson et al., "FractalNet" (2017).

    >>> from puredrop import Key
    >>> drop_path(np.ones((4, 2)), p=0.5, key=Key(7))[:, 0]
    array([0., 2., 2., 2.])
    """
    asked = Asked("drop_path", key, mask, training, index, return_mask, backend)
    x, p = checked_array("drop_path", x), one_rate("drop_path", p)
    index = gate_index(asked, x.shape, mode)
    return bernoulli_map(asked, x, p, index, scale=inverted_scale(p) if scale_by_keep else 1.0)


def stochastic_depth(
    x: Any,
    residual: Any,
    p: float,
    *,
    mode: Literal["row", "batch"] = "batch",
    key: Keys | None = None,
    mask: Any = None,
    training: bool = True,
    index: Index | None = None,
    return_mask: bool = False,
    backend: Any = None,
) -> Any:
    """A residual block whose branch is dropped with probability p, as first published: not scaled when it is kept.

    Math: y = x + b * residual, one gate b for the batch (or, `mode="row"`, for each example). Gradient: g to x, g * b
        to the residual. Evaluation gives x + (1 - p) * residual, which is E[y]. p = 0 gives x + residual; p = 1
        gives x. For the scaled form write `x + drop_path(residual, p)`.
    Shapes: x and residual alike; y like them. `index` says which part of a global noise tensor they are.
    Dtypes: float32, float64 (and float16 on NumPy), one for both; y like x.
    Draws: one halfword a gate, at (key, 0) or (key, number of the example). `mask=` (True = kept) replaces the draw;
        `return_mask=True` gives (y, mask).
    Raises: TypeError for whole numbers, two dtypes, or a p that is no number; ValueError for p outside [0, 1], an
        unknown mode, shapes that differ, an index or mask that does not fit, or no key.
    Reference: Huang et al., "Deep networks with stochastic depth" (2016).

    >>> from puredrop import Key
    >>> x, residual = np.ones((2, 2)), np.full((2, 2), 10.0)
    >>> [float(stochastic_depth(x, residual, p=0.5, key=Key(7, step=t))[0, 0]) for t in range(4)]
    [1.0, 11.0, 11.0, 1.0]
    >>> float(stochastic_depth(x, residual, p=0.5, training=False)[0, 0])
    6.0
    """
    asked = Asked("stochastic_depth", key, mask, training, index, return_mask, backend)
    x, residual = asked.placed(x, residual)
    x, residual = checked_alike("stochastic_depth", x=x, residual=residual)
    p, index = one_rate("stochastic_depth", p), gate_index(asked, x.shape, mode)
    if not training:
        return asked.undrawn(unchanged(x) if p == 1.0 else x + residual * (1.0 - p))
    branch, keep = map_and_mask(asked, residual, p, index)
    return asked.answer(x + branch, keep)


def swapout(
    x: Any,
    residual: Any,
    p1: float,
    p2: float,
    *,
    key: Keys | None = None,
    mask: Any = None,
    training: bool = True,
    index: Index | None = None,
    return_mask: bool = False,
    backend: Any = None,
) -> Any:
    """Each unit takes its input, its residual, both or neither.

    Math: y = a * x + b * residual, a kept with probability 1 - p1 and b with 1 - p2, independently in every unit;
        Gradient: g * a to x, g * b to the residual. Evaluation gives (1 - p1) x + (1 - p2) residual, which is E[y]. The
        mean of a nonlinearity of y is not that of E[y] (relu of a fair sign: 0 for 0.5); the authors therefore average
        stochastic passes, which is a layer's sample mode.
    Shapes: x and residual alike; y like them. `index` says which part of a global noise tensor they are.
    Dtypes: float32, float64 (and float16 on NumPy), one for both; y like x.
    Draws: two halfwords a unit: a at (key, element), b at (draw 1 of key, element). `mask=` (2, ...) replaces both;
        `return_mask=True` gives (y, both).
    Raises: TypeError for whole numbers, two dtypes, or rates that are no numbers; ValueError for rates outside [0, 1],
        shapes that differ, an index or mask that does not fit, or no key.
    Reference: Singh, Hoiem & Forsyth, "Swapout: learning an ensemble of deep architectures" (2016).

    >>> from puredrop import Key
    >>> swapout(np.ones(8), np.full(8, 10.0), 0.5, 0.5, key=Key(7))
    array([ 0.,  1.,  1.,  1.,  1.,  0.,  1., 10.])
    """
    asked = Asked("swapout", key, mask, training, index, return_mask, backend)
    x, residual = checked_alike("swapout", x=x, residual=residual)
    p1, p2 = one_rate("swapout", p1, "p1"), one_rate("swapout", p2, "p2")
    index = asked.index_for(x.shape)
    if not training:
        return asked.undrawn(_scaled(x, 1.0 - p1) + _scaled(residual, 1.0 - p2), shape=(2, *x.shape))
    first, second = (asked, asked.another(1)) if mask is None else masks_apart(asked, 2)
    a, keep_a = map_and_mask(first, x, p1, index)
    b, keep_b = map_and_mask(second, residual, p2, index)
    return asked.answer(a + b, np.stack([keep_a, keep_b]) if return_mask else None)


def _scaled(x: Any, scale: float) -> Any:
    """x * scale; zeros for a scale of 0, whatever x is."""
    return x * scale if scale else ops.where(np.zeros((), np.bool_), x, 0.0)
