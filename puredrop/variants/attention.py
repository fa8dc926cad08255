"""Attention with something dropped: probabilities, keys or heads."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from .. import ops
from ..ops.attention import probabilities, softmax_where
from ..ops.heads import product, weights_shape
from ..random import Index, Keys
from ..tensor import raw
from .asked import Asked
from .bernoulli_map import inverted_scale, map_and_mask, map_given, selection
from .door import (
    Shape,
    broadcasts,
    checked_array,
    checked_rate,
    checked_same_dtype,
    one_rate,
    unchanged,
    whole_number,
)
from .noise import keep_array, spread

__all__ = ["drop_head", "drop_key", "scaled_dot_product_attention"]


def scaled_dot_product_attention(
    q: Any,
    k: Any,
    v: Any,
    p: Any = 0.0,
    *,
    allowed: Any = None,
    bias: Any = None,
    causal: bool = False,
    scale: float | None = None,
    shared: int | Sequence[int] = (),
    key: Keys | None = None,
    mask: Any = None,
    training: bool = True,
    index: Index | None = None,
    tile: int | None = None,
    return_weights: Literal["before", "after"] | None = None,
    return_mask: bool = False,
    backend: Any = None,
) -> Any:
    """Attention whose probabilities are dropped with probability p and scaled by 1 / (1 - p).

    Math: P = softmax(q k^T * scale + bias), W = P * m / (1 - p), y = W v; scale: 1 / sqrt(D) unless given; E[y] = P v.
        Gradient: dv = W^T g, dP = (g v^T) * m / (1 - p), dS = P * (dP - rowsum(g * y)), dq = scale dS k, dk = scale
        dS^T q. Evaluation and p = 0 give P v; p = 1 gives zeros. Rows of W do not sum to 1, by design. Keys that are
        not `allowed`, later ones under `causal`, and those with a bias of -inf get the weight 0 exactly; a query
        without any key gets zeros; a key that no query may see is left out, whatever it and its value hold.
    Shapes: q (..., T, D), k (..., S, D), v (..., S, E) -> y (..., T, E), weights (..., T, S). `allowed` (bool, True =
        may attend) and `bias` (added) broadcast to the weights: for padding (N, 1, 1, S). `causal`: query i sees the
        keys j <= i. One draw along each of the `shared` axes of the weights: -3 for one mask for all heads. `index`
        says which part of a global tensor of weights these are.
    Dtypes: float32, float64, one for all; y like q.
    Draws: one halfword a weight, at (key, its number). Boolean masks only, no mask or scale is stored for backward: the
        numerics of XDropout (StableDropout). `mask=` (True = kept) replaces the draw. `return_weights` gives
        (y, weights) "before" or "after" the drop; `return_mask=True` puts the mask last.
    Raises: TypeError for whole-number q, k or v, two dtypes, an `allowed` that is not boolean, or a p that is no
        number; ValueError for p outside [0, 1], shapes, axes, an index or a mask that do not fit, or no key.
    Reference: Vaswani et al., "Attention is all you need" (2017).

    >>> from puredrop import Key
    >>> q, k, v = np.zeros((2, 1)), np.zeros((4, 1)), np.eye(4)          # the result is then the weights
    >>> scaled_dot_product_attention(q, k, v, p=0.5, key=Key(7))
    array([[0. , 0.5, 0.5, 0.5],
           [0.5, 0. , 0.5, 0. ]])
    """
    operation = "scaled_dot_product_attention"
    asked = Asked(operation, key, mask, training, index, return_mask, backend)
    q, k, v, bias = asked.placed(q, k, v, bias)
    q, k, v = checked_same_dtype(operation, q=q, k=k, v=v)
    p = checked_rate(operation, p)
    if return_weights not in (None, "before", "after"):
        raise ValueError(f"{operation}: return_weights must be None, 'before' or 'after', got {return_weights!r}")
    shape = _weights_shape(operation, q.shape, k.shape, v.shape)
    index = asked.index_for(shape, shared)
    tile = _checked_tile(operation, tile, shape, index, return_weights is not None or return_mask)
    allowed, bias = checked_masks(operation, allowed, bias, shape, q.dtype)
    sight = ops.Sight(allowed, causal)
    scale = 1 / math.sqrt(q.shape[-1]) if scale is None else float(scale)
    if return_weights is None and not return_mask and _values_lead(shape, v.shape) == shape[:-2]:
        like = np.broadcast_to(q.dtype.type(1), shape)
        drop = selection(asked, like, p, index, scale=inverted_scale(p)) if asked.draws(p) else None
        return ops.attend(q, k, v, bias, sight=sight, scale=scale, drop=drop, tile=tile, backend=backend)
    before, v = probabilities(q, k, v, bias, sight=sight, scale=scale, backend=backend)
    weights, keep = map_and_mask(asked, before, p, index, scale=inverted_scale(p))
    y = product(weights, v)
    extra = () if return_weights is None else ((before if return_weights == "before" else weights),)
    if return_mask:
        extra = (*extra, keep)
    return (y, *extra) if extra else y


def drop_key(
    logits: Any,
    p: Any,
    *,
    all_dropped: Literal["keep", "zero"] = "keep",
    shared: int | Sequence[int] = (),
    key: Keys | None = None,
    mask: Any = None,
    training: bool = True,
    index: Index | None = None,
    return_mask: bool = False,
    backend: Any = None,
) -> Any:
    """Attention weights over the keys that are kept: each logit is dropped with probability p before the softmax.

    Math: y = softmax(s), s = logits where kept, else -inf: the weights of the others grow, and still sum to 1; no
        further scale. Gradient: y * (g - sum(y g)), 0 where dropped. Evaluation and p = 0 give softmax(logits). E[y]
        has no closed form. A row whose keys are all dropped stays as it is (`all_dropped="keep"`, so p = 1 gives
        softmax(logits)), or becomes zeros ("zero"). Logits of -inf get the weight 0, a row of them zeros.
    Shapes: logits (..., S); y alike, softmax over the last axis. One draw along each of the `shared` axes: -2 drops the
        same keys for all queries. `index` says which part of a global noise tensor the logits are.
    Dtypes: float32, float64; y like the logits.
    Draws: one halfword a logit, at (key, element number). `mask=` (True = kept) replaces the draw; `return_mask=True`
        gives (y, mask), as drawn.
    Raises: TypeError for whole-number logits or a p that is no number; ValueError for p outside [0, 1], logits without
        an axis, another `all_dropped`, an index or mask that does not fit, or no key.
    Reference: Li et al., "DropKey for vision transformer" (2023).

    >>> from puredrop import Key
    >>> drop_key(np.zeros((2, 4)), p=0.5, key=Key(7)).round(2)
    array([[0.  , 0.33, 0.33, 0.33],
           [0.5 , 0.  , 0.5 , 0.  ]])
    """
    operation = "drop_key"
    asked = Asked(operation, key, mask, training, index, return_mask, backend)
    logits = asked.placed(logits)
    logits, p = checked_array(operation, logits), checked_rate(operation, p)
    if all_dropped not in ("keep", "zero"):
        raise ValueError(f"{operation}: all_dropped must be 'keep' or 'zero', got {all_dropped!r}")
    if not logits.shape:
        raise ValueError(f"{operation}: logits need an axis of keys, got shape ()")
    index = asked.index_for(logits.shape, shared)
    present = raw(logits) != -np.inf  # like logits; a NaN is present, and is seen
    if not asked.draws(p):
        return asked.undrawn(softmax_where(present, logits, backend=backend), shape=index.noise_shape)
    keep = keep_array(asked, logits, p, index)
    kept = present & spread(asked, keep, index, logits.shape)
    if all_dropped == "keep":
        kept = np.where(kept.any(axis=-1, keepdims=True), kept, present)
    return asked.answer(softmax_where(kept, logits, backend=backend), keep)


def drop_head(
    x: Any,
    p: float,
    *,
    head_axis: int = 1,
    key: Keys | None = None,
    mask: Any = None,
    training: bool = True,
    index: Index | None = None,
    return_mask: bool = False,
    backend: Any = None,
) -> Any:
    """Drop whole attention heads with probability p, and scale those kept by H / (how many are kept).

    Math: y = x * m_h * H / K, m_h a gate for each head of each example, K = sum of m over the H heads. Gradient:
        dx = g * m_h * H / K. E[y] = (1 - p^H) x: zeros where all heads are dropped. Evaluation and p = 0 give x; p = 1
        gives zeros with a zero gradient.
    Shapes: x any with a head axis; axis 0 is the batch (`head_axis=0`: no batch); y like x. `index` says which part of
        a global noise tensor x is: all heads of it, and it shares all axes but the batch and the heads.
    Dtypes: float32, float64 (and float16 on NumPy); y like x.
    Draws: one halfword a head of an example, at (key, example * H + head). `mask=` (True = kept), of the shape of x
        with 1 for the shared axes, replaces the draw; `return_mask=True` gives (y, mask).
    Raises: TypeError for whole-number x or a p that is no number; ValueError for p outside [0, 1], a head axis that
        does not exist, an index or mask that does not fit, or no key.
    Reference: Zhou et al., "Scheduled DropHead: a regularization method for transformer models" (2020).

    >>> from puredrop import Key
    >>> drop_head(np.ones((2, 4, 1)), p=0.5, key=Key(7))[..., 0].round(2)
    array([[0.  , 1.33, 1.33, 1.33],
           [2.  , 0.  , 2.  , 0.  ]])
    """
    operation = "drop_head"
    asked = Asked(operation, key, mask, training, index, return_mask, backend)
    x, p = checked_array(operation, x), one_rate(operation, p)
    rank = len(asked.shape_of_one_key(x.shape))
    if not -rank <= head_axis < rank:
        raise ValueError(
            f"{operation}: head_axis {head_axis} does not exist in x of shape {asked.shape_of_one_key(x.shape)}"
        )
    others = [axis for axis in range(rank) if axis not in (0, head_axis % rank)]
    index = asked.index_sharing(x.shape, others, "an index must share all axes but the batch and the heads")
    if not asked.draws(p):
        return asked.undrawn(unchanged(x), shape=index.noise_shape)
    keep = keep_array(asked, x, p, index)
    kept = spread(asked, keep, index, x.shape)
    heads = head_axis % rank - rank  # counted from the end
    count = np.maximum(kept.sum(axis=heads, keepdims=True), 1)
    return asked.answer(map_given(asked, x, kept, scale=kept.shape[heads] / count), keep)


def _weights_shape(operation: str, q: Shape, k: Shape, v: Shape) -> Shape:
    given = f"got q {q}, k {k}, v {v}"
    if min(len(q), len(k), len(v)) < 2 or q[-1] != k[-1] or k[-2] != v[-2] or q[-1] == 0:
        raise ValueError(f"{operation}: expected q (..., T, D), k (..., S, D), v (..., S, E), D > 0; {given}")
    try:
        shape = weights_shape(q, k)
        _values_lead(shape, v)
    except ValueError:
        raise ValueError(
            f"{operation}: the leading axes must agree or be 1 (heads, axis -3: divide those of q); {given}"
        ) from None
    return shape


def _values_lead(weights: tuple[int, ...], v: tuple[int, ...]) -> tuple[int, ...]:
    """The leading axes of the weights times v."""
    return weights_shape(weights, (*v[:-2], 0, weights[-1]))[:-2]


def _checked_tile(operation: str, tile: Any, shape: tuple[int, ...], index: Index, whole: bool) -> int | None:
    """The size of a tile, or None for all weights at once."""
    if tile is None:
        return None
    tile = whole_number(operation, "tile", tile, 1)
    if whole:
        raise ValueError(f"{operation}: weights and masks exist tile by tile only, so they cannot be returned")
    if shape[-2:] != index.shape[-2:]:
        raise ValueError(f"{operation}: several keys beside a tile need an axis of their own in front of the queries")
    return tile


def checked_masks(operation: str, allowed: Any, bias: Any, shape: tuple[int, ...], dtype: Any) -> tuple[Any, Any]:
    """Where a query may attend to a key, or None for everywhere; and the finite bias, or 0.

    Raises: TypeError for a wrong dtype; ValueError where they do not broadcast to `shape`, that of the weights.
    """
    if allowed is not None:
        allowed = np.atleast_2d(_fitting(operation, "allowed", allowed, "b", shape))
    if bias is None:
        return allowed, 0.0
    blocked = np.atleast_2d(_fitting(operation, "bias", bias, "f", shape) == -np.inf)
    bias = ops.astype(bias if hasattr(bias, "dtype") else np.asarray(bias), dtype=dtype)
    if not blocked.any():
        return allowed, bias
    return ~blocked if allowed is None else allowed & ~blocked, ops.where(blocked, 0.0, bias)


def _fitting(operation: str, name: str, given: Any, kind: str, shape: Shape) -> Any:
    """The array behind `given`, if it is boolean ("b") or real ("f") and broadcasts to `shape`."""
    array = raw(given) if hasattr(raw(given), "dtype") else np.asarray(given)
    if array.dtype.kind != kind:
        wanted = "boolean (True = may attend)" if kind == "b" else "floating-point (it is added)"
        raise TypeError(f"{operation}: {name} must be {wanted}, got dtype {array.dtype}")
    if not broadcasts(array.shape, shape):
        raise ValueError(f"{operation}: {name} must broadcast to the weights' shape {shape}, got {array.shape}")
    return array
