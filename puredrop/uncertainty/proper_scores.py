"""Proper scores of class probabilities: lower is better, and the truth is best on average."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np

from ..variants.door import counted
from .door import checked_labels, chosen, classified, finite

Reduce = Literal["mean", "none"]
SCALES = ("sum", "half", "class_mean", "without_constant")


def reduced(operation: str, rows: np.ndarray, reduce: Reduce) -> Any:
    """The mean of a score over the rows, or the rows themselves. Raises ValueError."""
    return float(rows.mean()) if chosen(operation, "reduce", reduce, ("mean", "none")) == "mean" else rows


def accuracy(scores: Any, labels: Any) -> float:
    """The share of rows whose largest score (probability or logit) is that of the label; a tie is the lower class.

    Shapes: (N, C), (N,). Raises: TypeError, ValueError for labels that do not fit, NaN, or no rows.

    >>> accuracy(np.array([[0.9, 0.1], [0.6, 0.4]]), np.array([0, 1]))
    0.5
    """
    values = finite("accuracy", "scores", scores, ndim=2)
    return float((values.argmax(axis=-1) == checked_labels("accuracy", labels, *values.shape)).mean())


def nll(probabilities: Any, labels: Any, *, reduce: Reduce = "mean") -> Any:
    """The negative log likelihood (log loss) of class probabilities; infinite where a label has probability 0.

    Math: mean_n -log p_n[y_n]. Of Monte-Carlo samples give their mean: then it is the mixture's.
    Shapes: (N, C), (N,) -> a float, or (N,) for reduce="none". Dtypes: float64; nothing is clipped.
    Raises: TypeError, ValueError for what are no probabilities (logits) or labels.
    Reference: Good, "Rational decisions" (1952).

    >>> nll(np.array([[0.5, 0.5], [1.0, 0.0]]), np.array([1, 0])).__round__(4)
    0.3466
    """
    p, y = classified("nll", probabilities, labels)
    with np.errstate(divide="ignore"):
        rows = -np.log(p[np.arange(len(y)), y])  # (N,)
    return reduced("nll", rows + 0.0, reduce)


def brier(
    probabilities: Any,
    labels: Any,
    *,
    scale: Literal["sum", "half", "class_mean", "without_constant"],
    reduce: Reduce = "mean",
) -> Any:
    """The squared distance between probabilities and what happened.

    Math: s = sum_c (p_c - 1[c = y])^2. scale: "sum" s (Brier's own; scikit-learn's scale_by_half=False); "half" s / 2
        (for two classes, the score of one of them); "class_mean" s / C (Lakshminarayanan 2017); "without_constant"
        s - 1 = sum_c p_c^2 - 2 p_y (TensorFlow Probability's, negative).
    Shapes: (N, C), (N,) -> a float, or (N,) for reduce="none". Dtypes: float64.
    Raises: TypeError, ValueError for what are no probabilities or labels, or another scale. Samples (T, N, C) are
        refused: the score of their mean and the mean of their scores differ; choose with `samples.mean(axis=0)`.
    Reference: Brier, "Verification of forecasts expressed in terms of probability" (1950).

    >>> brier(np.array([[0.8, 0.2]]), np.array([0]), scale="sum").__round__(4)
    0.08
    """
    p, y = classified("brier", probabilities, labels)
    chosen("brier", "scale", scale, SCALES)
    rows = ((p - one_hot(y, p.shape[1])) ** 2).sum(axis=1)  # (N,)
    scaled = {"sum": rows, "half": rows / 2, "class_mean": rows / p.shape[1], "without_constant": rows - 1}
    return reduced("brier", scaled[scale], reduce)


def one_hot(labels: np.ndarray, classes: int) -> np.ndarray:
    """1 at the label, 0 elsewhere. float64, (N, C)."""
    return (labels[:, None] == np.arange(classes)).astype(np.float64)


class BrierDecomposition(NamedTuple):
    """brier = reliability - resolution + uncertainty + within, to rounding, in the scale "sum".

    reliability: how far the forecasts of a group are from its frequencies (0 is calibrated). resolution: how far the
    frequencies of the groups are from those of all rows. uncertainty: of the labels alone. within: what a group hides
    by not being one forecast: the forecasts' variance in it less twice their covariance with what happened.
    """

    reliability: float
    resolution: float
    uncertainty: float
    within: float


def brier_decomposition(
    probabilities: Any, labels: Any, *, groups: Literal["predicted_class", "bins"], bins: int = 10
) -> BrierDecomposition:
    """Murphy's decomposition of the Brier score, with the terms that make it exact for grouped forecasts.

    Math: rows fall into groups k of share w_k, mean forecast f_k and frequencies o_k; o are those of all rows.
        reliability = sum w_k |f_k - o_k|^2, resolution = sum w_k |o_k - o|^2, uncertainty = 1 - |o|^2,
        within = sum w_k (mean |f - f_k|^2 - 2 mean (f - f_k)(1_y - o_k)).
    groups: "predicted_class": by the most probable class, as TensorFlow Probability does (whose reliability is the mean
        of |f - o_k|^2, that is ours plus the forecasts' variance, and which leaves the covariance out); "bins": each
        class apart, its probability in `bins` equal bins, summed over classes.
    Shapes: (N, C), (N,). Dtypes: float64.
    Raises: TypeError, ValueError for what are no probabilities or labels, or other groups.
    Reference: Murphy (1973); Stephenson, Coelho & Jolliffe, "Two extra components in the Brier score decomposition"
        (2008).

    >>> p = np.array([[0.8, 0.2], [0.8, 0.2], [0.3, 0.7], [0.3, 0.7]])
    >>> parts = brier_decomposition(p, np.array([0, 1, 1, 1]), groups="bins")
    >>> whole = parts.reliability - parts.resolution + parts.uncertainty + parts.within
    >>> bool(np.isclose(whole, brier(p, np.array([0, 1, 1, 1]), scale="sum")))
    True
    """
    p, y = classified("brier_decomposition", probabilities, labels)
    bins = counted("brier_decomposition", "bins", bins, 1)
    happened = one_hot(y, p.shape[1])
    if chosen("brier_decomposition", "groups", groups, ("predicted_class", "bins")) == "predicted_class":
        return BrierDecomposition(*_murphy(p, happened, p.argmax(axis=1)).tolist())
    place = np.minimum((p * bins).astype(np.int64), bins - 1)  # (N, C)
    parts = [_murphy(p[:, [c]], happened[:, [c]], place[:, c]) for c in range(p.shape[1])]
    return BrierDecomposition(*np.sum(parts, axis=0).tolist())


def _murphy(f: np.ndarray, o: np.ndarray, group: np.ndarray) -> np.ndarray:
    """The four terms for forecasts f (N, K) of what happened o (N, K), by group (N,)."""
    _, group, rows = np.unique(group, return_inverse=True, return_counts=True)

    def spread(x: np.ndarray) -> np.ndarray:
        total = np.zeros((len(rows), x.shape[1]))
        np.add.at(total, group, x)
        return (total / rows[:, None])[group]  # the mean of its group for each row, (N, K)

    def mean_square(x: np.ndarray) -> float:
        return float((x**2).sum(axis=1).mean())

    f_k, o_k, everywhere = spread(f), spread(o), o.mean(axis=0)
    within = mean_square(f - f_k) - 2 * float(((f - f_k) * (o - o_k)).sum(axis=1).mean())
    return np.array([mean_square(f_k - o_k), mean_square(o_k - everywhere), mean_square(o - everywhere), within])
