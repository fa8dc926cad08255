"""Telling one sort of input from another by a score: AUROC, AUPR and FPR@TPR, with the convention said.

Scores are larger for what lies outside (out of distribution, or a wrong answer). `positive` says which of the two is
called positive: "ood" is what lies outside, at scores of at least a threshold; "id" what lies inside, at scores of at
most one. AUPR and FPR@TPR are two different numbers, so it must be given.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from .door import chosen, finite, share

Positive = Literal["ood", "id"]


def auroc(inside: Any, outside: Any, *, positive: Positive) -> float:
    """The chance that a random element of `outside` has the larger score, a tie counting half.

    Math: Mann and Whitney's U / (N M). The same for both choices of `positive`; given for the sake of the other two.
    Shapes: inside (N,), outside (M,), scores that are larger for what lies outside. Dtypes: float64.
    Raises: TypeError, ValueError where one of the two is empty, for NaN, or without a convention.
    Reference: Hanley & McNeil (1982); Hendrycks & Gimpel, "A baseline for detecting misclassified and
        out-of-distribution examples" (2017).

    >>> auroc([0.1, 0.4], [0.4, 0.8], positive="ood")
    0.875
    """
    negatives, positives = _oriented("auroc", inside, outside, positive)
    ordered = np.sort(negatives)
    below = np.searchsorted(ordered, positives, "left") + np.searchsorted(ordered, positives, "right")
    return float(below.sum()) / (2 * len(negatives) * len(positives))


def aupr(inside: Any, outside: Any, *, positive: Positive, rule: Literal["step", "trapezoid"]) -> float:
    """The area under the precision-recall curve.

    Math: "step": average precision, sum_k (R_k - R_{k-1}) P_k over the thresholds (scikit-learn's); "trapezoid":
        straight lines between the points (OpenOOD's), too hopeful where points lie far apart.
    Shapes and errors as `auroc`. positive="ood" is AUPR-out, "id" AUPR-in.
    Reference: Davis & Goadrich, "The relationship between precision-recall and ROC curves" (2006).

    >>> aupr([0.1, 0.4], [0.3, 0.8], positive="ood", rule="step").__round__(4)
    0.8333
    """
    hits, alarms = _counts("aupr", inside, outside, positive)
    recall, precision = hits / hits[-1], hits / (hits + alarms)
    steps = np.diff(recall, prepend=0.0)
    if chosen("aupr", "rule", rule, ("step", "trapezoid")) == "step":
        return float((steps * precision).sum())
    return float((steps * (precision + np.concatenate([[1.0], precision[:-1]])) / 2).sum())


def fpr_at_tpr(inside: Any, outside: Any, *, positive: Positive, tpr: float = 0.95) -> float:
    """The share of negatives that pass, at the strictest threshold at which at least `tpr` of the positives do.

    Math: min over thresholds with TPR >= tpr of FPR. FPR95 of OpenOOD 1.5 has positive="ood"; that of most papers,
        where in-distribution is positive, "id".
    Shapes and errors as `auroc`; ValueError for a tpr outside (0, 1].
    Reference: Liang, Li & Srikant, "Enhancing the reliability of out-of-distribution image detection" (2018).

    >>> inside, outside = [0.1, 0.2, 0.3, 0.9], [0.4, 0.5]
    >>> fpr_at_tpr(inside, outside, positive="ood"), fpr_at_tpr(inside, outside, positive="id")
    (0.25, 1.0)
    """
    if tpr != 1:
        share("fpr_at_tpr", "tpr", tpr)
    hits, alarms = _counts("fpr_at_tpr", inside, outside, positive)
    return float(alarms[np.argmax(hits / hits[-1] >= tpr)] / alarms[-1])


def _oriented(operation: str, inside: Any, outside: Any, positive: Positive) -> tuple[np.ndarray, np.ndarray]:
    """Scores of negatives and positives, larger for positives."""
    scores = [finite(operation, name, a, ndim=1) for name, a in (("inside", inside), ("outside", outside))]
    if chosen(operation, "positive", positive, ("ood", "id")) == "ood":
        return scores[0], scores[1]
    return -scores[1], -scores[0]


def _counts(operation: str, inside: Any, outside: Any, positive: Positive) -> tuple[np.ndarray, np.ndarray]:
    """True and false positives at each distinct score as threshold, the strictest first."""
    negatives, positives = _oriented(operation, inside, outside, positive)
    thresholds = np.unique(np.concatenate([negatives, positives]))[::-1]

    def reaching(scores: np.ndarray) -> np.ndarray:
        return len(scores) - np.searchsorted(np.sort(scores), thresholds, side="left")

    return reaching(positives), reaching(negatives)
