"""From the outputs of functions to what they say about y."""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np

from ..ops import softmax
from .categorical import CategoricalPrediction
from .normal_prediction import NormalPrediction
from .predictive import Prediction

Likelihood = Literal["categorical", "gaussian", "heteroscedastic"]


def checked_likelihood(operation: str, likelihood: str, noise_variance: Any, noise_precision: Any) -> Any:
    """The variance of the noise for "gaussian", positive numbers; None otherwise.

    Raises: ValueError for an unknown likelihood, or noise where there is none, or none where there is; or one that is
        not positive.
    """
    if likelihood not in get_args(Likelihood):
        raise ValueError(
            f"{operation}: likelihood must be one of {', '.join(get_args(Likelihood))}, got {likelihood!r}"
        )
    given = [a for a in (noise_variance, noise_precision) if a is not None]
    if likelihood != "gaussian" and given:
        raise ValueError(f"{operation}: noise_variance and noise_precision are for likelihood='gaussian'")
    if likelihood != "gaussian":
        return None
    if len(given) != 1:
        raise ValueError(
            f"{operation}: likelihood='gaussian' needs the noise of y, as noise_variance or as noise_precision = 1 / "
            f"noise_variance; where the model gives it, write likelihood='heteroscedastic'"
        )
    noise = np.asarray(given[0], np.float64)
    if not ((noise > 0) & np.isfinite(noise)).all():
        raise ValueError(f"{operation}: the noise of y must be positive and finite, got {given[0]}")
    return noise if noise_variance is not None else 1 / noise


def results_wanted(likelihood: Likelihood) -> int:
    """How many results a model may give."""
    return 2 if likelihood == "heteroscedastic" else 1


def interpreted(
    operation: str,
    likelihood: Likelihood,
    outputs: tuple[np.ndarray, ...],
    noise: Any,
    weights: np.ndarray | None = None,
    weight_scaling: np.ndarray | None = None,
) -> Prediction:
    """The prediction that outputs (T, N, ...) make. Raises ValueError for a shape that does not fit, and for NaN."""
    wide = tuple(np.asarray(y, np.float64) for y in outputs)
    for y in wide:
        if np.isnan(y).any():
            raise ValueError(f"{operation}: {int(np.isnan(y).sum())} of {y.size} outputs of the model are NaN")
    if likelihood == "categorical":
        return _categorical(operation, wide[0], weights, weight_scaling)
    if likelihood == "gaussian":
        mean = wide[0]
        try:
            variances = np.broadcast_to(noise, mean.shape)
        except ValueError:
            raise ValueError(
                f"{operation}: noise of shape {noise.shape} does not broadcast to predictions {mean.shape[1:]}"
            ) from None
    else:
        mean, variances = _mean_and_variance(operation, wide)
    return NormalPrediction(mean, weights, weight_scaling, variances=variances)


def _categorical(operation: str, logits: np.ndarray, weights: Any, weight_scaling: Any) -> CategoricalPrediction:
    if logits.ndim < 3 or logits.shape[-1] < 2:
        raise ValueError(
            f"{operation}: expected logits (N, C) or (N, ..., C) with C at least 2 from the model, got "
            f"{logits.shape[1:]} for each sample; for numbers write likelihood='gaussian'"
        )
    return CategoricalPrediction(softmax(logits, backend="numpy"), weights, weight_scaling)


def _mean_and_variance(operation: str, outputs: tuple[np.ndarray, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Of (mean, log variance): two results, or the two halves of the last axis of one."""
    if len(outputs) == 1:
        joined = outputs[0]
        if joined.ndim < 3 or joined.shape[-1] % 2:
            raise ValueError(
                f"{operation}: expected (mean, log variance) from the model, as two results or as the halves of a last "
                f"axis, got {joined.shape[1:]} for each sample"
            )
        mean, log_variance = np.split(joined, 2, axis=-1)
    else:
        mean, log_variance = outputs
    if mean.shape != log_variance.shape:
        raise ValueError(
            f"{operation}: mean and log variance must be alike, got {mean.shape[1:]} and {log_variance.shape[1:]}"
        )
    with np.errstate(over="ignore"):
        variances = np.exp(log_variance)
    if not (variances > 0).all() or not np.isfinite(variances).all():
        raise ValueError(
            f"{operation}: log variances must lie within (-745, 709), got {log_variance.min()} to "
            f"{log_variance.max()}; bound them in the model"
        )
    return mean, variances
