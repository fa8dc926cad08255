"""Conformal prediction: sets and intervals that hold the truth with a promised probability, whatever the model.

The promise: if the calibration rows and the new one are exchangeable, the set holds the truth with a probability of at
least 1 - alpha, over calibration sets and rows together; at most 1 - alpha + 1 / (n + 1) where scores have no ties.
The rows must not have been trained on.
"""

from __future__ import annotations

import math
import warnings
from fractions import Fraction
from typing import Any, Literal

import numpy as np

from ..random import Index, Key
from ..random.bernoulli import uniform
from ..variants.door import not_negative, whole_number
from .door import checked_probabilities, classified, finite, positive, rows_alike, share


def conformal_rank(n: int, alpha: float) -> int:
    """Which of n sorted calibration scores is the threshold, counted from 1; n + 1 says that it is infinite.

    Math: ceil((n + 1) (1 - alpha)), exactly, alpha read as the decimal number that it prints as. In floating point
        (n + 1) (1 - alpha) may lie a rounding error above a whole number, and the rank would be one too many.
    Raises: TypeError, ValueError for n below 1, or alpha outside (0, 1).
    Reference: Vovk, Gammerman & Shafer, "Algorithmic learning in a random world" (2005).

    >>> conformal_rank(9, 0.1), conformal_rank(8, 0.1)
    (9, 9)
    """
    whole_number("conformal_rank", "n", n, 1)
    exact = Fraction(repr(share("conformal_rank", "alpha", alpha)))
    return math.ceil((n + 1) * (1 - exact))


def conformal_quantile(scores: Any, alpha: float) -> float:
    """The threshold of split conformal prediction: the `conformal_rank`-th smallest of the calibration scores.

    Shapes: scores (n,). Infinite, with a UserWarning, where there are fewer than 1 / alpha - 1 scores.
    Raises: TypeError, ValueError for NaN, no scores, or alpha outside (0, 1).
    Reference: Papadopoulos et al., "Inductive confidence machines for regression" (2002).

    >>> conformal_quantile([0.1, 0.2, 0.3, 0.4], alpha=0.2)
    0.4
    """
    s = np.sort(finite("conformal_quantile", "scores", scores, ndim=1))
    rank = conformal_rank(len(s), alpha)
    if rank <= len(s):
        return float(s[rank - 1])
    least = math.ceil(1 / Fraction(repr(float(alpha)))) - 1
    warnings.warn(
        f"conformal_quantile: alpha = {alpha} needs at least {least} calibration rows, got {len(s)}; "
        f"the threshold is infinite, so every set holds everything",
        stacklevel=2,
    )
    return math.inf


class SplitConformal:
    """Intervals around predicted numbers, all of one width, or of widths in proportion to a predicted std.

    Math: score |y - m| (/ s); interval m -+ q (s), q the conformal quantile of the scores.
    Shapes: fit(prediction (n,), y (n,), std (n,) or None), interval(prediction (M,), std) -> lower, upper (M,).
    Raises: TypeError, ValueError for NaN, different lengths, std of 0 or less, or given once only.
    Reference: Papadopoulos et al. (2002); Lei et al., "Distribution-free predictive inference for regression" (2018).

    >>> conformal = SplitConformal(alpha=0.2).fit(np.zeros(4), [1.0, -2.0, 3.0, -4.0])
    >>> [end.tolist() for end in conformal.interval([10.0])]
    [[6.0], [14.0]]
    """

    threshold: float

    def __init__(self, alpha: float) -> None:
        self.alpha = share("SplitConformal", "alpha", alpha)

    def fit(self, prediction: Any, y: Any, std: Any = None) -> SplitConformal:
        m, target = rows_alike("SplitConformal", prediction=prediction, y=y)
        self.normalised = std is not None
        self.threshold = conformal_quantile(np.abs(target - m) / self._widths(m, std), self.alpha)
        return self

    def interval(self, prediction: Any, std: Any = None) -> tuple[np.ndarray, np.ndarray]:
        m = finite("SplitConformal", "prediction", prediction, ndim=1)
        if (std is not None) != self.normalised:
            raise ValueError("SplitConformal: give std both to fit and to interval, or to neither")
        half = self.threshold * self._widths(m, std)
        return m - half, m + half

    @staticmethod
    def _widths(m: np.ndarray, std: Any) -> np.ndarray:
        if std is None:
            return np.ones_like(m)
        return positive("SplitConformal", "std", rows_alike("SplitConformal", prediction=m, std=std)[1])


class ConformalQuantiles:
    """CQR: predicted quantiles, moved apart (or together) until they hold what they promise.

    Math: score max(l - y, y - u); interval [l - q, u + q]. A negative q narrows, so ends may cross: an empty interval.
    Shapes: fit(lower (n,), upper (n,), y (n,)), interval(lower (M,), upper (M,)) -> lower, upper (M,).
    Raises: TypeError, ValueError for NaN or different lengths.
    Reference: Romano, Patterson & Candes, "Conformalized quantile regression" (2019).

    >>> conformal = ConformalQuantiles(alpha=0.25).fit([0.0] * 3, [1.0] * 3, [0.5, 1.5, 1.25])
    >>> [end.tolist() for end in conformal.interval([0.0], [1.0])]
    [[-0.5], [1.5]]
    """

    threshold: float

    def __init__(self, alpha: float) -> None:
        self.alpha = share("ConformalQuantiles", "alpha", alpha)

    def fit(self, lower: Any, upper: Any, y: Any) -> ConformalQuantiles:
        low, high, target = rows_alike("ConformalQuantiles", lower=lower, upper=upper, y=y)
        self.threshold = conformal_quantile(np.maximum(low - target, target - high), self.alpha)
        return self

    def interval(self, lower: Any, upper: Any) -> tuple[np.ndarray, np.ndarray]:
        low, high = rows_alike("ConformalQuantiles", lower=lower, upper=upper)
        return low - self.threshold, high + self.threshold


class ConformalSets:
    """Sets of classes: those whose score, given the predicted probabilities, stays within the calibration's.

    Math: score of class c, p sorted downwards, c at rank r (from 1; equal probabilities in the order of their classes):
        "threshold": 1 - p_c (the smallest sets, uneven over rows);
        "aps": p_(1) + ... + p_(r), less u p_c where randomised, u uniform, one for each row;
        "raps": that, plus penalty max(0, r - free).
    APS without randomisation covers too much, with it exactly, but then a set may be empty: so it must be said.
    Shapes: fit(probabilities (n, C), labels (n,)), sets(probabilities (M, C)) -> bool (M, C).
    Draws: where randomised, a uniform number for each row at `key`, which fit and sets take; different keys, please.
    Raises: TypeError, ValueError for what are no probabilities or labels, an option that the score does not take or
        lacks, or a key where nothing is drawn.
    Reference: Sadinle, Lei & Wasserman (2019); Romano, Sesia & Candes, "Classification with valid and adaptive
        coverage" (2020); Angelopoulos et al., "Uncertainty sets for image classifiers" (2021).

    >>> p = np.array([[0.7, 0.2, 0.1], [0.5, 0.3, 0.2], [0.6, 0.3, 0.1], [0.4, 0.35, 0.25]])
    >>> conformal = ConformalSets(alpha=0.25, score="threshold").fit(p, np.array([0, 1, 0, 0]))
    >>> conformal.sets(np.array([[0.6, 0.4, 0.0], [0.9, 0.05, 0.05]])).tolist()
    [[True, True, False], [True, False, False]]
    """

    threshold: float

    def __init__(
        self,
        alpha: float,
        *,
        score: Literal["threshold", "aps", "raps"],
        randomised: bool | None = None,
        penalty: float | None = None,
        free: int | None = None,
    ) -> None:
        self.alpha = share("ConformalSets", "alpha", alpha)
        if score not in ("threshold", "aps", "raps"):
            raise ValueError(f"ConformalSets: score must be 'threshold', 'aps' or 'raps', got {score!r}")
        needed = {"threshold": (), "aps": ("randomised",), "raps": ("randomised", "penalty", "free")}[score]
        given = {n for n, v in (("randomised", randomised), ("penalty", penalty), ("free", free)) if v is not None}
        if given != set(needed):
            raise ValueError(
                f"ConformalSets: score {score!r} takes {', '.join(needed) or 'no options'}, "
                f"got {', '.join(sorted(given)) or 'none'}"
            )
        self.score, self.randomised = score, bool(randomised)
        self.penalty = not_negative("ConformalSets", "penalty", penalty or 0.0)
        self.free = whole_number("ConformalSets", "free", free or 0, 0)

    def fit(self, probabilities: Any, labels: Any, *, key: Key | None = None) -> ConformalSets:
        p, y = classified("ConformalSets", probabilities, labels)
        self.threshold = conformal_quantile(self._scores(p, key)[np.arange(len(y)), y], self.alpha)
        return self

    def sets(self, probabilities: Any, *, key: Key | None = None) -> np.ndarray:
        return self._scores(checked_probabilities("ConformalSets", probabilities), key) <= self.threshold

    def _scores(self, p: np.ndarray, key: Key | None) -> np.ndarray:
        """The score that each class would have as label. (N, C)"""
        if self.randomised != isinstance(key, Key):
            wanted = "a Key, for it is randomised" if self.randomised else "no key, for nothing is drawn"
            raise TypeError(f"ConformalSets: needs {wanted}, got {key!r}")
        if self.score == "threshold":
            return 1 - p
        order = np.argsort(-p, axis=1, kind="stable")  # (N, C)
        rank = np.argsort(order, axis=1, kind="stable")  # from 0
        scores = np.take_along_axis(np.cumsum(np.take_along_axis(p, order, axis=1), axis=1), rank, axis=1)
        if key is not None:
            scores = scores - uniform(key, Index.whole(len(p)))[:, None] * p
        return scores + self.penalty * np.maximum(0, rank + 1 - self.free)
