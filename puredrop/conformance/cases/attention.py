"""Rows for attention."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...variants import drop_head, drop_key, scaled_dot_product_attention
from ..case import Arrays, Case, normal

NO_PART = "the check cuts along the axis over which is normalised; tests/test_attention_variants.py cuts the others"
Q_IS_KEPT = "probabilities are dropped, not q; tests/test_attention_variants.py has what must not reach the result"
PYTORCH = "PyTorch's takes three inputs; tests/test_attention_variants.py replays its mask"


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
    return e / e.sum(-1)[..., None]


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
        evaluation=lambda xp, q, k, v, p: probabilities(xp, q, k) @ v,
        not_applicable={
            "identity": "p = 0 gives attention without dropout, held against the formula",
            "nonfinite": Q_IS_KEPT,
            "nonfinite gradient": Q_IS_KEPT,
            "signed zero": "the result is a sum",
            "shapes": "q, k and v have two axes at least; tests/test_attention_variants.py has others",
            "shard": NO_PART,
            "huge index": "the check knows variants of one input; tests/test_attention_variants.py has an index",
            "pytorch live": PYTORCH,
            "pytorch golden": PYTORCH,
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
        mean=None,
        variance=None,
        at_one="formula",
        evaluation=lambda xp, logits, p: softmax(xp, logits),
        not_applicable={
            "identity": "p = 0 gives the softmax, held against the formula",
            "signed zero": "weights are positive",
            "shapes": "the softmax needs an axis of keys; tests/test_attention_variants.py has other shapes",
            "shard": NO_PART,
        },
        applies_to=("attention",),
    ),
    Case(
        name="drop_head",
        call=drop_head,
        formula=heads,
        mean=lambda x, p: (1 - p ** x.shape[1]) * x,
        variance=heads_variance,
        not_applicable={
            "shapes": "there is a head axis; tests/test_attention_variants.py has other shapes",
            "shard": NO_PART,
        },
        applies_to=("attention",),
    ),
)
