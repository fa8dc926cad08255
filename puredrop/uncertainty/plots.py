"""Diagrams, drawn by matplotlib into axes that are given or new, and returned; nothing is shown or saved."""

from __future__ import annotations

from typing import Any

import numpy as np

from .calibration_error import Reliability
from .door import not_below_zero, rows_alike
from .intervals import CoverageCurve
from .selective import RiskCoverage, Sparsification

INK, MUTED, BLUE, ORANGE = "#1b1f24", "#606873", "#0072b2", "#d55e00"  # Okabe and Ito's blue and orange


def plot_reliability(table: Reliability, ax: Any = None) -> Any:
    """Accuracy over confidence with Wilson's intervals, bins that have rows only, and the diagonal of the calibrated.

    Raises: ImportError without matplotlib. The areas of the points follow the rows of the bins.

    >>> from puredrop.uncertainty import reliability
    >>> ax = plot_reliability(reliability(np.array([[0.9, 0.1], [0.6, 0.4]]), np.array([0, 1])))
    >>> ax.get_xlabel()
    'confidence'
    """
    ax = _diagonal(ax, "confidence", "accuracy")
    there = table.rows > 0
    x, y = table.confidence[there], table.accuracy[there]
    # At 0 and 1 Wilson's interval ends in the frequency itself, but for rounding.
    arms = np.maximum([y - table.low[there], table.high[there] - y], 0.0)
    ax.errorbar(x, y, yerr=arms, fmt="none", ecolor=MUTED, elinewidth=1, capsize=2)
    ax.scatter(x, y, s=10 + 90 * table.rows[there] / table.rows.max(), color=BLUE, zorder=3)
    return ax


def plot_sparsification(curves: Sparsification, ax: Any = None) -> Any:
    """The error of what is left over the removed share, by uncertainty and by the error itself; between them, AUSE.

    >>> from puredrop.uncertainty import sparsification
    >>> ax = plot_sparsification(sparsification([1.0, 2.0], [1.0, 3.0], metric="mae", normalised=False))
    >>> len(ax.get_lines())
    2
    """
    ax = _axes(ax, "share removed", "error of the rest")
    ax.plot(curves.removed, curves.error, color=BLUE, label="by uncertainty")
    ax.plot(curves.removed, curves.oracle, color=INK, ls="--", label="by the error itself")
    ax.fill_between(curves.removed, curves.oracle, curves.error, color=BLUE, alpha=0.15, lw=0)
    ax.legend(frameon=False)
    return ax


def plot_risk_coverage(curve: RiskCoverage, ax: Any = None, label: str | None = None) -> Any:
    """The mean loss of the rows that are answered over their share.

    >>> from puredrop.uncertainty import risk_coverage
    >>> plot_risk_coverage(risk_coverage([0.1, 0.2], [0, 1])).get_ylabel()
    'risk'
    """
    ax = _axes(ax, "coverage", "risk")
    ax.plot(curve.coverage, curve.risk, color=None if label else BLUE, label=label)
    ax.set_xlim(0, 1)
    if label:
        ax.legend(frameon=False)
    return ax


def plot_calibration_curve(curve: CoverageCurve, ax: Any = None) -> Any:
    """Observed coverage over the promised, and the diagonal of the calibrated; between them, the miscalibration area.

    >>> from puredrop.uncertainty import coverage_curve
    >>> plot_calibration_curve(coverage_curve([0.2, 0.7], kind="interval")).get_ylabel()
    'observed'
    """
    ax = _diagonal(ax, "promised", "observed")
    ax.plot(curve.levels, curve.observed, color=BLUE)
    ax.fill_between(curve.levels, curve.levels, curve.observed, color=BLUE, alpha=0.15, lw=0)
    return ax


def plot_predictive_band(x: Any, mean: Any, std: Any, ax: Any = None, *, multiples: tuple[float, ...] = (1, 2)) -> Any:
    """A predicted mean over a number x, with bands of so many standard deviations. x (N,) in any order.

    Raises: ValueError for negative std, NaN, different lengths.

    >>> ax = plot_predictive_band([0.0, 1.0], [0.0, 1.0], [1.0, 1.0])
    >>> len(ax.collections)
    2
    """
    x, mean, std = rows_alike("plot_predictive_band", x=x, mean=mean, std=std)
    not_below_zero("plot_predictive_band", "std", std)
    ax = _axes(ax, "x", "y")
    order = np.argsort(x, kind="stable")
    x, mean, std = x[order], mean[order], std[order]
    for k in sorted(multiples, reverse=True):
        ax.fill_between(x, mean - k * std, mean + k * std, color=BLUE, alpha=0.18, lw=0)
    ax.plot(x, mean, color=BLUE)
    return ax


def _axes(ax: Any, xlabel: str, ylabel: str) -> Any:
    """The axes that were given, or those of a new figure, which no window manager knows of."""
    if ax is None:
        from matplotlib.figure import Figure

        ax = Figure(figsize=(4.5, 4), layout="constrained").subplots()
    ax.set_xlabel(xlabel)
    ax.set_ylabel(ylabel)
    return ax


def _diagonal(ax: Any, xlabel: str, ylabel: str) -> Any:
    ax = _axes(ax, xlabel, ylabel)
    ax.plot([0, 1], [0, 1], color=MUTED, lw=1, ls=":")
    ax.set_xlim(0, 1)
    ax.set_ylim(0, 1)
    ax.set_aspect("equal")
    return ax
