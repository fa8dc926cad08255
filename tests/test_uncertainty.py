"""Monte-Carlo prediction that does not depend on how the work is cut; metrics equal to their references."""

from pathlib import Path

import numpy as np
import pytest

import puredrop
from puredrop import nn, uncertainty
from puredrop.streams import enumerate_masks
from puredrop.uncertainty import predict, predict_samples

RNG = np.random.default_rng(0)
X = RNG.standard_normal((7, 5)).astype(np.float32)
NET = nn.Sequential(nn.Linear(5, 16), nn.ReLU(), nn.Dropout(0.5), nn.Linear(16, 3)).seed(0)


def test_samples_do_not_depend_on_how_many_or_from_where():
    """Bit for bit: number of samples, chunks of samples, and resuming."""
    whole = predict_samples(NET, X, samples=100)
    assert whole.shape == (100, 7, 3)
    assert whole.dtype == np.float32
    for first, samples in ((0, 1), (0, 33), (31, 2), (50, 50), (99, 1)):
        assert np.array_equal(predict_samples(NET, X, samples, first=first), whole[first : first + samples])


@pytest.mark.parametrize("backend_name", [n for n in puredrop.backends.available() if n != "cupy"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("batch_size", [1, 3, 7])
def test_batches_and_backends_agree_to_rounding(backend_name, dtype, batch_size):
    net = nn.Sequential(nn.Linear(5, 16), nn.ReLU(), nn.Dropout(0.5), nn.Linear(16, 3)).seed(0)
    for p in net.parameters():
        p.data = p.data.astype(dtype)
    net.to("numpy")
    reference = predict_samples(net, X.astype(dtype), samples=20)
    ours = predict_samples(net.to(backend_name), X.astype(dtype), samples=20, batch_size=batch_size)
    assert np.linalg.norm(ours - reference) <= (1e-5 if dtype == np.float32 else 1e-12) * np.linalg.norm(reference)
    assert ours.dtype == dtype


def test_a_loop_over_sample_mode_equals_predict_samples():
    net = NET.sample()
    loop = np.array([net(X).numpy() for _ in range(10)])
    assert np.allclose(loop, predict_samples(net, X, samples=10), rtol=1e-5, atol=1e-6)
    dropout_only = nn.Sequential(nn.Dropout(0.3)).seed(1).sample()
    loop = np.array([dropout_only(X).numpy() for _ in range(10)])
    assert np.array_equal(loop, predict_samples(dropout_only, X, samples=10)), "the masks are equal bit for bit"


def test_masks_for_the_pass_are_one_function_for_all_inputs():
    ones = np.ones((6, 50), np.float32)
    layer = nn.Sequential(nn.Dropout(0.5)).seed(1)
    samples = predict_samples(layer, ones, samples=5, masks="pass")
    assert (samples == samples[:, :1]).all()
    assert len({s.tobytes() for s in samples}) == 5
    chunked = predict_samples(layer, ones, samples=5, masks="pass", batch_size=4)
    assert np.array_equal(chunked, samples)
    assert not (predict_samples(layer, ones, samples=5) == samples).all()


def test_the_monte_carlo_mean_approaches_the_enumerated_one():
    net = nn.Sequential(nn.Linear(5, 6), nn.ReLU(), nn.Dropout(0.5), nn.Linear(6, 2)).seed(0).sample()
    for p in net.parameters():
        p.data = p.data.astype(np.float64)
    x = X[:1].astype(np.float64)
    weighted = list(enumerate_masks(lambda: net(x).numpy()))
    mean = sum(q * y for q, y in weighted)
    variance = sum(q * (y - mean) ** 2 for q, y in weighted)
    samples = predict_samples(net, x, samples=4000)
    assert (np.abs(samples.mean(0) - mean) < 5 * np.sqrt(variance / 4000)).all()


def test_errors():
    with pytest.raises(ValueError, match="nothing in this model draws"):
        predict_samples(nn.Linear(5, 3).seed(0), X)
    with pytest.raises(ValueError, match="samples must be at least 1 and first at least 0, got 0 and 0"):
        predict_samples(NET, X, samples=0)
    with pytest.raises(ValueError, match="masks must be 'example' or 'pass', got 'batch'"):
        predict_samples(NET, X, masks="batch")
    with pytest.raises(ValueError, match="needs rows and a batch_size of at least 1, got 0 and None"):
        predict_samples(NET, X[:0])
    with pytest.raises(RuntimeError, match=r"call \.seed"):
        predict_samples(nn.Sequential(nn.Linear(5, 3), nn.Dropout(0.5)), X)
    with pytest.raises(ValueError, match=r"expected logits \(N, C\)"):
        predict(nn.Sequential(nn.Dropout(0.5)).seed(0), X[:, :1].reshape(-1))


def test_prediction_is_what_its_samples_say():
    p = predict(NET, X, samples=30)
    assert np.allclose(p.samples.sum(-1), 1)
    assert np.allclose(p.mean, p.samples.mean(0))
    assert np.allclose(p.variance, p.samples.var(0))
    assert np.allclose(p.entropy, -(p.mean * np.log(p.mean)).sum(-1))
    assert np.allclose(p.mutual_information, p.entropy + (p.samples * np.log(p.samples)).sum(-1).mean(0))
    assert (p.mutual_information >= 0).all()


# ------------------------------------------------------------------------------------------------------- metrics
def test_metrics_equal_their_reference_libraries():
    """baal's entropies and BALD, scikit-learn's log loss and netcal's ECE, as these libraries gave them."""
    golden = np.load(Path(__file__).parent / "golden" / "metrics.npz")
    samples, labels = golden["samples"], golden["labels"]  # (T, N, C), (N,)
    mean = samples.mean(axis=0)
    ours = {
        "entropy": uncertainty.entropy(mean),
        "expected_entropy": uncertainty.entropy(samples).mean(axis=0),
        "mutual_information": uncertainty.mutual_information(samples),
        "nll": uncertainty.nll(mean, labels),
        "ece15": uncertainty.ece(mean, labels, bins=15),
    }
    assert set(ours) | {"samples", "labels"} == set(golden.files)
    for name, value in ours.items():
        assert np.abs(value - golden[name]).max() < 1e-8, name


def test_ece_of_confidence_zero_and_one():
    certain = np.array([[1.0, 0.0], [1.0, 0.0]])
    assert uncertainty.ece(certain, np.array([0, 1]), bins=10) == 0.5
    table = uncertainty.reliability(certain, np.array([0, 1]), bins=10)
    assert table.rows.tolist() == [0] * 9 + [2]


def test_nll_of_the_impossible_is_infinite():
    assert uncertainty.nll(np.array([[1.0, 0.0]]), np.array([1])) == float("inf")


def test_nll_equals_scikit_learns():
    metrics = pytest.importorskip("sklearn.metrics")
    p = RNG.dirichlet(np.ones(4), 50)
    labels = RNG.integers(0, 4, 50)
    assert np.isclose(uncertainty.nll(p, labels), metrics.log_loss(labels, p, labels=range(4)), rtol=1e-12)


def test_a_model_with_several_results_is_refused():
    model = nn.models.LSTMLanguageModel(5, 3, 4, form="mc").seed(0)
    with pytest.raises(TypeError, match="the model gives 2 results; wrap it in a Module"):
        predict_samples(model, np.zeros((2, 3), np.int64), samples=2)
