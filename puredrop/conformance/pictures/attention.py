"""Panels of dropout on attention maps: the darker blue, the larger the weight."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...random import Key
from ...variants import drop_head, drop_key, scaled_dot_product_attention
from .draw import INK, MUTED, Panel, blocks, shades

QUERIES, KEYS, FEATURES = 8, 10, 4
Q, K = (np.random.default_rng(seed).standard_normal((n, FEATURES)) for seed, n in ((1, QUERIES), (2, KEYS)))
LOGITS = Q @ K.T / FEATURES**0.5
FULL = 0.45  # the weight that is drawn as full blue


def with_sums(axes: Any, weights: np.ndarray, keep: np.ndarray) -> None:
    """A map of weights, dropped ones in ink, and the sum of each row beside it."""
    blocks(axes, [[np.where(keep, shades(weights / FULL), INK)]], "S, beside it: the sum of the row", "T")
    for row, total in enumerate(weights.sum(1)):
        axes.text(KEYS + 0.3, row + 0.55, f"{total:.2f}", va="center", fontsize=7, color=MUTED)


def probabilities(axes: Any) -> None:
    _, weights, keep = scaled_dot_product_attention(Q, K, K, 0.3, key=Key(7), return_weights="after", return_mask=True)
    with_sums(axes, np.asarray(weights), keep)


def keys(axes: Any) -> None:
    weights, keep = drop_key(LOGITS, 0.3, key=Key(7), return_mask=True)
    with_sums(axes, np.asarray(weights), keep)


def heads(axes: Any) -> None:
    maps = np.random.default_rng(4).dirichlet(np.full(5, 0.7), (3, 4, 5))  # (N, H, T, S)
    _, keep = drop_head(maps, 0.3, key=Key(20), return_mask=True)
    blocks(axes, list(np.where(keep, shades(maps / 0.8), INK)), "H, each head T x S", "N")


PANELS = (
    Panel("scaled_dot_product_attention", "weights go after the softmax: rows no longer sum to 1", probabilities),
    Panel("drop_key", "keys go before the softmax: the others share what is freed", keys),
    Panel("drop_head", "whole heads of an example; the others are scaled up", heads),
)
