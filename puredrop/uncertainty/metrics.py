"""How good probabilities are: pure functions of arrays, float64 inside."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


def entropy(probabilities: np.ndarray, axis: int = -1) -> np.ndarray:
    """-sum p log p in nats, with 0 log 0 = 0.

    >>> entropy(np.array([[1.0, 0.0], [0.5, 0.5]])).round(4).tolist()
    [0.0, 0.6931]
    """
    p = np.asarray(probabilities, np.float64)
    return -(p * np.log(np.where(p > 0, p, 1.0))).sum(axis=axis) + 0.0  # no -0


def mutual_information(samples: np.ndarray) -> np.ndarray:
    """H(mean_t p) - mean_t H(p): how much the samples disagree (BALD; Houlsby et al. 2011). (T, N, C) -> (N,).

    >>> mutual_information(np.array([[[1.0, 0.0]], [[0.0, 1.0]]])).round(4).tolist()
    [0.6931]
    """
    return entropy(np.asarray(samples, np.float64).mean(axis=0)) - entropy(samples).mean(axis=0)


def accuracy(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """The share of rows whose most probable class is the label."""
    return float((probabilities.argmax(axis=-1) == labels).mean())


def nll(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """The mean of -log p[label]; infinite where a label has probability 0."""
    p = np.asarray(probabilities, np.float64)[np.arange(len(labels)), labels]
    with np.errstate(divide="ignore"):
        return float(-np.log(p).mean())


class Reliability(NamedTuple):
    """Bins of confidence: how many rows, how often right, how confident on average (0 where a bin is empty)."""

    edges: np.ndarray
    rows: np.ndarray
    accuracy: np.ndarray
    confidence: np.ndarray


def reliability(probabilities: np.ndarray, labels: np.ndarray, bins: int = 15) -> Reliability:
    """Rows by the probability of their most probable class, in equal bins (k - 1)/B < confidence <= k/B."""
    p = np.asarray(probabilities, np.float64)
    confidence = p.max(axis=-1)
    right = p.argmax(axis=-1) == labels
    edges = np.linspace(0.0, 1.0, bins + 1)
    place = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, bins - 1)
    count = np.bincount(place, minlength=bins)
    total = np.maximum(count, 1)
    return Reliability(
        edges,
        count,
        np.bincount(place, right, minlength=bins) / total,
        np.bincount(place, confidence, minlength=bins) / total,
    )


def ece(probabilities: np.ndarray, labels: np.ndarray, bins: int = 15) -> float:
    """Expected calibration error: the mean over rows of |accuracy - confidence| of their bin (Naeini et al. 2015).

    >>> ece(np.array([[0.5, 0.5], [0.5, 0.5]]), np.array([0, 1]))
    0.0
    """
    table = reliability(probabilities, labels, bins)
    return float((table.rows * np.abs(table.accuracy - table.confidence)).sum() / table.rows.sum())
