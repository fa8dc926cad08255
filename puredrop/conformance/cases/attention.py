"""Rows for attention."""

from __future__ import annotations

import math
from itertools import product
from typing import Any

import numpy as np

from ...random import Index
from ...variants import drop_head, drop_key, scaled_dot_product_attention
from ..case import Arrays, Case, normal, part_of_x

Q_IS_KEPT = "probabilities are dropped, not q; tests/test_attention_variants.py has what must not reach the result"


def softmax(xp: Any, logits: Any) -> Any:
    """Over the last axis; for logits of moderate size."""
    e = xp.exp(logits)
    return e / e.sum(-1)[..., None]


def probabilities(xp: Any, q: Any, k: Any) -> Any:
    return softmax(xp, q @ k.T / math.sqrt(2))


def attention(xp: Any, q: Any, k: Any, v: Any, keep: Any, p: float) -> Any:
    weights = probabilities(xp, q, k)  # (rows, columns)
    dropped = xp.zeros_like(weights)
    return xp.where(keep, weights / (1 - p) if p < 1 else dropped, dropped) @ v


def attention_inputs(rows: int, columns: int) -> Arrays:
    """Queries, keys and values whose weights are rows x columns."""
    return normal(rows, 2), normal(columns, 2, seed=1), normal(columns, 2, seed=2)


def kept_softmax(xp: Any, logits: Any, keep: Any, p: float) -> Any:
    keep = keep | ~keep.any(-1)[..., None]  # a row without a key stays as it is
    e = xp.where(keep, xp.exp(logits), xp.zeros_like(logits))
    return xp.where(keep, e / e.sum(-1)[..., None], xp.zeros_like(logits))


def over_all_masks(logits: Any, p: float) -> tuple[Any, Any]:
    """Mean and variance of the weights of each row, which has few keys: all its masks in turn."""
    masks = np.array(list(product((False, True), repeat=logits.shape[-1])))  # (2^S, S)
    chances = np.prod(np.where(masks, 1 - p, p), axis=1)
    values = np.array([kept_softmax(np, logits, np.broadcast_to(keep, logits.shape), p) for keep in masks])
    mean = np.tensordot(chances, values, axes=1)
    return mean, np.tensordot(chances, (values - mean) ** 2, axes=1)


def heads(xp: Any, x: Any, keep: Any, p: float) -> Any:
    count = keep.sum(1)[:, None]  # (rows, 1)
    scaled = x * keep.shape[1] / xp.where(count > 0, count, xp.ones_like(count))
    return xp.where(keep, scaled, xp.zeros_like(x))


def heads_variance(x: Any, p: float) -> Any:
    """E[m_h H^2 / K^2] = H E[1 / K; K > 0]."""
    n = x.shape[1]
    inverse = sum(math.comb(n, k) * (1 - p) ** k * p ** (n - k) / k for k in range(1, n + 1))
    return x**2 * (n * inverse - (1 - p**n) ** 2)


CASES = (
    Case(
        name="scaled_dot_product_attention",
        call=scaled_dot_product_attention,
        formula=attention,
        mean=lambda q, k, v, p: probabilities(np, q, k) @ v,
        variance=lambda q, k, v, p: probabilities(np, q, k) ** 2 @ v**2 * p / (1 - p),
        inputs=attention_inputs,
        any_shape=False,
        index=lambda q, k, v: Index.whole((len(q), len(k))),
        axes=1,
        part=part_of_x,
        evaluation=lambda xp, q, k, v, p: probabilities(xp, q, k) @ v,
        rounds=True,
        not_applicable={
            "nonfinite": Q_IS_KEPT,
            "nonfinite gradient": Q_IS_KEPT,
            "signed zero": "the result is a sum",
        },
        applies_to=("attention",),
        elsewhere={
            "PyTorch": "torch.nn.functional.scaled_dot_product_attention(dropout_p=): drops in evaluation too",
            "Keras": "keras.layers.MultiHeadAttention(dropout=)",
            "Flax": "flax.nnx.MultiHeadAttention(dropout_rate=): one mask for all examples and heads, unless told",
            "Equinox": "equinox.nn.MultiheadAttention(dropout_p=)",
        },
    ),
    Case(
        name="drop_key",
        call=drop_key,
        formula=kept_softmax,
        mean=lambda logits, p: over_all_masks(logits, p)[0],
        variance=lambda logits, p: over_all_masks(logits, p)[1],
        any_shape=False,
        axes=1,
        at_one="formula",
        evaluation=lambda xp, logits, p: softmax(xp, logits),
        rounds=True,
        not_applicable={
            "signed zero": "weights are positive",
            "all dropped": "a row without a key stays as it is, held against the formula",
        },
        applies_to=("attention",),
    ),
    Case(
        name="drop_head",
        call=drop_head,
        formula=heads,
        mean=lambda x, p: (1 - p ** x.shape[1]) * x,
        variance=heads_variance,
        any_shape=False,
        axes=1,
        applies_to=("attention",),
    ),
)
