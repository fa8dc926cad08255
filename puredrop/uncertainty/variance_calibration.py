"""Whether predicted variances mean what they say, bin by bin: UCE, ENCE and QCE."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..variants.door import counted
from .door import gaussian, share
from .normal import normal_cdf


def uce(mean: Any, std: Any, y: Any, bins: int = 10) -> float:
    """Uncertainty calibration error: squared errors against variances, in bins of equal width of the variance.

    Math: sum_b w_b |mean (y - m)^2 - mean s^2|, bins from the least variance to the largest. In the squared unit of y.
    Shapes: (N,) each. Dtypes: float64.
    Raises: TypeError, ValueError for std of 0 or less, NaN, different lengths, no bins.
    Reference: Laves et al., "Well-calibrated regression uncertainty in medical imaging with deep learning" (2020).

    >>> uce([0.0, 0.0], [1.0, 2.0], [1.0, 2.0], bins=2)
    0.0
    """
    m, s, target = gaussian("uce", mean, std, y)
    average, rows = _binned(s**2, counted("uce", "bins", bins, 1))
    return float((rows * np.abs(average((target - m) ** 2) - average(s**2))).sum() / rows.sum())


def ence(mean: Any, std: Any, y: Any, bins: int = 10) -> float:
    """Expected normalised calibration error: root mean squared error against root mean variance.

    Math: the plain mean over occupied bins of |RMSE_b - RMV_b| / RMV_b, bins of equal width of std (netcal's).
    Shapes: (N,) each. Dtypes: float64. Raises: as `uce`.
    Reference: Levi et al., "Evaluating and calibrating uncertainty prediction in regression tasks" (2019).

    >>> ence([0.0, 0.0], [1.0, 2.0], [2.0, 4.0], bins=2)
    1.0
    """
    m, s, target = gaussian("ence", mean, std, y)
    average, rows = _binned(s, counted("ence", "bins", bins, 1))
    rmv = np.sqrt(average(s**2))[rows > 0]
    return float((np.abs(np.sqrt(average((target - m) ** 2))[rows > 0] - rmv) / rmv).mean())


def qce(mean: Any, std: Any, y: Any, level: float, bins: int = 10) -> float:
    """Quantile calibration error: coverage of the central interval, in bins of equal width of the standard deviation.

    Math: sum_b w_b |mean 1[|z| <= Phi^-1((1 + level) / 2)] - level|, z = (y - m) / s.
    Shapes: (N,) each. Dtypes: float64. Raises: as `uce`; ValueError for a level outside (0, 1).
    Reference: Kueppers et al., "Parametric and multivariate uncertainty calibration for regression and object
        detection" (2022).

    >>> qce([0.0, 0.0], [1.0, 1.0], [0.0, 9.0], level=0.5, bins=1)
    0.0
    """
    m, s, target = gaussian("qce", mean, std, y)
    level = share("qce", "level", level)
    average, rows = _binned(s, counted("qce", "bins", bins, 1))
    inside = np.abs(2 * normal_cdf((target - m) / s) - 1) <= level
    return float((rows * np.abs(average(inside) - level)).sum() / rows.sum())


def _binned(by: np.ndarray, bins: int) -> tuple[Callable[[np.ndarray], np.ndarray], np.ndarray]:
    """What averages over bins of equal width from the least to the largest (0 where empty), and the rows of each."""
    inner = np.linspace(by.min(), by.max(), bins + 1)[1:-1]
    place = np.searchsorted(inner, by, side="right")
    rows = np.bincount(place, minlength=bins)

    def average(x: np.ndarray) -> np.ndarray:
        return np.bincount(place, x, minlength=bins) / np.maximum(rows, 1)

    return average, rows
