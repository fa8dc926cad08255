"""SWAG: moments of the path, samples with the covariance of the paper, statistics of batch norm for each."""

import numpy as np
import pytest
from scipy import stats

from puredrop import Key, nn, ops, optim
from puredrop.uncertainty import CategoricalPrediction, NormalPrediction, Swag, update_batch_norm
from puredrop.uncertainty.parameter_vectors import fill_parameters, parameter_vector

PATH = np.random.default_rng(7).standard_normal((9, 4)) * [1.0, 0.1, 3.0, 1.0] + [0.0, 5.0, 0.0, 1e6]


def along(path, rank=3):
    """SWAG of a linear layer that went along a path of weights (steps, 4)."""
    net = nn.Linear(3, 1).seed(0).astype(np.float64)
    swag = Swag(net, rank)
    for vector in path:
        fill_parameters(net.parameters(), vector)
        swag.collect()
    return swag


def test_moments_are_those_of_the_path():
    swag = along(PATH)
    np.testing.assert_allclose(swag.mean, PATH.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(swag.variance, PATH.var(axis=0), rtol=1e-9)  # no cancellation at a mean of 1e6
    expected = [PATH[i] - PATH[: i + 1].mean(axis=0) for i in (6, 7, 8)]
    np.testing.assert_allclose(swag.deviations, expected, rtol=1e-8, atol=1e-9)


def test_the_covariance_is_that_of_the_paper():
    swag = along(PATH)
    for scale in (0.5, 1.0):
        expected = scale * (np.diag(swag.variance) + swag.deviations.T @ swag.deviations / 2)
        np.testing.assert_allclose(swag.covariance(scale), expected, rtol=1e-12)
    for diagonal in (along(PATH, rank=0), along(PATH, rank=1)):
        np.testing.assert_allclose(diagonal.covariance(), np.diag(PATH.var(axis=0)) / 2, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("rank", [0, 3])
def test_samples_have_mean_and_covariance(rank):
    """Whitened, sums of squares of each coordinate, and of sums of two, are chi-squared."""
    swag, T = along(PATH[:, :3] @ np.eye(3, 4), rank), 3000
    swag.squares[3] = 1.0
    z = (swag.sample(T, Key(2)) - swag.mean) @ np.linalg.inv(np.linalg.cholesky(swag.covariance())).T
    assert np.abs(z.sum(axis=0)).max() < np.sqrt(T) * stats.norm.ppf(1 - 1e-6)
    low, high = stats.chi2(T).ppf([1e-6, 1 - 1e-6])
    second = z.T @ z
    sums = (second.diagonal()[:, None] + second.diagonal()) / 2 + second
    off = sums[~np.eye(4, dtype=bool)]
    assert low < min(second.diagonal().min(), off.min())
    assert max(second.diagonal().max(), off.max()) < high


def test_a_sample_is_a_function_of_the_key():
    swag = along(PATH)
    ten = swag.sample(10, Key(5, site=1))
    assert np.array_equal(swag.sample(4, Key(5, site=1)), ten[:4])
    assert not np.array_equal(swag.sample(4, Key(5, site=2)), ten[:4])
    assert len(np.unique(ten[:, 0])) == 10


def test_predictions_are_those_of_the_sampled_models(rng):
    swag, x = along(PATH[:, [0, 1, 2, 0]]), rng.standard_normal((5, 3))
    p = swag.predict(x, 8, key=Key(1), likelihood="gaussian", noise_variance=0.5)
    assert type(p) is NormalPrediction
    drawn = swag.sample(8, Key(1))
    expected = np.stack([x @ w[:3] + w[3] for w in drawn])
    np.testing.assert_allclose(p.samples[..., 0], expected, rtol=1e-12)
    np.testing.assert_array_equal(p.variances, np.full((8, 5, 1), 0.5))


class Normed(nn.Module):
    """Batch norm and dropout in front of what decides."""

    def __init__(self):
        self.first, self.norm, self.drop = nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5)
        self.last = nn.Linear(4, 2)

    def forward(self, x):
        return self.last(self.drop(ops.relu(self.norm(self.first(x)))))


def trained(x, y):
    net = Normed().seed(3).astype(np.float64)
    swag, optimizer = Swag(net, rank=4), optim.SGD(net.parameters(), lr=0.2)
    for _ in range(6):
        optimizer.zero_grad()
        nn.cross_entropy(net(x), y).backward()
        optimizer.step()
        swag.collect()
    return swag


def test_statistics_of_batch_norm_are_those_of_each_sample(rng):
    x, y, new = rng.standard_normal((12, 3)), rng.integers(0, 2, 12), rng.standard_normal((5, 3))
    swag = trained(x, y)
    state, random_state = swag.model.state_dict(), swag.model.random_state()
    p = swag.predict(new, 3, key=Key(1), train_x=x, batch_size=4)
    assert type(p) is CategoricalPrediction
    for name, value in swag.model.state_dict().items():
        assert np.array_equal(value, state[name]), name
    assert swag.model.random_state() == random_state

    net = Normed().seed(3).astype(np.float64)
    for vector, told in zip(swag.sample(3, Key(1)), p.samples, strict=True):
        fill_parameters(net.parameters(), vector)
        batches = (x @ net.first.weight.numpy().T + net.first.bias.numpy()).reshape(3, 4, 4)
        net.norm.running_mean.fill(batches.mean(axis=(0, 1)))
        net.norm.running_var.fill(batches.var(axis=1, ddof=1).mean(axis=0))
        np.testing.assert_allclose(told, ops.softmax(net.eval()(new).numpy(), backend="numpy"), rtol=1e-10)
    with pytest.raises(ValueError, match="give train_x"):
        swag.predict(new, 3, key=Key(1))


def test_update_batch_norm_leaves_the_rest_alone(rng):
    net, x = Normed().seed(0).eval(), rng.standard_normal((9, 3)).astype(np.float32)
    before, random_state = parameter_vector(net.parameters()), net.random_state()
    update_batch_norm(net, x, batch_size=4)  # the ninth row, alone in its batch, is left out
    hidden = x[:8] @ net.first.weight.numpy().T + net.first.bias.numpy()
    np.testing.assert_allclose(net.norm.running_mean.numpy(), hidden.mean(axis=0), rtol=1e-4, atol=1e-6)
    assert int(net.norm.num_batches_tracked) == 2
    assert (net.mode, net.norm.momentum, net.random_state()) == ("eval", 0.1, random_state)
    assert np.array_equal(parameter_vector(net.parameters()), before)
    with pytest.raises(ValueError, match="two rows or more"):
        update_batch_norm(net, x[:1])
    with pytest.raises(ValueError, match="batch_size must be 2 or more"):
        update_batch_norm(net, x, batch_size=1)


@pytest.mark.parametrize("stop", [1, 2, 5])
def test_collecting_goes_on_from_a_saved_state(stop):
    whole, first = along(PATH), along(PATH[:stop])
    rest = Swag(first.model, 3)
    rest.load_state_dict(first.state_dict())
    for vector in PATH[stop:]:
        fill_parameters(rest.model.parameters(), vector)
        rest.collect()
    for name, value in whole.state_dict().items():
        assert np.array_equal(rest.state_dict()[name], value), name


def test_what_does_not_fit_is_refused():
    swag = along(PATH)
    with pytest.raises(ValueError, match="no weights were collected"):
        Swag(swag.model).sample(1, Key(0))
    with pytest.raises(ValueError, match="of which no draw was taken"):
        swag.sample(1, Key(0).draw(1))
    with pytest.raises(ValueError, match="scale must be positive"):
        swag.sample(1, Key(0), scale=0.0)
    with pytest.raises(ValueError, match="rank must be 0 or more"):
        Swag(swag.model, rank=-1)
    with pytest.raises(ValueError, match="another model or rank"):
        Swag(swag.model, rank=2).load_state_dict(swag.state_dict())
    with pytest.raises(RuntimeError, match=r"call \.seed"):
        Swag(nn.Linear(2, 2)).collect()
    swag.model.bias.fill([np.nan])
    with pytest.raises(ValueError, match="1 weights are not finite"):
        swag.collect()
    assert swag.collected == 9
