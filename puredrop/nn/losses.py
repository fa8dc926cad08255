"""Losses, averaged over the batch."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import ops
from ..tensor import raw


def cross_entropy(logits: Any, labels: Any) -> Any:
    """The mean of -log softmax(logits)[label] over the rows.

    Shapes: logits (N, C), labels (N,) of whole numbers in [0, C) -> a scalar.
    Raises: TypeError for labels that are no whole numbers, ValueError for shapes or classes that do not fit.

    >>> round(float(cross_entropy(np.zeros((2, 4)), np.array([0, 3]))), 4)     # log 4
    1.3863
    """
    labels = np.asarray(labels) if not hasattr(labels, "dtype") else raw(labels)
    if labels.dtype.kind not in "iu":
        raise TypeError(f"cross_entropy: labels must be whole numbers, got dtype {labels.dtype}")
    if len(logits.shape) != 2 or labels.shape != logits.shape[:1] or not labels.size:
        raise ValueError(
            f"cross_entropy: expected logits (N, C) and labels (N,), got {logits.shape} and {labels.shape}"
        )
    if not 0 <= labels.min() <= labels.max() < logits.shape[1]:
        raise ValueError(
            f"cross_entropy: labels must lie in [0, {logits.shape[1]}), got {labels.min()} to {labels.max()}"
        )
    return ops.cross_entropy(logits, labels=labels)


def mse(prediction: Any, target: Any) -> Any:
    """The mean of (prediction - target)^2 over all elements. Raises ValueError where the shapes differ.

    >>> float(mse(np.array([1.0, 3.0]), np.array([1.0, 1.0])))
    2.0
    """
    if prediction.shape != target.shape:
        raise ValueError(f"mse: shapes differ, prediction {prediction.shape} and target {target.shape}")
    d = prediction - target
    return ops.mean(d * d)
