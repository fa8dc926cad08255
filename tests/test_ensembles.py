"""Deep ensembles: heads, mixture, and members that are what they are alone."""

import numpy as np
import pytest

from puredrop import nn, optim, uncertainty
from puredrop.uncertainty import DeepEnsemble, mean_and_variance, mixture


def build():
    return nn.Sequential(nn.Linear(1, 8), nn.ReLU(), nn.Linear(8, 2))


def curve(rows=60):
    x = np.random.default_rng(0).uniform(-2, 2, (rows, 1)).astype(np.float32)
    return x, np.sin(2 * x[:, 0]).astype(np.float32)


def test_moments_are_those_of_the_mixture(rng):
    means, variances = rng.standard_normal((3, 4)), 0.1 + rng.random((3, 4))
    mixed = mixture(means, variances)
    draws = np.random.default_rng(1).standard_normal((3, 400_000, 1)) * np.sqrt(variances)[:, None] + means[:, None]
    sampled = draws.reshape(-1, 4)
    error = sampled.std(axis=0) / np.sqrt(len(sampled))
    assert (np.abs(sampled.mean(axis=0) - mixed.mean) < 5 * error).all()
    np.testing.assert_allclose(sampled.var(axis=0), mixed.total_variance, rtol=0.01)
    np.testing.assert_allclose(mixed.total_variance, mixed.epistemic_variance + mixed.aleatoric_variance)
    np.testing.assert_allclose(mixed.aleatoric_variance, variances.mean(axis=0))


def test_log_density_is_scipys(rng):
    stats = pytest.importorskip("scipy.stats")
    mixed = mixture(rng.standard_normal((3, 4)), 0.1 + rng.random((3, 4)))
    y = rng.standard_normal(4)
    expected = stats.norm.logpdf(y, mixed.mean, np.sqrt(mixed.total_variance))
    np.testing.assert_allclose(mixed.log_prob(y, kind="moment"), expected, rtol=1e-12)


def test_a_member_of_an_ensemble_is_trained_as_alone():
    x, y = curve()
    ensemble = DeepEnsemble(build, seeds=[4, 7]).fit(x, y, epochs=10, batch_size=25)
    model = build().seed(7)
    opt, batches = optim.Adam(model.parameters(), lr=0.01), nn.Batches(x, y, batch_size=25, seed=7)
    for _ in range(10):
        for inputs, target in batches:
            opt.zero_grad()
            uncertainty.heads_nll(model(inputs), target).backward()
            opt.step()
    for name, value in model.state_dict().items():
        np.testing.assert_allclose(ensemble.members[1].state_dict()[name], value, rtol=1e-3, atol=1e-5)  # float32
    prediction = ensemble.predict(x)
    mean, variance = mean_and_variance(model.eval()(x))
    np.testing.assert_allclose(prediction.samples[1], mean.numpy(), rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(prediction.variances[1], variance.numpy(), rtol=1e-3, atol=1e-4)


def test_an_ensemble_knows_less_far_from_its_data():
    x, y = curve()
    ensemble = DeepEnsemble(build).fit(x, y, epochs=100)
    near, far = (ensemble.predict(at + np.zeros((1, 1), np.float32)).epistemic_variance[0] for at in (0.0, 8.0))
    assert far > 10 * near


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: mixture([1.0], [1.0]), ValueError, r"expected means and variances \(M, N\)"),
        (lambda: mixture([[1.0]], [[0.0]]), ValueError, "variances must be above 0"),
        (lambda: mixture([[1.0]], [[np.nan]]), ValueError, "variances must be above 0"),
        (lambda: mean_and_variance(np.zeros((4, 1))), ValueError, "needs 2 outputs"),
        (lambda: DeepEnsemble(build).predict(np.zeros((1, 1), np.float32)), RuntimeError, "call fit"),
        (
            lambda: DeepEnsemble(build).fit(*np.zeros((2, 3, 1), np.float32)),
            ValueError,
            r"expected x \(N, D\) and y \(N,\)",
        ),
    ],
)
def test_wrong_calls_say_what_is_wrong(call, error, message):
    with pytest.raises(error, match=message):
        call()
