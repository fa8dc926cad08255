"""What a model with dropout knows, and what it does not."""

from .ensembles import (
    DeepEnsemble,
    GaussianMixture,
    heads_nll,
    mean_and_variance,
    moment_matched,
    predict_mixture,
)
from .metrics import Reliability, accuracy, ece, entropy, mutual_information, nll, reliability
from .prediction import Prediction, predict, predict_samples

__all__ = [
    "DeepEnsemble",
    "GaussianMixture",
    "Prediction",
    "Reliability",
    "accuracy",
    "ece",
    "entropy",
    "heads_nll",
    "mean_and_variance",
    "moment_matched",
    "mutual_information",
    "nll",
    "predict",
    "predict_mixture",
    "predict_samples",
    "reliability",
]
