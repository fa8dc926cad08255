"""What a model with dropout knows, and what it does not."""

from . import metrics
from .metrics import *  # noqa: F403
from .prediction import Prediction, predict, predict_samples

__all__ = ["predict_samples", "predict", "Prediction"]
__all__ += metrics.__all__
