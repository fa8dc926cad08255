"""Information, proper scores, calibration errors and intervals: against SciPy and scikit-learn, and at the edges."""

import numpy as np
import pytest
from scipy import integrate, stats
from sklearn import metrics as sk
from sklearn.calibration import calibration_curve

from puredrop import Key
from puredrop import uncertainty as u

RNG = np.random.default_rng(1)
N, C, T = 90, 4, 6
SAMPLES = RNG.dirichlet(np.full(C, 0.6), (T, N))  # (T, N, C)
P = SAMPLES.mean(axis=0)
LABELS = RNG.integers(0, C, N)
MEAN, STD = RNG.standard_normal(N), RNG.uniform(0.2, 2, N)
Y = MEAN + 1.5 * STD * RNG.standard_normal(N)
DRAWS = MEAN + STD * RNG.standard_normal((T, N))  # (T, N)
SURE = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
SURE_LABELS = np.array([0, 0, 0])


# What is no probability, no label, no number.
@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (P * 1.01, r"must lie in \[0, 1\] and sum to one along axis -1.*sums from 1.01 to 1.01"),
        (RNG.standard_normal((N, C)), r"of logits take puredrop\.ops\.softmax first"),
        (np.stack([P[:, 0] + 1, -P[:, 0]], axis=1), r"must lie in \[0, 1\]"),
        (np.where(np.arange(C) == 1, np.nan, P), r"must lie in \[0, 1\]"),
        (P[:0], "probabilities are empty"),
        (P[:, 0], r"must have shape \(N, C\), got \(90,\); for one column of a binary classifier"),
        (SAMPLES, r"must have shape \(N, C\), got \(6, 90, 4\)"),
    ],
)
@pytest.mark.parametrize("metric", [u.nll, u.ece, u.mce, u.smooth_ece, u.adaptive_ece])
def test_what_is_no_probability_is_refused(metric, wrong, message):
    with pytest.raises(ValueError, match=message):
        metric(wrong, LABELS)


@pytest.mark.parametrize("axis_free", [u.entropy, u.mutual_information, u.expected_entropy, u.mean_std])
def test_what_is_no_probability_is_refused_of_samples_too(axis_free):
    with pytest.raises(ValueError, match="sum to one along axis -1"):
        axis_free(3 * SAMPLES)
    with pytest.raises(TypeError, match="probabilities must be floating-point, got dtype int64"):
        axis_free(np.ones((2, 3), np.int64))


@pytest.mark.parametrize(
    ("labels", "error", "message"),
    [
        (LABELS[:-1], ValueError, r"needs a label for each of 90 rows, of shape \(90,\), got \(89,\)"),
        (np.eye(C)[LABELS].astype(int), ValueError, r"got \(90, 4\)"),
        (LABELS + 1, ValueError, r"labels must lie in \[0, 4\), got 1 to 4"),
        (LABELS - 1, ValueError, r"labels must lie in \[0, 4\), got -1 to 2"),
        (LABELS.astype(float), TypeError, "labels must be whole numbers, got dtype float64"),
    ],
)
@pytest.mark.parametrize("metric", [u.nll, u.ece, u.accuracy])
def test_labels_that_do_not_fit_are_refused(metric, labels, error, message):
    with pytest.raises(error, match=message):
        metric(P, labels)


def test_softmaxes_of_every_dtype_are_probabilities():
    for dtype in (np.float16, np.float32, np.float64):
        logits = RNG.standard_normal((20, 500)).astype(dtype)
        p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True, dtype=dtype)
        assert u.entropy(p).dtype == np.float64
        assert np.isfinite(u.nll(p, np.zeros(20, np.int64)))


@pytest.mark.parametrize(
    "call",
    [
        lambda m, s, y: u.gaussian_nll(m, s, y),
        lambda m, s, y: u.uce(m, s, y),
        lambda m, s, y: u.ence(m, s, y),
        lambda m, s, y: u.qce(m, s, y, 0.5),
        lambda m, s, y: u.pit_gaussian(m, s, y),
    ],
)
def test_gaussians_that_are_none_are_refused(call):
    with pytest.raises(ValueError, match=r"std must be positive, got 0.0 at \(2,\)"):
        call(MEAN, np.where(np.arange(N) == 2, 0.0, STD), Y)
    with pytest.raises(ValueError, match=r"y must be finite; NaN or infinite at \(1,\)"):
        call(MEAN, STD, np.where(np.arange(N) == 1, np.nan, Y))
    with pytest.raises(ValueError, match="needs arrays of one length, got mean 90, std 90, y 89"):
        call(MEAN, STD, Y[:-1])
    with pytest.raises(ValueError, match="mean must have 1 axes"):
        call(MEAN[:, None], STD, Y)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: u.brier(P, LABELS, scale="mean"), "scale must be one of 'sum', 'half'"),
        (lambda: u.variation_ratio(SAMPLES, kind="max"), "kind must be one of 'mean', 'votes', got 'max'"),
        (lambda: u.nll(P, LABELS, reduce="sum"), "reduce must be one of 'mean', 'none'"),
        (lambda: u.ece(P, LABELS, norm=1), "norm must be one of 'l1', 'l2', got 1"),
        (lambda: u.ece(P, LABELS, bins=0), "bins must be a whole number, 1 or more"),
        (lambda: u.reliability(P, LABELS, of=4), r"of must be 'top' or a class in \[0, 4\), got 4"),
        (lambda: u.smooth_ece(P, LABELS, bandwidth=0.0), r"bandwidth must lie in \(0, 1\]"),
        (lambda: u.crps_samples(DRAWS[:1], Y, estimator="fair"), "compares samples with each other"),
        (lambda: u.crps_samples(DRAWS.T, Y, estimator="fair"), r"y must have the shape of one sample, \(6,\)"),
        (
            lambda: u.log_likelihood(DRAWS, STD[:-1], Y, kind="mixture"),
            r"expected .*, got \(6, 90\), \(89,\), \(90,\)",
        ),
        (lambda: u.pinball([[0.0]], [1.0], [1.0]), "levels must lie strictly between 0 and 1"),
        (lambda: u.pinball([[0.0]], [0.5], [1.0, 2.0]), r"\(Q, N\), \(1, 2\) here, got \(1, 1\)"),
        (lambda: u.interval_score([1.0], [0.0], [0.5], 0.1), "lower must not exceed upper; it does in row 0"),
        (lambda: u.interval_score([0.0], [1.0], [0.5], 1.0), "alpha must lie strictly between 0 and 1"),
        (lambda: u.coverage_curve(Y, kind="interval"), "take pit_gaussian or pit_samples first"),
        (lambda: u.picp([np.nan], [1.0], [0.0]), "must not be NaN"),
        (lambda: u.miscalibration_area([0.5], kind="interval", levels=[0.5, 0.1]), "levels must ascend"),
        (lambda: u.regression_uncertainty(DRAWS, -1.0), "variances must not be negative"),
        (lambda: u.crps_gaussian(MEAN, -STD, Y), "std must not be negative"),
    ],
)
def test_options_that_are_none_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_conventions_that_differ_must_be_said():
    for call in (
        lambda: u.brier(P, LABELS),
        lambda: u.variation_ratio(SAMPLES),
        lambda: u.crps_samples(DRAWS, Y),
        lambda: u.log_likelihood(DRAWS, STD, Y),
        lambda: u.debiased_ece(P, LABELS),
        lambda: u.brier_decomposition(P, LABELS),
        lambda: u.mace([0.5]),
        lambda: u.pit_samples(DRAWS, Y),
    ):
        with pytest.raises(TypeError, match="missing 1 required keyword-only argument"):
            call()


# Information.
def test_entropies_are_those_of_scipy():
    assert np.allclose(u.entropy(P), stats.entropy(P, axis=1), rtol=1e-13)
    assert np.allclose(u.entropy(P.T, axis=0), stats.entropy(P, axis=1), rtol=1e-13)
    assert np.allclose(
        u.mutual_information(SAMPLES),
        [np.mean([stats.entropy(p, pb) for p in s]) for s, pb in zip(SAMPLES.transpose(1, 0, 2), P, strict=True)],
        rtol=1e-10,
    )  # the mean Kullback-Leibler divergence to the mean


def test_samples_that_agree_hold_no_information():
    same = np.repeat(P[None], 5, axis=0)
    assert np.abs(u.mutual_information(same)).max() < 1e-14
    assert np.allclose(u.mean_std(same), 0, atol=1e-15)
    assert (u.variation_ratio(same, kind="votes") == 0).all()
    assert u.entropy(SURE).tolist() == [0, 0, 0]


def test_the_total_variance_is_that_of_the_mixture():
    variances = RNG.uniform(0.1, 1, (T, N))
    parts = u.regression_uncertainty(DRAWS, variances)
    second_moment = (DRAWS**2 + variances).mean(axis=0)
    assert np.allclose(parts.total, second_moment - DRAWS.mean(axis=0) ** 2, rtol=1e-12)
    assert np.allclose(u.regression_mutual_information(DRAWS, variances), np.log(parts.total / parts.aleatoric) / 2)
    assert u.regression_mutual_information([[0.0, 1.0], [0.0, 2.0]], 0.0).tolist() == [0.0, np.inf]


# Proper scores.
def test_scores_of_classes_are_those_of_scikit_learn():
    labels = list(range(C))
    assert u.nll(P, LABELS) == pytest.approx(sk.log_loss(LABELS, P, labels=labels), rel=1e-12)
    theirs = sk.brier_score_loss(LABELS, P, labels=labels, scale_by_half=False)
    assert u.brier(P, LABELS, scale="sum") == pytest.approx(theirs, rel=1e-12)
    assert u.brier(P, LABELS, scale="half") == pytest.approx(theirs / 2, rel=1e-12)
    assert u.brier(P, LABELS, scale="class_mean") == pytest.approx(theirs / C, rel=1e-12)
    assert u.accuracy(P, LABELS) == sk.accuracy_score(LABELS, P.argmax(axis=1))


@pytest.mark.parametrize("groups", ["predicted_class", "bins"])
@pytest.mark.parametrize("bins", [1, 3, 15])
def test_the_brier_decomposition_sums_exactly(groups, bins):
    parts = u.brier_decomposition(P, LABELS, groups=groups, bins=bins)
    whole = parts.reliability - parts.resolution + parts.uncertainty + parts.within
    assert whole == pytest.approx(u.brier(P, LABELS, scale="sum"), abs=1e-14)
    assert parts.uncertainty == pytest.approx(1 - ((np.bincount(LABELS) / N) ** 2).sum(), rel=1e-12)


def test_within_vanishes_for_forecasts_that_are_few():
    p = np.repeat([[0.8, 0.2], [0.3, 0.7]], 10, axis=0)
    parts = u.brier_decomposition(p, RNG.integers(0, 2, 20), groups="bins", bins=10)
    assert abs(parts.within) < 1e-15


def test_scores_of_gaussians_are_those_of_scipy():
    assert u.gaussian_nll(MEAN, STD, Y) == pytest.approx(-stats.norm.logpdf(Y, MEAN, STD).mean(), rel=1e-12)
    for m, s, y in ((0.3, 0.5, -1.0), (2.0, 1.5, 9.0)):  # the integral that defines it

        def square(x, m=m, s=s, y=y):
            return (stats.norm.cdf(x, m, s) - (x >= y)) ** 2

        parts = [integrate.quad(square, *ends)[0] for ends in ((-20, y), (y, 30))]
        assert u.crps_gaussian([m], [s], [y]) == pytest.approx(sum(parts), rel=1e-6)


def test_moments_of_a_mixture_are_a_gaussian():
    total = DRAWS.var(axis=0) + STD**2
    expected = stats.norm.logpdf(Y, DRAWS.mean(axis=0), np.sqrt(total)).mean()
    assert u.log_likelihood(DRAWS, STD, Y, kind="moment") == pytest.approx(expected, rel=1e-12)
    one = [u.log_likelihood(DRAWS[:1], STD, Y, kind=kind) for kind in ("mixture", "moment", "joint")]
    assert np.allclose(one, one[0], rtol=1e-12)


def test_a_likelihood_that_underflows_is_finite():
    assert u.log_likelihood([[0.0], [1.0]], 1e-3, [1e3], kind="mixture") == pytest.approx(-4.99e11, rel=1e-2)


def test_crps_of_samples_is_its_definition():
    pairs = np.abs(DRAWS[:, None] - DRAWS[None]).sum(axis=(0, 1)) / 2
    first = np.abs(DRAWS - Y).mean(axis=0)
    assert np.allclose(u.crps_samples(DRAWS, Y, estimator="plugin", reduce="none"), first - pairs / T**2)
    assert np.allclose(u.crps_samples(DRAWS, Y, estimator="fair", reduce="none"), first - pairs / (T * (T - 1)))
    assert np.allclose(
        u.energy_score(DRAWS[..., None], Y[:, None], estimator="fair"), u.crps_samples(DRAWS, Y, estimator="fair")
    )


def test_the_fair_crps_is_unbiased():
    """Every pair of samples of a fair coin: the mean of the fair score is the score of the coin."""
    pairs = [np.array([[a], [b]]) for a in (0.0, 1.0) for b in (0.0, 1.0)]
    fair = np.mean([u.crps_samples(pair, [0.0], estimator="fair") for pair in pairs])
    plugin = np.mean([u.crps_samples(pair, [0.0], estimator="plugin") for pair in pairs])
    exact = u.crps_samples([[0.0], [1.0]], [0.0], estimator="plugin")  # the whole distribution as samples
    assert fair == exact == 0.25
    assert plugin == 0.375


# Calibration errors.
def test_certainty_lies_in_the_last_bin_and_impossibility_in_the_first():
    table = u.reliability(SURE, SURE_LABELS, bins=10)
    assert table.rows.tolist() == [0] * 9 + [3]
    assert u.ece(SURE, SURE_LABELS, bins=10) == pytest.approx(1 / 3)
    of_class = u.reliability(SURE, SURE_LABELS, bins=10, of=1)
    assert of_class.rows.tolist() == [2] + [0] * 8 + [1]
    assert of_class.accuracy[[0, -1]].tolist() == [0, 0]
    assert u.nll(SURE, SURE_LABELS) == np.inf


def test_empty_bins_weigh_nothing():
    table = u.reliability(SURE, SURE_LABELS, bins=10)
    empty = table.rows == 0
    assert (table.accuracy[empty] == 0).all()
    assert (table.confidence[empty] == 0).all()
    assert (table.low[empty] == 0).all()
    assert (table.high[empty] == 1).all()
    assert u.mce(SURE, SURE_LABELS, bins=1000) == u.mce(SURE, SURE_LABELS, bins=1)
    assert u.adaptive_ece(SURE, SURE_LABELS, bins=50) == pytest.approx(1 / 3)  # more bins than rows


def test_a_boundary_belongs_to_the_bin_below():
    table = u.reliability(np.array([[0.5, 0.5], [0.75, 0.25]]), np.array([0, 0]), bins=4)
    assert table.rows.tolist() == [0, 1, 1, 0]


def test_reliability_of_a_class_is_the_calibration_curve_of_scikit_learn():
    happened = LABELS == 2
    table = u.reliability(P, LABELS, bins=8, of=2)
    frequency, probability = calibration_curve(happened, P[:, 2], n_bins=8)
    there = table.rows > 0
    assert np.allclose(table.accuracy[there], frequency, atol=1e-12)
    assert np.allclose(table.confidence[there], probability, atol=1e-12)


@pytest.mark.parametrize("hits", [0, 3, 10])
def test_wilson_intervals_are_those_of_scipy(hits):
    theirs = stats.binomtest(hits, 10).proportion_ci(0.95, method="wilson")
    assert np.allclose(u.wilson_interval(hits, 10, 0.95), theirs, atol=1e-10)


def test_the_debiased_error_removes_the_noise_of_the_bins():
    """All outcomes of 8 rows of confidence 0.75, weighed: the squared error without bias is 0."""
    p = np.tile([0.75, 0.25], (8, 1))
    weight = stats.binom.pmf(np.arange(9), 8, 0.75)
    tables = [u.reliability(p, (np.arange(8) >= k).astype(int), bins=1) for k in range(9)]
    biased = [(t.accuracy - t.confidence)[0] ** 2 for t in tables]
    noise = [t.accuracy[0] * (1 - t.accuracy[0]) / 7 for t in tables]
    assert weight @ biased == pytest.approx(0.75 * 0.25 / 8)
    assert weight @ (np.array(biased) - noise) == pytest.approx(0, abs=1e-15)
    for k in range(9):
        ours = u.debiased_ece(p, (np.arange(8) >= k).astype(int), bins=1, binning="width")
        assert ours == pytest.approx(np.sqrt(max(0, biased[k] - noise[k])), abs=1e-12)


def test_smooth_ece_is_the_integral_that_defines_it():
    """By a fine sum over the reflected kernel; the mesh and the kernel's cut leave some 1e-4."""
    confidence, right = P.max(axis=1), P.argmax(axis=1) == LABELS
    t = (np.arange(4000) + 0.5) / 4000
    mirrored = [confidence, -confidence, 2 - confidence]
    kernel = sum(stats.norm.pdf(t[:, None], place, 0.1) for place in mirrored)  # (4000, N)
    expected = np.abs(kernel @ (right - confidence) / N).mean()
    assert u.smooth_ece(P, LABELS, bandwidth=0.1) == pytest.approx(expected, rel=1e-3)
    fixed = u.smooth_ece(P, LABELS)
    assert u.smooth_ece(P, LABELS, bandwidth=fixed) == pytest.approx(fixed, abs=2e-3)


def test_one_bin_of_variances():
    same = np.full(N, 2.0)
    assert u.uce(MEAN, same, Y) == pytest.approx(abs(((Y - MEAN) ** 2).mean() - 4))
    assert u.ence(MEAN, same, Y) == pytest.approx(abs(np.sqrt(((Y - MEAN) ** 2).mean()) - 2) / 2)


# Intervals.
def test_the_pinball_loss_is_that_of_scikit_learn():
    levels = np.array([0.1, 0.5, 0.9])
    quantiles = u.gaussian_quantiles(MEAN, STD, levels)
    theirs = [sk.mean_pinball_loss(Y, q, alpha=level) for q, level in zip(quantiles, levels, strict=True)]
    assert np.allclose(u.pinball(quantiles, levels, Y, reduce="none").mean(axis=1), theirs, rtol=1e-12)
    assert np.allclose(quantiles, stats.norm.ppf(levels[:, None], MEAN, STD), rtol=1e-12)


def test_the_mean_pinball_loss_is_half_the_crps():
    levels = (np.arange(4000) + 0.5) / 4000
    quantiles = u.gaussian_quantiles(MEAN[:5], STD[:5], levels)
    assert 2 * u.pinball(quantiles, levels, Y[:5]) == pytest.approx(u.crps_gaussian(MEAN[:5], STD[:5], Y[:5]), rel=1e-4)


def test_coverage_counts_both_ends():
    assert u.picp([0.0, 0.0, 0.0], [1.0, 1.0, 1.0], [0.0, 1.0, 1.5]) == pytest.approx(2 / 3)
    assert u.picp([-np.inf], [np.inf], [0.0]) == 1
    assert u.mpiw([-np.inf, 0.0], [np.inf, 1.0]) == np.inf


def test_the_transform_is_that_of_scipy_and_its_distance_too():
    pit = u.pit_gaussian(MEAN, STD, Y)
    assert np.allclose(pit, stats.norm.cdf(Y, MEAN, STD), atol=1e-15)
    assert u.pit_distance(pit) == pytest.approx(stats.kstest(pit, "uniform").statistic, rel=1e-12)
    assert u.pit_gaussian([0.0], [1.0], [-38.0])[0] > 0  # the far tail does not round to 0


def test_the_transform_of_samples_is_uniform_even_for_counts():
    """y and samples from one distribution with many ties; Kolmogorov and Smirnov at the level 1e-4."""
    counts = np.random.default_rng(3).poisson(1.0, (5, 4000))
    pit = u.pit_samples(counts[1:], counts[0], key=Key(0))
    assert stats.kstest(pit, "uniform").pvalue > 1e-4
    shifted = u.pit_samples(counts[1:], counts[0] + 1, key=Key(0))
    assert stats.kstest(shifted, "uniform").pvalue < 1e-4
    without_ties = (counts[1:] < counts[0]).mean(axis=0)  # what happens if ties are not randomised
    assert stats.kstest(without_ties, "uniform").pvalue < 1e-4
    assert np.array_equal(pit, u.pit_samples(counts[1:], counts[0], key=Key(0)))
    assert not np.array_equal(pit, u.pit_samples(counts[1:], counts[0], key=Key(1)))


def test_the_miscalibration_area_counts_both_sides_of_a_crossing():
    """Observed 0.5 throughout against 0..1: two triangles of 1/8; trapezoids of |gap| say 1/2."""
    curve = u.coverage_curve([0.0, 1.0], kind="quantile", levels=[0.0, 0.999999])
    assert curve.observed.tolist() == [0.5, 0.5]
    assert u.miscalibration_area([0.0, 1.0], kind="quantile", levels=[0.0, 0.999999]) == pytest.approx(0.25, abs=1e-5)
