"""Intervals and quantiles of predicted numbers: coverage, width, and how observed coverage follows the promised."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np

from ..random import Index, Key
from ..random.bernoulli import uniform
from .door import chosen, finite, gaussian, positive, rows_alike, share
from .normal import normal_cdf, normal_quantile
from .proper_scores import Reduce, reduced

Kind = Literal["interval", "quantile"]


def _bounds(operation: str, **arrays: Any) -> list[np.ndarray]:
    """Arrays (N,) that may be infinite, as conformal intervals are, but not NaN. Raises TypeError, ValueError."""
    checked = [np.asarray(a, np.float64) for a in arrays.values()]
    if any(np.isnan(a).any() for a in checked):
        raise ValueError(f"{operation}: {', '.join(arrays)} must not be NaN")
    rows_alike(operation, **{name: np.nan_to_num(a) for name, a in zip(arrays, checked, strict=True)})
    return checked


def picp(lower: Any, upper: Any, y: Any) -> float:
    """Prediction interval coverage probability: the share of targets inside, ends included.

    Shapes: (N,) each; ends may be infinite. Raises: ValueError for NaN or different lengths.
    Reference: Khosravi et al., "Lower upper bound estimation method for construction of neural network-based prediction
        intervals" (2011).

    >>> picp([0.0, 0.0], [1.0, 1.0], [1.0, 2.0])
    0.5
    """
    low, high, target = _bounds("picp", lower=lower, upper=upper, y=y)
    return float(((low <= target) & (target <= high)).mean())


def mpiw(lower: Any, upper: Any) -> float:
    """Mean prediction interval width; infinite where one interval is, negative where ends cross.

    Shapes: (N,) each. Raises: ValueError for NaN or different lengths. Reference: Khosravi et al. (2011).

    >>> mpiw([0.0, 0.0], [1.0, 2.0])
    1.5
    """
    low, high = _bounds("mpiw", lower=lower, upper=upper)
    return float((high - low).mean())


def sharpness(std: Any) -> float:
    """The root mean predicted variance: how much a model commits itself, whether rightly or not.

    Shapes: (N,). Raises: ValueError for std of 0 or less, NaN, no rows.
    Reference: Gneiting, Balabdaoui & Raftery, "Probabilistic forecasts, calibration and sharpness" (2007); as in
        uncertainty-toolbox.

    >>> sharpness([3.0, 4.0]).__round__(4)
    3.5355
    """
    return float(np.sqrt((positive("sharpness", "std", finite("sharpness", "std", std, ndim=1)) ** 2).mean()))


def gaussian_quantiles(mean: Any, std: Any, levels: Any) -> np.ndarray:
    """The quantiles of Gaussian predictions: m + s Phi^-1(q). (N,), (N,), (Q,) -> (Q, N).

    Raises: ValueError for std of 0 or less, NaN, or levels that do not lie strictly between 0 and 1.

    >>> gaussian_quantiles([1.0], [2.0], [0.5, 0.975]).round(3).tolist()
    [[1.0], [4.92]]
    """
    m, s, _ = gaussian("gaussian_quantiles", mean, std, mean)
    return m + s * normal_quantile(_levels("gaussian_quantiles", levels))[:, None]  # (Q, N)


def _levels(operation: str, levels: Any) -> np.ndarray:
    q = finite(operation, "levels", levels, ndim=1)
    if not ((q > 0) & (q < 1)).all():
        raise ValueError(f"{operation}: levels must lie strictly between 0 and 1, got {q.min()} to {q.max()}")
    return q


def pinball(quantiles: Any, levels: Any, y: Any, *, reduce: Reduce = "mean") -> Any:
    """The pinball (check) loss of predicted quantiles, whose mean over all levels is half the CRPS.

    Math: mean over levels and rows of max(q e, (q - 1) e), e = y - quantile.
    Shapes: quantiles (Q, N), levels (Q,), y (N,) -> a float, or (Q, N) for reduce="none". Dtypes: float64.
    Raises: ValueError for levels outside (0, 1), NaN, or shapes that do not fit.
    Reference: Koenker & Bassett, "Regression quantiles" (1978).

    >>> pinball([[0.0]], [0.9], [1.0])
    0.9
    """
    predicted, q = finite("pinball", "quantiles", quantiles, ndim=2), _levels("pinball", levels)
    target = finite("pinball", "y", y, ndim=1)
    if predicted.shape != (len(q), len(target)):
        raise ValueError(
            f"pinball: quantiles must have shape (Q, N), {(len(q), len(target))} here, got {predicted.shape}"
        )
    error = target - predicted  # (Q, N)
    return reduced("pinball", np.maximum(q[:, None] * error, (q[:, None] - 1) * error), reduce)


def interval_score(lower: Any, upper: Any, y: Any, alpha: float, *, reduce: Reduce = "mean") -> Any:
    """The proper score of central intervals that should hold 1 - alpha: their width, and a fine for what lies outside.

    Math: (u - l) + (2 / alpha) (l - y)_+ + (2 / alpha) (y - u)_+.
    Shapes: (N,) each -> a float, or (N,) for reduce="none". Dtypes: float64.
    Raises: ValueError for alpha outside (0, 1), NaN, different lengths, or ends that cross.
    Reference: Gneiting & Raftery, "Strictly proper scoring rules, prediction, and estimation" (2007), equation 43.

    >>> interval_score([0.0, 0.0], [1.0, 1.0], [0.5, 1.5], alpha=0.5)
    2.0
    """
    low, high, target = _bounds("interval_score", lower=lower, upper=upper, y=y)
    alpha = share("interval_score", "alpha", alpha)
    if (low > high).any():
        raise ValueError(f"interval_score: lower must not exceed upper; it does in row {int((low > high).argmax())}")
    outside = np.maximum(low - target, 0) + np.maximum(target - high, 0)
    return reduced("interval_score", (high - low) + 2 / alpha * outside, reduce)


def pit_gaussian(mean: Any, std: Any, y: Any) -> np.ndarray:
    """The probability integral transform of Gaussian predictions: uniform if they are right.

    Math: Phi((y - m) / s).
    Shapes: (N,) each -> (N,). Dtypes: float64. Raises: ValueError for std of 0 or less, NaN, different lengths.
    Reference: Dawid, "Statistical theory: the prequential approach" (1984).

    >>> pit_gaussian([0.0], [1.0], [0.0]).round(9).tolist()
    [0.5]
    """
    m, s, target = gaussian("pit_gaussian", mean, std, y)
    return normal_cdf((target - m) / s)


def pit_samples(samples: Any, y: Any, *, key: Key) -> np.ndarray:
    """The probability integral transform of samples: exactly uniform if y and they come from one distribution.

    Math: (#{t: x_t < y} + u (#{t: x_t = y} + 1)) / (T + 1), u uniform: ties and the gap between ranks are randomised.
    Shapes: samples (T, N), y (N,) -> (N,), strictly between 0 and 1. Dtypes: float64.
    Draws: N uniform numbers at `key`.
    Raises: TypeError without a key; ValueError for NaN or shapes that do not fit.
    Reference: Czado, Gneiting & Held, "Predictive model assessment for count data" (2009).

    >>> bool(0 < pit_samples([[0.0], [2.0]], [1.0], key=Key(0))[0] - 1 / 3 < 1 / 3)
    True
    """
    x, target = finite("pit_samples", "samples", samples, ndim=2), finite("pit_samples", "y", y, ndim=1)
    if x.shape[1:] != target.shape:
        raise ValueError(f"pit_samples: expected samples (T, N) and y (N,), got {x.shape} and {target.shape}")
    if not isinstance(key, Key):
        raise TypeError(f"pit_samples: key must be a Key, got {key!r}; write Key(seed)")
    u = uniform(key, Index.whole(len(target)))  # (N,)
    return ((x < target).sum(axis=0) + u * ((x == target).sum(axis=0) + 1)) / (len(x) + 1)


class CoverageCurve(NamedTuple):
    """Promised levels (Q,), and the share of targets observed within each (Q,)."""

    levels: np.ndarray
    observed: np.ndarray


def coverage_curve(pit: Any, *, kind: Kind, levels: Any = None) -> CoverageCurve:
    """How often targets lie where they should, by the probability integral transform of `pit_gaussian`, `pit_samples`.

    Math: "interval": mean 1[|2 u - 1| <= q], the central interval; "quantile": mean 1[u <= q], below the quantile.
        Levels are 0, 1/99, ..., 1 unless given. uncertainty-toolbox's "quantile" curve is this one turned by 180
        degrees: it compares prediction - y, where y - prediction is meant. Its errors are the same.
    Shapes: pit (N,), levels (Q,). Dtypes: float64.
    Raises: ValueError for pit or levels outside [0, 1], NaN, another kind.
    Reference: Kuleshov, Fenner & Ermon, "Accurate uncertainties for deep learning using calibrated regression" (2018).

    >>> coverage_curve([0.1, 0.4, 0.6, 0.9], kind="interval", levels=[0.5]).observed.tolist()
    [0.5]
    """
    u = finite("coverage_curve", "pit", pit, ndim=1)
    q = np.linspace(0, 1, 100) if levels is None else finite("coverage_curve", "levels", levels, ndim=1)
    for name, values in (("pit", u), ("levels", q)):
        if values.min() < 0 or values.max() > 1:
            raise ValueError(
                f"coverage_curve: {name} must lie in [0, 1], got {values.min()} to {values.max()}; "
                f"of predictions take pit_gaussian or pit_samples first"
            )
    if chosen("coverage_curve", "kind", kind, ("interval", "quantile")) == "interval":
        u = np.abs(2 * u - 1)
    return CoverageCurve(q, np.searchsorted(np.sort(u), q, side="right") / len(u))


def mace(pit: Any, *, kind: Kind, levels: Any = None) -> float:
    """Mean absolute calibration error: mean |observed - promised| over the levels of `coverage_curve`.

    Shapes, errors and reference as `coverage_curve`.

    >>> mace([0.5], kind="interval", levels=[0.5])
    0.5
    """
    curve = coverage_curve(pit, kind=kind, levels=levels)
    return float(np.abs(curve.observed - curve.levels).mean())


def rmsce(pit: Any, *, kind: Kind, levels: Any = None) -> float:
    """Root mean squared calibration error over the levels of `coverage_curve`.

    Shapes, errors and reference as `coverage_curve`.

    >>> rmsce([0.5], kind="interval", levels=[0.5])
    0.5
    """
    curve = coverage_curve(pit, kind=kind, levels=levels)
    return float(np.sqrt(((curve.observed - curve.levels) ** 2).mean()))


def miscalibration_area(pit: Any, *, kind: Kind, levels: Any = None) -> float:
    """The area between `coverage_curve` and the diagonal, both straight between the levels, crossings included.

    Shapes, errors and reference as `coverage_curve`; levels ascend.

    >>> miscalibration_area([0.5], kind="interval", levels=[0.0, 1.0])
    0.5
    """
    curve = coverage_curve(pit, kind=kind, levels=levels)
    width, gap = np.diff(curve.levels), curve.observed - curve.levels
    if (width < 0).any():
        raise ValueError("miscalibration_area: levels must ascend; sort them")
    left, right = np.abs(gap[:-1]), np.abs(gap[1:])
    crossed = gap[:-1] * gap[1:] < 0  # there two triangles meet: (l^2 + r^2) / (l + r) in place of l + r
    heights = np.where(crossed, (left**2 + right**2) / np.where(crossed, left + right, 1.0), left + right)
    return float((width * heights).sum() / 2)


def pit_distance(pit: Any) -> float:
    """The largest distance between the distribution of the transform and the uniform one: Kolmogorov and Smirnov's.

    Shapes: (N,). Raises: ValueError for pit outside [0, 1], NaN.
    Reference: Kolmogorov (1933); Smirnov (1948).

    >>> pit_distance([0.5])
    0.5
    """
    u = np.sort(finite("pit_distance", "pit", pit, ndim=1))
    if u[0] < 0 or u[-1] > 1:
        raise ValueError(f"pit_distance: pit must lie in [0, 1], got {u[0]} to {u[-1]}")
    steps = np.arange(len(u) + 1) / len(u)
    return float(max((steps[1:] - u).max(), (u - steps[:-1]).max()))
