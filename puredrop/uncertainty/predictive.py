"""What samples of a model say about y: moments, and which part of the doubt is the model's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, TypeVar

import numpy as np

Self = TypeVar("Self", bound="Prediction")
Kind = Literal["mixture", "expected", "moment", "joint"]
Correction = Literal["delta", "jackknife"]


@dataclass(frozen=True, eq=False)
class Prediction:
    """T functions, and what they say together about each of N examples. All float64.

    samples: (T, N, ...), the mean of y that each function gives; of a classifier its probabilities (T, N, ..., C).
    weights: None for T Monte-Carlo samples. For all masks, as `exact_predict` gives them, the probability of each:
        (T, 1), or (T, N) where it depends on the example.
    weight_scaling: what the model gives in evaluation, like the mean; None where nobody computed it.

    Variances are unbiased estimates from samples (divisor T - 1, so that one sample has none: NaN), and exact with
    weights. Epistemic is the variance of the functions, which more data would remove; aleatoric the mean of the
    variance that each function gives to y; total their sum. Entropies are in nats, and biased at small T.
    """

    samples: np.ndarray
    weights: np.ndarray | None = None
    weight_scaling: np.ndarray | None = None

    def mean_of(self, values: np.ndarray) -> np.ndarray:
        """The mean of values (T, N, ...) over the functions: (N, ...)."""
        if self.weights is None:
            return values.mean(axis=0)
        if self.weights.shape[1] == 1:
            return np.tensordot(self.weights[:, 0], values, axes=1)
        return np.einsum("tn,tn...->n...", self.weights, values)

    def variance_of(self, values: np.ndarray) -> np.ndarray:
        """The variance of values (T, N, ...) over the functions: (N, ...)."""
        if self.weights is not None:
            return self.mean_of((values - self.mean_of(values)) ** 2)
        if len(values) == 1:
            return np.full(values.shape[1:], np.nan)
        return values.var(axis=0, ddof=1)

    def resampled(self: Self, which: Any) -> Self:
        """The Monte-Carlo prediction that has the samples with these numbers."""
        return replace(self, samples=self.samples[which], weights=None)

    @cached_property
    def mean(self) -> np.ndarray:
        """E[y]."""
        return self.mean_of(self.samples)

    @cached_property
    def epistemic_variance(self) -> np.ndarray:
        """The variance of the functions."""
        return self.variance_of(self.samples)

    @cached_property
    def aleatoric_variance(self) -> np.ndarray:
        """The mean of the variances that the functions give to y."""
        raise NotImplementedError

    @property
    def total_variance(self) -> np.ndarray:
        """Var[y], by the law of total variance."""
        return self.epistemic_variance + self.aleatoric_variance

    @property
    def entropy(self) -> np.ndarray:
        """The entropy of y: total uncertainty."""
        raise NotImplementedError

    @property
    def mutual_information(self) -> np.ndarray:
        """How much y would tell about which function it is: epistemic uncertainty."""
        raise NotImplementedError

    def log_prob(self, y: Any, kind: Kind = "mixture") -> np.ndarray:
        """The logarithm of the probability, or density, of y."""
        raise NotImplementedError

    def function_quantile(self, q: Any) -> np.ndarray:
        """Quantiles of the functions, not of y: the smallest of their values that a share q does not exceed.

        Shapes: q any -> (*q.shape, N, ...).
        """
        q = checked_levels("function_quantile", q)
        if self.weights is None:
            return np.quantile(self.samples, q, axis=0, method="inverted_cdf")
        weights = np.broadcast_to(expanded(self.weights, self.samples.ndim), self.samples.shape)
        return np.quantile(self.samples, q, axis=0, method="inverted_cdf", weights=weights)

    def function_interval(self, coverage: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
        """Between what the central share `coverage` of the functions lies."""
        return central(self.function_quantile, coverage)


def expanded(weights: np.ndarray, rank: int) -> np.ndarray:
    """Weights (T, N) with axes behind, for arrays with so many."""
    return weights.reshape(*weights.shape, *[1] * (rank - weights.ndim))


def central(quantile: Callable[[Any], np.ndarray], coverage: float) -> tuple[np.ndarray, np.ndarray]:
    """The interval with an equal share on either side."""
    if not 0 < coverage < 1:
        raise ValueError(f"interval: coverage must lie between 0 and 1, both excluded, got {coverage}")
    lower, upper = quantile([(1 - coverage) / 2, (1 + coverage) / 2])
    return lower, upper


def checked_levels(operation: str, q: Any) -> np.ndarray:
    """Levels of quantiles, strictly between 0 and 1."""
    q = np.asarray(q, np.float64)
    if not ((q > 0) & (q < 1)).all():
        raise ValueError(f"{operation}: q must lie between 0 and 1, both excluded, got {q.tolist()}")
    return q


def checked_kind(kind: str, known: tuple[str, ...]) -> str:
    """Raise ValueError for a kind that is not known."""
    if kind not in known:
        raise ValueError(f"log_prob: kind must be one of {', '.join(known)}, got {kind!r}")
    return kind


def log_mean(prediction: Prediction, logs: np.ndarray, correction: Correction | None = None) -> np.ndarray:
    """The logarithm of the mean of e^logs, (T, N, ...) -> (N, ...), which cannot overflow.

    Its estimate from samples is too small on average; `correction` takes most of that away.
    """
    top = logs.max(axis=0)
    top = np.where(np.isfinite(top), top, 0.0)
    scaled = np.exp(logs - top)  # (T, N, ...)
    with np.errstate(divide="ignore"):
        if correction is None:
            return np.log(prediction.mean_of(scaled)) + top
        return corrected(prediction, scaled, np.log, lambda m: -1 / m**2, correction) + top


def log_joint(prediction: Prediction, logs: np.ndarray) -> float:
    """log sum_t w_t e^(sum over all examples of logs[t]): all of y together, under one function."""
    if prediction.weights is not None and prediction.weights.shape[1] > 1:
        raise ValueError("log_prob: kind 'joint' needs functions whose probability does not depend on the example")
    together = logs.reshape(len(logs), -1).sum(axis=1)  # (T,)
    return float(log_mean(prediction, together[:, None])[0])


def corrected(
    prediction: Prediction,
    values: np.ndarray,
    function: Callable[[np.ndarray], np.ndarray],
    curvature: Callable[[np.ndarray], np.ndarray],
    correction: Correction,
) -> np.ndarray:
    """function(mean of values over samples) less the leading term, of order 1 / T, of its bias.

    Math: delta: E f(m) - f(E m) is about f''(m) Var[values] / (2 T), summed by `curvature` where f is a sum.
        jackknife (Quenouille 1956): T f(m) - (T - 1) mean_t f(mean without sample t).
    Raises: ValueError for weights, with which nothing is biased, and for fewer than two samples.
    """
    T = len(values)
    if correction not in ("delta", "jackknife"):
        raise ValueError(f"correction must be 'delta' or 'jackknife', got {correction!r}")
    if prediction.weights is not None or T < 2:
        raise ValueError("a correction is for two Monte-Carlo samples or more; with all masks nothing is biased")
    mean = values.mean(axis=0)
    if correction == "jackknife":
        left = np.maximum(0.0, (T * mean - values) / (T - 1))  # (T, ...): without each sample
        return T * function(mean) - (T - 1) * function(left).mean(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        bend = np.where(mean > 0, curvature(mean) * values.var(axis=0, ddof=1), 0.0) / (2 * T)
    y = function(mean)
    return y - bend.sum(axis=tuple(range(y.ndim, bend.ndim)))
