"""Monte-Carlo prediction that does not depend on how the work is cut; metrics equal to their references."""

import multiprocessing
import sys
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

import puredrop
from puredrop import nn, ops, uncertainty
from puredrop.streams import Given, enumerate_masks
from puredrop.uncertainty import NormalPrediction, Shared, predict, predict_samples
from puredrop.uncertainty.executors import _libraries, one_blas_thread
from puredrop.uncertainty.progress import Line

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
    with pytest.raises(ValueError, match=r"x must be \(N, ...\) with at least one row, got shape \(0, 5\)"):
        predict_samples(NET, X[:0])
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        predict_samples(NET, X, batch_size=0)
    with pytest.raises(RuntimeError, match=r"call \.seed"):
        predict_samples(nn.Sequential(nn.Linear(5, 3), nn.Dropout(0.5)), X)
    with pytest.raises(ValueError, match=r"expected logits \(N, C\) or"):
        predict(nn.Sequential(nn.Dropout(0.5)).seed(0), X[:, :1].reshape(-1))


def test_prediction_is_what_its_samples_say():
    p = predict(NET, X, samples=30)
    assert np.allclose(p.samples.sum(-1), 1)
    assert np.allclose(p.mean, p.samples.mean(0))
    assert np.allclose(p.epistemic_variance, p.samples.var(0, ddof=1))
    assert np.allclose(p.aleatoric_variance, (p.samples * (1 - p.samples)).mean(0))
    assert np.allclose(p.total_variance, p.epistemic_variance + p.aleatoric_variance)
    assert np.allclose(p.entropy, -(p.mean * np.log(p.mean)).sum(-1))
    assert np.allclose(p.mutual_information, p.entropy + (p.samples * np.log(p.samples)).sum(-1).mean(0))
    assert (p.mutual_information >= 0).all()


def test_one_sample_has_no_variance():
    p = predict(NET, X, samples=1)
    assert np.isnan(p.epistemic_variance).all()
    assert np.isfinite(p.aleatoric_variance).all()


def test_models_of_sequences_and_single_numbers():
    gpt = nn.models.GPT(7, length=6, width=8, heads=2, layers=1, form="mc").seed(0)
    ids = RNG.integers(0, 7, (3, 5))
    p = predict(gpt, ids, samples=20)
    assert p.mean.shape == (3, 5, 7)
    assert p.entropy.shape == p.mutual_information.shape == p.log_prob(ids).shape == (3, 5)

    class Number(nn.Module):
        def __init__(self):
            self.net = nn.Sequential(nn.Linear(5, 8), nn.Dropout(0.5), nn.Linear(8, 1))

        def forward(self, x):
            return ops.reshape(self.net(x), shape=(x.shape[0],))

    number = Number().seed(0)
    flat = predict(number, X, likelihood="gaussian", noise_variance=0.5)
    column = predict(number.net, X, likelihood="gaussian", noise_precision=2.0)
    y = RNG.standard_normal(7)
    assert flat.mean.shape == flat.log_prob(y).shape == flat.crps(y).shape == (7,)
    assert np.allclose(column.log_prob(y)[:, 0], flat.log_prob(y), rtol=1e-5), (
        "(N,) fits (N, 1), and does not broadcast"
    )


# -------------------------------------------------------------------------------------------------- normal mixtures
MIXTURE = NormalPrediction(RNG.standard_normal((6, 4, 2)), variances=RNG.uniform(0.2, 2.0, (6, 4, 2)))
TRUTH = RNG.standard_normal((4, 2))


def test_moments_of_a_mixture():
    m, v = MIXTURE.samples, MIXTURE.variances
    assert np.allclose(MIXTURE.mean, m.mean(0))
    assert np.allclose(MIXTURE.total_variance, m.var(0, ddof=1) + v.mean(0))
    assert np.allclose(MIXTURE.entropy, 0.5 * np.log(2 * np.pi * np.e * MIXTURE.total_variance))
    assert np.allclose(MIXTURE.mutual_information, 0.5 * np.log(MIXTURE.total_variance / v.mean(0)))
    assert np.allclose(MIXTURE.geometric_mean, (m / v).sum(0) / (1 / v).sum(0))


def test_log_densities_of_a_mixture_equal_scipys():
    stats = pytest.importorskip("scipy.stats")
    logs = stats.norm.logpdf(TRUTH, MIXTURE.samples, np.sqrt(MIXTURE.variances))
    moment = stats.norm.logpdf(TRUTH, MIXTURE.mean, np.sqrt(MIXTURE.total_variance))
    assert np.allclose(MIXTURE.log_prob(TRUTH), np.log(np.exp(logs).mean(0)))
    assert np.allclose(MIXTURE.log_prob(TRUTH, kind="expected"), logs.mean(0))
    assert np.allclose(MIXTURE.log_prob(TRUTH, kind="moment"), moment)
    assert np.isclose(MIXTURE.log_prob(TRUTH, kind="joint"), np.log(np.exp(logs.sum((1, 2))).mean()))
    far = MIXTURE.log_prob(TRUTH + 1e3)
    assert np.isfinite(far).all(), "densities that underflow"


def test_quantiles_invert_the_distribution_function():
    for q in (0.001, 0.3, 0.5, 0.999):
        assert np.allclose(MIXTURE.cdf(MIXTURE.quantile(q)), q, atol=1e-12)
    lower, upper = MIXTURE.interval(0.9)
    assert np.allclose(MIXTURE.cdf(upper) - MIXTURE.cdf(lower), 0.9)
    assert MIXTURE.quantile([[0.1, 0.2], [0.3, 0.4]]).shape == (2, 2, 4, 2)
    alone = NormalPrediction(MIXTURE.samples[:1], variances=MIXTURE.variances[:1])
    assert np.allclose(alone.quantile(0.975), alone.mean + 1.959963984540054 * np.sqrt(alone.variances[0]))


def test_quantiles_of_the_functions():
    m = MIXTURE.samples
    assert np.array_equal(MIXTURE.function_quantile(0.5), np.sort(m, axis=0)[2])
    lower, upper = MIXTURE.function_interval(0.99)
    assert np.array_equal(lower, m.min(0))
    assert np.array_equal(upper, m.max(0))


def _cdf_of(prediction, grid):
    """The distribution function of the only example on a grid."""
    wide = NormalPrediction(
        np.repeat(prediction.samples, len(grid), axis=1), variances=np.repeat(prediction.variances, len(grid), axis=1)
    )
    return wide.cdf(grid)


def test_crps_is_the_integral_of_its_definition():
    at = (1, 0)
    y = TRUTH[at]
    below, above = np.linspace(y - 30, y, 100_001), np.linspace(y, y + 30, 100_001)

    def integral(cdf):
        return np.trapezoid(cdf(below) ** 2, below) + np.trapezoid((1 - cdf(above)) ** 2, above)

    one = NormalPrediction(MIXTURE.samples[:, 1:2, 0], variances=MIXTURE.variances[:, 1:2, 0])
    moment = NormalPrediction(one.mean[None], variances=one.total_variance[None])
    assert np.isclose(MIXTURE.crps(TRUTH)[at], integral(lambda g: _cdf_of(one, g)), atol=1e-7)
    assert np.isclose(MIXTURE.crps(TRUTH, kind="moment")[at], integral(lambda g: _cdf_of(moment, g)), atol=1e-7)
    assert np.isclose(moment.crps([y])[0], MIXTURE.crps(TRUTH, kind="moment")[at]), "of one function both are the same"
    steps = integral(lambda g: (one.samples[:, 0] <= g[:, None]).mean(1))
    assert np.isclose(MIXTURE.crps(TRUTH, kind="functions")[at], steps, atol=1e-3)


def test_crps_in_parts_is_crps(monkeypatch):
    whole = MIXTURE.crps(TRUTH)
    monkeypatch.setattr(uncertainty.normal_prediction, "PAIRS", 2 * MIXTURE.samples.size)
    assert np.allclose(MIXTURE.crps(TRUTH), whole, rtol=1e-14)


def test_heteroscedastic_models_give_two_results_or_two_halves():
    class Two(nn.Module):
        def __init__(self):
            self.net = nn.Sequential(nn.Linear(5, 8), nn.Dropout(0.5), nn.Linear(8, 4))

        def forward(self, x):
            y = self.net(x)
            return y[:, :2], y[:, 2:]

    two = Two().seed(0)
    p, q = (predict(m, X, samples=20, likelihood="heteroscedastic") for m in (two, two.net))
    raw = predict_samples(two.net, X, samples=20).astype(np.float64)
    for found in (p, q):
        assert np.array_equal(found.samples, raw[..., :2])
        assert np.array_equal(found.variances, np.exp(raw[..., 2:]))
    with pytest.raises(TypeError, match="predict: the model gives 2 results; wrap it"):
        predict(two, X)


# ------------------------------------------------------------------------------------------------------ what is refused
def test_models_whose_rates_are_all_zero_are_refused():
    plain = nn.models.GPT(7, length=6, width=8, heads=2, layers=1).seed(0)
    ids = RNG.integers(0, 7, (3, 5))
    with pytest.raises(ValueError, match=r"nothing in this model draws.*give a rate other than 0 to one of: encoder"):
        predict_samples(plain, ids)
    for layer in (nn.Dropout(0.0), nn.Dropout(lambda step: 0.0), nn.AlphaDropout(0.0), nn.NestedDropout(0.0)):
        with pytest.raises(ValueError, match="nothing in this model draws"):
            predict_samples(nn.Sequential(nn.Linear(5, 3), layer).seed(0), X)
    later = nn.Dropout(lambda step: 0.0 if step < 1 else 0.5).seed(0)
    later(X)  # a training step
    assert len(np.unique(predict_samples(later, X, samples=8), axis=0)) == 8


def test_idle_layers_are_those_whose_samples_are_equal():
    positive = np.abs(X[:4, :4]).reshape(4, 1, 2, 2)
    layers = {
        nn.Dropout2d: {},
        nn.ClassicDropout: {},
        nn.ContinuousDropout: {},
        nn.GaussianDropout: {},
        nn.DropPath: {},
        nn.FixedCountDropout: {},
        nn.BatchwiseDropout: {},
        nn.DropBlock: {"block_size": 1},
        nn.Cutout: {"size": 1},
        nn.BandDropout: {"axis": 2, "width": 1},
        nn.MaxPoolDropout: {"size": 2},
    }
    for layer, options in layers.items():
        for p in (0.0, 0.5):
            model = layer(p, **options).seed(0)
            model.sample()
            samples = {model(positive).numpy().tobytes() for _ in range(8)}
            assert model.is_idle() == (len(samples) == 1), (layer, p)


class Unused(nn.Module):
    def __init__(self):
        self.head, self.drop = nn.Linear(5, 3), nn.Dropout(0.5)

    def forward(self, x):
        return self.head(x)


def test_models_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="none of the layers that draw took part"):
        predict_samples(Unused().seed(0), X)

    class Turned(Unused):
        def forward(self, x):
            return ops.swapaxes(self.drop(x), a=0, b=1)

    with pytest.raises(ValueError, match=r"the model gives shape \(5, 700\) for 100 samples of 7 rows"):
        predict_samples(Turned().seed(0), X)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"likelihood": "poisson"}, "likelihood must be one of categorical, gaussian, heteroscedastic, got 'poisson'"),
        ({"noise_variance": 1.0}, "are for likelihood='gaussian'"),
        ({"likelihood": "gaussian"}, "needs the noise of y"),
        ({"likelihood": "gaussian", "noise_variance": 1.0, "noise_precision": 1.0}, "needs the noise of y"),
        ({"likelihood": "gaussian", "noise_variance": 0.0}, "must be positive and finite, got 0.0"),
        ({"likelihood": "gaussian", "noise_variance": float("nan")}, "must be positive and finite"),
        ({"likelihood": "gaussian", "noise_variance": np.ones(2)}, r"noise of shape \(2,\) does not broadcast"),
        ({"likelihood": "heteroscedastic"}, "expected \\(mean, log variance\\)"),
    ],
)
def test_likelihoods_that_do_not_fit_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        predict(NET, X, **options)


def test_outputs_that_are_no_numbers_are_refused():
    with pytest.raises(ValueError, match="outputs of the model are NaN"):
        predict(NET, np.full_like(X, np.nan))
    wild = nn.Sequential(nn.Linear(5, 2), nn.Dropout(0.5)).seed(0)
    with pytest.raises(ValueError, match=r"log variances must lie within \(-745, 709\)"):
        predict(wild, X * 1e5, likelihood="heteroscedastic")


def test_y_that_does_not_fit_is_refused():
    p = predict(NET, X)
    with pytest.raises(TypeError, match="classes must be whole numbers, got float64"):
        p.log_prob(np.zeros(7))
    for y in (np.zeros(6, int), np.full(7, 3), np.full(7, -1)):
        with pytest.raises(ValueError, match=r"y must be of shape \(7,\), with classes from 0 to 2"):
            p.log_prob(y)
    with pytest.raises(ValueError, match="kind must be one of mixture, expected, joint, got 'moment'"):
        p.log_prob(np.zeros(7, int), kind="moment")
    with pytest.raises(ValueError, match=r"y must have the shape of the prediction, \(4, 2\), got \(2,\)"):
        MIXTURE.log_prob(TRUTH[0])
    with pytest.raises(ValueError, match="q must lie between 0 and 1"):
        MIXTURE.quantile(1.0)
    with pytest.raises(ValueError, match="coverage must lie between 0 and 1"):
        MIXTURE.interval(95)
    with pytest.raises(ValueError, match="correction must be 'delta' or 'jackknife', got 'bootstrap'"):
        p.corrected_entropy("bootstrap")
    with pytest.raises(ValueError, match="two Monte-Carlo samples or more"):
        predict(NET, X, samples=1).corrected_entropy("delta")


# ------------------------------------------------------------------------------------------------------ further inputs
def looped(model, x, samples, **inputs):
    model.sample()
    return np.array([model(x, **inputs).numpy() for _ in range(samples)])


def test_further_inputs_are_repeated_with_x():
    bert = nn.models.BERT(7, length=6, width=8, heads=2, layers=1, form="mc").seed(0).astype(np.float64)
    ids, present = RNG.integers(0, 7, (4, 5)), np.arange(5) < np.array([[5], [3], [1], [4]])
    samples = predict_samples(bert, ids, samples=6, present=present)
    assert np.allclose(samples, looped(bert, ids, 6, present=present), rtol=1e-12)
    assert np.allclose(predict_samples(bert, ids, samples=6, present=present, batch_size=3), samples, rtol=1e-12)
    assert not np.allclose(predict_samples(bert, ids, samples=6), samples)
    assert predict(bert, ids, samples=6, present=present).mean.shape == (4, 5, 7)


def test_memories_lengths_and_shared_masks():
    decoder = nn.TransformerDecoder(8, 2, layers=1, causal=False).seed(0).astype(np.float64)
    x, memory = RNG.standard_normal((3, 4, 8)), RNG.standard_normal((3, 5, 8))
    allowed = np.tri(4, dtype=bool)
    samples = predict_samples(decoder, x, samples=5, memory=memory, allowed=Shared(allowed))
    assert np.allclose(samples, looped(decoder, x, 5, memory=memory, allowed=allowed), rtol=1e-10)

    class Tagger(nn.Module):
        def __init__(self):
            self.body = nn.LSTM(8, 4, batch_first=True, dropout=nn.RecurrentDropout(state=0.3))

        def forward(self, x, lengths):
            return self.body(x, lengths=lengths)[0]

    tagger = Tagger().seed(0).astype(np.float64)
    samples = predict_samples(tagger, x, samples=5, lengths=[4, 1, 3])
    assert np.allclose(samples, looped(tagger, x, 5, lengths=[4, 1, 3]), rtol=1e-10)
    assert not samples[:, 1, 1:].any()


def test_single_numbers_are_handed_on():
    class Scaled(nn.Module):
        def __init__(self):
            self.drop = nn.Dropout(0.5)

        def forward(self, x, scale, negative=False):
            return self.drop(x) * (-float(scale) if negative else float(scale))

    model = Scaled().seed(0)
    once = predict_samples(model, X, samples=3, scale=1)
    for scale in (2, 2.0, np.float32(2), np.array(2)):
        assert np.array_equal(predict_samples(model, X, samples=3, scale=scale, negative=True), -2 * once)


def test_inputs_that_do_not_fit_are_refused():
    bert = nn.models.BERT(7, length=6, width=8, heads=2, layers=1, form="mc").seed(0)
    ids = RNG.integers(0, 7, (4, 5))
    with pytest.raises(TypeError, match=r"'sample'; what is no option of predict_samples is an input of BERT.forward"):
        predict_samples(bert, ids, sample=20)
    with pytest.raises(ValueError, match=r"present of shape \(5,\) must have the 4 rows of x on axis 0; write Shared"):
        predict_samples(bert, ids, present=np.ones(5, bool))
    with pytest.raises(TypeError, match="present must be an array with the batch on axis 0, got dict"):
        predict_samples(bert, ids, present={})


# ------------------------------------------------------------------------------------------------ the prefix, once
class Counting(nn.Module):
    """A layer that draws nothing, and counts its runs and rows."""

    def __init__(self):
        self.rows = []

    def forward(self, x):
        self.rows.append(x.shape[0])
        return x


IMAGES = RNG.standard_normal((3, 1, 8, 8)).astype(np.float32)
SEQUENTIALS = {
    "dense": (lambda: NET, X),
    "dropout first": (lambda: nn.Sequential(nn.Dropout(0.5), nn.Linear(5, 3)), X),
    "nested": (
        lambda: nn.Sequential(
            nn.Linear(5, 8),
            nn.Sequential(nn.ReLU(), nn.Linear(8, 8), nn.Dropout(0.3)),
            nn.Dropout(0.1),
            nn.Linear(8, 3),
        ),
        X,
    ),
    "convolutional": (
        lambda: nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Dropout(0.5), nn.Linear(144, 3)
        ),
        IMAGES,
    ),
}


@pytest.mark.parametrize("name", SEQUENTIALS)
@pytest.mark.parametrize("options", [{}, {"masks": "pass"}, {"batch_size": 2}], ids=str)
def test_the_prefix_computed_once_changes_no_bit(name, options):
    build, x = SEQUENTIALS[name]
    model = build().seed(0)
    once = predict_samples(model, x, samples=30, **options)
    assert np.array_equal(once, predict_samples(model, x, samples=30, reuse_prefix=False, **options))
    if not options:
        assert np.allclose(once, looped(model, x, 30), rtol=1e-4, atol=1e-5)


def test_the_prefix_runs_once_on_the_rows_as_they_are():
    before, behind = Counting(), Counting()
    model = nn.Sequential(nn.Linear(5, 300), before, nn.Sequential(nn.Dropout(0.0), nn.Dropout(0.5)), behind).seed(0)
    predict_samples(model, X, samples=250)
    tiles = len(behind.rows)
    assert before.rows == [7]
    assert tiles > 1
    assert set(behind.rows) != {7}
    predict_samples(model, X, samples=250, reuse_prefix=False)
    assert before.rows == [7] * (1 + tiles)


def test_a_sequential_with_a_forward_of_its_own_is_not_taken_apart():
    class Doubled(nn.Sequential):
        def forward(self, x):
            return super().forward(x) * 2.0

    inner = Counting()
    doubled = Doubled(inner, nn.Dropout(0.5)).seed(0)
    samples = predict_samples(doubled, X, samples=4)
    assert np.array_equal(samples, 2 * predict_samples(nn.Sequential(nn.Dropout(0.5)).seed(0), X, samples=4))
    assert inner.rows[0] > 7


# ------------------------------------------------------------------------------------------------------- executors
@pytest.fixture(scope="module")
def processes():
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield pool


def test_threads_give_what_one_process_gives():
    serial = predict_samples(NET, X, samples=300)
    with ThreadPoolExecutor(3) as pool:
        assert np.array_equal(predict_samples(NET, X, samples=300, executor=pool), serial)
        assert np.array_equal(predict_samples(NET, X, samples=70, first=130, executor=pool), serial[130:200])


def test_processes_give_what_one_process_gives(processes):
    for model, x, options in (
        (NET, X, {}),
        (SEQUENTIALS["convolutional"][0]().seed(0), IMAGES, {"batch_size": 2, "reuse_prefix": False}),
    ):
        serial = predict_samples(model, x, samples=150, **options)
        assert np.array_equal(predict_samples(model, x, samples=150, executor=processes, **options), serial)


def test_a_dask_cluster_gives_what_one_process_gives(tmp_path):
    distributed = pytest.importorskip("distributed", reason="dask.distributed is not installed")
    options = {"n_workers": 1, "threads_per_worker": 2, "processes": False, "dashboard_address": None}
    serial = predict_samples(NET, X, samples=300)
    with (
        distributed.LocalCluster(local_directory=str(tmp_path), **options) as cluster,
        distributed.Client(cluster) as client,
    ):
        assert np.array_equal(predict_samples(NET, X, samples=300, executor=client.get_executor()), serial)


def test_what_an_executor_cannot_do_is_refused(processes):
    with pytest.raises(TypeError, match=r"executor must be a concurrent.futures.Executor, got 2; of a dask client"):
        predict_samples(NET, X, executor=2)
    with puredrop.draw_from(Given([])), pytest.raises(ValueError, match="`draw_from` does not reach the workers"):
        predict_samples(NET, X, executor=processes)
    unsendable = nn.Sequential(nn.Dropout(lambda step: 0.5)).seed(0)
    with pytest.raises(
        TypeError, match=r"could not be sent to a worker: .*; define its classes and functions at the top"
    ):
        predict_samples(unsendable, X, executor=processes)
    with pytest.raises(ValueError, match="none of the layers that draw took part"):
        predict_samples(Unused().seed(0), X, executor=ThreadPoolExecutor(1))


class Interrupted(Executor):
    """Runs one task, and is interrupted at the next."""

    def __init__(self):
        self.futures = []

    def submit(self, function, /, *args, **kwargs):
        self.futures.append(Future())
        if len(self.futures) == 1:
            self.futures[0].set_result(function(*args))
        elif len(self.futures) == 2:
            self.futures[1].set_exception(KeyboardInterrupt())
        return self.futures[-1]


def test_an_interruption_cancels_what_has_not_begun():
    pool = Interrupted()
    with pytest.raises(KeyboardInterrupt):
        predict_samples(NET, X, samples=1000, executor=pool)
    assert len(pool.futures) > 2
    assert all(future.cancelled() for future in pool.futures[2:])


def blas_threads():
    return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}


def test_the_last_of_several_users_lifts_the_limit_of_threads():
    _libraries.cache_clear()  # other tests may have loaded some
    with threadpool_limits(2, user_api="blas"):
        before = blas_threads()
        first, second = one_blas_thread(), one_blas_thread()
        first.__enter__()
        second.__enter__()
        first.__exit__(None, None, None)
        during = blas_threads()
        second.__exit__(None, None, None)
        assert during == {1}
        assert blas_threads() == before


# -------------------------------------------------------------------------------------------------------- progress
def test_progress_is_told():
    told = []
    predict_samples(NET, X, samples=1000, progress=lambda done, total: told.append((done, total)))
    total = told[-1][1]
    assert total > 1
    assert told == [(n, total) for n in range(1, total + 1)]


def test_progress_is_one_line_that_goes_away(capsys, monkeypatch):
    predict_samples(NET, X, samples=10)
    assert capsys.readouterr() == ("", "")
    predict_samples(NET, X, samples=10, progress=True)
    out, err = capsys.readouterr()
    assert out == ""
    assert "predict_samples [########################] 1/1, 0 s left" in err
    assert err.endswith("\r")
    assert "\n" not in err
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    predict_samples(NET, X, samples=10)
    assert capsys.readouterr().err == "", "a short run shows nothing"


def test_a_line_waits_and_does_not_flicker(capsys):
    line = Line("work", 10, sys.stderr, patience=1000.0)
    line.tell(5)
    line.end()
    assert capsys.readouterr().err == ""


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
