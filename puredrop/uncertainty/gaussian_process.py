"""Exact Gaussian process regression: scikit-learn's, with the predictions of this package.

scikit-learn's regressor is exact, has the gradient of its marginal likelihood, and is kept well; so nothing of it is
written again. What is added: the noise and the functions apart, which it gives as one variance, and units of y.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ..random import UNIFORM, Index, Key, bernoulli
from ..variants.door import whole_number
from .closed_form import GaussianFunctionPrediction
from .parameter_vectors import checked_rows, positive_number

Kernel = Literal["rbf", "matern12", "matern32", "matern52"]
SMOOTHNESS = {"rbf": np.inf, "matern12": 0.5, "matern32": 1.5, "matern52": 2.5}


@dataclass(frozen=True, eq=False)
class GaussianProcess:
    """A fitted Gaussian process; `fit_gaussian_process` makes it.

    regressor: scikit-learn's, with its kernel: amplitude x shape + noise, of y at mean 0 and variance 1.
    functions: the same process without noise in what it predicts.
    """

    regressor: Any
    functions: Any
    y_std: float

    @property
    def amplitude(self) -> float:
        """The prior variance of the functions, in units of y squared."""
        return float(self.regressor.kernel_.k1.k1.constant_value) * self.y_std**2

    @property
    def length_scales(self) -> np.ndarray:
        """One for each input, or for all of them."""
        return np.atleast_1d(self.regressor.kernel_.k1.k2.length_scale)

    @property
    def noise_variance(self) -> float:
        """In units of y squared."""
        return float(self.regressor.kernel_.k2.noise_level) * self.y_std**2

    @property
    def log_marginal_likelihood(self) -> float:
        """log p(y), for y as it was given less its mean."""
        return float(self.regressor.log_marginal_likelihood_value_) - len(self.regressor.X_train_) * np.log(self.y_std)

    def predict(self, x: Any, joint: bool = False) -> GaussianFunctionPrediction:
        """What the process says of y at x (N, D): exact. joint: with the covariance (N, N) of the functions."""
        x = _inputs("GaussianProcess.predict", x)
        mean, spread = self.functions.predict(x, return_cov=joint, return_std=not joint)
        variance = np.diag(spread).clip(0.0) if joint else spread**2  # rounding leaves some of them below 0
        return GaussianFunctionPrediction.of(mean, variance, self.noise_variance, spread if joint else None)


def fit_gaussian_process(
    x: Any,
    y: Any,
    *,
    kernel: Kernel = "rbf",
    ard: bool = True,
    noise_variance: float | None = None,
    restarts: int = 0,
    key: Key | None = None,
) -> GaussianProcess:
    """Exact Gaussian process regression, with amplitude, length scales and noise of the largest marginal likelihood.

    Math: f ~ GP(mean of y, a k(x, x')), y = f + noise; k by length scales l, one for each input (`ard`) or one for all:
        "rbf" exp(-r^2 / 2), r^2 = sum_d ((x_d - x'_d) / l_d)^2, or Matern with smoothness 1/2, 3/2, 5/2. L-BFGS with
        the gradient, from length scales 1: standardise the inputs.
    noise_variance: None to learn it. restarts: further searches from starts that `key` names.
    Shapes: x (N, D), y (N,) or (N, 1). Cost: N^3 for every step.
    scikit-learn warns where a number stays at its bound, as the length scale of an input that does not matter does.
    Raises: ValueError for shapes that do not fit, numbers that are not finite, y without variance, or restarts without
        a key. Needs scikit-learn.
    Reference: Rasmussen & Williams, "Gaussian processes for machine learning" (2006).

    >>> x = np.linspace(-2, 2, 12)[:, None]
    >>> gp = fit_gaussian_process(x, np.sin(2 * x[:, 0]), noise_variance=0.01)
    >>> near, far = gp.predict(np.array([[0.0], [9.0]])).epistemic_variance
    >>> bool(near < 0.01 < far)
    True
    """
    from sklearn.gaussian_process import GaussianProcessRegressor

    x, y = _inputs("fit_gaussian_process", x), _targets(x, y)
    if kernel not in SMOOTHNESS:
        raise ValueError(f"fit_gaussian_process: kernel must be one of {', '.join(SMOOTHNESS)}, got {kernel!r}")
    options: dict[str, Any] = {"normalize_y": True, "alpha": 0.0}
    searched = GaussianProcessRegressor(
        _kernel(kernel, x.shape[1] if ard else 1, noise_variance, y.std()),
        n_restarts_optimizer=whole_number("fit_gaussian_process", "restarts", restarts, 0),
        random_state=_seed(restarts, key),
        **options,
    ).fit(x, y)
    options["alpha"] = searched.kernel_.k2.noise_level
    functions = GaussianProcessRegressor(searched.kernel_.k1, optimizer=None, **options).fit(x, y)
    return GaussianProcess(searched, functions, float(y.std()))


def _kernel(kernel: Kernel, scales: int, noise: float | None, y_std: float) -> Any:
    from sklearn.gaussian_process.kernels import RBF, ConstantKernel, Matern, WhiteKernel

    lengths = np.ones(scales) if scales > 1 else 1.0
    shape = RBF(lengths) if kernel == "rbf" else Matern(lengths, nu=SMOOTHNESS[kernel])
    if noise is None:
        return ConstantKernel(1.0) * shape + WhiteKernel(0.1, (1e-8, 1e2))
    level = positive_number("fit_gaussian_process", "noise_variance", noise) / y_std**2
    return ConstantKernel(1.0) * shape + WhiteKernel(level, "fixed")


def _seed(restarts: int, key: Key | None) -> int | None:
    """A seed for NumPy's generator, from the key."""
    if restarts and key is None:
        raise ValueError("fit_gaussian_process: restarts draw; give a key, such as Key(seed=0)")
    return None if key is None else int(bernoulli.words(key, Index.whole(1), UNIFORM)[0])


def _inputs(operation: str, x: Any) -> np.ndarray:
    x = checked_rows(operation, x).astype(np.float64)
    if x.ndim != 2 or not np.isfinite(x).all():
        raise ValueError(f"{operation}: x must be (N, D) and finite, got shape {x.shape}")
    return x


def _targets(x: np.ndarray, y: Any) -> np.ndarray:
    y = np.asarray(y, np.float64)
    y = y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y
    if y.shape != x.shape[:1] or not np.isfinite(y).all():
        raise ValueError(f"fit_gaussian_process: y must be ({len(x)},) and finite, got shape {y.shape}")
    if not y.std() > 0:
        raise ValueError("fit_gaussian_process: y must have some variance; all its numbers are equal")
    return y
