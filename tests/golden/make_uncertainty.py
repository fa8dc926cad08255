"""What other libraries say of the same arrays: `python tests/golden/make_uncertainty.py` writes uncertainty.json.

It needs, beside this project's test packages and PyTorch: baal 2.1.0, modAL-python 0.4.2.1, torchmetrics 1.9.0,
torch-uncertainty 0.13.0 (its metrics alone), netcal 1.4.0, uncertainty-toolbox 0.1.1,
properscoring 0.1, scoringrules 0.10.0, relplot 1.0.3, tensorflow-probability 0.25.0 (NumPy substrate), mapie 1.6.0,
batchbald_redux 2.0.5.
"""

import json
import sys
import warnings
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import numpy as np


def inputs():
    """Few rows, drawn once: probabilities, numbers and scores of every sort."""
    rng = np.random.default_rng(20260)
    T, N, C = 7, 80, 4
    labels = rng.integers(0, C, N)
    logits = rng.standard_normal((N, C)) + 1.5 * (labels[:, None] == np.arange(C))
    sampled = 1.5 * logits + 0.7 * rng.standard_normal((T, N, C))  # (T, N, C)
    samples = np.exp(sampled) / np.exp(sampled).sum(axis=-1, keepdims=True)
    mean = rng.standard_normal(N)
    std = rng.uniform(0.3, 1.5, N)
    y = mean + std * 1.3 * rng.standard_normal(N)
    return {
        "labels": labels,
        "logits": logits,
        "samples": samples,
        "mean": mean,
        "std": std,
        "y": y,
        "draws": mean + std * rng.standard_normal((T, N)),  # (T, N)
        "many": rng.standard_normal((T, 12, 3)),  # (T, N, D)
        "many_y": rng.standard_normal((12, 3)),
        "inside": rng.standard_normal(50).round(1),  # with ties
        "outside": rng.standard_normal(30).round(1) + 1,
        "certain": np.array([[1.0, 0.0], [1.0, 0.0], [0.95, 0.05], [0.95, 0.05], [0.6, 0.4]]),
        "certain_labels": np.array([0, 1, 0, 0, 1]),
    }


def of_torch(g):
    root = Path(find_spec("torch_uncertainty").origin).parent
    for name, folder in (("torch_uncertainty", root), ("torch_uncertainty.metrics", root / "metrics")):
        sys.modules[name] = ModuleType(name)  # without the __init__, which imports much that metrics do not need
        sys.modules[name].__path__ = [str(folder)]
    import torch
    from torch_uncertainty.metrics import classification as tu
    from torch_uncertainty.metrics.sparsification import AUSE
    from torchmetrics.functional.classification import multiclass_calibration_error
    from torchmetrics.functional.classification.calibration_error import _ce_compute

    torch.set_default_dtype(torch.float64)

    samples = torch.tensor(g["samples"])
    p, y = samples.mean(0), torch.tensor(g["labels"])
    by_row = samples.transpose(0, 1)  # (N, T, C)

    def measured(metric, *arrays):
        metric = metric.double() if hasattr(metric, "double") else metric
        metric.update(*arrays)
        return metric.compute()

    inside, outside = torch.tensor(g["inside"]), torch.tensor(g["outside"])
    scores, is_outside = torch.cat([inside, outside]), torch.cat([torch.zeros(50), torch.ones(30)]).long()
    errors = (torch.tensor(g["y"]) - torch.tensor(g["mean"])).abs()
    confidence, favourite = p.max(1)
    result = {  # multiclass_calibration_error would round the confidences to float32 first
        f"torchmetrics ece {norm}": _ce_compute(confidence, favourite.eq(y).double(), 15, norm)
        for norm in ("l1", "l2", "max")
    }
    certain = torch.tensor(g["certain"]), torch.tensor(g["certain_labels"])
    return result | {
        "torchmetrics ece of certainty": multiclass_calibration_error(*certain, 2, n_bins=10),
        "torch-uncertainty mutual information": measured(tu.MutualInformation("none"), by_row),
        "torch-uncertainty brier": measured(tu.BrierScore(4), p, y),
        "torch-uncertainty brier of samples": measured(tu.BrierScore(4), by_row, y),
        "torch-uncertainty adaptive ece": measured(tu.AdaptiveCalibrationError("multiclass", num_classes=4), p, y),
        "torch-uncertainty classwise ece": measured(tu.ClasswiseCalibrationError(4), p, y),
        "torch-uncertainty fpr95": measured(tu.FPR95(pos_label=1), scores, is_outside),
        "torch-uncertainty aurc": measured(tu.AURC(), p, y),
        "torch-uncertainty augrc": measured(tu.AUGRC(), p, y),
        "torch-uncertainty ause": measured(AUSE(), torch.tensor(g["std"]), errors),
        "torch-uncertainty variation ratio": measured(tu.VariationRatio(reduction="none"), by_row),
    }


def of_netcal(g):
    from netcal.metrics import ACE, ECE, ENCE, MCE, PICP, QCE, UCE
    from netcal.metrics.regression import NLL, PinballLoss
    from netcal.scaling import TemperatureScaling

    p, y = g["samples"].mean(0), g["labels"]
    gaussian = (g["mean"], g["std"])
    p_of_logits = np.exp(g["logits"]) / np.exp(g["logits"]).sum(1, keepdims=True)
    scaling = TemperatureScaling()
    scaling.fit(p_of_logits, y, random_state=0)
    return {
        "netcal ece": ECE(15).measure(p, y),
        "netcal mce": MCE(15).measure(p, y),
        "netcal ace": ACE(15).measure(p, y),
        "netcal uce": UCE(10).measure(gaussian, g["y"], kind="meanstd"),
        "netcal ence": ENCE(10).measure(gaussian, g["y"], kind="meanstd"),
        "netcal qce": QCE(10, marginal=False).measure(gaussian, g["y"], q=np.array([0.9]), kind="meanstd"),
        "netcal picp": PICP(10).measure(gaussian, g["y"], q=0.9, kind="meanstd").picp,
        "netcal nll": NLL().measure(gaussian, g["y"], kind="meanstd", reduction="mean"),
        "netcal pinball": PinballLoss().measure(
            gaussian, g["y"], q=np.array([0.1, 0.5, 0.8]), kind="meanstd", reduction="mean"
        ),
        "netcal ece of certainty": ECE(10).measure(g["certain"], g["certain_labels"]),
        "netcal temperature": 1 / float(np.asarray(scaling.weights)[0]),
    }


def of_uncertainty_toolbox(g):
    import uncertainty_toolbox as uct

    gaussian = (g["mean"], g["std"], g["y"])
    quantile = {"prop_type": "quantile"}
    return {
        "uct nll": uct.nll_gaussian(*gaussian),
        "uct crps": uct.crps_gaussian(*gaussian),
        "uct check score": uct.check_score(*gaussian),
        "uct interval score": uct.interval_score(*gaussian),
        "uct sharpness": uct.sharpness(g["std"]),
        "uct mace interval": uct.mean_absolute_calibration_error(*gaussian),
        "uct mace quantile": uct.mean_absolute_calibration_error(*gaussian, **quantile),
        "uct rmsce interval": uct.root_mean_squared_calibration_error(*gaussian),
        "uct rmsce quantile": uct.root_mean_squared_calibration_error(*gaussian, **quantile),
        "uct area interval": uct.miscalibration_area(*gaussian),
        "uct area quantile": uct.miscalibration_area(*gaussian, **quantile),
        "uct curve quantile": uct.get_proportion_lists_vectorized(*gaussian, **quantile)[1],
    }


def of_scores(g):
    import properscoring
    import scoringrules

    draws, many = g["draws"], np.moveaxis(g["many"], 0, 1)  # (T, N), (N, T, D)
    return {
        "properscoring crps gaussian": properscoring.crps_gaussian(g["y"], g["mean"], g["std"]),
        "properscoring crps ensemble": properscoring.crps_ensemble(g["y"], draws.T),
        "scoringrules crps fair": scoringrules.crps_ensemble(g["y"], draws.T, estimator="fair", backend="numpy"),
        "scoringrules energy score": scoringrules.es_ensemble(g["many_y"], many, backend="numpy"),
        "scoringrules energy score fair": scoringrules.es_ensemble(
            g["many_y"], many, estimator="fair", backend="numpy"
        ),
        "scoringrules variogram score": scoringrules.vs_ensemble(g["many_y"], many, p=0.5, backend="numpy"),
    }


def of_others(g):
    import relplot
    from baal.active.heuristics import BALD, Entropy
    from modAL import dropout as modal
    from relplot.kernels import ReflectedGaussianKernel
    from tensorflow_probability.substrates import numpy as tfp

    p, y = g["samples"].mean(0), g["labels"]
    confidence, right = p.max(1), (p.argmax(1) == y).astype(float)
    for_baal = np.moveaxis(g["samples"], 0, -1)  # (N, C, T)
    parts = tfp.stats.brier_decomposition(y, np.log(p))

    def smoothed(bandwidth):
        """relplot's smooth_ece without the 1e-4 that guards its division."""
        t = np.linspace(0, 1, max(round(10 / bandwidth), 200))
        rest, density = ReflectedGaussianKernel(bandwidth).smooth(confidence, confidence - right, t, eps=0)
        return np.sum(np.abs(rest) * density) / np.sum(density)

    smooth, bandwidth = relplot.smECE(confidence, right, return_width=True)
    return {
        "baal bald": BALD().compute_score(for_baal),
        "baal entropy": Entropy().compute_score(for_baal),
        "modal entropy": modal._entropy(list(g["samples"])),
        "modal variation ratio": modal._variation_ratios(list(g["samples"])),
        "modal mean std": modal._mean_standard_deviation(list(g["samples"])),
        "tfp brier": tfp.stats.brier_score(y, np.log(p)),
        "tfp brier uncertainty and reliability": [parts[0], parts[2]],
        "tfp brier resolution": parts[1],
        "relplot smece": smooth,
        "relplot smece without guard": smoothed(bandwidth),
        "relplot smece at 0.1": smoothed(0.1),
    }


def of_acquisition(g):
    import torch
    from baal.active.heuristics import EPIG
    from batchbald_redux.batchbald import get_batchbald_batch

    pool, targets = np.moveaxis(g["samples"][:, :50], 0, -1), np.moveaxis(g["samples"][:, 50:], 0, -1)
    log_p = torch.tensor(np.log(g["samples"])).transpose(0, 1)  # (N, T, C)
    batch = get_batchbald_batch(log_p, 4, 100_000, dtype=torch.float64, device="cpu")
    return {
        "baal epig": EPIG().compute_score(pool, targets),
        "batchbald_redux rows": batch.indices,
        "batchbald_redux scores": batch.scores,
    }


def of_mapie(g):
    from mapie.utils import _compute_classification_quantile

    scores = np.arange(1.0, 20.0)
    return {"mapie rank of 19 at 0.7": _compute_classification_quantile(scores[:, None], np.array([0.7]))}


def plain(value):
    return np.asarray(value, np.float64).tolist()


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    given = inputs()
    expected = {}
    for library in (of_torch, of_netcal, of_uncertainty_toolbox, of_scores, of_others, of_acquisition, of_mapie):
        expected |= library(given)
    content = {
        "inputs": {n: plain(v) for n, v in given.items()},
        "expected": {n: plain(v) for n, v in expected.items()},
    }
    Path(__file__).with_name("uncertainty.json").write_text(json.dumps(content) + "\n")
