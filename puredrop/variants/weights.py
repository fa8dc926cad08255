"""Noise on weights. Each function gives the weights to use in this pass; the weights themselves stay as they are."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeAlias

import numpy as np

from .. import ops
from ..ops.weights import straight_through
from ..random import Index, Keys
from ..tensor import raw
from .bernoulli_map import bernoulli_map, inverted_scale
from .door import checked_array, checked_key, fitting_index, one_rate, unchanged
from .gates import checked_alike, spread_keys
from .hard_concrete import hard_concrete_gate, hard_concrete_penalty
from .noise import keep_array, normal_array

__all__ = [
    "drop_connect",
    "hard_concrete_gate",
    "hard_concrete_penalty",
    "mixout",
    "quant_noise",
    "targeted_dropout",
    "weight_drop",
]

Quantiser: TypeAlias = Literal["int8", "int4", "zero"] | Callable[[Any], Any]


def drop_connect(
    x: Any,
    weight: Any,
    bias: Any = None,
    p: float = 0.5,
    *,
    per_example: bool = True,
    evaluation: Literal["mean", "gaussian"] = "mean",
    key: Keys | None = None,
    mask: Any = None,
    training: bool = True,
    index: Index | None = None,
    return_mask: bool = False,
    backend: Any = None,
) -> Any:
    """A dense layer that drops single weights, by default others for each example.

    Math: y_n = x_n (W * m_n)^T / (1 - p) + b; E[y] = x W^T + b, Var[y] = p / (1 - p) (x * x) (W * W)^T. Gradient:
        dW = sum_n m_n * (g_n x_n^T) / (1 - p), dx_n = (W * m_n)^T g_n / (1 - p). p = 1 gives b. The bias is kept (the
        paper drops it too: append a column of ones to x for that). Evaluation gives x W^T + b; or, with
        evaluation="gaussian", y from the normal distribution with that mean and variance, which the paper does before
        the activation and averages after it (one key for each sample).
    Shapes: x (N, ..., I) or (I,), weight (O, I), bias (O,) -> (N, ..., O). The mask is (N, O, I); with
        per_example=False (O, I), one for all. `index` is for a mask (N, O, I). A tuple of T keys stands for T samples
        one after the other on the first axis of x. Memory: the weights in use have the size of the mask.
    Dtypes: float32, float64, the same for all; y like x.
    Draws: one halfword a mask element, at (key, element number); "gaussian" one normal an element of y. `mask=`
        (True = kept; for "gaussian" the normal numbers) replaces the draw; `return_mask=True` gives (y, mask).
    Raises: TypeError for whole numbers or a p that is no number; ValueError for p outside [0, 1], p = 1 in "gaussian"
        evaluation (infinite variance), shapes that do not fit, an unknown rule, or no key.
    Reference: Wan et al., "Regularization of neural networks using DropConnect" (2013).

    >>> from puredrop import Key
    >>> x, w = np.ones((2, 3), np.float32), np.ones((1, 3), np.float32)
    >>> drop_connect(x, w, p=0.5, key=Key(7)).ravel()          # weights 0 1 1 for one example, 1 1 0 for the other
    array([4., 4.], dtype=float32)
    >>> drop_connect(x, w, p=0.5, training=False).ravel()
    array([3., 3.], dtype=float32)
    """
    name = "drop_connect"
    x, weight, bias = _checked_dense(name, x, weight, bias)
    p, key, outputs = one_rate(name, p), checked_key(name, key), weight.shape[0]
    if evaluation not in ("mean", "gaussian"):
        raise ValueError(f"{name}: evaluation must be 'mean' or 'gaussian', got {evaluation!r}")
    if not training and evaluation == "gaussian" and p > 0:
        y, e = _gaussian_outputs(name, x, weight, bias, p, key, mask, index, backend)
        return (y, e) if return_mask else y
    examples, keys = math.prod(x.shape[:-1][:1]), len(key) if isinstance(key, tuple) else 1
    if examples % keys:
        raise ValueError(f"{name}: {keys} keys need as many equal parts on the first axis of x, got shape {x.shape}")
    masks = examples if per_example else keys
    if not training or (p == 0 and mask is None):
        y = ops.linear(x, weight, bias, backend=backend)  # (N, ..., O)
        keep = np.ones((masks, *weight.shape), np.bool_)
    else:
        if index is None:
            index = Index.whole((masks // keys, *weight.shape))
        else:
            index = fitting_index(name, (examples, *weight.shape), key, index)[: None if per_example else 1]
        copies = ops.broadcast_to(weight, shape=(masks, *weight.shape), backend=backend)
        used, keep = bernoulli_map(
            name, copies, p, key=key, mask=mask, index=index, scale=inverted_scale(p), return_mask=True, backend=backend
        )  # (masks, O, I)
        rows = math.prod(x.shape[:-1]) // max(1, masks)
        y = ops.matmul(ops.reshape(x, shape=(masks, rows, x.shape[-1])), ops.swapaxes(used, a=-1, b=-2)) + bias
        y = ops.reshape(y, shape=(*x.shape[:-1], outputs))
    if not return_mask:
        return y
    return y, keep if per_example or isinstance(key, tuple) else keep[0]


def _checked_dense(name: str, x: Any, weight: Any, bias: Any) -> tuple[Any, Any, Any]:
    """The arrays of a dense layer, of one dtype and fitting shapes; no bias is 0."""
    x, weight = checked_array(name, x), checked_array(f"{name}, weight", weight)
    bias = None if bias is None else checked_array(f"{name}, bias", bias)
    if len(weight.shape) != 2 or not x.shape or x.shape[-1] != weight.shape[1]:
        raise ValueError(
            f"{name}: weight must be (outputs, inputs) and the last axis of x inputs, got weight of shape "
            f"{weight.shape} and x of shape {x.shape}"
        )
    if bias is not None and bias.shape != weight.shape[:1]:
        raise ValueError(f"{name}: bias must have shape {weight.shape[:1]}, one for each output, got {bias.shape}")
    dtypes = [a.dtype for a in (x, weight, bias) if a is not None]
    if any(dtype != dtypes[0] for dtype in dtypes):
        raise TypeError(f"{name}: x, weight and bias must have one dtype, got {dtypes}; convert with .astype")
    return x, weight, 0.0 if bias is None else bias


def _gaussian_outputs(
    name: str, x: Any, weight: Any, bias: Any, p: float, key: Keys | None, given: Any, index: Index | None, backend: Any
) -> tuple[Any, Any]:
    """Outputs drawn from the normal distribution that has the mean and variance of dropped weights; and the numbers."""
    if p == 1:
        raise ValueError(f"{name}: p must lie below 1 for evaluation='gaussian', got 1: the variance would be infinite")
    mean = ops.linear(x, weight, bias, backend=backend)  # (N, ..., O)
    variance = ops.linear(x * x, weight * weight, 0.0, backend=backend) * (p / (1 - p))
    positive = raw(variance) > 0  # the root has no gradient at 0: a variance of 0 stays 0
    deviation = ops.where(positive, ops.sqrt(ops.where(positive, variance, 1.0), backend=backend), 0.0)
    keys = len(key) if isinstance(key, tuple) else 1
    if index is None and mean.shape:
        index = Index.whole((*(n // keys for n in mean.shape[:1]), *mean.shape[1:]))
    index = fitting_index(name, mean.shape, key, index)
    e = normal_array(name, x, index, key=key, mask=given, backend=backend)
    e = spread_keys(e, mean.shape, key, index)
    return mean + deviation * e, e


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
    weight, p, key = checked_array("weight_drop", weight), one_rate("weight_drop", p), checked_key("weight_drop", key)
    index = fitting_index("weight_drop", weight.shape, key, index, shared)
    if not training or (p == 0 and mask is None):
        return (unchanged(weight), np.ones(weight.shape, np.bool_)) if return_mask else unchanged(weight)
    scale = inverted_scale(p)
    return bernoulli_map(
        "weight_drop", weight, p, key=key, mask=mask, index=index, scale=scale, return_mask=return_mask, backend=backend
    )


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
    weight, pretrained = checked_alike("mixout", weight=weight, pretrained=pretrained)
    p, key = one_rate("mixout", p), checked_key("mixout", key)
    index = fitting_index("mixout", weight.shape, key, index)
    if not training or (p == 0 and mask is None):
        return (unchanged(weight), np.ones(weight.shape, np.bool_)) if return_mask else unchanged(weight)
    return bernoulli_map(
        "mixout",
        ops.subtract(weight, p * pretrained, backend=backend),
        p,
        key=key,
        mask=mask,
        index=index,
        scale=inverted_scale(p),
        fill=pretrained,
        return_mask=return_mask,
        backend=backend,
    )


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
    weight, p, fraction = checked_array(name, weight), one_rate(name, p), one_rate(name, fraction, "fraction")
    if len(weight.shape) < 2:
        raise ValueError(f"{name}: weight must have an axis of output units and more, got shape {weight.shape}")
    if of not in ("weights", "units"):
        raise ValueError(f"{name}: of must be 'weights' or 'units', got {of!r}")
    if checked_key(name, key) is not None and isinstance(key, tuple):
        raise TypeError(f"{name}: one weight takes one key and not a tuple; loop over them")
    if training and p == 0:
        return (unchanged(weight), np.ones(weight.shape, np.bool_)) if return_mask else unchanged(weight)
    target = _candidates(raw(weight), fraction, of)  # like w, or (O, 1, ...)
    if not training:
        keep = ~target
    else:
        keep = keep_array(
            name, weight, np.where(target, p, 0.0), Index.whole(target.shape), key=key, mask=mask, backend=backend
        )
        keep = keep | ~target
    return bernoulli_map(name, weight, p, key=None, mask=keep, return_mask=return_mask, backend=backend)


def _candidates(weight: Any, fraction: float, of: str) -> Any:
    """The smallest of each row (like w), or the smallest rows (O, 1, ...). NaN counts as the largest."""
    rows = weight.reshape(weight.shape[0], math.prod(weight.shape[1:])).astype(np.float64)  # (O, rest)
    size = abs(rows) if of == "weights" else (rows * rows).sum(axis=1)[None]  # (O, rest) or (1, O)
    count = int(fraction * size.shape[1] + 1e-9)  # 0.29 * 100 is a little below 29
    target = np.zeros(size.shape, np.bool_)
    np.put_along_axis(target, np.argsort(size, axis=1, kind="stable")[:, :count], True, axis=1)
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
    weight, p = checked_array(name, weight), one_rate(name, p)
    _check_blocks(name, weight.shape, block)
    if isinstance(checked_key(name, key), tuple):
        raise TypeError(f"{name}: one weight takes one key and not a tuple; loop over them")
    blocks = (*weight.shape[:-1], weight.shape[-1] // block)
    keep = np.broadcast_to(np.bool_(training or to == "zero"), blocks)
    if training and (p > 0 or mask is not None):
        keep = keep_array(name, weight, p, Index.whole(blocks), key=key, mask=mask, backend=backend)
        keep = np.broadcast_to(keep, blocks)
    if keep.all():
        y = unchanged(weight)
    else:
        noisy = np.where(np.repeat(keep, block, axis=-1), raw(weight), _quantised(name, raw(weight), to))
        y = straight_through(weight, value=noisy.astype(weight.dtype, copy=False), backend=backend)
    return (y, keep) if return_mask else y


def _check_blocks(name: str, shape: tuple[int, ...], block: Any) -> None:
    if isinstance(block, bool) or not isinstance(block, (int, np.integer)) or block < 1:
        raise ValueError(f"{name}: block must be a whole number, 1 or more, got {block!r}")
    if not shape or shape[-1] % block:
        raise ValueError(
            f"{name}: blocks of {block} do not divide the last axis of the weight, shape {shape}; choose a divisor"
        )


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
