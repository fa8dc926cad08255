"""Selection, detection, recalibration, conformal sets and diagrams: theorems, references, edges."""

import itertools
import json
import math
from pathlib import Path

import numpy as np
import pytest
from scipy import optimize, stats
from sklearn import metrics as sk
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV, _SigmoidCalibration
from sklearn.linear_model import LogisticRegression

from puredrop import Key
from puredrop import uncertainty as u
from puredrop.uncertainty import recalibration

GOLDEN = json.loads((Path(__file__).parent / "golden" / "uncertainty.json").read_text())
RNG = np.random.default_rng(2)
N, C = 120, 3
LABELS = RNG.integers(0, C, N)
LOGITS = RNG.standard_normal((N, C)) + 1.2 * (LABELS[:, None] == np.arange(C))
LOSSES = RNG.integers(0, 2, N).astype(float)
DOUBT = LOSSES + RNG.standard_normal(N)
INSIDE, OUTSIDE = RNG.standard_normal(60).round(1), RNG.standard_normal(40).round(1) + 1
IS_OUTSIDE, SCORES = np.repeat([0, 1], [60, 40]), np.concatenate([INSIDE, OUTSIDE])


def softmax(z):
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


P = softmax(LOGITS)


# Selection.
def test_ties_count_what_their_orders_average_to():
    doubt, losses = np.array([1.0, 2.0, 2.0, 2.0]), np.array([0.0, 1.0, 0.0, 0.0])
    orders = [losses[[0, *order]] for order in itertools.permutations([1, 2, 3])]
    expected = np.mean([np.cumsum(o) / np.arange(1, 5) for o in orders], axis=0)
    assert np.allclose(u.risk_coverage(doubt, losses).risk, expected, rtol=1e-12)
    assert np.allclose(u.risk_coverage(doubt[::-1], losses[::-1]).risk, expected, rtol=1e-12)


def test_the_best_order_has_no_excess():
    assert u.excess_aurc(LOSSES, LOSSES, rule="mean") == 0
    assert u.excess_aurc(DOUBT, LOSSES, rule="mean") > 0
    assert u.ause(LOSSES, LOSSES, metric="mae", normalised=True) == 0
    assert u.aurc(DOUBT, np.zeros(N), rule="mean") == 0
    assert u.ause(DOUBT, np.zeros(N), metric="rmse", normalised=True) == 0


def test_augrc_is_the_chance_of_an_uncaught_error():
    """Over pairs: a row is answered at threshold u_k, and wrong."""
    by_pairs = np.mean([(LOSSES * (threshold >= DOUBT)).mean() for threshold in DOUBT])
    assert u.augrc(DOUBT, LOSSES, rule="mean") == pytest.approx(by_pairs, rel=1e-12)


def test_sparsification_ends_in_the_least():
    curves = u.sparsification(DOUBT, np.abs(DOUBT), metric="rmse", normalised=False)
    assert curves.error[0] == curves.oracle[0] == pytest.approx(np.sqrt((DOUBT**2).mean()))
    assert curves.oracle[-1] == pytest.approx(np.abs(DOUBT).min())
    assert curves.removed[[0, -1]].tolist() == [0, 1 - 1 / N]


@pytest.mark.parametrize("call", [u.aurc, u.augrc, u.excess_aurc])
def test_selection_refuses(call):
    with pytest.raises(ValueError, match="losses must not be negative"):
        call(DOUBT, LOSSES - 1, rule="mean")
    with pytest.raises(ValueError, match="uncertainty must be finite"):
        call(np.full(N, np.nan), LOSSES, rule="mean")
    with pytest.raises(ValueError, match="got uncertainty 120, losses 119"):
        call(DOUBT, LOSSES[1:], rule="mean")
    with pytest.raises(ValueError, match="needs two rows, got one"):
        call([1.0], [0.0], rule="trapezoid")


# Detection.
def test_detection_is_that_of_scikit_learn():
    assert u.auroc(INSIDE, OUTSIDE, positive="ood") == pytest.approx(sk.roc_auc_score(IS_OUTSIDE, SCORES), rel=1e-12)
    assert u.auroc(INSIDE, OUTSIDE, positive="id") == u.auroc(INSIDE, OUTSIDE, positive="ood")
    for positive, flag, score in (("ood", IS_OUTSIDE, SCORES), ("id", 1 - IS_OUTSIDE, -SCORES)):
        step = sk.average_precision_score(flag, score)
        assert u.aupr(INSIDE, OUTSIDE, positive=positive, rule="step") == pytest.approx(step, rel=1e-12)
        precision, recall, _ = sk.precision_recall_curve(flag, score)
        ours = u.aupr(INSIDE, OUTSIDE, positive=positive, rule="trapezoid")
        assert ours == pytest.approx(sk.auc(recall, precision), rel=1e-12)
        for tpr in (0.5, 0.95, 1):
            fprs, tprs, _ = sk.roc_curve(flag, score, drop_intermediate=False)
            expected = fprs[np.argmax(tprs >= tpr)]
            assert u.fpr_at_tpr(INSIDE, OUTSIDE, positive=positive, tpr=tpr) == pytest.approx(expected, abs=1e-15)


def test_scores_that_are_all_equal_detect_nothing():
    assert u.auroc([1.0, 1.0], [1.0], positive="ood") == 0.5
    assert u.fpr_at_tpr([1.0, 1.0], [1.0], positive="id") == 1.0
    assert u.aupr([1.0, 1.0], [1.0], positive="ood", rule="step") == pytest.approx(1 / 3)


def test_detection_needs_both_classes_and_a_convention():
    with pytest.raises(ValueError, match="outside is empty"):
        u.auroc(INSIDE, [], positive="ood")
    with pytest.raises(ValueError, match="positive must be one of 'ood', 'id', got 1"):
        u.aupr(INSIDE, OUTSIDE, positive=1, rule="step")
    with pytest.raises(ValueError, match="inside must be finite"):
        u.fpr_at_tpr([np.inf], OUTSIDE, positive="id")
    with pytest.raises(ValueError, match="tpr must lie strictly between 0 and 1"):
        u.fpr_at_tpr(INSIDE, OUTSIDE, positive="id", tpr=0.0)


def test_scores_grow_with_strangeness():
    known, strange = np.array([[[8.0, 0, 0]], [[8.0, 0, 0]]]), np.array([[[1.0, 0, 0]], [[0.0, 1, 0]]])
    low, high = (u.ood_scores(z, energy_of="samples") for z in (known, strange))
    assert [name for name in low if not low[name][0] < high[name][0]] == []
    assert np.allclose(u.free_energy(LOGITS, 2.0), -2 * np.log(np.exp(LOGITS / 2).sum(axis=1)))
    assert u.free_energy([[1e4, 0.0]])[0] == -1e4
    with pytest.raises(ValueError, match="temperature must be positive"):
        u.free_energy(LOGITS, 0.0)


# Recalibration.
def test_the_temperature_is_where_its_derivative_vanishes():
    t = u.TemperatureScaling().fit(LOGITS, LABELS).temperature
    expected = (softmax(LOGITS / t) * LOGITS).sum(axis=1).mean()
    assert LOGITS[np.arange(N), LABELS].mean() == pytest.approx(expected, abs=1e-12)
    best = optimize.minimize_scalar(lambda x: u.nll(softmax(LOGITS / x), LABELS), (0.1, 5), options={"xtol": 1e-10})
    assert t == pytest.approx(best.x, rel=1e-6)


def test_the_temperature_is_that_of_netcal():
    """netcal's optimiser stops within 1e-4 of it; its likelihood is no better."""
    logits, labels = np.array(GOLDEN["inputs"]["logits"]), np.array(GOLDEN["inputs"]["labels"]).astype(int)
    ours, theirs = u.TemperatureScaling().fit(logits, labels).temperature, GOLDEN["expected"]["netcal temperature"]
    assert ours == pytest.approx(theirs, rel=1e-4)
    assert u.nll(softmax(logits / ours), labels) <= u.nll(softmax(logits / theirs), labels)


def test_a_fit_ends_where_the_likelihood_cannot_tell_temperatures_apart(monkeypatch):
    """Beyond that Newton's steps wander in the rounding: without an end some of these take thousands of evaluations."""
    evaluations = []
    loss = recalibration._loss
    monkeypatch.setattr(recalibration, "_loss", lambda p, y: evaluations.append(1) or loss(p, y))
    rng = np.random.default_rng(0)
    for _ in range(50):
        logits = 4 * rng.standard_normal((300, 10))
        u.TemperatureScaling().fit(logits, (logits / 2 + rng.gumbel(size=logits.shape)).argmax(axis=1))
    assert len(evaluations) < 50 * 15


def test_a_temperature_undoes_what_was_done():
    t = u.TemperatureScaling().fit(LOGITS, LABELS).temperature
    assert u.TemperatureScaling().fit(1000 * LOGITS, LABELS).temperature == pytest.approx(1000 * t, rel=1e-9)
    assert u.TemperatureScaling().fit(LOGITS / 1000 + 5, LABELS).temperature == pytest.approx(t / 1000, rel=1e-9)
    vector = u.VectorScaling().fit(LOGITS, LABELS).transform(LOGITS)
    assert np.allclose(u.VectorScaling().fit(1000 * LOGITS, LABELS).transform(1000 * LOGITS), vector, atol=1e-9)


def test_vector_scaling_is_where_its_gradient_vanishes():
    scaling = u.VectorScaling().fit(LOGITS, LABELS)
    p, happened = scaling.transform(LOGITS), LABELS[:, None] == np.arange(C)
    assert np.abs(((p - happened) * LOGITS).mean(axis=0)).max() < 1e-12
    assert np.abs((p - happened).mean(axis=0)).max() < 1e-12
    assert scaling.bias.sum() == pytest.approx(0, abs=1e-12)
    temperature = u.TemperatureScaling().fit(LOGITS, LABELS)
    assert u.nll(p, LABELS) <= u.nll(temperature.transform(LOGITS), LABELS)


def test_platt_scaling_is_that_of_scikit_learn():
    binary, score = (LABELS == 0).astype(int), LOGITS[:, 0]
    smoothed, theirs = u.PlattScaling(targets="smoothed").fit(score, binary), _SigmoidCalibration().fit(score, binary)
    assert smoothed.transform(score) == pytest.approx(theirs.predict(score), abs=1e-5)  # their solver's tolerance
    plain = u.PlattScaling(targets="labels").fit(score, binary)
    logistic = LogisticRegression(C=np.inf, tol=1e-12, solver="newton-cholesky").fit(score[:, None], binary)
    assert plain.slope == pytest.approx(logistic.coef_[0, 0], rel=1e-8)
    assert plain.shift == pytest.approx(logistic.intercept_[0], rel=1e-8)


def test_isotonic_scaling_is_that_of_scikit_learn():
    """Its CalibratedClassifierCV, on a model whose probabilities are its input."""

    class Given(ClassifierMixin, BaseEstimator):
        def fit(self, x, y):
            self.classes_ = np.unique(y)
            return self

        def predict_proba(self, x):
            return x

    everything = [(np.arange(N), np.arange(N))]
    theirs = CalibratedClassifierCV(Given(), method="isotonic", cv=everything, ensemble=True)
    theirs.fit(P, LABELS)
    assert np.allclose(u.IsotonicScaling().fit(P, LABELS).transform(P), theirs.predict_proba(P), atol=1e-12)


def test_histogram_binning_gives_frequencies():
    binning = u.HistogramBinning(5, binning="width").fit(P, LABELS)
    table = u.reliability(P, LABELS, bins=5, of=1)
    middle = np.where(table.rows > 0, table.accuracy, (table.edges[1:] + table.edges[:-1]) / 2)
    place = np.clip(np.searchsorted(table.edges, P[:, 1]) - 1, 0, 4)
    assert np.allclose(binning.maps[1](P[:, 1]), middle[place])
    assert binning.maps[0](np.array([0.0, 1.0])).shape == (2,)
    mass = u.HistogramBinning(4, binning="mass").fit(P, LABELS)
    assert len(np.unique(mass.maps[0](P[:, 0]))) <= 4
    assert np.allclose(mass.transform(P).sum(axis=1), 1)


def test_rows_that_map_to_nothing_are_shared():
    p = np.array([[0.9, 0.1], [0.9, 0.1], [0.2, 0.8], [0.2, 0.8]])
    binning = u.HistogramBinning(2, binning="width").fit(p, np.array([1, 1, 0, 0]))
    assert binning.transform(np.array([[0.5, 0.5]])).sum() == 1
    binning.maps = [np.zeros_like, np.zeros_like]
    assert binning.transform(p)[0].tolist() == [0.5, 0.5]


def test_rows_without_a_best_fit_are_refused():
    right = np.eye(C)[LABELS] * 3
    with pytest.raises(u.NoMinimumError, match="the best temperature is 0; fit on more rows"):
        u.TemperatureScaling().fit(right, LABELS)
    with pytest.raises(u.NoMinimumError, match="the best temperature is infinite"):
        u.TemperatureScaling().fit(-LOGITS, LABELS)
    with pytest.raises(u.NoMinimumError, match="the rows separate some class from the rest"):
        u.VectorScaling().fit(right, LABELS)
    partly = np.where(np.arange(C) == 2, 5.0 * (LABELS == 2)[:, None], LOGITS)  # one class of three is separated
    with pytest.raises(u.NoMinimumError, match="the rows separate some class from the rest"):
        u.VectorScaling().fit(partly, LABELS)
    with pytest.raises(u.NoMinimumError, match=r"needs rows of every class, got none of \[2\]"):
        u.VectorScaling().fit(LOGITS, LABELS % 2)
    with pytest.raises(u.NoMinimumError, match="the rows separate some class from the rest"):
        u.PlattScaling(targets="labels").fit([-1.0, -2.0, 1.0, 2.0], [0, 0, 1, 1])
    with pytest.raises(ValueError, match="needs rows of both classes, got only class 1"):
        u.PlattScaling(targets="smoothed").fit([1.0, 2.0], [1, 1])
    with pytest.raises(ValueError, match="was fitted on 3 classes, got 2"):
        u.IsotonicScaling().fit(P, LABELS).transform(np.array([[0.5, 0.5]]))


def test_smoothed_targets_have_a_minimum_always():
    scaling = u.PlattScaling(targets="smoothed").fit([-1.0, -1.0, 1.0, 1.0], [0, 0, 1, 1])
    assert scaling.transform([-1.0, 1.0]) == pytest.approx([0.25, 0.75], abs=1e-12)


# Conformal prediction.
@pytest.mark.parametrize("alpha", [0.05, 0.1, 0.3, 0.7])
@pytest.mark.parametrize("n", [3, 9, 19, 20, 57])
def test_the_coverage_theorem(alpha, n):
    """n + 1 different scores; each is the new one as likely as the others. So coverage can be counted."""
    if math.ceil((n + 1) * (1 - alpha) - 1e-9) > n:
        with pytest.warns(UserWarning, match=rf"alpha = {alpha} needs at least \d+ calibration rows, got {n}"):
            assert u.conformal_quantile(np.arange(n), alpha) == np.inf
        return
    scores = RNG.permutation(n + 1).astype(float)
    covered = np.mean([scores[i] <= u.conformal_quantile(np.delete(scores, i), alpha) for i in range(n + 1)])
    assert 1 - alpha - 1e-12 <= covered <= 1 - alpha + 1 / (n + 1) + 1e-12


def test_too_few_rows_give_everything_and_say_so():
    with pytest.warns(UserWarning, match="needs at least 9 calibration rows, got 8; the threshold is infinite"):
        conformal = u.SplitConformal(0.1).fit(np.zeros(8), np.arange(8.0))
    assert [end.tolist() for end in conformal.interval([1.0])] == [[-np.inf], [np.inf]]
    with pytest.warns(UserWarning, match="every set holds everything"):
        sets = u.ConformalSets(0.1, score="aps", randomised=False).fit(P[:8], LABELS[:8])
    assert sets.sets(P).all()
    assert math.isfinite(u.conformal_quantile(np.arange(9), 0.1))


def test_normalised_intervals_are_as_wide_as_their_std():
    std = RNG.uniform(0.5, 2, 50)
    y = std * RNG.standard_normal(50)
    conformal = u.SplitConformal(0.2).fit(np.zeros(50), y, std)
    low, high = conformal.interval([0.0, 0.0], [1.0, 3.0])
    assert high[1] - low[1] == pytest.approx(3 * (high[0] - low[0]))
    assert (np.abs(y / std) <= conformal.threshold).sum() == u.conformal_rank(50, 0.2)
    with pytest.raises(ValueError, match="give std both to fit and to interval, or to neither"):
        conformal.interval([0.0])


def test_quantiles_are_moved_until_they_cover():
    lower, upper, y = np.zeros(60), np.ones(60), 3 * RNG.standard_normal(60)
    conformal = u.ConformalQuantiles(0.1).fit(lower, upper, y)
    low, high = conformal.interval(lower, upper)
    assert ((low <= y) & (y <= high)).sum() == u.conformal_rank(60, 0.1)
    narrow = u.ConformalQuantiles(0.1).fit(lower - 99, upper + 99, y)
    assert narrow.threshold < 0


def aps_by_hand(p, label):
    order = sorted(range(len(p)), key=lambda c: (-p[c], c))
    return sum(p[c] for c in order[: order.index(label) + 1])


def test_adaptive_scores_by_hand():
    sets = u.ConformalSets(0.1, score="aps", randomised=False)
    scores = sets._scores(P, None)
    expected = [[aps_by_hand(row, c) for c in range(C)] for row in P]
    assert np.allclose(scores, expected, rtol=1e-12)
    raps = u.ConformalSets(0.1, score="raps", randomised=False, penalty=0.1, free=1)
    ranks = np.array([[sorted(range(C), key=lambda c: -row[c]).index(c) + 1 for c in range(C)] for row in P])
    assert np.allclose(raps._scores(P, None), expected + 0.1 * np.maximum(0, ranks - 1))
    ties = np.array([[0.25, 0.5, 0.25]])
    assert sets._scores(ties, None).tolist() == [[0.75, 0.5, 1.0]]


@pytest.mark.parametrize(
    "options",
    [
        {"score": "threshold"},
        {"score": "aps", "randomised": False},
        {"score": "aps", "randomised": True},
        {"score": "raps", "randomised": True, "penalty": 0.05, "free": 1},
    ],
)
def test_sets_cover_as_promised(options):
    """Labels drawn from the probabilities; 400 calibration sets of 19 rows, a binomial threshold at 1e-4."""
    rng = np.random.default_rng(5)
    p = rng.dirichlet(np.full(5, 0.5), (400, 20))
    labels = (p.cumsum(axis=-1) < rng.random((400, 20, 1))).sum(axis=-1)
    keys = [(Key(0, step=i), Key(1, step=i)) if options.get("randomised") else (None, None) for i in range(400)]
    covered = 0
    for q, y, (first, second) in zip(p, labels, keys, strict=True):
        sets = u.ConformalSets(0.2, **options).fit(q[:19], y[:19], key=first)
        covered += sets.sets(q[19:], key=second)[0, y[19]]
    exact = u.conformal_rank(19, 0.2) / 20
    assert exact == 0.8
    tie_free = options["score"] == "threshold" or options["randomised"]
    low, high = stats.binom.ppf([1e-4, 1 - 1e-4], 400, exact)
    assert low <= covered
    assert covered <= high or not tie_free


def test_randomised_sets_need_a_key():
    randomised = u.ConformalSets(0.2, score="aps", randomised=True)
    with pytest.raises(TypeError, match="needs a Key, for it is randomised, got None"):
        randomised.fit(P, LABELS)
    plain = u.ConformalSets(0.2, score="threshold")
    with pytest.raises(TypeError, match="needs no key, for nothing is drawn"):
        plain.fit(P, LABELS, key=Key(0))
    with pytest.raises(ValueError, match="'aps' takes randomised, got none"):
        u.ConformalSets(0.2, score="aps")
    with pytest.raises(ValueError, match="'threshold' takes no options, got randomised"):
        u.ConformalSets(0.2, score="threshold", randomised=True)
    with pytest.raises(ValueError, match="score must be 'threshold', 'aps' or 'raps'"):
        u.ConformalSets(0.2, score="lac")


@pytest.mark.parametrize("alpha", [0.0, 1.0, -0.1, float("nan")])
def test_levels_outside_are_refused(alpha):
    with pytest.raises(ValueError, match="alpha must lie strictly between 0 and 1"):
        u.SplitConformal(alpha)


# Diagrams.
def test_diagrams_show_the_numbers():
    table = u.reliability(P, LABELS, bins=5)
    there = table.rows > 0
    points = u.plot_reliability(table).collections[-1].get_offsets()
    assert np.allclose(points, np.stack([table.confidence, table.accuracy], axis=1)[there])
    curves = u.sparsification(DOUBT, LOSSES, metric="mae", normalised=True)
    by_doubt, by_error = u.plot_sparsification(curves).get_lines()
    assert np.array_equal(by_doubt.get_ydata(), curves.error)
    assert np.array_equal(by_error.get_ydata(), curves.oracle)
    risk = u.risk_coverage(DOUBT, LOSSES)
    assert np.array_equal(u.plot_risk_coverage(risk, label="MC").get_lines()[0].get_ydata(), risk.risk)
    curve = u.coverage_curve([0.2, 0.4, 0.9], kind="interval")
    assert np.array_equal(u.plot_calibration_curve(curve).get_lines()[1].get_ydata(), curve.observed)


def test_a_band_is_drawn_in_the_order_of_x_into_the_axes_given():
    from matplotlib.figure import Figure

    ax = Figure().subplots()
    assert u.plot_predictive_band([2.0, 1.0], [20.0, 10.0], [1.0, 1.0], ax, multiples=(2,)) is ax
    assert ax.get_lines()[0].get_ydata().tolist() == [10.0, 20.0]
    assert ax.dataLim.ymax == 22
    with pytest.raises(ValueError, match="std must not be negative"):
        u.plot_predictive_band([1.0], [1.0], [-1.0])
