"""Gaussian processes: scikit-learn's numbers, and the formulas written out."""

import numpy as np
import pytest
from scipy import stats

from puredrop import Key
from puredrop.uncertainty import GaussianFunctionPrediction, fit_gaussian_process

pytest.importorskip("sklearn")

X = np.random.default_rng(3).uniform(-2, 2, (25, 2))
Y = 10 * np.sin(X[:, 0]) + X[:, 1] + np.random.default_rng(4).standard_normal(25) + 50
NEW = np.random.default_rng(5).uniform(-3, 3, (6, 2))
SHAPES = {
    "rbf": lambda r: np.exp(-(r**2) / 2),
    "matern12": lambda r: np.exp(-r),
    "matern32": lambda r: (1 + np.sqrt(3) * r) * np.exp(-np.sqrt(3) * r),
    "matern52": lambda r: (1 + np.sqrt(5) * r + 5 * r**2 / 3) * np.exp(-np.sqrt(5) * r),
}


def covariance(kernel, amplitude, lengths, a, b):
    r = np.sqrt((((a[:, None] - b) / lengths) ** 2).sum(axis=-1))
    return amplitude * SHAPES[kernel](r)


def evidence(kernel, amplitude, lengths, noise):
    K = covariance(kernel, amplitude, lengths, X, X) + noise * np.eye(25)
    return stats.multivariate_normal(np.zeros(25), K).logpdf(Y - Y.mean())


@pytest.mark.parametrize("kernel", SHAPES)
@pytest.mark.parametrize("ard", [True, False])
def test_predictions_are_those_of_the_formulas(kernel, ard):
    gp = fit_gaussian_process(X, Y, kernel=kernel, ard=ard, noise_variance=1.0 if kernel == "matern12" else None)
    assert gp.length_scales.shape == ((2,) if ard else (1,))
    at = (kernel, gp.amplitude, gp.length_scales)
    K = covariance(*at, X, X) + gp.noise_variance * np.eye(25)
    across, prior = covariance(*at, NEW, X), covariance(*at, NEW, NEW)
    posterior = prior - across @ np.linalg.solve(K, across.T)
    for joint in (False, True):
        p = gp.predict(NEW, joint)
        assert isinstance(p, GaussianFunctionPrediction)
        np.testing.assert_allclose(p.mean, Y.mean() + across @ np.linalg.solve(K, Y - Y.mean()), rtol=1e-8)
        np.testing.assert_allclose(p.epistemic_variance, posterior.diagonal(), rtol=1e-7, atol=1e-8)
        np.testing.assert_allclose(p.aleatoric_variance, gp.noise_variance)
    np.testing.assert_allclose(p.function_covariance, posterior, rtol=1e-6, atol=1e-7)
    expected = stats.multivariate_normal(p.mean, posterior + gp.noise_variance * np.eye(6)).logpdf(p.mean + 1)
    assert float(p.log_prob(p.mean + 1, "joint")) == pytest.approx(expected, rel=1e-6)
    assert gp.log_marginal_likelihood == pytest.approx(evidence(*at, gp.noise_variance), rel=1e-9)


def test_equal_to_scikit_learn():
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel

    kernel = ConstantKernel(1.0) * RBF([1.0, 1.0]) + WhiteKernel(0.1, (1e-8, 1e2))
    theirs = GaussianProcessRegressor(kernel, alpha=0.0, normalize_y=True).fit(X, Y)
    mean, std = theirs.predict(NEW, return_std=True)  # of y: with the noise
    p = fit_gaussian_process(X, Y).predict(NEW)
    np.testing.assert_allclose(p.mean, mean, rtol=1e-8)
    np.testing.assert_allclose(np.sqrt(p.total_variance), std, rtol=1e-8)


def test_the_marginal_likelihood_has_its_maximum_there():
    gp = fit_gaussian_process(X, Y, ard=False)
    here = np.array([gp.amplitude, gp.length_scales[0], gp.noise_variance])
    best = evidence("rbf", *here)
    for step in np.vstack([np.eye(3), -np.eye(3)]):
        assert evidence("rbf", *(here * np.exp(0.05 * step))) < best
        nearby = [evidence("rbf", *(here * np.exp(sign * 1e-4 * step))) for sign in (1, -1)]
        assert abs(nearby[0] - nearby[1]) / 2e-4 < 1e-2  # the slope


def test_a_noise_that_is_given_stays():
    gp = fit_gaussian_process(X, Y, noise_variance=2.5)
    assert gp.noise_variance == pytest.approx(2.5, rel=1e-12)
    assert fit_gaussian_process(X, Y[:, None], noise_variance=2.5).amplitude == gp.amplitude


def test_restarts_come_from_the_key():
    first, again = (fit_gaussian_process(X, Y, restarts=2, key=Key(1)) for _ in range(2))
    assert first.log_marginal_likelihood == again.log_marginal_likelihood
    assert first.log_marginal_likelihood >= fit_gaussian_process(X, Y).log_marginal_likelihood - 1e-6
    with pytest.raises(ValueError, match="give a key"):
        fit_gaussian_process(X, Y, restarts=2)


@pytest.mark.parametrize(
    ("message", "x", "y", "options"),
    [
        ("kernel must be one of rbf, matern12", X, Y, {"kernel": "linear"}),
        (r"x must be \(N, D\)", X[:, 0], Y, {}),
        (r"y must be \(25,\)", X, Y[:-1], {}),
        (r"y must be \(25,\) and finite", X, np.where(Y > 55, np.nan, Y), {}),
        (r"and finite", np.where(X > 1.5, np.inf, X), Y, {}),
        ("all its numbers are equal", X, np.ones(25), {}),
        ("noise_variance must be positive", X, Y, {"noise_variance": -1.0}),
    ],
)
def test_what_does_not_fit_is_refused(message, x, y, options):
    with pytest.raises(ValueError, match=message):
        fit_gaussian_process(x, y, **options)
