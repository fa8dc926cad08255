"""Monte-Carlo prediction: what a model with dropout says about y, and how sure it is."""

from __future__ import annotations

from typing import Any, Literal, overload

from ..nn.module import Module
from .categorical import CategoricalPrediction
from .likelihood import Likelihood, checked_likelihood, interpreted, results_wanted
from .normal_prediction import NormalPrediction
from .predictive import Prediction
from .sampling import sampled


@overload
def predict(
    model: Module, x: Any, samples: int = 100, *, likelihood: Literal["categorical"] = "categorical", **options: Any
) -> CategoricalPrediction: ...


@overload
def predict(
    model: Module, x: Any, samples: int = 100, *, likelihood: Literal["gaussian", "heteroscedastic"], **options: Any
) -> NormalPrediction: ...


def predict(
    model: Module,
    x: Any,
    samples: int = 100,
    *,
    likelihood: Likelihood = "categorical",
    noise_variance: Any = None,
    noise_precision: Any = None,
    **options: Any,
) -> Prediction:
    """Monte-Carlo prediction: the model with `samples` masks, and what it says together.

    Math: p(y | x) = mean_t p(y | x, masks t). likelihood: "categorical": the model gives logits (N, ..., C).
        "gaussian": it gives means (N, ...), and y has noise of `noise_variance`, or of variance 1 / `noise_precision`,
        in the units of the model's outputs: numbers that broadcast to them. "heteroscedastic": it gives the mean and
        the logarithm of the variance, as two results or as the two halves of the last axis.
    Shapes: x (N, ...), outputs (N, C), (N, T, C) of a model of sequences, (N,), (N, 1), (N, D): the batch on axis 0.
    options: those of `predict_samples`, and further inputs of the model by name.
    Returns: `CategoricalPrediction` or `NormalPrediction`: mean, epistemic, aleatoric and total variance, entropy,
        mutual information, log_prob(y), and more. The samples are the same bit for bit however the work is cut.
    Raises: as `predict_samples`; ValueError for outputs that do not fit the likelihood, or are NaN.
    Reference: Gal & Ghahramani, "Dropout as a Bayesian approximation" (2016); Kendall & Gal, "What uncertainties do we
        need in Bayesian deep learning for computer vision?" (2017), for the heteroscedastic form.

    >>> import numpy as np
    >>> from puredrop import nn
    >>> net = nn.Sequential(nn.Linear(3, 2), nn.Dropout(0.5)).seed(0)
    >>> p = predict(net, np.ones((4, 3), np.float32), samples=10)
    >>> p.mean.shape, p.log_prob([0, 1, 1, 0]).shape, bool(np.all(p.mutual_information >= 0))
    ((4, 2), (4,), True)
    >>> y = predict(net, np.ones((4, 3), np.float32), likelihood="gaussian", noise_variance=0.1)
    >>> lower, upper = y.interval(0.9)
    >>> lower.shape, bool(np.all(y.total_variance > 0.1))
    ((4, 2), True)
    """
    noise = checked_likelihood("predict", likelihood, noise_variance, noise_precision)
    outputs = sampled("predict", results_wanted(likelihood), model, x, samples, **options)
    return interpreted("predict", likelihood, outputs, noise)
