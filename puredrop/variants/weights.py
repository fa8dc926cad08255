"""Noise on weights. Each function gives the weights to use in this pass; the weights themselves stay as they are."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeAlias

import numpy as np

from .. import ops
from ..backends import on_host
from ..ops.weights import straight_through
from ..random import Index, Keys
from ..tensor import raw
from .asked import Asked
from .bernoulli_map import bernoulli_map, inverted_scale, map_given
from .door import checked_alike, checked_array, counted, one_rate, unchanged
from .noise import keep_array

__all__ = [
    "mixout",
    "quant_noise",
    "targeted_dropout",
    "weight_drop",
]

Quantiser: TypeAlias = Literal["int8", "int4", "zero"] | Callable[[Any], Any]


def weight_drop(
    weight: Any,
    p: float = 0.5,
    *,
    key: Keys | None = None,
    mask: Any = None,
    training: bool = True,
    shared: int | Sequence[int] = (),
    index: Index | None = None,
    return_mask: bool = False,
    backend: Any = None,
) -> Any:
    """Weights with some of them dropped, to use throughout a sequence: AWD-LSTM's weight drop.

    Math: v = w * m / (1 - p), once for all time steps and examples; E[v] = w. Gradient: dw = g * m / (1 - p).
        Evaluation and p = 0 give w, also with shared axes; p = 1 gives zeros with a zero gradient.
    Shapes: w any, as (4 H, H); v like w. One draw along each of the `shared` axes: shared=1 drops whole rows (AWD's
        `variational`). A tuple of keys enumerates a leading axis of w.
    Dtypes: float32, float64; v like w.
    Draws: one halfword an element of the noise, at (key, element number). `mask=` (True = kept) replaces the draw;
        `return_mask=True` gives (v, mask).
    Raises: TypeError for whole-number weights or a p that is no number; ValueError for p outside [0, 1], a mask or
        index that does not fit, or no key.
    Reference: Merity, Keskar & Socher, "Regularizing and optimizing LSTM language models" (2017).

    >>> from puredrop import Key
    >>> w = np.ones((2, 6), np.float32)
    >>> weight_drop(w, p=0.5, key=Key(7))
    array([[0., 2., 2., 2., 2., 0.],
           [2., 0., 2., 0., 2., 2.]], dtype=float32)
    """
    asked = Asked("weight_drop", key, mask, training, index, return_mask, backend)
    weight, p = checked_array("weight_drop", weight), one_rate("weight_drop", p)
    return bernoulli_map(asked, weight, p, asked.index_for(weight.shape, shared), scale=inverted_scale(p))


def mixout(
    weight: Any,
    pretrained: Any,
    p: float = 0.5,
    *,
    key: Keys | None = None,
    mask: Any = None,
    training: bool = True,
    index: Index | None = None,
    return_mask: bool = False,
    backend: Any = None,
) -> Any:
    """Put some weights back to what they were before fine-tuning, and correct the others so that the mean stays.

    Math: v = (w - p u) / (1 - p) where kept, u where dropped; E[v] = w. Gradient: dw = g / (1 - p) where kept, else 0;
        du = -p g / (1 - p) where kept, else g. Evaluation and p = 0 give w; p = 1 gives u. With u = 0 this is
        `weight_drop`.
    Shapes: w and u the same; v like them. Each weight has its own draw.
    Dtypes: float32, float64, the same for both; v like them.
    Draws: one halfword a weight, at (key, element number). `mask=` (True = kept) replaces the draw;
        `return_mask=True` gives (v, mask).
    Raises: TypeError for whole-number or unequal dtypes or a p that is no number; ValueError for p outside [0, 1],
        unequal shapes, a mask or index that does not fit, or no key.
    Reference: Lee, Cho & Kang, "Mixout: effective regularization to finetune large-scale pretrained language models"
        (2020).

    >>> from puredrop import Key
    >>> w, u = np.full(6, 3.0), np.full(6, 1.0)
    >>> mixout(w, u, p=0.5, key=Key(7))
    array([1., 5., 5., 5., 5., 1.])
    """
    asked = Asked("mixout", key, mask, training, index, return_mask, backend)
    weight, pretrained = checked_alike("mixout", weight=weight, pretrained=pretrained)
    p, index = one_rate("mixout", p), asked.index_for(weight.shape)
    if not asked.draws(p):
        return asked.undrawn(unchanged(weight))
    moved = ops.subtract(weight, p * pretrained, backend=backend)
    return bernoulli_map(asked, moved, p, index, scale=inverted_scale(p), fill=pretrained)


def targeted_dropout(
    weight: Any,
    p: float = 0.5,
    *,
    fraction: float = 0.5,
    of: Literal["weights", "units"] = "weights",
    key: Keys | None = None,
    mask: Any = None,
    training: bool = True,
    return_mask: bool = False,
    backend: Any = None,
) -> Any:
    """Drop only what is small anyway, so that the network can be pruned afterwards.

    Math: the candidates are the fraction of the weights of each output unit that is smallest in size (`of="weights"`),
        or the fraction of output units with the smallest norm (`of="units"`), in whole numbers, rounded down; of equal
        ones the first. A candidate is 0 with probability p, else w; nothing is scaled. Gradient: dw = g where not
        dropped, else 0. E[v] = (1 - p) w for candidates. Evaluation gives w with all candidates 0: it prunes. p = 0
        gives w.
    Shapes: w (O, I) or (O, C, H, W): the first axis is the output unit's; v like w.
    Dtypes: float32, float64; v like w. Norms are taken in float64.
    Draws: one halfword a weight (a unit), at (key, element number), non-candidates have rate 0. `mask=` (True = kept)
        replaces the draw, for candidates only; `return_mask=True` gives (v, mask): what is dropped in the end.
    Raises: TypeError for whole-number weights or rates that are no numbers; ValueError for rates outside [0, 1], fewer
        than two axes, another `of`, a mask that does not fit, or no key.
    Reference: Gomez et al., "Learning sparse networks using targeted dropout" (2019).

    >>> from puredrop import Key
    >>> w = np.array([[0.1, 3.0, -0.2, 2.0]])
    >>> targeted_dropout(w, p=1.0, fraction=0.5, key=Key(7))
    array([[0., 3., 0., 2.]])
    """
    name = "targeted_dropout"
    asked = Asked(name, key, mask, training, None, return_mask, backend)
    weight = asked.placed(weight)
    weight, p, fraction = checked_array(name, weight), one_rate(name, p), one_rate(name, fraction, "fraction")
    if len(weight.shape) < 2:
        raise ValueError(f"{name}: weight must have an axis of output units and more, got shape {weight.shape}")
    if of not in ("weights", "units"):
        raise ValueError(f"{name}: of must be 'weights' or 'units', got {of!r}")
    _require_one_key(asked)
    if training and p == 0:
        return asked.undrawn(unchanged(weight))
    target = _candidates(asked.backend_of(weight).xp, raw(weight), fraction, of)  # like w, or (O, 1, ...)
    keep = ~target
    if training:
        keep = keep | keep_array(asked, weight, np.where(on_host(target), p, 0.0), Index.whole(target.shape))
    keep = np.broadcast_to(keep, weight.shape)
    return asked.answer(map_given(asked, weight, keep), keep)


def _candidates(xp: Any, weight: Any, fraction: float, of: str) -> Any:
    """The smallest of each row (like w), or the smallest rows (O, 1, ...). NaN counts as the largest."""
    rows = weight.reshape(weight.shape[0], math.prod(weight.shape[1:])).astype(np.float64)  # (O, rest)
    size = abs(rows) if of == "weights" else (rows * rows).sum(axis=1)[None]  # (O, rest) or (1, O)
    count = int(fraction * size.shape[1] + 1e-9)  # 0.29 * 100 is a little below 29
    order = xp.argsort(size, axis=1, kind="stable")
    target = xp.argsort(order, axis=1) < count  # the order of an order is the place of each in it
    return target.reshape(weight.shape if of == "weights" else (-1,) + (1,) * (len(weight.shape) - 1))


def quant_noise(
    weight: Any,
    p: float = 0.1,
    *,
    block: int = 8,
    to: Quantiser = "int8",
    key: Keys | None = None,
    mask: Any = None,
    training: bool = True,
    return_mask: bool = False,
    backend: Any = None,
) -> Any:
    """Quantise random blocks of weights, so that the network gets used to being quantised.

    Math: v = w where kept, phi(w) where dropped; the gradient passes straight through: dw = g everywhere. Evaluation
        gives phi(w). phi is "int8" or "int4": round(w / s) s with s = (max w - min w) / (2^bits - 1); or "zero", the
        paper's stand-in for product quantisation, whose evaluation is w; or a function from array to array. E[v] =
        (1 - p) w + p phi(w): nothing is scaled (fairseq scales "zero" by 1 / (1 - p)). p = 0 gives w, p = 1 phi(w).
    Shapes: w (..., I) with I a multiple of `block`; v like w. A block is `block` neighbours on the last axis; the mask
        is (..., I / block).
    Dtypes: float32, float64; v like w.
    Draws: one halfword a block, at (key, block number). `mask=` (True = kept) replaces the draw; `return_mask=True`
        gives (v, mask).
    Raises: TypeError for whole-number weights or a p that is no number; ValueError for p outside [0, 1], a block that
        does not divide the last axis, an unknown phi or one that changes the shape, a misfit mask, or no key.
    Reference: Fan et al., "Training with quantization noise for extreme model compression" (2021).

    >>> from puredrop import Key
    >>> w = np.arange(12.0).reshape(1, 12)
    >>> quant_noise(w, p=0.5, block=2, to="zero", key=Key(7))
    array([[0., 0., 2., 3., 4., 5., 6., 7., 8., 9., 0., 0.]])
    """
    name = "quant_noise"
    asked = Asked(name, key, mask, training, None, return_mask, backend)
    weight = asked.placed(weight)
    weight, p, block = checked_array(name, weight), one_rate(name, p), counted(name, "block", block, 1)
    if not weight.shape or weight.shape[-1] % block:
        raise ValueError(
            f"{name}: blocks of {block} do not divide the last axis of the weight, shape {weight.shape}; "
            f"choose a divisor"
        )
    _require_one_key(asked)
    blocks = (*weight.shape[:-1], weight.shape[-1] // block)
    if asked.draws(p):
        keep = np.broadcast_to(keep_array(asked, weight, p, Index.whole(blocks)), blocks)
    else:
        keep = asked.backend_of(weight).xp.full(blocks, training or to == "zero")
    if keep.all():
        return asked.answer(unchanged(weight), keep)
    noisy = np.where(np.repeat(keep, block, axis=-1), raw(weight), _quantised(name, raw(weight), to))
    return asked.answer(straight_through(weight, value=noisy.astype(weight.dtype, copy=False), backend=backend), keep)


def _require_one_key(asked: Asked) -> None:
    if isinstance(asked.key, tuple):
        raise TypeError(f"{asked.operation}: one weight takes one key and not a tuple; loop over them")


def _quantised(name: str, weight: Any, to: Quantiser) -> Any:
    """phi(w)."""
    if to == "zero":
        return np.zeros_like(weight)
    if to in ("int8", "int4"):
        step = (weight.max() - weight.min()) / (255 if to == "int8" else 15)
        return np.round(weight / step) * step if step else weight
    if not callable(to):
        raise ValueError(f"{name}: to must be 'int8', 'int4', 'zero' or a function of an array, got {to!r}")
    value = to(weight.copy())
    if np.shape(value) != weight.shape:
        raise ValueError(f"{name}: to() must keep the shape {weight.shape}, got {np.shape(value)}")
    return value
