"""Errors of metrics in other libraries: a few lines that have each, what the library said, and what is right."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from puredrop import uncertainty as u

GOLDEN = json.loads((Path(__file__).parent / "golden" / "uncertainty.json").read_text())
G = {name: np.array(value) for name, value in GOLDEN["inputs"].items()}
SAID = {name: np.array(value) for name, value in GOLDEN["expected"].items()}
SAMPLES, LABELS = G["samples"], G["labels"].astype(np.int64)  # (T, N, C), (N,)
P = SAMPLES.mean(axis=0)
T, N, C = SAMPLES.shape
CERTAIN, CERTAIN_LABELS = G["certain"], G["certain_labels"].astype(np.int64)


def gaps(place, confidence, right, bins):
    """|accuracy - confidence| and share of each bin, with 0 for the empty."""
    rows = np.bincount(place, minlength=bins)
    total = np.maximum(rows, 1)
    gap = np.abs(np.bincount(place, right, bins) - np.bincount(place, confidence, bins)) / total
    return gap, rows / rows.sum()


def test_torchmetrics_puts_confidence_one_into_a_bin_of_its_own():
    """Its issue 3510: rows of confidence 1 and those just below it do not offset each other."""
    confidence, right = CERTAIN.max(axis=1), CERTAIN.argmax(axis=1) == CERTAIN_LABELS
    place = np.searchsorted(np.linspace(0, 1, 11), confidence, side="right") - 1  # 10 for confidence 1
    gap, share = gaps(place, confidence, right, 11)
    assert np.isclose((gap * share).sum(), SAID["torchmetrics ece of certainty"], atol=1e-7)
    assert u.ece(CERTAIN, CERTAIN_LABELS, bins=10) == pytest.approx(SAID["netcal ece of certainty"], abs=1e-12)
    assert abs(SAID["netcal ece of certainty"] - SAID["torchmetrics ece of certainty"]) > 0.03


def test_pytorch_ood_drops_the_last_bin():
    """calibration_error loops over range(len(bins) - 1), and the surest rows are the ones in the last."""
    table = u.reliability(CERTAIN, CERTAIN_LABELS, bins=10)
    terms = table.rows / table.rows.sum() * np.abs(table.accuracy - table.confidence)
    assert terms[:-1].sum() != pytest.approx(u.ece(CERTAIN, CERTAIN_LABELS, bins=10), abs=0.1)
    assert terms[-1] > 0


def test_keras_uncertainty_weighs_all_bins_alike():
    """Its ECE is by default the mean over bins; netcal's ACE is that over occupied bins, under another name."""
    table = u.reliability(P, LABELS, bins=15)
    gap = np.abs(table.accuracy - table.confidence)[table.rows > 0]
    assert u.unweighted_ece(P, LABELS) == pytest.approx(gap.mean(), abs=1e-15)
    assert abs(u.ece(P, LABELS) - gap.mean()) > 0.01


def test_keras_uncertainty_leaves_out_the_constant_of_the_gaussian():
    z = (G["y"] - G["mean"]) / G["std"]
    without = (np.log(G["std"]) + z**2 / 2).mean()
    ours = u.gaussian_nll(G["mean"], G["std"], G["y"])
    assert ours - without == pytest.approx(math.log(2 * math.pi) / 2, rel=1e-12)


def test_modal_calls_a_multiple_of_the_expected_entropy_the_entropy():
    """It sums over the Monte-Carlo axis and averages over the classes."""
    wrong = -(SAMPLES * np.log(SAMPLES)).sum(axis=0).mean(axis=-1)
    assert np.allclose(wrong, SAID["modal entropy"], rtol=1e-12)
    assert np.allclose(wrong, T / C * u.expected_entropy(SAMPLES), rtol=1e-12)
    assert np.abs(u.predictive_entropy(SAMPLES) - wrong).max() > 0.1


def test_torch_uncertainty_averages_variation_ratios_over_the_batch():
    """As many values as members, where one for each row is wanted."""
    said = SAID["torch-uncertainty variation ratio"]
    assert said.shape == (T,)
    for kind in ("mean", "votes"):
        assert u.variation_ratio(SAMPLES, kind=kind).shape == (N,)
    assert np.allclose(u.variation_ratio(SAMPLES, kind="mean"), SAID["modal variation ratio"], atol=1e-12)


def test_torch_uncertainty_averages_the_members_brier_scores():
    """Of samples it gives the mean of their scores, which no predictive distribution has."""
    members = np.mean([u.brier(p, LABELS, scale="sum") for p in SAMPLES])
    assert members == pytest.approx(SAID["torch-uncertainty brier of samples"], abs=1e-8)
    assert u.brier(P, LABELS, scale="sum") < members - 0.03
    with pytest.raises(ValueError, match=r"brier: probabilities must have shape \(N, C\), got \(7, 80, 4\)"):
        u.brier(SAMPLES, LABELS, scale="sum")


def test_tensorflow_probability_has_the_brier_score_less_one():
    ours = u.brier(P, LABELS, scale="sum", reduce="none")
    assert np.allclose(ours - 1, SAID["tfp brier"], atol=1e-12)


def test_tensorflow_probability_takes_the_resolution_along_the_wrong_axis():
    """Its overall frequencies are broadcast over the groups in place of the classes."""
    group = P.argmax(axis=1)
    happened = LABELS[:, None] == np.arange(C)
    by_group = np.array([happened[group == k].mean(axis=0) for k in range(C)])  # (K, C)
    share = np.bincount(group, minlength=C) / N
    overall = happened.mean(axis=0)
    assert np.isclose(share @ ((overall[:, None] - by_group) ** 2).sum(axis=1), SAID["tfp brier resolution"])
    right = share @ ((overall - by_group) ** 2).sum(axis=1)
    parts = u.brier_decomposition(P, LABELS, groups="predicted_class")
    assert parts.resolution == pytest.approx(right, rel=1e-12)
    assert abs(right - SAID["tfp brier resolution"]) > 0.01


def test_uncertainty_toolbox_turns_the_quantile_curve():
    """It compares prediction - y with the quantiles of y - prediction."""
    levels = np.linspace(0, 1, 100)
    wrong = [(G["mean"] - G["y"] <= G["std"] * z).mean() for z in quantiles(levels)]
    right = [(G["y"] - G["mean"] <= G["std"] * z).mean() for z in quantiles(levels)]
    assert np.allclose(wrong, SAID["uct curve quantile"], atol=1e-12)
    ours = u.coverage_curve(u.pit_gaussian(G["mean"], G["std"], G["y"]), kind="quantile").observed
    assert np.array_equal(ours, right)
    assert np.abs(ours - wrong).max() > 0.03


def quantiles(levels):
    from statistics import NormalDist

    inner = [NormalDist().inv_cdf(q) for q in levels[1:-1]]
    return np.array([-np.inf, *inner, np.inf])


def test_torch_uncertainty_forgets_the_new_row_in_the_conformal_quantile():
    """quantile(1 - alpha) of the scores covers too little: of 21 equally likely places 18, where 18.9 are promised."""
    scores = np.arange(20.0)
    without, ours = np.quantile(scores, 0.9), u.conformal_quantile(scores, alpha=0.1)
    assert (scores <= without).sum() / 21 < 0.9 <= (scores <= ours).sum() / 21


def test_mapie_takes_one_order_statistic_too_many():
    """ceil((n + 1) (1 - alpha)) in floating point: 20 * (1 - 0.7) lies above 6."""
    assert math.ceil(20 * (1 - 0.7)) == SAID["mapie rank of 19 at 0.7"] == 7
    assert u.conformal_rank(19, 0.7) == 6
    assert u.conformal_quantile(np.arange(1.0, 20.0), alpha=0.7) == 6.0


def test_pytorch_ood_documents_one_divisor_and_uses_another():
    """Its MCD says variance / N and computes ddof = 1; ours is that of the mixture, divisor T."""
    parts = u.regression_uncertainty(G["draws"], 0.0)
    assert np.allclose(parts.epistemic, G["draws"].var(axis=0), rtol=1e-12)
    assert np.allclose(parts.epistemic * T / (T - 1), G["draws"].var(axis=0, ddof=1), rtol=1e-12)


def test_openood_averages_logits():
    """Its dropout postprocessor takes the softmax of the mean logits, which is surer than the mean softmax."""
    logits = np.stack([G["logits"], -G["logits"]])  # two samples that disagree
    ours = u.ood_scores(logits, energy_of="samples")
    of_mean = np.full((N, C), 1 / C)  # softmax of the mean logits, which are 0
    assert np.allclose(u.max_probability_score(of_mean), 1 - 1 / C)
    assert ours["max_probability"].min() < 1 - 1 / C - 0.2
    both = u.ood_scores(logits, energy_of="mean_logits")
    assert np.allclose(both["energy"], -math.log(C))
    assert (ours["energy"] < both["energy"]).all()


def test_fpr_is_two_numbers():
    """OpenOOD changed which class is positive between versions; so one has to say it."""
    found = {positive: u.fpr_at_tpr(G["inside"], G["outside"], positive=positive) for positive in ("ood", "id")}
    assert found["ood"] == pytest.approx(SAID["torch-uncertainty fpr95"], abs=1e-8)
    assert abs(found["ood"] - found["id"]) > 0.05
    with pytest.raises(TypeError, match="positive"):
        u.fpr_at_tpr(G["inside"], G["outside"])


def test_noise_is_added_to_variances():
    """A demonstration of Monte-Carlo dropout added the noise's variance 1 / tau to the standard deviation."""
    tau, means = 4.0, G["draws"]
    total = u.regression_uncertainty(means, 1 / tau).total
    assert np.allclose(np.sqrt(total), np.sqrt(means.var(axis=0) + 1 / tau))
    assert np.abs(np.sqrt(total) - (means.std(axis=0) + 1 / tau)).max() > 0.05


def test_the_notebook_of_concrete_dropout_sums_over_rows_before_the_samples():
    """A joint log likelihood, divided by N, was printed as the predictive one."""
    from scipy.special import logsumexp
    from scipy.stats import norm

    log_densities = norm.logpdf(G["y"], G["draws"], 0.5)  # (T, N)
    joint = (logsumexp(log_densities.sum(axis=1)) - math.log(T)) / N
    mixture = (logsumexp(log_densities, axis=0) - math.log(T)).mean()
    assert u.log_likelihood(G["draws"], 0.5, G["y"], kind="joint") == pytest.approx(joint, rel=1e-12)
    assert u.log_likelihood(G["draws"], 0.5, G["y"], kind="mixture") == pytest.approx(mixture, rel=1e-12)
    assert abs(joint - mixture) > 0.3


def test_mutual_information_of_logits_is_refused():
    """Of logits the formula gives a number, and a negative one, without complaint."""
    logits = np.stack([G["logits"], G["logits"] + 1])

    def formula(x):
        return -(x * np.log(np.where(x > 0, x, 1.0))).sum(axis=-1)

    assert (formula(logits.mean(axis=0)) - formula(logits).mean(axis=0)).min() < -0.1
    with pytest.raises(ValueError, match=r"of logits take puredrop\.ops\.softmax first"):
        u.mutual_information(logits)
