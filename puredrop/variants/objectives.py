"""Losses built on dropout, and what dropout does to the variance that a batch norm sees.

These draw nothing, or several masks of ordinary dropout: the two logits of a pair come from two passes of one model.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from .. import ops
from ..backends import on_host
from ..random import Index, Key
from ..tensor import raw
from .asked import Asked
from .door import checked_alike, checked_array, finite_size, one_rate
from .elementwise import dropout
from .special import concrete_regulariser, log_uniform_kl, sparse_log_alpha

__all__ = [
    "concrete_regulariser",
    "fraternal_loss",
    "log_uniform_kl",
    "multi_sample_dropout_loss",
    "r_drop_loss",
    "sparse_log_alpha",
    "variance_shift",
]


def r_drop_loss(logits1: Any, logits2: Any, labels: Any, alpha: float = 1.0, *, valid: Any = None) -> Any:
    """Cross-entropy of two dropout passes, and the divergence between them: R-Drop.

    Math: L = (CE1 + CE2) / 2 + alpha * (KL(p|q) + KL(q|p)) / 2, p and q the softmax of the two logits. Every term is a
        mean over the rows, so alpha does not depend on the batch size (the authors' code sums the divergence but
        averages the cross-entropy; the paper adds CE1 + CE2, which is 2 L at alpha / 2). Gradient by logits1: [(p -
        onehot) / 2 + alpha / 2 * (p * (log p - log q - KL(p|q)) + p - q)] / N, and alike by logits2: it flows into both
        passes. The divergence is of the *softmax*, never of the logits themselves. E[L]: not that of one pass;
        evaluation is plain cross-entropy.
    Shapes: logits1, logits2 (..., C), labels (...) -> a scalar. `valid` (...): bool, the rows that count (False:
        padding).
    Dtypes: float32, float64, one for both; labels whole; L like the logits.
    Draws: none; the passes drew.
    Raises: TypeError for whole-number logits, two dtypes, labels that are no whole numbers, a `valid` that is not
        boolean, or an alpha that is no number; ValueError for shapes or classes that do not fit, no row, alpha < 0.
    Reference: Liang et al., "R-Drop: regularized dropout for neural networks" (2021).

    >>> a, b = np.array([[2.0, 0.0]]), np.array([[0.0, 2.0]])
    >>> round(float(r_drop_loss(a, a, np.array([0]), alpha=1.0)), 4)        # no divergence: cross-entropy
    0.1269
    >>> round(float(r_drop_loss(a, b, np.array([0]), alpha=1.0)), 4)
    2.6501
    """
    operation = "r_drop_loss"
    logits1, logits2, labels = _pair(operation, logits1, logits2, labels, valid)
    alpha = finite_size(operation, "alpha", alpha)
    absent = (raw(logits1) == -np.inf) & (raw(logits2) == -np.inf)  # (N, C): p = q = 0 there, which adds nothing
    log_p, log_q = (ops.where(absent, 0.0, ops.log_softmax(z)) for z in (logits1, logits2))
    p, q = (ops.softmax(z) for z in (logits1, logits2))
    divergence = (p - q) * (log_p - log_q)  # (N, C), both directions together
    return _mean_cross_entropy(logits1, logits2, labels) + ops.sum(divergence * (alpha / 2 / labels.size))


def fraternal_loss(logits1: Any, logits2: Any, labels: Any, kappa: float = 0.1, *, valid: Any = None) -> Any:
    """Cross-entropy of two dropout passes, and the squared distance of their logits: fraternal dropout.

    Math: L = (CE1 + CE2) / 2 + kappa * mean((z1 - z2)^2), z the logits before the softmax. Every term is a mean over
        the rows, and the square over the C classes too, as in the authors' code; kappa C gives the sum over classes.
        Gradient by z1: (p - onehot) / (2 N) + 2 kappa (z1 - z2) / (N C), and alike by z2. Evaluation is plain
        cross-entropy.
    Shapes: logits1, logits2 (..., C), labels (...) -> a scalar. `valid` (...): bool, the rows that count (False:
        padding).
    Dtypes: float32, float64, one for both; labels whole; L like the logits.
    Draws: none; the passes drew.
    Raises: TypeError for whole-number logits, two dtypes, labels that are no whole numbers, a `valid` that is not
        boolean, or a kappa that is no number; ValueError for shapes or classes that do not fit, no row, kappa < 0.
    Reference: Zolna et al., "Fraternal dropout" (2018).

    >>> a, b = np.array([[2.0, 0.0]]), np.array([[0.0, 2.0]])
    >>> round(float(fraternal_loss(a, b, np.array([0]), kappa=0.5)), 4)
    3.1269
    """
    operation = "fraternal_loss"
    logits1, logits2, labels = _pair(operation, logits1, logits2, labels, valid)
    kappa = finite_size(operation, "kappa", kappa)
    d = logits1 - logits2  # (N, C)
    return _mean_cross_entropy(logits1, logits2, labels) + ops.sum(d * d * (kappa / math.prod(d.shape)))


def multi_sample_dropout_loss(
    x: Any,
    head: Callable[[Any], Any],
    labels: Any,
    p: float = 0.5,
    *,
    samples: int = 8,
    loss: Callable[[Any, Any], Any] | None = None,
    key: Key | None = None,
    mask: Any = None,
    training: bool = True,
    return_mask: bool = False,
    backend: Any = None,
) -> Any:
    """The mean loss of several dropout masks on the last features, which are computed once.

    Math: L = (1 / K) sum_k loss(head(dropout_k(x)), labels): the mean of the K *losses*, not the loss of mean logits.
        Gradient: the mean of the K gradients. E[L] is the expected loss of one mask. Evaluation and p = 0 give
        loss(head(x), labels).
    Shapes: x (N, ...), what `head` makes of it and `labels` as the loss wants them -> a scalar.
    Dtypes: float32, float64; L as the loss gives it.
    Draws: one halfword for each of K x.size elements, at (key, k * x.size + element number): one noise tensor
        (K, *x.shape). `mask=` of that shape (True = kept) replaces it; `return_mask=True` gives (L, mask). `loss` is
        cross-entropy unless another is given.
    Raises: TypeError for whole-number x, or several keys; ValueError for p outside [0, 1], fewer than one sample, a
        mask that does not fit, or no key.
    Reference: Inoue, "Multi-sample dropout for accelerated training and better generalization" (2019).

    >>> x, w = np.ones((1, 4)), np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 1.0]])
    >>> L = multi_sample_dropout_loss(x, lambda h: h @ w, np.array([0]), p=0.5, samples=4, key=Key(7))
    >>> round(float(L), 4)
    0.5997
    """
    operation = "multi_sample_dropout_loss"
    asked = Asked(operation, key, mask, training, None, return_mask, backend)
    x, p = checked_array(operation, x), one_rate(operation, p)
    if isinstance(key, tuple):
        raise TypeError(f"{operation}: give one key, not several; samples= says how many masks there are")
    samples, loss = _sample_count(operation, samples), loss or _cross_entropy
    shape = (samples, *x.shape)
    if mask is not None and np.shape(mask) != shape:
        raise ValueError(f"{operation}: mask must have shape {shape}, got {np.shape(mask)}")
    if not asked.draws(p):
        return asked.answer(loss(head(x), labels), asked.backend_of(x).xp.ones(shape, np.bool_))
    index, size = Index.whole(x.shape), math.prod(x.shape)
    total, masks = 0.0, []
    for k in range(samples):
        part = replace(index, offset=k * size)
        given = None if mask is None else mask[k]
        dropped, keep = dropout(x, p, key=key, mask=given, index=part, return_mask=True, backend=backend)
        total = total + loss(head(dropped), labels) * (1 / samples)
        masks.append(keep)
    return asked.answer(total, np.stack(masks))


def variance_shift(p: float, mean: Any, variance: Any) -> Any:
    """How many times larger the variance behind a dropout is in training than in evaluation.

    Math: for an input of mean c and variance v, y = x m / (1 - p) has the variance (c^2 + v) / (1 - p) - c^2 in
        training and v in evaluation: the ratio is 1 + p / (1 - p) * (1 + c^2 / v). A batch norm behind a dropout learns
        the first and is used at the second. 1 means no shift; put the dropout behind the batch norm to have none.
    Shapes: mean and variance any, one for each channel; they broadcast.
    Dtypes: numbers or arrays; float64 unless the arrays are float32.
    Draws: none.
    Raises: TypeError for a p that is no number; ValueError for p outside [0, 1), or a variance that is not positive.
    Reference: Li et al., "Understanding the disharmony between dropout and batch normalization by variance shift"
        (2019).

    >>> variance_shift(0.5, mean=0.0, variance=1.0)
    2.0
    >>> variance_shift(0.5, mean=np.array([0.0, 1.0, 3.0]), variance=1.0)
    array([ 2.,  3., 11.])
    """
    p = one_rate("variance_shift", p)
    if p == 1.0:
        raise ValueError("variance_shift: p must lie below 1, got 1: nothing is left to have a variance")
    if not np.all(on_host(raw(variance)) > 0):
        raise ValueError(f"variance_shift: variance must be positive, got {variance}")
    return 1.0 + p / (1.0 - p) * (1.0 + mean * mean / variance)


def _pair(operation: str, logits1: Any, logits2: Any, labels: Any, valid: Any) -> tuple[Any, Any, np.ndarray]:
    """Two (N, C) logits and their (N,) labels, of those rows that count."""
    logits1, logits2 = checked_alike(operation, logits1=logits1, logits2=logits2)
    labels = on_host(raw(labels))
    shape = logits1.shape
    if labels.dtype.kind not in "iu":
        raise TypeError(f"{operation}: labels must be whole numbers, got dtype {labels.dtype}")
    if not shape or labels.shape != shape[:-1]:
        raise ValueError(f"{operation}: expected logits (..., C) and labels (...), got {shape} and {labels.shape}")
    keep = np.ones(labels.shape, np.bool_) if valid is None else on_host(raw(valid))
    if keep.dtype != np.bool_:
        raise TypeError(f"{operation}: valid must be boolean (True = counts), got dtype {keep.dtype}")
    if keep.shape != labels.shape or not keep.any():
        raise ValueError(
            f"{operation}: valid must have the shape of labels, {labels.shape}, and one row that counts, "
            f"got shape {keep.shape} with {keep.sum()}"
        )
    labels = labels[keep]  # (N,)
    if not 0 <= labels.min() <= labels.max() < shape[-1]:
        raise ValueError(
            f"{operation}: labels must lie in [0, {shape[-1]}), got {labels.min()} to {labels.max()}; "
            f"mark rows without a label in valid="
        )
    rows = np.flatnonzero(keep)
    return *(ops.take(ops.reshape(z, shape=(-1, shape[-1])), index=rows) for z in (logits1, logits2)), labels


def _mean_cross_entropy(logits1: Any, logits2: Any, labels: np.ndarray) -> Any:
    return (_cross_entropy(logits1, labels) + _cross_entropy(logits2, labels)) * 0.5


def _cross_entropy(logits: Any, labels: Any) -> Any:
    return ops.cross_entropy(logits, labels=on_host(raw(labels)))


def _sample_count(operation: str, samples: Any) -> int:
    try:
        count = 0 if isinstance(samples, bool) else operator.index(samples)
    except TypeError:
        count = 0
    if count < 1:
        raise ValueError(f"{operation}: samples must be a whole number of 1 or more, got {samples!r}")
    return count
