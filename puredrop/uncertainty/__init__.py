"""What a model with dropout knows, and what it does not."""

from . import metrics
from .active import ActiveLoop, Round
from .categorical import CategoricalPrediction
from .ensembles import DeepEnsemble, heads_nll, mean_and_variance, mixture, predict_mixture
from .exact import exact_predict, expected_plug_in
from .inputs import Shared
from .metrics import *  # noqa: F403
from .normal_prediction import NormalPrediction
from .prediction import predict
from .predictive import Prediction
from .sampling import predict_samples

__all__ = [
    "predict_samples",
    "predict",
    "Prediction",
    "CategoricalPrediction",
    "NormalPrediction",
    "Shared",
    "exact_predict",
    "expected_plug_in",
    "DeepEnsemble",
    "heads_nll",
    "mean_and_variance",
    "mixture",
    "predict_mixture",
    "ActiveLoop",
    "Round",
]
__all__ += metrics.__all__
