"""Answering only what one is sure of: risk over coverage, and how far it is from the best order."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np

from .door import chosen, not_below_zero, rows_alike

Rule = Literal["mean", "trapezoid"]


class RiskCoverage(NamedTuple):
    """Coverage k / N, and the mean loss of the k surest rows, for k = 1..N. (N,) each."""

    coverage: np.ndarray
    risk: np.ndarray


def risk_coverage(uncertainty: Any, losses: Any) -> RiskCoverage:
    """The mean loss of the rows that are answered, as more and more are.

    Math: rows by ascending uncertainty, risk_k = mean of the first k losses. Rows of equal uncertainty have no order:
        each counts the mean loss of its equals, the expectation over all their orders, so the order of the input
        does not matter.
    Shapes: (N,) each; a loss is 0 or 1 for errors of classification, or any number of 0 or more. Dtypes: float64.
    Raises: TypeError, ValueError for negative losses, NaN, different lengths, no rows.
    Reference: El-Yaniv & Wiener, "On the foundations of noise-free selective classification" (2010).

    >>> risk_coverage([0.1, 0.2, 0.9], [0, 0, 1]).risk.round(3).tolist()
    [0.0, 0.0, 0.333]
    """
    u, loss = rows_alike("risk_coverage", uncertainty=uncertainty, losses=losses)
    not_below_zero("risk_coverage", "losses", loss)
    k = np.arange(1, len(u) + 1)
    return RiskCoverage(k / len(u), np.cumsum(_sorted(u, loss)) / k)


def _sorted(u: np.ndarray, loss: np.ndarray) -> np.ndarray:
    """Losses by ascending u, each of a tie the mean of the tie."""
    _, group, rows = np.unique(u, return_inverse=True, return_counts=True)
    return np.repeat(np.bincount(group, loss) / rows, rows)


def aurc(uncertainty: Any, losses: Any, *, rule: Rule) -> float:
    """The area under the risk-coverage curve: the mean risk over all coverages.

    Math: "mean": mean_k risk_k; "trapezoid": the integral by trapezoids from 1 / N to 1, divided by 1 - 1 / N
        (torch-uncertainty's).
    Shapes and errors as `risk_coverage`; "trapezoid" needs two rows.
    Reference: Geifman, Uziel & El-Yaniv, "Bias-reduced uncertainty estimation for deep neural classifiers" (2019).

    >>> aurc([0.1, 0.2, 0.9], [0, 0, 1], rule="mean").__round__(4)
    0.1111
    """
    return _area("aurc", risk_coverage(uncertainty, losses).risk, rule)


def _area(operation: str, curve: np.ndarray, rule: Rule) -> float:
    """The mean of a curve over k / N, k = 1..N."""
    if chosen(operation, "rule", rule, ("mean", "trapezoid")) == "mean":
        return float(curve.mean())
    if len(curve) < 2:
        raise ValueError(f"{operation}: rule 'trapezoid' needs two rows, got one")
    return float(np.trapezoid(curve) / (len(curve) - 1))


def augrc(uncertainty: Any, losses: Any, *, rule: Rule) -> float:
    """The area under the generalised risk-coverage curve: the chance of an error that nobody catches.

    Math: as `aurc` with coverage_k risk_k in place of risk_k, so the surest rows do not weigh most.
    Shapes and errors as `risk_coverage`.
    Reference: Traub et al., "Overcoming common flaws in the evaluation of selective classification systems" (2024).

    >>> augrc([0.1, 0.2, 0.9], [0, 0, 1], rule="mean").__round__(4)
    0.1111
    """
    curve = risk_coverage(uncertainty, losses)
    return _area("augrc", curve.coverage * curve.risk, rule)


def excess_aurc(uncertainty: Any, losses: Any, *, rule: Rule) -> float:
    """E-AURC: how much of `aurc` a perfect order of the same losses would have avoided. 0 is perfect.

    Math: aurc(uncertainty, losses) - aurc(losses, losses). The best order is taken as it is, not by Geifman's
        approximation r + (1 - r) log(1 - r).
    Shapes and errors as `risk_coverage`.
    Reference: Geifman, Uziel & El-Yaniv (2019).

    >>> excess_aurc([0.1, 0.2, 0.9], [0, 0, 1], rule="mean")
    0.0
    """
    return aurc(uncertainty, losses, rule=rule) - aurc(losses, losses, rule=rule)


class Sparsification(NamedTuple):
    """Removed share k / N, k = 0..N-1; the error of what is left, removing by uncertainty and by the error itself."""

    removed: np.ndarray
    error: np.ndarray
    oracle: np.ndarray


def sparsification(
    uncertainty: Any, errors: Any, *, metric: Literal["mae", "rmse"], normalised: bool
) -> Sparsification:
    """The error of the rows that are left when the most uncertain are removed, and when the worst are.

    Math: "mae": the mean error of the N - k surest rows; "rmse": the root of their mean squared error. normalised:
        divided by the error of all rows (0 where that is 0).
    Shapes: uncertainty (N,), errors (N,), of 0 or more: |y - mean|, or 0 and 1. Dtypes: float64. Ties as in
        `risk_coverage`.
    Raises: TypeError, ValueError for negative errors, NaN, different lengths, no rows.
    Reference: Ilg et al., "Uncertainty estimates and multi-hypotheses networks for optical flow" (2018).

    >>> sparsification([1.0, 2.0], [1.0, 3.0], metric="mae", normalised=False).error.tolist()
    [2.0, 1.0]
    """
    u, error = rows_alike("sparsification", uncertainty=uncertainty, errors=errors)
    not_below_zero("sparsification", "errors", error)
    power = {"mae": 1, "rmse": 2}[chosen("sparsification", "metric", metric, ("mae", "rmse"))]
    curves = [risk_coverage(by, error**power).risk[::-1] ** (1 / power) for by in (u, error)]
    whole = curves[0][0] if chosen("sparsification", "normalised", normalised, (True, False)) else 1.0
    return Sparsification(np.arange(len(u)) / len(u), *(curve / (whole or 1.0) for curve in curves))


def ause(uncertainty: Any, errors: Any, *, metric: Literal["mae", "rmse"], normalised: bool) -> float:
    """The area between the two curves of `sparsification`: how far the uncertainty is from ranking the errors.

    Math: the integral of error - oracle over the removed share by trapezoids, from 0 to 1 - 1 / N.
    Shapes and errors as `sparsification`. torch-uncertainty's AUSE has metric="mae", normalised=True since 0.13.
    Reference: Ilg et al. (2018).

    >>> ause([2.0, 1.0], [1.0, 3.0], metric="mae", normalised=False)
    0.5
    """
    curves = sparsification(uncertainty, errors, metric=metric, normalised=normalised)
    return float(np.trapezoid(curves.error - curves.oracle, curves.removed))
