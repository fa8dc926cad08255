"""Predictions that are known in closed form, without samples: normal functions, and class probabilities alone."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, NoReturn

import numpy as np

from .categorical import CategoricalPrediction
from .normal import normal_log_density, normal_quantile
from .normal_prediction import NormalPrediction, mean_distance
from .predictive import Correction, Kind, checked_kind, checked_levels


@dataclass(frozen=True, eq=False, kw_only=True)
class GaussianFunctionPrediction(NormalPrediction):
    """`NormalPrediction` where the functions themselves are normally distributed: f ~ N(mean, function_variance).

    So y is normal, with the variance function_variance + noise, and all of it is exact: densities, quantiles, CRPS,
    entropy, mutual information. Gaussian processes and linearised models give it. There are no samples to be had:
    `samples` holds the mean, and `variances` the total variance, as those of one function.

    function_variance: (N, ...), the epistemic variance. noise: like it, or a number.
    function_covariance: (N, N) of the functions at all inputs, for `log_prob(y, kind="joint")`; None where unknown.
    """

    function_variance: np.ndarray
    noise: np.ndarray
    function_covariance: np.ndarray | None = None

    @classmethod
    def of(
        cls, mean: np.ndarray, function_variance: np.ndarray, noise: Any, covariance: np.ndarray | None = None
    ) -> GaussianFunctionPrediction:
        """Of its mean (N, ...), the variance of the functions, and that of the noise."""
        noise = np.broadcast_to(np.asarray(noise, np.float64), mean.shape)
        return cls(
            mean[None],
            np.ones((1, 1)),
            variances=(function_variance + noise)[None],
            function_variance=function_variance,
            noise=noise,
            function_covariance=covariance,
        )

    @property
    def epistemic_variance(self) -> np.ndarray:
        return self.function_variance

    @property
    def aleatoric_variance(self) -> np.ndarray:
        return self.noise

    def resampled(self, which: Any) -> NoReturn:
        raise TypeError("resampled: this prediction is exact; it holds no samples")

    def log_prob(self, y: Any, kind: Kind = "mixture", correction: Correction | None = None) -> np.ndarray:
        """The logarithm of the density of y, (N, ...).

        kind: "mixture" and "moment", which are one here: of y. "expected": E_f log N(y; f, noise). "joint": of all of y
        together, a number, which needs `function_covariance`.
        """
        checked_kind(kind, ("mixture", "expected", "moment", "joint"))
        if kind == "joint":
            return self._joint(self._like_mean(y))
        if kind == "expected":
            return normal_log_density(self._like_mean(y), self.mean, self.noise) - self.function_variance / (
                2 * self.noise
            )
        return super().log_prob(y, kind, correction)

    def _joint(self, y: np.ndarray) -> np.ndarray:
        if self.function_covariance is None:
            raise ValueError("log_prob: kind 'joint' needs the covariance of the functions; predict with joint=True")
        factor = np.linalg.cholesky(self.function_covariance + np.diag(self.noise.ravel()))
        z = np.linalg.solve(factor, (y - self.mean).ravel())
        return np.asarray(-0.5 * (z @ z + y.size * np.log(2 * np.pi)) - np.log(np.diag(factor)).sum())

    def function_quantile(self, q: Any) -> np.ndarray:
        """Quantiles of the functions, not of y. Shapes: q any -> (*q.shape, N, ...)."""
        q = checked_levels("function_quantile", q)
        return self.mean + np.multiply.outer(normal_quantile(q), np.sqrt(self.function_variance))

    def crps(self, y: Any, kind: Literal["mixture", "moment", "functions"] = "mixture") -> np.ndarray:
        """The continuous ranked probability score of y, (N, ...); "functions": of the functions, without noise."""
        if kind != "functions":
            return super().crps(y, kind)
        d = self._like_mean(y) - self.mean
        with np.errstate(divide="ignore", invalid="ignore"):
            spread = mean_distance(d, self.function_variance) - np.sqrt(self.function_variance / np.pi)
        return np.where(self.function_variance > 0, spread, np.abs(d))


@dataclass(frozen=True, eq=False)
class ProbabilitiesAlone(CategoricalPrediction):
    """`CategoricalPrediction` of which only the mean is known, samples (1, N, C).

    How much of the doubt is the model's it cannot say: epistemic and aleatoric variance, expected entropy and mutual
    information are NaN. Monte-Carlo samples would tell.
    """

    @property
    def aleatoric_variance(self) -> np.ndarray:
        return np.full(self.mean.shape, np.nan)

    @property
    def total_variance(self) -> np.ndarray:
        """mean (1 - mean), as that of every indicator."""
        return self.mean * (1 - self.mean)

    @cached_property
    def expected_entropy(self) -> np.ndarray:
        return np.full(self.mean.shape[:-1], np.nan)

    def log_prob(self, y: Any, kind: Kind = "mixture", correction: Correction | None = None) -> np.ndarray:
        """The logarithm of the probability of classes y, (N,). Other kinds than "mixture" are not known."""
        checked_kind(kind, ("mixture",))
        return super().log_prob(y, kind, correction)
