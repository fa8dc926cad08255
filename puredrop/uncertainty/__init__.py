"""What a model with dropout knows, and what it does not."""

from . import metrics
from .active import ActiveLoop, Round
from .bayesian_network import LogPosterior, Posterior, sample_posterior
from .categorical import CategoricalPrediction
from .closed_form import GaussianFunctionPrediction, ProbabilitiesAlone
from .convergence import Convergence, NotConvergedError, convergence_of, effective_sample_size, split_r_hat
from .ensembles import DeepEnsemble, heads_nll, mean_and_variance, mixture, predict_mixture
from .exact import exact_predict, expected_plug_in
from .gaussian_process import GaussianProcess, fit_gaussian_process
from .hmc import Chains, sample_hmc
from .inputs import Shared
from .laplace import Laplace, fit_laplace
from .metrics import *  # noqa: F403
from .normal_prediction import NormalPrediction
from .prediction import predict
from .predictive import Prediction
from .sampling import predict_samples
from .swag import Swag, update_batch_norm

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
    "Laplace",
    "fit_laplace",
    "Swag",
    "update_batch_norm",
    "GaussianProcess",
    "fit_gaussian_process",
    "Posterior",
    "sample_posterior",
    "LogPosterior",
    "Chains",
    "sample_hmc",
    "Convergence",
    "NotConvergedError",
    "convergence_of",
    "split_r_hat",
    "effective_sample_size",
    "GaussianFunctionPrediction",
    "ProbabilitiesAlone",
    "ActiveLoop",
    "Round",
]
__all__ += metrics.__all__
