"""Laplace: exact for a Bayesian linear model, the Hessian for logistic regression, and equal to laplace-torch."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from puredrop import Key, nn, optim
from puredrop.uncertainty import (
    CategoricalPrediction,
    GaussianFunctionPrediction,
    LogPosterior,
    NormalPrediction,
    fit_laplace,
)
from puredrop.uncertainty.jacobians import jacobian_blocks
from puredrop.uncertainty.laplace import maximum
from puredrop.uncertainty.parameter_vectors import parameter_vector

GOLDEN = json.loads((Path(__file__).parent / "golden" / "laplace.json").read_text())


def two_layers(weights, inputs, hidden, outputs):
    net = nn.Sequential(nn.Linear(inputs, hidden), nn.Tanh(), nn.Linear(hidden, outputs)).seed(0).astype(np.float64)
    net.load_state_dict({name: np.array(value) for name, value in weights.items()})
    return net


@pytest.fixture
def regression():
    """A net, x, y, and new x."""
    x, y, new = (np.array(GOLDEN[name])[:, None] for name in ("X", "Y", "xt"))
    return two_layers(GOLDEN["net"], 1, 8, 1), x, y, new


@pytest.fixture
def classification():
    case = GOLDEN["cls"]
    return two_layers(case["net"], 2, 6, 3), np.array(case["X"]), np.array(case["Y"]), np.array(case["xq"])


def linear_model(rng, prior=0.7, noise=0.3):
    """A linear layer at the maximum of its posterior, with the design matrix that has a column of ones."""
    x = rng.standard_normal((20, 3))
    y = x @ [1.0, -2.0, 0.5] + 0.3 + np.sqrt(noise) * rng.standard_normal(20)
    design = np.column_stack([x, np.ones(20)])
    precision = design.T @ design / noise + prior * np.eye(4)
    mean = np.linalg.solve(precision, design.T @ y / noise)
    net = nn.Linear(3, 1).seed(0).astype(np.float64)
    net.load_state_dict({"weight": mean[None, :3], "bias": mean[3:]})
    return net, x, y, design, mean, precision


def test_bayesian_linear_regression_is_exact(rng):
    net, x, y, design, mean, precision = linear_model(rng)
    la = fit_laplace(net, x, y, likelihood="gaussian", noise_variance=0.3, prior_precision=0.7)
    np.testing.assert_allclose(la.mean, mean, rtol=1e-12)
    np.testing.assert_allclose(la.covariance, np.linalg.inv(precision), rtol=1e-10, atol=1e-14)
    evidence = stats.multivariate_normal(np.zeros(20), design @ design.T / 0.7 + 0.3 * np.eye(20)).logpdf(y)
    np.testing.assert_allclose(la.log_marginal_likelihood, evidence, rtol=1e-12)

    new = rng.standard_normal((5, 3))
    with_ones = np.column_stack([new, np.ones(5)])
    p = la.predict(new)
    variance = np.einsum("np,pq,nq->n", with_ones, np.linalg.inv(precision), with_ones)
    np.testing.assert_allclose(p.mean[:, 0], with_ones @ mean, rtol=1e-12)
    np.testing.assert_allclose(p.epistemic_variance[:, 0], variance, rtol=1e-10)
    np.testing.assert_allclose(p.total_variance[:, 0], variance + 0.3, rtol=1e-12)
    density = stats.norm(with_ones @ mean, np.sqrt(variance + 0.3)).logpdf(np.arange(5.0))
    np.testing.assert_allclose(p.log_prob(np.arange(5.0))[:, 0], density, rtol=1e-10)


def test_of_logistic_regression_the_curvature_is_the_hessian(rng):
    """By differences of the gradient of the log posterior; the prior is part of both."""
    x, y = rng.standard_normal((30, 2)), rng.integers(0, 3, 30)
    net = nn.Linear(2, 3).seed(1).astype(np.float64)
    la = fit_laplace(net, x, y, prior_precision=0.4)
    posterior, at = LogPosterior(net, x, y, prior_precision=0.4), parameter_vector(net.parameters())
    steps = 1e-5 * np.eye(len(at))
    hessian = np.stack([(posterior(at + e)[1] - posterior(at - e)[1]) / 2e-5 for e in steps])
    np.testing.assert_allclose(np.linalg.inv(la.covariance), -hessian, rtol=1e-6, atol=1e-8)
    value, _ = posterior(at)
    evidence = value + 0.5 * len(at) * np.log(2 * np.pi) - 0.5 * np.linalg.slogdet(-hessian)[1]
    assert la.log_marginal_likelihood == pytest.approx(evidence, rel=1e-8)


def test_equal_to_laplace_torch_in_regression(regression):
    net, x, y, new = regression
    for structure in ("full", "diagonal"):
        golden = GOLDEN[structure[:4]]
        la = fit_laplace(net, x, y, likelihood="gaussian", noise_variance=0.1**2, structure=structure)
        if structure == "full":  # laplace-torch 0.3 adds up a full curvature in float32
            np.testing.assert_allclose(la.predict(new).epistemic_variance[:, 0], golden["f_var"], rtol=1e-5)
            la = with_curvature_in_float32(la)
        p = la.predict(new)
        np.testing.assert_allclose(p.mean[:, 0], golden["f_mean"], rtol=1e-12)
        np.testing.assert_allclose(p.epistemic_variance[:, 0], golden["f_var"], rtol=1e-10)
        assert la.log_marginal_likelihood == pytest.approx(golden["marglik"], abs=1e-9)


def with_curvature_in_float32(la):
    total = (la.vectors * la.curvatures) @ la.vectors.T
    values, vectors = np.linalg.eigh(total.astype(np.float32).astype(np.float64))
    return replace(la, curvatures=values, vectors=vectors)


def test_equal_to_laplace_torch_in_classification(classification):
    net, x, y, new = classification
    la = fit_laplace(net, x, y)
    golden = GOLDEN["cls"]
    assert la.log_marginal_likelihood == pytest.approx(golden["marglik"], abs=1e-7)
    np.testing.assert_allclose(la.predict(new).mean, golden["probit"], atol=1e-8)


class Wide(nn.Module):
    """Convolution, batch norm in evaluation, two outputs for each of two places: (N, 2, 2)."""

    def __init__(self):
        self.convolution, self.norm, self.last = nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Linear(4, 2)

    def forward(self, x):
        x = self.norm(self.convolution(x)).tanh()
        return self.last(x.reshape(x.shape[0], 2, 4))


def test_jacobians_are_those_of_finite_differences(rng):
    net, x = Wide().seed(0).astype(np.float64), rng.standard_normal((3, 1, 4, 4))
    parameters = net.parameters()
    (block,) = jacobian_blocks("test", net, parameters, x)
    assert block.jacobian.shape == (3, 4, parameter_vector(parameters).size)
    column = 0
    for parameter in parameters:
        before = parameter.numpy().copy()
        for place in np.ndindex(before.shape):
            ends = []
            for step in (1e-6, -1e-6):
                parameter.data[place] = before[place] + step
                ends.append(net.eval()(x).numpy().reshape(3, 4))
            parameter.data[place] = before[place]
            np.testing.assert_allclose(block.jacobian[:, :, column], (ends[0] - ends[1]) / 2e-6, atol=1e-8)
            column += 1


def test_blocks_do_not_change_the_result(classification, monkeypatch):
    net, x, y, new = classification
    whole = fit_laplace(net, x, y)
    monkeypatch.setattr("puredrop.uncertainty.jacobians.NUMBERS", 1000)
    parts = fit_laplace(net, x, y)
    np.testing.assert_allclose(parts.curvatures, whole.curvatures, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(parts.predict(new).mean, whole.predict(new).mean, rtol=1e-9)


def test_diagonal_and_last_layer_are_parts_of_the_full_curvature(classification):
    net, x, y, _ = classification
    full = fit_laplace(net, x, y)
    curvature = (full.vectors * full.curvatures) @ full.vectors.T
    np.testing.assert_allclose(fit_laplace(net, x, y, structure="diagonal").curvatures, curvature.diagonal())
    last = fit_laplace(net, x, y, weights="last_layer", prior_precision=2.0)
    assert last.mean.size == 6 * 3 + 3
    expected = np.linalg.inv(curvature[-21:, -21:] + 2 * np.eye(21))
    np.testing.assert_allclose(last.covariance, expected, rtol=1e-8, atol=1e-12)
    by_hand = fit_laplace(net, x, y, weights=[net[2].weight, net[2].bias], prior_precision=2.0)
    assert np.array_equal(by_hand.covariance, last.covariance)


@pytest.mark.parametrize("structure", ["full", "diagonal"])
@pytest.mark.parametrize("noise", [True, False])
def test_the_optimum_is_one_from_wherever_it_is_sought(regression, structure, noise):
    net, x, y, _ = regression
    la = fit_laplace(net, x, y, likelihood="gaussian", noise_variance=0.02, structure=structure)
    best = la.optimised(noise=noise)
    assert noise or best.noise_variance == 0.02
    for factor in (1e-6, 1e6):
        other = la.with_prior(la.prior_precision * factor, 0.02 / factor if noise else None).optimised(noise=noise)
        np.testing.assert_allclose(other.prior_precision, best.prior_precision, rtol=1e-8)
        np.testing.assert_allclose(other.noise_variance, best.noise_variance, rtol=1e-8)
    for up in (1.01, 1 / 1.01):
        assert best.with_prior(best.prior_precision * up).log_marginal_likelihood < best.log_marginal_likelihood
        moved = best.with_prior(best.prior_precision, best.noise_variance * up)
        assert not noise or moved.log_marginal_likelihood < best.log_marginal_likelihood
    # MacKay's fixed point
    gamma = best.effective_parameters
    assert best.prior_precision == pytest.approx(gamma / (best.mean @ best.mean), rel=1e-8)
    error = best.evidence.squared_error
    assert not noise or best.noise_variance == pytest.approx(error / (len(y) - gamma), rel=1e-8)


def test_with_another_prior_it_is_as_if_fitted_with_it(regression, classification):
    net, x, y, _ = regression
    fitted = fit_laplace(net, x, y, likelihood="gaussian", noise_variance=0.5, prior_precision=3.0)
    changed = fit_laplace(net, x, y, likelihood="gaussian", noise_variance=0.1).with_prior(3.0, 0.5)
    assert changed.log_marginal_likelihood == pytest.approx(fitted.log_marginal_likelihood, rel=1e-12)
    net, x, y, _ = classification
    best = fit_laplace(net, x, y).optimised()
    assert best.prior_precision == pytest.approx(best.effective_parameters / (best.mean @ best.mean), rel=1e-8)


def test_monte_carlo_draws_the_normal_distribution_that_is_exact(regression):
    """T (mean - m)^2 / v and (T - 1) s^2 / v have chi-squared distributions; both sides of 1e-5 of each."""
    net, x, y, new = regression
    la = fit_laplace(net, x, y, likelihood="gaussian", noise_variance=0.01)
    exact, drawn = la.predict(new), la.predict(new, "monte_carlo", samples=2000, key=Key(3))
    assert isinstance(exact, GaussianFunctionPrediction)
    assert type(drawn) is NormalPrediction
    assert drawn.samples.shape == (2000, 7, 1)
    low, high = stats.chi2(1999).ppf([1e-5, 1 - 1e-5]) / 1999
    assert np.all((drawn.epistemic_variance / exact.epistemic_variance - low) > 0)
    assert np.all((drawn.epistemic_variance / exact.epistemic_variance - high) < 0)
    z = (drawn.mean - exact.mean) / np.sqrt(exact.epistemic_variance / 2000)
    assert np.abs(z).max() < stats.norm.ppf(1 - 5e-6)
    np.testing.assert_allclose(drawn.aleatoric_variance, exact.aleatoric_variance, rtol=1e-12)


def test_samples_of_weights_have_the_covariance(classification):
    """Whitened, every sum and difference of two coordinates has a chi-squared sum of squares."""
    la = fit_laplace(*classification[:3])
    for one in (la, replace(la, vectors=None)):
        draws = one.sample(4000, Key(1)) - one.mean
        z = draws @ np.linalg.inv(np.linalg.cholesky(one.covariance)).T  # (T, P)
        second = z.T @ z
        low, high = stats.chi2(4000).ppf([1e-7, 1 - 1e-7])
        assert low < second.diagonal().min() <= second.diagonal().max() < high
        sums = (second.diagonal()[:, None] + second.diagonal()) / 2 + second
        off = sums[~np.eye(len(sums), dtype=bool)]
        assert low < off.min() <= off.max() < high


def test_classes_by_probit_and_by_monte_carlo(classification):
    net, x, y, new = classification
    la = fit_laplace(net, x, y)
    probit = la.predict(new)
    assert isinstance(probit, CategoricalPrediction)
    assert np.isnan(probit.mutual_information).all()
    assert np.isnan(probit.epistemic_variance).all()
    assert np.isnan(probit.aleatoric_variance).all()
    np.testing.assert_allclose(probit.total_variance, probit.mean * (1 - probit.mean))
    np.testing.assert_allclose(probit.log_prob([0, 1, 2, 0]), np.log(probit.mean[range(4), [0, 1, 2, 0]]))
    with pytest.raises(ValueError, match="kind must be one of mixture"):
        probit.log_prob([0, 1, 2, 0], kind="expected")
    drawn = la.predict(new, "monte_carlo", samples=5000, key=Key(0))
    assert drawn.samples.shape == (5000, 4, 3)
    assert (drawn.mutual_information > 0).all()
    np.testing.assert_allclose(drawn.mean, probit.mean, atol=0.03)  # probit approximates
    deep = la.with_prior(1e12)  # no doubt is left
    np.testing.assert_allclose(deep.predict(new).mean, deep.predict(new, "monte_carlo", key=Key(0)).mean, atol=1e-5)


def test_the_model_is_left_alone_and_copied(rng):
    net = nn.Sequential(nn.Linear(2, 3), nn.Dropout(0.5), nn.Linear(3, 2)).seed(0)
    x, y = rng.standard_normal((6, 2)).astype(np.float32), np.array([0, 1, 0, 1, 0, 1])
    before = net.random_state()
    la = fit_laplace(net, x, y)
    told = la.predict(x).mean
    assert net.random_state() == before
    assert net.mode == "train"
    assert all(parameter.grad is None for parameter in net.parameters())
    nn.cross_entropy(net(x), y).backward()
    optim.SGD(net.parameters(), lr=1.0).step()
    assert np.array_equal(la.predict(x).mean, told)


def test_progress_is_told():
    seen = []
    net = nn.Linear(1, 1).seed(0)
    options = {
        "likelihood": "gaussian",
        "noise_variance": 1.0,
        "progress": lambda done, total: seen.append((done, total)),
    }
    fit_laplace(net, np.ones((4, 1), np.float32), np.ones(4), **options)
    assert seen[-1] == (4, 4)


@pytest.mark.parametrize(
    ("error", "message", "options"),
    [
        (ValueError, "'categorical' or 'gaussian', got 'heteroscedastic'", {"likelihood": "heteroscedastic"}),
        (ValueError, "likelihood='gaussian' needs the noise", {"likelihood": "gaussian"}),
        (TypeError, "noise_variance must be one number", {"likelihood": "gaussian", "noise_variance": np.ones(2)}),
        (ValueError, "prior_precision must be positive", {"prior_precision": 0.0}),
        (ValueError, "structure must be", {"structure": "kronecker"}),
        (ValueError, "weights must be", {"weights": "first_layer"}),
        (ValueError, "weights must be", {"weights": nn.Linear(1, 1).parameters()}),
        (ValueError, r"labels must lie in \[0, 2\)", {"y": [0, 2]}),
        (TypeError, "labels must be whole", {"y": [0.0, 1.0]}),
        (ValueError, "must have the shape of the outputs", {"likelihood": "gaussian", "noise_variance": 1.0}),
        (ValueError, "at least one row", {"x": np.zeros((0, 3), np.float32), "y": []}),
    ],
)
def test_what_does_not_fit_is_refused(error, message, options):
    arguments = {"x": np.ones((2, 3), np.float32), "y": np.array([0, 1])} | options
    with pytest.raises(error, match=message):
        fit_laplace(nn.Linear(3, 2).seed(0), **arguments)


def test_outputs_that_are_not_finite_are_refused():
    net = nn.Linear(1, 2).seed(0)
    net.bias.fill([0.0, np.inf])
    with pytest.raises(ValueError, match=r"fit_laplace: the model's output must be finite; .* at \(0, 1\)"):
        fit_laplace(net, np.ones((2, 1), np.float32), [0, 1])


def test_more_refusals(regression, monkeypatch):
    net, x, y, new = regression
    la = fit_laplace(net, x, y, likelihood="gaussian", noise_variance=1.0)
    with pytest.raises(ValueError, match="method must be 'exact' or 'monte_carlo'"):
        la.predict(new, "probit")
    with pytest.raises(ValueError, match="give a key"):
        la.predict(new, "monte_carlo")
    with pytest.raises(RuntimeError, match=r"call \.seed"):
        fit_laplace(nn.Linear(1, 1), x, y, likelihood="gaussian", noise_variance=1.0)
    exact = nn.Linear(1, 1).seed(0).astype(np.float64)
    with pytest.raises(ValueError, match="no error on the data"):
        fit_laplace(exact, x, exact(x).numpy(), likelihood="gaussian", noise_variance=1.0).optimised()
    exact.load_state_dict({"weight": [[0.0]], "bias": [0.0]})
    with pytest.raises(ValueError, match="all weights are 0"):
        fit_laplace(exact, x, y, likelihood="gaussian", noise_variance=1.0).optimised()
    monkeypatch.setattr("puredrop.uncertainty.laplace.LIMIT", 20)
    with pytest.raises(ValueError, match=r"25 parameters has 25\^2 elements.*'last_layer'"):
        fit_laplace(net, x, y, likelihood="gaussian", noise_variance=1.0)
    with pytest.raises(ValueError, match="no maximum"):
        maximum(lambda at: (np.ones(1), -np.eye(1)), np.zeros(1))
