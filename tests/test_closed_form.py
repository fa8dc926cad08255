"""Normal functions in closed form: what every other prediction says in the limit of many samples, exactly."""

import numpy as np
import pytest
from scipy import integrate, stats

from puredrop.uncertainty import GaussianFunctionPrediction, NormalPrediction

MEAN, VARIANCE, NOISE = np.array([0.5, -1.0, 2.0]), np.array([0.3, 1.5, 0.01]), 0.2
Y = np.array([0.0, 1.0, 2.1])


@pytest.fixture
def exact():
    covariance = np.array([[0.3, 0.2, 0.0], [0.2, 1.5, -0.05], [0.0, -0.05, 0.01]])
    return GaussianFunctionPrediction.of(MEAN, VARIANCE, NOISE, covariance)


def test_what_scipy_says(exact):
    y = stats.norm(MEAN, np.sqrt(VARIANCE + NOISE))
    for kind in ("mixture", "moment"):
        np.testing.assert_allclose(exact.log_prob(Y, kind), y.logpdf(Y), rtol=1e-12)
    np.testing.assert_allclose(exact.cdf(Y), y.cdf(Y), rtol=1e-12)
    np.testing.assert_allclose(exact.quantile([0.1, 0.9]), [y.ppf(0.1), y.ppf(0.9)], rtol=1e-9)
    np.testing.assert_allclose(exact.entropy, y.entropy(), rtol=1e-12)
    f = stats.norm(MEAN, np.sqrt(VARIANCE))
    np.testing.assert_allclose(exact.function_quantile([0.1, 0.9]), [f.ppf(0.1), f.ppf(0.9)], rtol=1e-12)
    np.testing.assert_allclose(exact.function_interval(0.8), f.interval(0.8), rtol=1e-12)
    np.testing.assert_allclose(exact.mutual_information, y.entropy() - stats.norm(0, np.sqrt(NOISE)).entropy())
    joint = stats.multivariate_normal(MEAN, exact.function_covariance + NOISE * np.eye(3)).logpdf(Y)
    assert float(exact.log_prob(Y, "joint")) == pytest.approx(joint, rel=1e-12)


def test_what_integrals_say(exact):
    for i in range(3):
        f = stats.norm(MEAN[i], np.sqrt(VARIANCE[i]))
        average, _ = integrate.quad(
            lambda at, i=i, f=f: f.pdf(at) * stats.norm(at, np.sqrt(NOISE)).logpdf(Y[i]), *f.interval(1 - 1e-15)
        )
        assert exact.log_prob(Y, "expected")[i] == pytest.approx(average, rel=1e-8)
        for kind, scale in (("functions", VARIANCE[i]), ("mixture", VARIANCE[i] + NOISE)):
            g = stats.norm(MEAN[i], np.sqrt(scale))
            below, _ = integrate.quad(lambda at, g=g: g.cdf(at) ** 2, -20, Y[i], points=[MEAN[i]])
            above, _ = integrate.quad(lambda at, g=g: g.sf(at) ** 2, Y[i], 20, points=[MEAN[i]])
            assert exact.crps(Y, kind)[i] == pytest.approx(below + above, rel=1e-6)


def test_many_samples_say_the_same(exact, rng):
    functions = MEAN + np.sqrt(VARIANCE) * rng.standard_normal((20_000, 3))
    drawn = NormalPrediction(functions, variances=np.full(functions.shape, NOISE))
    np.testing.assert_allclose(drawn.mean, exact.mean, atol=4 * np.sqrt(1.5 / 20_000))
    for name in ("epistemic_variance", "aleatoric_variance", "total_variance", "mutual_information"):
        np.testing.assert_allclose(getattr(drawn, name), getattr(exact, name), rtol=0.05)
    np.testing.assert_allclose(drawn.log_prob(Y), exact.log_prob(Y), atol=0.05)


def test_certain_functions_have_the_error_as_their_score():
    certain = GaussianFunctionPrediction.of(MEAN, np.zeros(3), NOISE)
    np.testing.assert_array_equal(certain.crps(Y, "functions"), np.abs(Y - MEAN))
    np.testing.assert_array_equal(certain.mutual_information, np.zeros(3))


def test_what_it_does_not_know_it_says(exact):
    alone = GaussianFunctionPrediction.of(MEAN, VARIANCE, NOISE)
    with pytest.raises(ValueError, match="joint=True"):
        alone.log_prob(Y, "joint")
    with pytest.raises(TypeError, match="holds no samples"):
        exact.resampled([0])
    with pytest.raises(ValueError, match="kind must be one of"):
        exact.log_prob(Y, "average")
