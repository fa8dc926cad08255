"""Losses, averaged over the batch; or with a weight for each example, which the examples of a stack need.

`weight` (N,), or (M, N) for a stack of M members, takes the place of the average: the loss is the sum of weight x loss
of the example. Weights of 1 / N give the average back; `StackedBatches` gives those that make each member's gradient
what it is alone.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import ops
from ..tensor import raw


def cross_entropy(logits: Any, labels: Any, weight: Any = None) -> Any:
    """The mean of -log softmax(logits)[label] over the rows, or their weighted sum.

    Shapes: logits (..., C), labels (...) of whole numbers in [0, C), weight like labels -> a scalar. Without a weight
        logits are (N, C).
    Raises: TypeError for labels that are no whole numbers, ValueError for shapes or classes that do not fit.

    >>> round(float(cross_entropy(np.zeros((2, 4)), np.array([0, 3]))), 4)     # log 4
    1.3863
    """
    labels = np.asarray(labels) if not hasattr(labels, "dtype") else raw(labels)
    if labels.dtype.kind not in "iu":
        raise TypeError(f"cross_entropy: labels must be whole numbers, got dtype {labels.dtype}")
    wrong_rank = len(logits.shape) < 2 if weight is not None else len(logits.shape) != 2
    if wrong_rank or labels.shape != logits.shape[:-1] or not labels.size:
        raise ValueError(
            f"cross_entropy: expected logits (N, C) and labels (N,), got {logits.shape} and {labels.shape}"
        )
    if not 0 <= labels.min() <= labels.max() < logits.shape[-1]:
        raise ValueError(
            f"cross_entropy: labels must lie in [0, {logits.shape[-1]}), got {labels.min()} to {labels.max()}"
        )
    if weight is None:
        return ops.cross_entropy(logits, labels=labels)
    rows = ops.reshape(ops.log_softmax(logits), shape=(labels.size, logits.shape[-1]))  # (examples, C)
    chosen = ops.take(rows, index=(np.arange(labels.size), labels.reshape(-1)))
    return _averaged("cross_entropy", -ops.reshape(chosen, shape=labels.shape), weight)


def mse(prediction: Any, target: Any, weight: Any = None) -> Any:
    """The mean of (prediction - target)^2 over all elements, or the weighted sum of those of the examples.

    Raises: ValueError where the shapes differ, or the weight does not have the first axes of them.

    >>> float(mse(np.array([1.0, 3.0]), np.array([1.0, 1.0])))
    2.0
    >>> float(mse(np.array([1.0, 3.0]), np.array([1.0, 1.0]), weight=np.array([0.9, 0.1])))
    0.4
    """
    _require_alike("mse", prediction=prediction, target=target)
    d = prediction - target
    return _averaged("mse", d * d, weight)


def gaussian_nll(mean: Any, variance: Any, target: Any, weight: Any = None) -> Any:
    """The mean of -log N(target; mean, variance) over all elements, or the weighted sum of those of the examples.

    Math: log(2 pi variance) / 2 + (target - mean)^2 / (2 variance), a proper scoring rule for nets that predict their
        own noise.
    Shapes: all alike. The variance must be positive: make it so where it is computed, by softplus and a small constant.
    Raises: ValueError where the shapes differ, or the weight does not have the first axes of them.
    Reference: Nix & Weigend, "Estimating the mean and variance of the target probability distribution" (1994).

    >>> round(float(gaussian_nll(np.zeros(1), np.ones(1), np.zeros(1))), 4)     # log(2 pi) / 2
    0.9189
    """
    _require_alike("gaussian_nll", mean=mean, variance=variance, target=target)
    d = mean - target
    return _averaged("gaussian_nll", (ops.log(variance) + d * d / variance + math.log(2 * math.pi)) * 0.5, weight)


def _require_alike(operation: str, **arrays: Any) -> None:
    if len({tuple(a.shape) for a in arrays.values()}) > 1:
        shapes = " and ".join(f"{name} {tuple(a.shape)}" for name, a in arrays.items())
        raise ValueError(f"{operation}: shapes differ, {shapes}")


def _averaged(operation: str, losses: Any, weight: Any) -> Any:
    """The mean, or the sum over examples of weight x mean over the example's elements."""
    if weight is None:
        return ops.mean(losses)
    shape, rank = losses.shape, len(weight.shape)
    if tuple(weight.shape) != tuple(shape[:rank]):
        raise ValueError(f"{operation}: weight must have the first axes of {shape}, got shape {weight.shape}")
    each = raw(weight).astype(losses.dtype, copy=False) / math.prod(shape[rank:])
    return ops.sum(losses * each.reshape(*weight.shape, *[1] * (len(shape) - rank)))
