"""Hamiltonian Monte Carlo: the integrator's laws, known posteriors, runs that go on, chains that are refused."""

import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from scipy import stats

from puredrop import Key, nn
from puredrop.uncertainty import LogPosterior, NotConvergedError, sample_hmc, sample_posterior
from puredrop.uncertainty.convergence import effective_sample_size
from puredrop.uncertainty.hmc import Point, leapfrog
from puredrop.uncertainty.parameter_vectors import parameter_vector

PRECISION = np.array([[2.0, 0.8, 0.0], [0.8, 1.0, -0.2], [0.0, -0.2, 4.0]])
CENTRE = np.array([1.0, -2.0, 0.5])
SPREAD = 2 * np.random.default_rng(0).standard_normal((4, 3))


def normal(x):
    d = x - CENTRE
    return -0.5 * float(d @ PRECISION @ d), -PRECISION @ d


def quartic(x):
    return -float((x**4).sum()) / 4, -(x**3)


def started(density, seed=0, size=3):
    rng = np.random.default_rng(seed)
    position = rng.standard_normal(size)
    return Point(position, rng.standard_normal(size), *density(position))


def test_leapfrog_is_reversible():
    for density in (normal, quartic):
        start = started(density)
        end = leapfrog(density, start, 0.1, 50)
        back = leapfrog(density, end._replace(momentum=-end.momentum), 0.1, 50)
        assert np.abs(end.position - start.position).max() > 0.1
        np.testing.assert_allclose(back.position, start.position, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(-back.momentum, start.momentum, rtol=1e-12, atol=1e-12)


def test_the_error_of_the_energy_falls_with_the_square_of_the_step():
    start = started(quartic, seed=2)
    errors = [abs(leapfrog(quartic, start, 1 / n, n).energy - start.energy) for n in (50, 100, 200)]
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.02)
    assert errors[1] / errors[2] == pytest.approx(4, rel=0.02)


def test_leapfrog_keeps_volumes():
    start = started(quartic, seed=1)

    def moved(z):
        end = leapfrog(quartic, Point(z[:3], z[3:], *quartic(z[:3])), np.array([0.1, 0.2, 0.3]), 7)
        return np.concatenate([end.position, end.momentum])

    z = np.concatenate([start.position, start.momentum])
    jacobian = np.stack([(moved(z + e) - moved(z - e)) / 2e-6 for e in 1e-6 * np.eye(6)])
    assert np.linalg.det(jacobian) == pytest.approx(1, abs=1e-7)


def within_three_standard_errors(samples, mean, covariance):
    """Of (chains, D, P), by the effective sample sizes of the numbers and of their products."""
    d = samples - mean
    error = np.sqrt(covariance.diagonal() / effective_sample_size(samples, "mean"))
    assert np.abs(d.mean(axis=(0, 1)) / error).max() < 3
    products = d[..., :, None] * d[..., None, :]  # (chains, D, P, P)
    error = np.sqrt(products.var(axis=(0, 1)) / effective_sample_size(products, "mean"))
    assert np.abs((products.mean(axis=(0, 1)) - covariance) / error).max() < 3


def test_a_normal_density_has_its_mean_and_covariance():
    chains = sample_hmc(normal, SPREAD, 1000, key=Key(1), warmup=200, leapfrogs=8)
    assert chains.convergence.faults() == []
    within_three_standard_errors(chains.samples, CENTRE, np.linalg.inv(PRECISION))
    np.testing.assert_allclose(chains.mean(), chains.samples.mean(axis=(0, 1)))
    np.testing.assert_allclose(chains.covariance(), np.cov(chains.samples.reshape(-1, 3).T))
    scaled = sample_hmc(normal, SPREAD, 1000, key=Key(1), warmup=200, leapfrogs=8, scales=[0.8, 1.2, 0.5])
    within_three_standard_errors(scaled.samples, CENTRE, np.linalg.inv(PRECISION))


def test_the_step_is_as_large_as_the_acceptance_allows():
    """The mean of the steps is kept; it accepts a little more than they do on average: large ones accept little."""
    steps = []
    for wanted in (0.6, 0.8, 0.95):
        chains = sample_hmc(normal, SPREAD, 300, key=Key(0), warmup=1000, leapfrogs=3, acceptance=wanted)
        assert wanted - 0.02 < chains.acceptance.mean() < wanted + 0.1
        steps.append(chains.step_sizes)
    assert (np.diff(steps, axis=0) < 0).all()


def test_a_density_with_other_tails_has_its_moments():
    """E x^2 = 2 Gamma(3/4) / Gamma(1/4), E x^4 = 1 under exp(-x^4 / 4)."""
    chains = sample_hmc(quartic, SPREAD[:, :1], 1000, key=Key(0), warmup=200, leapfrogs=8)
    x = chains.samples[..., 0]
    from math import gamma

    for power, expected in ((1, 0.0), (2, 2 * gamma(0.75) / gamma(0.25)), (4, 1.0)):
        error = (x**power).std() / np.sqrt(effective_sample_size(x**power, "mean"))
        assert abs((x**power).mean() - expected) < 3 * error


def linear_problem(rng):
    x = rng.standard_normal((15, 2))
    y = x @ [1.0, -1.0] + 0.5 + 0.5 * rng.standard_normal(15)
    design = np.column_stack([x, np.ones(15)])
    covariance = np.linalg.inv(design.T @ design / 0.25 + 0.5 * np.eye(3))
    return x, y, design, covariance, covariance @ design.T @ y / 0.25


def test_the_posterior_of_a_conjugate_linear_model(rng):
    x, y, design, covariance, mean = linear_problem(rng)
    options = {"likelihood": "gaussian", "noise_variance": 0.25, "prior_precision": 0.5, "warmup": 150, "leapfrogs": 6}
    posterior = sample_posterior(nn.Linear(2, 1).seed(0), x, y, 400, key=Key(0), **options)
    within_three_standard_errors(posterior.chains.samples, mean, covariance)
    p = posterior.predict(x)
    assert p.samples.shape == (1600, 15, 1)
    np.testing.assert_allclose(p.aleatoric_variance, 0.25)
    exact = np.einsum("np,pq,nq->n", design, covariance, design)
    np.testing.assert_allclose(p.epistemic_variance[:, 0], exact, rtol=0.25)
    assert posterior.predict(x, thin=10, ess=50, r_hat=1.1).samples.shape == (160, 15, 1)


def test_the_log_posterior_is_a_density_and_its_gradient_is_right(rng):
    x = rng.standard_normal((6, 2))
    cases = [
        (2, rng.integers(0, 2, 6), {"likelihood": "categorical"}),
        (1, rng.standard_normal(6), {"likelihood": "gaussian", "noise_variance": 0.3}),
    ]
    for outputs, y, options in cases:
        net = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Dropout(0.5), nn.Linear(3, outputs)).seed(0)
        density = LogPosterior(net, x, y, prior_precision=0.7, **options)
        at = parameter_vector(net.parameters())
        value, gradient = density(at)
        steps = 1e-6 * np.eye(len(at))
        numeric = [(density(at + e)[0] - density(at - e)[0]) / 2e-6 for e in steps]
        np.testing.assert_allclose(gradient, numeric, rtol=1e-6, atol=1e-7)
        told = net.astype(np.float64).eval()(x).numpy()
        if outputs == 1:
            likelihood = stats.norm(told[:, 0], np.sqrt(0.3)).logpdf(y).sum()
        else:
            likelihood = (told[np.arange(6), y] - np.log(np.exp(told).sum(axis=1))).sum()
        assert value == pytest.approx(likelihood + stats.norm(0, 0.7**-0.5).logpdf(at).sum(), rel=1e-10)


def run(**options):
    return sample_hmc(normal, SPREAD, **{"draws": 150, "key": Key(4), "warmup": 70, "leapfrogs": 5} | options)


def same(a, b):
    return all(
        np.array_equal(getattr(a, n), getattr(b, n)) for n in ("samples", "acceptance", "divergent", "step_sizes")
    )


def test_a_run_that_was_cut_short_goes_on_bit_for_bit(tmp_path):
    path, whole = tmp_path / "chains.npz", run()

    def stop(done, total):
        assert total == 4 * 220
        if done >= 4 * 100:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(checkpoint=path, progress=stop)
    evaluated = []

    def counted(x):
        evaluated.append(1)
        return normal(x)

    resumed = sample_hmc(counted, SPREAD, 150, key=Key(4), warmup=70, leapfrogs=5, checkpoint=path)
    assert same(resumed, whole)
    assert len(evaluated) < 4 * 120 * 5  # not from the start
    assert same(run(checkpoint=path, draws=200), run(draws=200))  # more of the same
    assert same(run(checkpoint=path, draws=20), run(draws=20))
    assert [p.name for p in tmp_path.iterdir()] == ["chains.npz"]


@pytest.mark.parametrize("other", [{"key": Key(5)}, {"leapfrogs": 6}, {"warmup": 71}, {"scales": 2.0}])
def test_the_checkpoint_of_another_run_is_refused(tmp_path, other):
    path = tmp_path / "chains.npz"
    run(checkpoint=path)
    with pytest.raises(ValueError, match="of another run"):
        run(checkpoint=path, **other)
    with pytest.raises(ValueError, match="of another run"):
        sample_hmc(quartic, SPREAD, 150, key=Key(4), warmup=70, leapfrogs=5, checkpoint=path)


def test_a_damaged_checkpoint_and_a_missing_folder_are_named(tmp_path):
    path = tmp_path / "chains.npz"
    run(checkpoint=path)
    whole = path.read_bytes()
    np.savez(tmp_path / "other.npz", x=np.ones(2))
    for content in (whole[:1000], b"", b"text", (tmp_path / "other.npz").read_bytes()):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"chains\.npz is no checkpoint, or a damaged one .*; remove it"):
            run(checkpoint=path)
    with pytest.raises(FileNotFoundError, match="no such folder"):
        run(checkpoint=tmp_path / "absent" / "chains.npz")


def test_executors_give_the_same_bits(rng):
    with ThreadPoolExecutor(2) as pool:
        assert same(run(executor=pool), run())
        x, y, *_ = linear_problem(rng)
        options = {"likelihood": "gaussian", "noise_variance": 0.25, "warmup": 20, "leapfrogs": 3, "key": Key(0)}
        net = nn.Linear(2, 1).seed(0)
        apart = sample_posterior(net, x, y, 20, executor=pool, **options)
        assert same(apart.chains, sample_posterior(net, x, y, 20, **options).chains)
    density = LogPosterior(net, x, y, "gaussian", noise_variance=0.25)
    value, gradient = pickle.loads(pickle.dumps(density))(np.ones(3))  # so processes can have it
    assert (value, gradient.tolist()) == (density(np.ones(3))[0], density(np.ones(3))[1].tolist())


def test_chains_are_independent_of_each_other():
    """Chain c is the same however many there are beside it, and no two are alike."""
    two = sample_hmc(normal, SPREAD[:2], 50, key=Key(4), warmup=20)
    four = sample_hmc(normal, SPREAD, 50, key=Key(4), warmup=20)
    assert np.array_equal(two.samples, four.samples[:2])
    alike = sample_hmc(normal, np.zeros((2, 3)), 50, key=Key(4), warmup=20)
    assert not np.array_equal(*alike.samples)


def two_modes(x):
    """An equal mixture of unit normals at -9 and 9."""
    logs = np.array([-0.5 * float((x - c) @ (x - c)) for c in (-9, 9)])
    weights = np.exp(logs - np.logaddexp(*logs))
    return float(np.logaddexp(*logs)), weights[0] * (-9 - x) + weights[1] * (9 - x)


def test_chains_in_different_modes_are_refused():
    chains = sample_hmc(two_modes, [[-9.0], [-8.0], [8.0], [9.0]], 200, key=Key(0), warmup=100, leapfrogs=5)
    assert chains.convergence.r_hat > 1.5
    for result in (chains.mean, chains.covariance):
        with pytest.raises(NotConvergedError, match=r"R-hat is .*more than 1\.01.*accept_unconverged=True"):
            result()
        assert np.isfinite(result(accept_unconverged=True)).all()
    one = sample_hmc(two_modes, [[-9.0]] * 4, 400, key=Key(0), warmup=100, leapfrogs=5)
    assert one.mean()[0] == pytest.approx(-9, abs=0.2)  # what no diagnosis can see


def test_a_posterior_that_has_not_converged_is_refused(rng):
    x, y = rng.standard_normal((8, 1)), rng.standard_normal(8)
    net = nn.Sequential(nn.Linear(1, 4), nn.Tanh(), nn.Linear(4, 1)).seed(0)
    options = {"likelihood": "gaussian", "noise_variance": 1e-3, "warmup": 5, "leapfrogs": 2, "key": Key(0)}
    posterior = sample_posterior(net, x, y, 20, **options)
    with pytest.raises(NotConvergedError, match="R-hat is"):
        posterior.predict(x)
    assert posterior.predict(x, accept_unconverged=True).mean.shape == (8, 1)


def test_networks_that_say_the_same_agree_though_their_weights_do_not():
    """a tanh(b x) with both signs turned is the same function; two chains begin at either, and none crosses over."""
    x = np.linspace(-1, 1, 8)[:, None]
    net = nn.Sequential(nn.Linear(1, 1, bias=False), nn.Tanh(), nn.Linear(1, 1, bias=False)).seed(0)
    options = {"likelihood": "gaussian", "noise_variance": 0.01, "warmup": 150, "leapfrogs": 8, "scales": [0.2, 0.1]}
    here = np.array([1.5, 2.0])
    y = 2 * np.tanh(1.5 * x)
    posterior = sample_posterior(net, x, y, 250, key=Key(0), starts=[here, here, -here, -here], **options)
    assert posterior.chains.convergence.r_hat > 1.5
    with pytest.raises(NotConvergedError):
        posterior.chains.mean()
    np.testing.assert_allclose(posterior.predict(x, r_hat=1.03, ess=150).mean, y, atol=0.1)


def test_of_logits_only_the_differences_count(rng):
    """Without a prior to speak of, a shift of all logits is free; what the model says converges all the same."""
    x, y = rng.standard_normal((12, 1)), rng.integers(0, 2, 12)
    options = {"prior_precision": 0.5, "warmup": 100, "leapfrogs": 6, "key": Key(2)}
    posterior = sample_posterior(nn.Linear(1, 2).seed(0), x, y, 200, **options)
    p = posterior.predict(x, r_hat=1.05, ess=100)
    assert p.probabilities.shape == (12, 2)
    assert (p.mutual_information > 0).all()


def half_normal(x):
    """Zero left of the origin."""
    return (-0.5 * float(x @ x), -x) if x[0] > 0 else (-np.inf, np.full(1, np.nan))


def test_trajectories_that_leave_the_density_are_rejected_and_counted():
    chains = sample_hmc(half_normal, [[1.0], [2.0], [0.5], [1.5]], 300, key=Key(0), warmup=100, leapfrogs=5)
    assert (chains.samples > 0).all()
    assert chains.divergent.sum() > 0
    assert "trajectories diverged" in chains.convergence.faults(r_hat=9, ess=0)[0]
    assert np.array_equal(chains.divergent, chains.divergent & (chains.acceptance == 0))


@pytest.mark.parametrize(
    ("message", "options"),
    [
        (r"starts must be \(chains, P\)", {"starts": np.zeros(3)}),
        ("not finite at start 1", {"starts": [[0.0] * 3, [np.nan] * 3]}),
        ("its own must be 0", {"key": Key(0, sample=1)}),
        ("acceptance must lie strictly", {"acceptance": 1.0}),
        ("scales must be positive", {"scales": [1.0, 0.0, 1.0]}),
        ("draws must be 8 or more", {"draws": 7}),
        ("leapfrogs must be 1 or more", {"leapfrogs": 0}),
        ("warmup must be 0 or more", {"warmup": -1}),
    ],
)
def test_what_does_not_fit_is_refused(message, options):
    arguments = {"starts": SPREAD, "draws": 10, "key": Key(0)} | options
    with pytest.raises(ValueError, match=message):
        sample_hmc(normal, **arguments)


def test_what_does_not_fit_a_posterior_is_refused():
    net, x = nn.Linear(2, 2).seed(0), np.ones((3, 2))
    with pytest.raises(ValueError, match="needs the noise"):
        sample_posterior(net, x, np.ones((3, 2)), key=Key(0), likelihood="gaussian")
    with pytest.raises(ValueError, match=r"labels must lie in \[0, 2\)"):
        sample_posterior(net, x, [0, 1, 2], key=Key(0))
    with pytest.raises(ValueError, match="prior_precision must be positive"):
        sample_posterior(net, x, [0, 1, 1], key=Key(0), prior_precision=-1.0)
