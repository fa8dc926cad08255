"""All masks: the exact answer beside Monte-Carlo estimates, which must be as good as theory says."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from puredrop import nn, ops
from puredrop.random.passes import Pass, Window, entered
from puredrop.streams import enumerate_masks
from puredrop.uncertainty import CategoricalPrediction, exact_predict, expected_plug_in, predict, predict_samples

RNG = np.random.default_rng(0)
X = RNG.standard_normal((3, 3))
SEQUENCES = RNG.standard_normal((3, 2, 3))
NET = (
    nn.Sequential(
        nn.Linear(3, 4), nn.ReLU(), nn.Dropout(0.3), nn.Linear(4, 3), nn.Tanh(), nn.Dropout(0.5), nn.Linear(3, 3)
    )
    .seed(0)
    .astype(np.float64)
)
for _weight in NET.parameters():
    _weight.data *= 3.0  # so that the functions differ
EXACT = exact_predict(NET, X)
SMALL = nn.Sequential(nn.Dropout(0.4), nn.Linear(3, 2)).seed(1).astype(np.float64)
LABELS = np.array([0, 2, 1])


class Tagger(nn.Module):
    def __init__(self, **options):
        self.body = nn.LSTM(3, 2, batch_first=True, **options)

    def forward(self, x, lengths=None):
        return self.body(x, lengths=lengths)[0]


class Gated(nn.Module):
    def __init__(self):
        self.body, self.gate, self.head = nn.Linear(3, 4), nn.Standout(), nn.Linear(4, 2)

    def forward(self, x):
        h = self.body(x)
        return self.head(self.gate(ops.relu(h), h))


class Words(nn.Module):
    def __init__(self):
        self.words, self.drop = nn.Embedding(6, 2), nn.EmbeddingDropout(0.4)

    def forward(self, ids):
        return self.drop(self.words.weight, ids)


def stack(at_least_one):
    layers = [nn.Sequential(nn.Linear(3, 3), nn.Dropout(0.3)), nn.Tanh()]
    return nn.Sequential(nn.Linear(3, 3), nn.LayerDrop(layers, 0.4, at_least_one), nn.Linear(3, 2))


def recurrent(**rates):
    return Tagger(dropout=nn.RecurrentDropout(**rates))


CASES = {
    "dense": (lambda: NET, X, {}),
    "shared by a batch": (lambda: nn.Sequential(nn.BatchwiseDropout(0.5), nn.Linear(3, 2)), X, {}),
    "weights": (lambda: nn.Sequential(nn.DropConnectLinear(3, 2, 0.3)), X, {}),
    "alpha": (lambda: nn.Sequential(nn.AlphaDropout(0.3), nn.Linear(3, 2)), X, {}),
    "nested": (lambda: nn.Sequential(nn.NestedDropout(0.3), nn.Linear(3, 2)), X, {}),
    "channels": (lambda: nn.Sequential(nn.Dropout1d(0.3), nn.Flatten(), nn.Linear(6, 2)), SEQUENCES, {}),
    "layers": (lambda: stack(False), X, {}),
    "at least one layer": (lambda: stack(True), X, {}),
    "attention": (lambda: nn.TransformerEncoderLayer(2, 1, 1, 0.2), RNG.standard_normal((2, 1, 2)), {}),
    "keys and paths": (
        lambda: nn.TransformerEncoderLayer(2, 1, 2, 0.0, key_p=0.3, path_p=0.2),
        RNG.standard_normal((2, 2, 2)),
        {},
    ),
    "state": (lambda: recurrent(input=0.3, state=0.3, output=0.4), SEQUENCES, {}),
    "untied state": (lambda: recurrent(state=0.3, tied=False), SEQUENCES, {}),
    "zoneout": (lambda: recurrent(zoneout=0.3), SEQUENCES, {"lengths": [2, 1, 2]}),
    "between": (lambda: Tagger(layers=2, dropout=0.3), SEQUENCES, {}),
    "rates that depend on the data": (Gated, X, {}),
    "words": (Words, np.array([[1, 2], [3, 4], [0, 5]]), {}),
}


@pytest.mark.parametrize("name", CASES)
def test_all_masks_at_once_are_all_masks_one_by_one(name):
    """Exact moments equal those of the tree of masks, and Monte-Carlo means lie within 4 standard errors."""
    build, x, inputs = CASES[name]
    model = build().seed(0).astype(np.float64)
    exact = exact_predict(model, x, likelihood="gaussian", noise_variance=1.0, **inputs)
    assert np.allclose(exact.weights.sum(0), 1)
    for i in range(len(x) if len(exact.samples) < 100 else 1):
        leaves = list(enumerate_masks(lambda i=i: one_pass(model, x, inputs, i)))
        mean = sum(q * y for q, y in leaves)
        assert np.allclose(exact.mean[i : i + 1], mean, rtol=0, atol=1e-12)
        variance = sum(q * (y - mean) ** 2 for q, y in leaves)
        assert np.allclose(exact.epistemic_variance[i : i + 1], variance, rtol=0, atol=1e-12)
    samples = predict_samples(model, x, 1000, **inputs)
    allowed = 4 * np.sqrt(exact.epistemic_variance / 1000) + 1e-12
    assert (np.abs(samples.mean(0) - exact.mean) <= allowed).all()


def one_pass(model, x, inputs, i):
    """The model on example i alone."""
    alone = {name: np.asarray(value)[i : i + 1] for name, value in inputs.items()}
    with entered(Pass("sample", window=Window(0, 1, 1))):
        return model(model.placed(x[i : i + 1]), **alone).numpy()


def test_linear_regression_has_a_closed_form():
    layer = SMALL[1]
    exact = exact_predict(SMALL, X, likelihood="gaussian", noise_precision=4.0)
    weight, bias = layer.weight.numpy(), layer.bias.numpy()
    variance = 0.4 / 0.6 * (X**2 @ (weight**2).T)
    assert np.allclose(exact.mean, X @ weight.T + bias)
    assert np.allclose(exact.weight_scaling, exact.mean)
    assert np.allclose(exact.geometric_mean, exact.mean)
    assert np.allclose(exact.epistemic_variance, variance)
    assert np.allclose(exact.total_variance, variance + 0.25)
    y = RNG.standard_normal((3, 2))
    densities = np.exp(-2 * (y - exact.samples) ** 2) * np.sqrt(4 / (2 * np.pi))
    assert np.allclose(exact.log_prob(y), np.log(np.tensordot(exact.weights[:, 0], densities, 1)))
    half = np.tensordot(exact.weights[:, 0], exact.samples <= exact.function_quantile(0.5), 1)
    assert (half >= 0.5).all()


def test_weight_scaling_is_the_geometric_mean_of_a_softmax_layer_and_approximates_it_in_depth():
    exact = exact_predict(SMALL, X)
    assert np.allclose(exact.weight_scaling, exact.geometric_mean, rtol=0, atol=1e-14)
    assert not np.allclose(exact.mean, exact.geometric_mean, rtol=0, atol=1e-3)
    apart = np.abs(EXACT.weight_scaling - EXACT.geometric_mean).max()
    assert apart > 0.01


# --------------------------------------------------------------------------------------------- estimates and their bias
def test_mean_and_variances_are_unbiased():
    """Exactly, at every T; and within 4 standard errors, from exact moments, at T = 2000."""
    exact = exact_predict(SMALL, X)
    for T in (2, 3):
        for name in ("mean", "epistemic_variance", "aleatoric_variance", "total_variance", "expected_entropy"):
            average = expected_plug_in(exact, lambda p, name=name: getattr(p, name), T)
            assert np.allclose(average, getattr(exact, name), rtol=0, atol=1e-14), (T, name)
    T = 2000
    p = predict(NET, X, T)
    variance = EXACT.epistemic_variance
    fourth = EXACT.mean_of((EXACT.samples - EXACT.mean) ** 4)
    assert (np.abs(p.mean - EXACT.mean) <= 4 * np.sqrt(variance / T)).all()
    spread = np.sqrt((fourth - variance**2 * (T - 3) / (T - 1)) / T)
    assert (np.abs(p.epistemic_variance - variance) <= 4 * spread).all()


QUANTITIES = {
    "entropy": lambda p: p.entropy,
    "mutual information": lambda p: p.mutual_information,
    "log likelihood": lambda p: p.log_prob(LABELS % 2),
}
CORRECTED = {
    "entropy": lambda p, c: p.corrected_entropy(c),
    "mutual information": lambda p, c: p.corrected_mutual_information(c),
    "log likelihood": lambda p, c: p.log_prob(LABELS % 2, correction=c),
}


@pytest.mark.parametrize("name", QUANTITIES)
def test_plug_in_estimates_are_biased_as_the_exact_expectation_says(name):
    """800 predictions of 3 samples each: their mean lies within 4 standard errors of the exact expectation."""
    model = nn.Sequential(nn.Dropout(0.4), nn.Linear(3, 2)).seed(1).astype(np.float64)
    model[1].weight.data *= 4.0
    exact, T = exact_predict(model, X), 3
    expected = expected_plug_in(exact, QUANTITIES[name], T)
    assert (expected < QUANTITIES[name](exact)).all(), "too small on average"
    samples = predict(model, X, 800 * T).samples.reshape(800, T, *exact.mean.shape)
    estimates = np.array([QUANTITIES[name](CategoricalPrediction(s)) for s in samples])  # (800, N)
    error = estimates.std(axis=0, ddof=1) / np.sqrt(800)
    assert (np.abs(estimates.mean(0) - expected) <= 4 * error).all()


@pytest.mark.parametrize("correction", ["delta", "jackknife"])
@pytest.mark.parametrize("name", CORRECTED)
def test_corrections_take_most_of_the_bias_away(name, correction):
    exact = exact_predict(SMALL, X)
    truth = QUANTITIES[name](exact)
    bias = expected_plug_in(exact, QUANTITIES[name], 4) - truth
    left = expected_plug_in(exact, lambda p: CORRECTED[name](p, correction), 4) - truth
    assert (np.abs(left) < 0.25 * np.abs(bias)).all()


def test_what_is_exact_needs_no_correction():
    with pytest.raises(ValueError, match="with all masks nothing is biased"):
        EXACT.corrected_entropy("delta")
    with pytest.raises(ValueError, match="expected a prediction of exact_predict"):
        expected_plug_in(predict(NET, X), lambda p: p.entropy, 2)
    with pytest.raises(ValueError, match="multisets, more than the limit of 65536"):
        expected_plug_in(EXACT, lambda p: p.entropy, 5)


def test_one_function_for_all_examples():
    """The joint probability of all labels: under one mask for all of them they are not independent."""
    p = np.take_along_axis(EXACT.samples, LABELS[None, :, None], axis=-1)[..., 0]  # (masks, N)
    joint = np.log(EXACT.weights[:, 0] @ p.prod(axis=1))
    assert np.isclose(EXACT.log_prob(LABELS, kind="joint"), joint)
    assert not np.isclose(joint, EXACT.log_prob(LABELS).sum())
    T = 4000
    drawn = np.exp(predict(NET, X, T, masks="pass").log_prob(LABELS, kind="joint"))
    error = np.sqrt(EXACT.weights[:, 0] @ (p.prod(axis=1) - np.exp(joint)) ** 2 / T)
    assert abs(drawn - np.exp(joint)) <= 4 * error


def test_entropies_are_those_of_the_mixture():
    mean = np.tensordot(EXACT.weights[:, 0], EXACT.samples, 1)
    each = -(EXACT.samples * np.log(EXACT.samples)).sum(-1)
    assert np.allclose(EXACT.entropy, -(mean * np.log(mean)).sum(-1))
    assert np.allclose(EXACT.mutual_information, EXACT.entropy - EXACT.weights[:, 0] @ each)
    assert np.allclose(EXACT.total_variance, mean * (1 - mean)), "of the indicators of the classes"


# ----------------------------------------------------------------------------------------------------- how it is done
def test_tiles_and_executors_change_nothing(monkeypatch):
    monkeypatch.setattr("puredrop.uncertainty.exact.ROWS_PER_TILE", 16)
    told = []
    serial = exact_predict(NET, X, progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (32, 32)
    assert np.allclose(serial.samples, EXACT.samples, rtol=1e-12)
    with ThreadPoolExecutor(2) as pool:
        assert np.array_equal(exact_predict(NET, X, executor=pool).samples, serial.samples)


def test_the_model_is_not_touched():
    net = nn.Sequential(nn.Dropout(0.4), nn.Linear(3, 2)).seed(1).train()
    before = net.random_state()
    exact_predict(net, X.astype(np.float32))
    assert net.random_state() == before
    assert net.mode == "train"


def test_what_cannot_be_enumerated_is_refused():
    for layer, message in (
        (nn.GaussianDropout(0.5), "gaussian_dropout draws real noise"),
        (nn.FixedCountDropout(0.5), "fixed_count_dropout drops a fixed number"),
        (nn.Dropout(0.0), "nothing in this model draws"),
    ):
        with pytest.raises(ValueError, match=message):
            exact_predict(nn.Sequential(layer, nn.Linear(3, 2)).seed(0), X.astype(np.float32))
    patches = nn.Sequential(nn.PatchDropout(0.5), nn.Linear(3, 2)).seed(0)
    with pytest.raises(ValueError, match=r"the masks of sites \[0\] cannot be enumerated"):
        exact_predict(patches, SEQUENCES.astype(np.float32))
    wide = nn.Sequential(nn.Dropout(0.5), nn.Linear(3, 20), nn.Dropout(0.5), nn.Linear(20, 2)).seed(0)
    with pytest.raises(ValueError, match=r"23 droppable units have 2\^23 masks.*by site: \{0: 3, 1: 20\}"):
        exact_predict(wide, X.astype(np.float32))
    with pytest.raises(ValueError, match=r"have \[2, 4\] masks; predict those with equally many together"):
        exact_predict(Words().seed(0), np.array([[1, 2], [3, 3]]), likelihood="gaussian", noise_variance=1.0)


def test_results_too_large_to_hold_are_refused(monkeypatch):
    monkeypatch.setattr("puredrop.uncertainty.exact.NUMBERS", 1000)
    with pytest.raises(ValueError, match="more than 1000 numbers; give fewer rows at a time"):
        exact_predict(NET, X)
