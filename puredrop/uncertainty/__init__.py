"""What a model with dropout knows, and what it does not."""

from .categorical import CategoricalPrediction
from .exact import exact_predict, expected_plug_in
from .inputs import Shared
from .metrics import Reliability, accuracy, ece, entropy, mutual_information, nll, reliability
from .normal import NormalPrediction
from .prediction import predict
from .predictive import Prediction
from .sampling import predict_samples

__all__ = [
    "CategoricalPrediction",
    "NormalPrediction",
    "Prediction",
    "Reliability",
    "Shared",
    "accuracy",
    "ece",
    "entropy",
    "exact_predict",
    "expected_plug_in",
    "mutual_information",
    "nll",
    "predict",
    "predict_samples",
    "reliability",
]
