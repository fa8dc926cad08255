"""The normal distribution in float64, without SciPy."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Any

import numpy as np

from .. import ops

LOG_TWO_PI = math.log(2 * math.pi)


def normal_pdf(z: np.ndarray) -> np.ndarray:
    """The density of the standard normal."""
    return np.exp(-0.5 * z**2) / math.sqrt(2 * math.pi)


def normal_cdf(z: np.ndarray) -> np.ndarray:
    """The distribution function of the standard normal, accurate in both tails."""
    return ops.normal_cdf(np.asarray(z, np.float64), backend="numpy")


def normal_quantile(levels: Any) -> np.ndarray:
    """The inverse of the distribution function, for levels strictly between 0 and 1."""
    inverse = NormalDist().inv_cdf
    return np.fromiter(map(inverse, np.ravel(levels)), np.float64, np.size(levels)).reshape(np.shape(levels))


def normal_log_density(y: Any, mean: Any, variance: Any) -> np.ndarray:
    """log N(y; mean, variance)."""
    return -0.5 * (LOG_TWO_PI + np.log(variance) + (y - mean) ** 2 / variance)


def log_mean_exp(x: np.ndarray) -> np.ndarray:
    """log mean_t exp(x_t) over axis 0, without overflow; -inf where all are."""
    peak = x.max(axis=0)
    peak = np.where(np.isfinite(peak), peak, 0.0)
    with np.errstate(divide="ignore"):
        return np.log(np.exp(x - peak).mean(axis=0)) + peak
