"""Proper scores of predicted distributions of numbers: Gaussians, mixtures of them, and samples. Lower is better."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np

from ..variants.door import broadcasts
from .door import chosen, finite, gaussian, not_below_zero, positive, rows_alike
from .normal import log_mean_exp, normal_cdf, normal_log_density, normal_pdf
from .proper_scores import Reduce, reduced

Estimator = Literal["plugin", "fair"]


def gaussian_nll(mean: Any, std: Any, y: Any, *, reduce: Reduce = "mean") -> Any:
    """The negative log density of Gaussian predictions, with the constant log(2 pi) / 2.

    Math: mean_n [log(2 pi s^2) / 2 + (y - m)^2 / (2 s^2)].
    Shapes: (N,) each -> a float, or (N,) for reduce="none". Dtypes: float64.
    Raises: TypeError, ValueError for std of 0 or less, NaN, or different lengths.
    Reference: Good, "Rational decisions" (1952).

    >>> gaussian_nll([0.0], [1.0], [0.0]).__round__(4)
    0.9189
    """
    m, s, target = gaussian("gaussian_nll", mean, std, y)
    return reduced("gaussian_nll", -normal_log_density(target, m, s**2), reduce)


def log_likelihood(means: Any, stds: Any, y: Any, *, kind: Literal["mixture", "moment", "joint"]) -> float:
    """The log likelihood per row of T samples of Gaussians: what Monte-Carlo dropout reports. Higher is better.

    Math: "mixture": mean_n log mean_t N(y_n; m_tn, s_tn^2) (Gal & Ghahramani 2016);
        "moment": mean_n log N(y_n; mean_t m_tn, total variance) (Lakshminarayanan et al. 2017);
        "joint": log(mean_t prod_n N(y_n; m_tn, s_tn^2)) / N, one sample for all rows together (the notebook of Gal,
        Hron & Kendall 2017); a different number from "mixture" unless T = 1 or N = 1.
    Shapes: means (T, N), stds one that broadcasts to it, y (N,). Dtypes: float64.
    Raises: TypeError, ValueError for stds of 0 or less, NaN, shapes that do not fit, or another kind.
    Reference: Gal & Ghahramani, "Dropout as a Bayesian approximation" (2016), equation 8.

    >>> log_likelihood([[0.0], [2.0]], 1.0, [1.0], kind="mixture").__round__(4)
    -1.4189
    """
    m = finite("log_likelihood", "means", means, ndim=2)
    s = positive("log_likelihood", "stds", finite("log_likelihood", "stds", stds))
    target = finite("log_likelihood", "y", y, ndim=1)
    chosen("log_likelihood", "kind", kind, ("mixture", "moment", "joint"))
    if not broadcasts(s.shape, m.shape) or target.shape != m.shape[1:]:
        raise ValueError(f"log_likelihood: expected (T, N), (T, N) and (N,), got {m.shape}, {s.shape}, {target.shape}")
    if kind == "moment":
        total = m.var(axis=0) + np.broadcast_to(s**2, m.shape).mean(axis=0)
        return float(normal_log_density(target, m.mean(axis=0), total).mean())
    log_densities = normal_log_density(target, m, s**2)  # (T, N)
    if kind == "joint":
        return float(log_mean_exp(log_densities.sum(axis=1))) / len(target)
    return float(log_mean_exp(log_densities).mean())


def crps_gaussian(mean: Any, std: Any, y: Any, *, reduce: Reduce = "mean") -> Any:
    """The continuous ranked probability score of Gaussian predictions; at std = 0 the absolute error.

    Math: s [z (2 Phi(z) - 1) + 2 phi(z) - 1 / sqrt(pi)], z = (y - m) / s.
    Shapes: (N,) each -> a float, or (N,) for reduce="none". Dtypes: float64; the unit of y.
    Raises: TypeError, ValueError for negative std, NaN, or different lengths.
    Reference: Gneiting & Raftery, "Strictly proper scoring rules, prediction, and estimation" (2007), equation 21.

    >>> crps_gaussian([0.0, 0.0], [1.0, 0.0], [0.0, 2.0], reduce="none").round(4).tolist()
    [0.2337, 2.0]
    """
    m, s, target = rows_alike("crps_gaussian", mean=mean, std=std, y=y)
    not_below_zero("crps_gaussian", "std", s)
    z = (target - m) / np.where(s > 0, s, 1.0)
    spread = s * (z * (2 * normal_cdf(z) - 1) + 2 * normal_pdf(z) - 1 / math.sqrt(math.pi))
    return reduced("crps_gaussian", np.where(s > 0, spread, np.abs(target - m)), reduce)


def crps_samples(samples: Any, y: Any, *, estimator: Estimator, reduce: Reduce = "mean") -> Any:
    """The continuous ranked probability score of samples.

    Math: mean_t |x_t - y| - sum_{s,t} |x_s - x_t| / (2 D), by sorting. "plugin": D = T^2, the score of the empirical
        distribution (properscoring's), too large by E|x - x'| / (2 T) as estimate of that of the distribution sampled;
        "fair": D = T (T - 1), unbiased for it.
    Shapes: samples (T, N), y (N,) -> a float, or (N,) for reduce="none". Dtypes: float64.
    Raises: TypeError, ValueError for NaN, shapes that do not fit, another estimator, or "fair" with one sample.
    Reference: Gneiting & Raftery (2007); Ferro, "Fair scores for ensemble forecasts" (2014).

    >>> crps_samples([[0.0], [2.0]], [1.0], estimator="plugin"), crps_samples([[0.0], [2.0]], [1.0], estimator="fair")
    (0.5, 0.0)
    """
    x = finite("crps_samples", "samples", samples, ndim=2)
    target = _targets("crps_samples", y, x.shape[1:])
    T = len(x)
    pairs = _pairs("crps_samples", T, estimator)
    weights = 2 * np.arange(T) - T + 1  # of x_(k) in sum_{s<t} |x_s - x_t|
    rows = np.abs(x - target).mean(axis=0) - weights @ np.sort(x, axis=0) / pairs  # (N,)
    return reduced("crps_samples", rows, reduce)


def energy_score(samples: Any, y: Any, *, estimator: Estimator, reduce: Reduce = "mean") -> Any:
    """The multivariate CRPS of samples. (The score of that name for out-of-distribution inputs is `free_energy`.)

    Math: mean_t |x_t - y| - sum_{s,t} |x_s - x_t| / (2 D), |.| the Euclidean norm, D as in `crps_samples`.
    Shapes: samples (T, N, D), y (N, D) -> a float, or (N,) for reduce="none". Dtypes: float64. Time T^2.
    Raises: TypeError, ValueError for NaN, shapes that do not fit, another estimator, or "fair" with one sample.
    Reference: Gneiting & Raftery, "Strictly proper scoring rules, prediction, and estimation" (2007), equation 22.

    >>> energy_score([[[0.0, 0.0]], [[0.0, 2.0]]], [[0.0, 1.0]], estimator="plugin")
    0.5
    """
    x = finite("energy_score", "samples", samples, ndim=3)
    target = _targets("energy_score", y, x.shape[1:])
    pairs = _pairs("energy_score", len(x), estimator)
    between = sum(np.linalg.norm(x - one, axis=-1).sum(axis=0) for one in x)  # (N,), a sample at a time
    rows = np.linalg.norm(x - target, axis=-1).mean(axis=0) - between / (2 * pairs)
    return reduced("energy_score", rows, reduce)


def variogram_score(samples: Any, y: Any, *, power: float = 0.5, reduce: Reduce = "mean") -> Any:
    """How well samples know the differences between outputs, which the energy score hardly sees.

    Math: sum_{i,j} (|y_i - y_j|^power - mean_t |x_ti - x_tj|^power)^2, each pair twice, all weights 1.
    Shapes: samples (T, N, D), y (N, D) -> a float, or (N,) for reduce="none". Dtypes: float64. Memory N D^2.
    Raises: TypeError, ValueError for NaN, shapes that do not fit, or a power of 0 or less.
    Reference: Scheuerer & Hamill, "Variogram-based proper scoring rules" (2015).

    >>> variogram_score([[[0.0, 1.0]], [[0.0, 1.0]]], [[0.0, 4.0]])
    2.0
    """
    x = finite("variogram_score", "samples", samples, ndim=3)
    target = _targets("variogram_score", y, x.shape[1:])
    exponent = float(positive("variogram_score", "power", finite("variogram_score", "power", power, ndim=0)))

    def differences(a: np.ndarray) -> np.ndarray:
        return np.abs(a[:, :, None] - a[:, None, :]) ** exponent  # (N, D, D)

    expected = sum(differences(one) for one in x) / len(x)
    return reduced("variogram_score", ((differences(target) - expected) ** 2).sum(axis=(1, 2)), reduce)


def _targets(operation: str, y: Any, shape: tuple[int, ...]) -> np.ndarray:
    target = finite(operation, "y", y)
    if target.shape != shape:
        raise ValueError(f"{operation}: y must have the shape of one sample, {shape}, got {target.shape}")
    return target


def _pairs(operation: str, T: int, estimator: Estimator) -> int:
    if chosen(operation, "estimator", estimator, ("plugin", "fair")) == "fair" and T < 2:
        raise ValueError(f"{operation}: the fair estimator compares samples with each other, needs 2 or more, got {T}")
    return T * T if estimator == "plugin" else T * (T - 1)
