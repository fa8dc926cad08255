"""Whether probabilities mean what they say: tables of confidence against frequency, and errors made of them."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np

from ..variants.door import counted, whole_number
from .door import chosen, classified
from .normal import normal_quantile

Norm = Literal["l1", "l2"]


class Reliability(NamedTuple):
    """Bins of confidence. accuracy and confidence are 0 where a bin is empty.

    edges (B + 1,); rows (B,), how many; accuracy (B,), how often right; confidence (B,), the mean; low and high (B,),
    Wilson's interval for the accuracy (0 and 1 where a bin is empty).
    """

    edges: np.ndarray
    rows: np.ndarray
    accuracy: np.ndarray
    confidence: np.ndarray
    low: np.ndarray
    high: np.ndarray


def reliability(
    probabilities: Any,
    labels: Any,
    bins: int = 15,
    *,
    of: Literal["top"] | int = "top",
    binning: Literal["width", "mass"] = "width",
    coverage: float = 0.95,
) -> Reliability:
    """Rows by confidence, and how often they were right: the numbers of a reliability diagram.

    Math: of="top": the probability of the most probable class, right where it is the label; of=c: the probability of
        class c, right where the label is c. "width": equal bins (k - 1) / B < confidence <= k / B, 0 in the first and
        1 in the last; "mass": rows sorted by confidence, cut into B parts whose sizes differ by at most one.
        low, high: Wilson's score interval at `coverage`.
    Shapes: (N, C), (N,). Dtypes: float64.
    Raises: TypeError, ValueError for what are no probabilities or labels, a class that is not there, no bins.
    Reference: Murphy & Winkler (1977); Guo et al., "On calibration of modern neural networks" (2017); Wilson (1927).

    >>> table = reliability(np.array([[0.9, 0.1], [0.8, 0.2]]), np.array([0, 1]), bins=2)
    >>> table.rows.tolist(), table.accuracy.tolist(), table.confidence.round(2).tolist()
    ([0, 2], [0.0, 0.5], [0.0, 0.85])
    """
    confidence, right = _confidence("reliability", *classified("reliability", probabilities, labels), of)
    chosen("reliability", "binning", binning, ("width", "mass"))
    return _table(confidence, right, counted("reliability", "bins", bins, 1), binning, coverage)


def _table(
    confidence: np.ndarray, right: np.ndarray, bins: int, binning: str = "width", coverage: float = 0.95
) -> Reliability:
    if binning == "width":
        edges = np.linspace(0.0, 1.0, bins + 1)
        place = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, bins - 1)
    else:
        place, edges = _equal_mass(confidence, bins)
    rows = np.bincount(place, minlength=bins)
    total = np.maximum(rows, 1)
    hits = np.bincount(place, right, minlength=bins)
    low, high = wilson_interval(hits, rows, coverage)
    return Reliability(edges, rows, hits / total, np.bincount(place, confidence, minlength=bins) / total, low, high)


def _confidence(operation: str, p: np.ndarray, y: np.ndarray, of: Any) -> tuple[np.ndarray, np.ndarray]:
    if of == "top":
        return p.max(axis=1), p.argmax(axis=1) == y
    c = whole_number(operation, "of", of, 0)
    if c >= p.shape[1]:
        raise ValueError(f"{operation}: of must be 'top' or a class in [0, {p.shape[1]}), got {of!r}")
    return p[:, c], y == c


def _equal_mass(confidence: np.ndarray, bins: int) -> tuple[np.ndarray, np.ndarray]:
    """The bin of each row, and the confidences between which bins lie; the first bins are the larger ones."""
    order = np.argsort(confidence, kind="stable")
    parts = np.array_split(order, bins)
    place = np.empty(len(order), np.int64)
    place[order] = np.repeat(np.arange(bins), [len(part) for part in parts])
    tops = [confidence[part].max() if len(part) else 1.0 for part in parts]
    return place, np.array([0.0, *tops[:-1], 1.0])


def wilson_interval(hits: Any, rows: Any, coverage: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """Wilson's score interval for a frequency, inside [0, 1] and sensible for 0 or all hits; (0, 1) for no rows.

    Math: centre (h + z^2 / 2) / (n + z^2), half width z sqrt(h (n - h) / n + z^2 / 4) / (n + z^2).
    Shapes: any that broadcast. Raises: ValueError for hits outside [0, rows] or a coverage outside (0, 1).
    Reference: Wilson, "Probable inference, the law of succession, and statistical inference" (1927).

    >>> [float(end.round(4)) for end in wilson_interval(0, 10)]
    [0.0, 0.2775]
    """
    h, n = np.asarray(hits, np.float64), np.asarray(rows, np.float64)
    if not (0 < coverage < 1 and ((h >= 0) & (h <= n)).all()):
        raise ValueError(f"wilson_interval: needs 0 <= hits <= rows and 0 < coverage < 1, got coverage {coverage}")
    z = float(normal_quantile(np.array((1 + coverage) / 2)))
    half = z * np.sqrt(h * (n - h) / np.maximum(n, 1) + z**2 / 4)
    middle = h + z**2 / 2
    return np.clip((middle - half) / (n + z**2), 0, 1), np.clip((middle + half) / (n + z**2), 0, 1)


def _gap(table: Reliability, norm: Norm) -> float:
    share = table.rows / table.rows.sum()
    gaps = np.abs(table.accuracy - table.confidence)
    return float((share * gaps).sum() if norm == "l1" else np.sqrt((share * gaps**2).sum()))


def ece(probabilities: Any, labels: Any, bins: int = 15, *, norm: Norm = "l1") -> float:
    """Expected calibration error of the most probable class, in bins of equal width.

    Math: sum_b w_b |accuracy_b - confidence_b|, w_b the share of rows; "l2": the root of the mean of squares.
        Biased upwards, the more so the fewer rows a bin has: see `debiased_ece`. For binary classifiers some packages
        bin the probability of class 1 instead: `classwise_ece(..., reduce="none")[1]`.
    Shapes: (N, C), (N,). Dtypes: float64.
    Raises: TypeError, ValueError for what are no probabilities or labels, no bins, another norm.
    Reference: Naeini, Cooper & Hauskrecht, "Obtaining well calibrated probabilities using Bayesian binning" (2015).

    >>> ece(np.array([[0.5, 0.5], [0.5, 0.5]]), np.array([0, 1]))
    0.0
    """
    return _gap(reliability(probabilities, labels, bins), chosen("ece", "norm", norm, ("l1", "l2")))


def mce(probabilities: Any, labels: Any, bins: int = 15) -> float:
    """Maximum calibration error: the largest gap of a bin that has rows.

    Math: max_b |accuracy_b - confidence_b|.
    Shapes: (N, C), (N,). Dtypes: float64. Raises: as `ece`.
    Reference: Naeini, Cooper & Hauskrecht (2015).

    >>> mce(np.array([[1.0, 0.0], [0.6, 0.4]]), np.array([0, 1]))
    0.6
    """
    table = reliability(probabilities, labels, bins)
    return float(np.abs(table.accuracy - table.confidence).max())  # empty bins have 0 and 0


def adaptive_ece(probabilities: Any, labels: Any, bins: int = 15, *, norm: Norm = "l1") -> float:
    """Expected calibration error in bins of equal mass, so that no bin is nearly empty.

    Math: as `ece`, over the rows sorted by confidence and cut into B parts.
    Shapes: (N, C), (N,). Dtypes: float64. Raises: as `ece`.
    Reference: Nguyen & O'Connor, "Posterior calibration and exploratory analysis for natural language processing
        models" (2015). The "ACE" of netcal is another thing: `unweighted_ece`.

    >>> adaptive_ece(np.array([[0.9, 0.1], [0.6, 0.4]]), np.array([0, 0]), bins=2).__round__(4)
    0.25
    """
    chosen("adaptive_ece", "norm", norm, ("l1", "l2"))
    return _gap(reliability(probabilities, labels, bins, binning="mass"), norm)


def unweighted_ece(probabilities: Any, labels: Any, bins: int = 15) -> float:
    """The plain mean of the gaps of the bins that have rows: netcal's ACE. A bin of one row counts as one of thousands.

    Math: mean over occupied b of |accuracy_b - confidence_b|, bins of equal width.
    Shapes: (N, C), (N,). Dtypes: float64. Raises: as `ece`.
    Reference: Neumann, Zisserman & Vedaldi, "Relaxed softmax" (2018), as in netcal.

    >>> unweighted_ece(np.array([[1.0, 0.0], [0.6, 0.4]]), np.array([0, 1])).__round__(4)
    0.3
    """
    table = reliability(probabilities, labels, bins)
    return float(np.abs(table.accuracy - table.confidence)[table.rows > 0].mean())


def classwise_ece(
    probabilities: Any, labels: Any, bins: int = 15, *, norm: Norm = "l1", reduce: Literal["mean", "none"] = "mean"
) -> Any:
    """The calibration error of each class against the rest, averaged over classes.

    Math: mean_c sum_b w_bc |frequency_bc - probability_bc|, with bins of the probability of class c.
    Shapes: (N, C), (N,) -> a float, or (C,) for reduce="none". Dtypes: float64. Raises: as `ece`.
    Reference: Kull et al., "Beyond temperature scaling" (2019).

    >>> classwise_ece(np.array([[0.9, 0.1], [0.6, 0.4]]), np.array([0, 0])).__round__(4)
    0.25
    """
    chosen("classwise_ece", "norm", norm, ("l1", "l2"))
    p, y = classified("classwise_ece", probabilities, labels)
    bins = counted("classwise_ece", "bins", bins, 1)
    errors = np.array([_gap(_table(p[:, c], y == c, bins), norm) for c in range(p.shape[1])])
    return float(errors.mean()) if chosen("classwise_ece", "reduce", reduce, ("mean", "none")) == "mean" else errors


def debiased_ece(probabilities: Any, labels: Any, bins: int = 15, *, binning: Literal["width", "mass"]) -> float:
    """The L2 calibration error less the part that the bins' own noise makes.

    Math: sqrt(max(0, sum_b w_b [(accuracy_b - confidence_b)^2 - accuracy_b (1 - accuracy_b) / (n_b - 1)])); a bin of
        one row has no estimate of its noise and is not corrected.
    Shapes: (N, C), (N,). Dtypes: float64. Raises: as `ece`.
    Reference: Kumar, Liang & Ma, "Verified uncertainty calibration" (2019), definition 5.2.

    >>> debiased_ece(np.array([[0.5, 0.5]] * 4), np.array([0, 0, 0, 1]), bins=1, binning="mass")
    0.0
    """
    table = reliability(probabilities, labels, bins, binning=binning)
    noise = np.where(table.rows > 1, table.accuracy * (1 - table.accuracy) / np.maximum(table.rows - 1, 1), 0.0)
    squares = (table.accuracy - table.confidence) ** 2 - noise
    return float(np.sqrt(max(0.0, (table.rows * squares).sum() / table.rows.sum())))


def smooth_ece(probabilities: Any, labels: Any, *, bandwidth: float | None = None) -> float:
    """The calibration error with a Gaussian kernel in place of bins; it has no bins to choose and is continuous.

    Math: integral over t of |mean_n K(t, confidence_n) (right_n - confidence_n)|, K the Gaussian reflected at 0 and 1,
        on a mesh. The bandwidth is the s at which smooth_ece(s) = s, to 1/1024, as its authors' package has it.
    Shapes: (N, C), (N,). Dtypes: float64. Raises: as `ece`; ValueError for a bandwidth outside (0, 1].
    Reference: Blasiok & Nakkiran, "Smooth ECE: principled reliability diagrams via kernel smoothing" (2023).

    >>> smooth_ece(np.array([[0.5, 0.5], [0.5, 0.5]]), np.array([0, 1])).__round__(6)
    0.0
    """
    confidence, right = _confidence("smooth_ece", *classified("smooth_ece", probabilities, labels), "top")
    if bandwidth is not None:
        if not 0 < bandwidth <= 1:
            raise ValueError(f"smooth_ece: bandwidth must lie in (0, 1], got {bandwidth}")
        return _smoothed(confidence, right, float(bandwidth))
    low, high = 0.0, 1.0  # the error falls as the bandwidth grows, so they meet once
    for _ in range(10):
        middle = (low + high) / 2
        below = middle < 0.001 or middle < _smoothed(confidence, right, middle)
        low, high = (middle, high) if below else (low, middle)
    return _smoothed(confidence, right, high)


def _smoothed(confidence: np.ndarray, right: np.ndarray, bandwidth: float) -> float:
    points = 2 * max(500, round(5 / bandwidth)) + 1  # odd: the kernel has a middle
    residual, density = (
        _reflected(_on_mesh(confidence, weights, points), bandwidth)
        for weights in (confidence - right, np.ones_like(confidence))
    )
    t = np.linspace(0, 1, max(200, round(10 / bandwidth)))
    mesh = np.linspace(0, 1, points)
    return float(np.abs(np.interp(t, mesh, residual)).sum() / np.interp(t, mesh, density).sum())


def _on_mesh(at: np.ndarray, weights: np.ndarray, points: int) -> np.ndarray:
    """Weights shared between the two neighbours of each place on a mesh of [0, 1]."""
    left = np.clip((at * (points - 1)).astype(np.int64), 0, points - 2)
    part = at * (points - 1) - left
    return np.bincount(left, (1 - part) * weights, points) + np.bincount(left + 1, part * weights, points)


def _reflected(values: np.ndarray, bandwidth: float) -> np.ndarray:
    """Values on a mesh of [0, 1], smoothed by a Gaussian cut off at a distance of 1/2 and reflected at the ends."""
    distance = np.linspace(0, 1, len(values)) - 0.5
    kernel = np.exp(-0.5 * (distance / bandwidth) ** 2) / (np.sqrt(2 * np.pi) * bandwidth)
    return np.convolve(np.pad(values, len(values) // 2, mode="reflect"), kernel, "valid")
