"""Predictions of real numbers: mixtures of normal distributions."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np

from .normal import LOG_TWO_PI, normal_cdf, normal_log_density, normal_pdf, normal_quantile
from .predictive import (
    Correction,
    Kind,
    Prediction,
    central,
    checked_kind,
    checked_levels,
    expanded,
    log_joint,
    log_mean,
)

PAIRS = 1 << 22  # pairs of samples that are held at once


@dataclass(frozen=True, eq=False, kw_only=True)
class NormalPrediction(Prediction):
    """`Prediction` of real numbers: function t says that y is normal with mean samples[t] and variance variances[t].

    So y is distributed as a mixture of T normal distributions: `cdf`, `quantile`, `interval`, `crps` and `log_prob`
    are exact for it. `entropy` and `mutual_information` have no closed form, and are those of normal distributions with
    the same variances. Each of the numbers (N, ...) is taken by itself.

    variances: like samples.
    """

    variances: np.ndarray

    def resampled(self, which: Any) -> NormalPrediction:
        return replace(super().resampled(which), variances=self.variances[which])

    @cached_property
    def aleatoric_variance(self) -> np.ndarray:
        return self.mean_of(self.variances)

    @property
    def entropy(self) -> np.ndarray:
        """log(2 pi e total_variance) / 2: an upper bound, for no density of that variance has more."""
        return 0.5 * (LOG_TWO_PI + 1 + np.log(self.total_variance))

    @property
    def mutual_information(self) -> np.ndarray:
        """log(total / aleatoric variance) / 2."""
        return 0.5 * np.log(self.total_variance / self.aleatoric_variance)

    @cached_property
    def geometric_mean(self) -> np.ndarray:
        """The mean of the normalised geometric mean of the densities, which is normal: weighed by their precisions."""
        precisions = 1 / self.variances
        return self.mean_of(self.samples * precisions) / self.mean_of(precisions)

    def log_prob(self, y: Any, kind: Kind = "mixture", correction: Correction | None = None) -> np.ndarray:
        """The logarithm of the density of y, (N, ...).

        kind: "mixture": of the mixture; from T samples too small on average, unless a `correction` is asked for.
        "expected": the mean of the logarithms. "moment": of the normal distribution with the mean and the total
        variance. "joint": of all of y under one function, a number, for `masks="pass"`.
        Raises: ValueError for y of another shape.
        """
        checked_kind(kind, ("mixture", "expected", "moment", "joint"))
        y = self._like_mean(y)
        if kind == "moment":
            return normal_log_density(y, self.mean, self.total_variance)
        logs = normal_log_density(y, self.samples, self.variances)  # (T, N, ...)
        if kind == "mixture":
            return log_mean(self, logs, correction)
        return self.mean_of(logs) if kind == "expected" else np.asarray(log_joint(self, logs))

    def cdf(self, y: Any) -> np.ndarray:
        """The probability of a number below y, (N, ...)."""
        return self._below(self._like_mean(y))

    def _below(self, y: np.ndarray) -> np.ndarray:
        return self.mean_of(normal_cdf((y - self.samples) / np.sqrt(self.variances)))

    def quantile(self, q: Any) -> np.ndarray:
        """Quantiles of y: where the distribution function is q, strictly between 0 and 1. (*q.shape, N, ...)."""
        q = checked_levels("quantile", q)
        found = [self._quantile(float(level)) for level in q.ravel()]
        return np.array(found).reshape(*q.shape, *self.mean.shape)

    def _quantile(self, q: float) -> np.ndarray:
        """By bisection: it lies between the smallest and the largest quantile of the functions."""
        each = self.samples + normal_quantile(q) * np.sqrt(self.variances)
        low, high = each.min(axis=0), each.max(axis=0)
        for _ in range(200):
            middle = low + (high - low) / 2
            if ((middle <= low) | (middle >= high)).all():  # neighbours
                break
            is_above = self._below(middle) >= q
            low, high = np.where(is_above, low, middle), np.where(is_above, middle, high)
        return low + (high - low) / 2

    def interval(self, coverage: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
        """The central interval of y."""
        return central(self.quantile, coverage)

    def crps(self, y: Any, kind: Literal["mixture", "moment", "functions"] = "mixture") -> np.ndarray:
        """The continuous ranked probability score, E|Y - y| - E|Y - Y'| / 2, (N, ...). Smaller is better.

        kind: "mixture": of the mixture, T^2 terms (Grimit et al. 2006). "moment": of the normal distribution with the
        mean and the total variance (Gneiting & Raftery 2007). "functions": of the functions alone, without noise.
        """
        y = self._like_mean(y)
        if kind == "moment":
            return mean_distance(y - self.mean, self.total_variance) - np.sqrt(self.total_variance / np.pi)
        if kind == "functions":
            return self.mean_of(np.abs(self.samples - y)) - self._half_spread_of_functions()
        if kind != "mixture":
            raise ValueError(f"crps: kind must be one of mixture, moment, functions, got {kind!r}")
        return self.mean_of(mean_distance(y - self.samples, self.variances)) - self._half_spread()

    def _half_spread(self) -> np.ndarray:
        """E|Y - Y'| / 2 of the mixture."""
        T, *shape = self.samples.shape
        size = max(1, PAIRS // max(1, self.samples.size))
        inner = np.empty(self.samples.shape)
        for start in range(0, T, size):
            part = slice(start, start + size)
            apart = self.samples[:, None] - self.samples[None, part]  # (T, size, N, ...)
            spread = mean_distance(apart, self.variances[:, None] + self.variances[None, part])
            flat = self.mean_of(spread.swapaxes(1, 2).reshape(T, shape[0], -1))
            inner[part] = flat.reshape(shape[0], -1, *shape[1:]).swapaxes(0, 1)
        return self.mean_of(inner) / 2

    def _half_spread_of_functions(self) -> np.ndarray:
        """sum_k w_k x_k (W_k + W_(k - 1) - 1) over the sorted values x, W the sums of the weights up to them."""
        T = len(self.samples)
        weights = np.full((T, 1), 1 / T) if self.weights is None else self.weights
        weights = np.broadcast_to(expanded(weights, self.samples.ndim), self.samples.shape)
        order = np.argsort(self.samples, axis=0)
        x, w = np.take_along_axis(self.samples, order, 0), np.take_along_axis(weights, order, 0)
        W = np.cumsum(w, axis=0)
        return (w * x * (2 * W - w - 1)).sum(axis=0)

    def _like_mean(self, y: Any) -> np.ndarray:
        """y in the shape of the mean; (N,) for (N, 1) too."""
        y, shape = np.asarray(y, np.float64), self.samples.shape[1:]
        if (*y.shape, 1) == shape:
            y = y[..., None]
        if y.shape != shape:
            raise ValueError(f"y must have the shape of the prediction, {shape}, got {y.shape}")
        return y


def mean_distance(d: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """E|Z| of a normal Z with mean d: 2 s phi(d / s) + d (2 Phi(d / s) - 1)."""
    s = np.sqrt(variance)
    z = d / s
    return 2 * s * normal_pdf(z) + d * (2 * normal_cdf(z) - 1)
