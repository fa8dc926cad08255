"""Metrics equal to the libraries that have them: as these said once (golden/uncertainty.json), or say now."""

import json
from pathlib import Path

import numpy as np
import pytest

from puredrop import uncertainty as u

GOLDEN = json.loads((Path(__file__).parent / "golden" / "uncertainty.json").read_text())
G = {name: np.array(value) for name, value in GOLDEN["inputs"].items()}
SAMPLES, LABELS = G["samples"], G["labels"].astype(np.int64)  # (T, N, C), (N,)
P = SAMPLES.mean(axis=0)
MEAN, STD, Y = G["mean"], G["std"], G["y"]
WRONG = P.argmax(axis=1) != LABELS
LEVELS = np.linspace(0.01, 0.99, 99)
PIT = u.pit_gaussian(MEAN, STD, Y)
QUANTILE_CURVE = u.coverage_curve(PIT, kind="quantile")
CENTRAL = u.gaussian_quantiles(MEAN, STD, [0.05, 0.95])


def brier_of_tfp():
    """Uncertainty without its 1, and reliability with the forecasts' variance in it; resolution is another matter."""
    parts = u.brier_decomposition(P, LABELS, groups="predicted_class")
    group = P.argmax(axis=1)
    variance = sum(((P[group == c] - P[group == c].mean(axis=0)) ** 2).sum() for c in set(group)) / len(P)
    return [parts.uncertainty - 1, parts.reliability + variance]


def interval_scores():
    """uncertainty-toolbox averages over 99 central intervals."""
    ends = [u.gaussian_quantiles(MEAN, STD, [(1 - q) / 2, (1 + q) / 2]) for q in LEVELS]
    return np.mean([u.interval_score(low, high, Y, alpha=1 - q) for q, (low, high) in zip(LEVELS, ends, strict=True)])


EQUAL = {
    "baal bald": lambda: u.mutual_information(SAMPLES),
    "baal entropy": lambda: u.predictive_entropy(SAMPLES),
    "torch-uncertainty mutual information": lambda: u.mutual_information(SAMPLES),
    "modal variation ratio": lambda: u.variation_ratio(SAMPLES, kind="mean"),
    "modal mean std": lambda: u.mean_std(SAMPLES),
    "torch-uncertainty brier": lambda: u.brier(P, LABELS, scale="sum"),
    "tfp brier": lambda: u.brier(P, LABELS, scale="without_constant", reduce="none"),
    "tfp brier uncertainty and reliability": brier_of_tfp,
    "netcal ece": lambda: u.ece(P, LABELS),
    "torchmetrics ece l1": lambda: u.ece(P, LABELS),
    "torchmetrics ece l2": lambda: u.ece(P, LABELS, norm="l2"),
    "torchmetrics ece max": lambda: u.mce(P, LABELS),
    "netcal mce": lambda: u.mce(P, LABELS),
    "netcal ace": lambda: u.unweighted_ece(P, LABELS),
    "torch-uncertainty adaptive ece": lambda: u.adaptive_ece(P, LABELS, bins=10),
    "torch-uncertainty classwise ece": lambda: u.classwise_ece(P, LABELS),
    "relplot smece without guard": lambda: u.smooth_ece(P, LABELS),
    "netcal uce": lambda: u.uce(MEAN, STD, Y),
    "netcal ence": lambda: u.ence(MEAN, STD, Y),
    "netcal qce": lambda: [u.qce(MEAN, STD, Y, level=0.9)],
    "netcal picp": lambda: [u.picp(*CENTRAL, Y)],
    "netcal nll": lambda: u.gaussian_nll(MEAN, STD, Y),
    "uct nll": lambda: u.gaussian_nll(MEAN, STD, Y),
    "uct crps": lambda: u.crps_gaussian(MEAN, STD, Y),
    "uct check score": lambda: u.pinball(u.gaussian_quantiles(MEAN, STD, LEVELS), LEVELS, Y),
    "uct interval score": interval_scores,
    "uct sharpness": lambda: u.sharpness(STD),
    "uct mace interval": lambda: u.mace(PIT, kind="interval"),
    "uct mace quantile": lambda: u.mace(PIT, kind="quantile"),
    "uct rmsce interval": lambda: u.rmsce(PIT, kind="interval"),
    "uct rmsce quantile": lambda: u.rmsce(PIT, kind="quantile"),
    "uct area interval": lambda: u.miscalibration_area(PIT, kind="interval"),
    "uct area quantile": lambda: u.miscalibration_area(PIT, kind="quantile"),
    "uct curve quantile": lambda: 1 - QUANTILE_CURVE.observed[::-1],
    "properscoring crps gaussian": lambda: u.crps_gaussian(MEAN, STD, Y, reduce="none"),
    "properscoring crps ensemble": lambda: u.crps_samples(G["draws"], Y, estimator="plugin", reduce="none"),
    "scoringrules crps fair": lambda: u.crps_samples(G["draws"], Y, estimator="fair", reduce="none"),
    "scoringrules energy score": lambda: u.energy_score(G["many"], G["many_y"], estimator="plugin", reduce="none"),
    "scoringrules energy score fair": lambda: u.energy_score(G["many"], G["many_y"], estimator="fair", reduce="none"),
    "scoringrules variogram score": lambda: u.variogram_score(G["many"], G["many_y"], reduce="none"),
    "baal epig": lambda: u.epig(SAMPLES[:, :50], SAMPLES[:, 50:]),
    "batchbald_redux rows": lambda: u.batchbald(SAMPLES, 4, joint="exact").rows,
    "batchbald_redux scores": lambda: u.batchbald(SAMPLES, 4, joint="exact").scores,
    "torch-uncertainty fpr95": lambda: u.fpr_at_tpr(G["inside"], G["outside"], positive="ood"),
    "torch-uncertainty aurc": lambda: u.aurc(1 - P.max(axis=1), WRONG, rule="trapezoid"),
    "torch-uncertainty augrc": lambda: u.augrc(1 - P.max(axis=1), WRONG, rule="trapezoid"),
    "torch-uncertainty ause": lambda: u.ause(STD, np.abs(Y - MEAN), metric="mae", normalised=True),
}


@pytest.mark.parametrize("name", EQUAL)
def test_equals(name):
    ours, theirs = np.asarray(EQUAL[name]()), np.array(GOLDEN["expected"][name])
    assert ours.shape == theirs.shape
    assert np.abs(ours - theirs).max() < 1e-8


def test_smooth_ece_differs_from_relplot_by_its_guard_against_division_alone():
    assert 0 < u.smooth_ece(P, LABELS) / GOLDEN["expected"]["relplot smece"] - 1 < 1e-4 / 70
    assert 0 < u.smooth_ece(P, LABELS, bandwidth=0.1) / GOLDEN["expected"]["relplot smece at 0.1"] - 1 < 1e-4 / 70
