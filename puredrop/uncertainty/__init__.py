"""What a model with dropout knows, and what it does not."""

from .metrics import Reliability, accuracy, ece, entropy, mutual_information, nll, reliability
from .prediction import Prediction, predict, predict_samples

__all__ = [
    "Prediction",
    "Reliability",
    "accuracy",
    "ece",
    "entropy",
    "mutual_information",
    "nll",
    "predict",
    "predict_samples",
    "reliability",
]
