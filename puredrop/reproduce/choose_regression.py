"""The methods on regression sets: each is a function from inputs to a `NormalPrediction`, and what it took.

Dropout is that of the table "uci", with the published rates and precisions. The one net is the same without dropout;
its noise is the mean squared error on the training rows. Laplace is the full Gauss-Newton matrix of that net, with
noise and prior of the largest marginal likelihood. The ensemble is five such nets: the variance between them beside
the mean squared error of their mean on the training rows. The brief one is that of the table "ensembles", with a mean
and a variance from each net, in its few epochs.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from .. import nn, optim
from ..uncertainty import (
    GaussianFunctionPrediction,
    GaussianProcess,
    Laplace,
    NormalPrediction,
    fit_gaussian_process,
    fit_laplace,
    heads_nll,
    mace,
    predict,
    predict_mixture,
)
from . import ensembles, uci
from .costs import entry, numbers_of, timed, timed_once, warm_up
from .mnist import logits
from .sets import RegressionSet, load_sets
from .table import Protocol
from .training import Job, Scaling, Workshop, trained

NAMES = ("yacht", "energy")
SPLITS = 5
MEMBERS = 5
SAMPLES = 100

Told = Callable[[int, int], None]
Predict = Callable[[np.ndarray], NormalPrediction]


class Fold:
    """One split: inputs and targets of training in the scale of the net, and how to go back."""

    def __init__(self, data: RegressionSet, number: int) -> None:
        self.data, self.number, self.split = data, number, data.splits[number]
        self.inputs, self.targets = Scaling(data.x[self.split.train]), Scaling(data.y[self.split.train])
        self.x, self.y = self.inputs.of(data.x[self.split.train]), self.targets.of(data.y[self.split.train])

    def entry(self, predict: Predict, training: float, memory: float) -> dict[str, Any]:
        """What the prediction of the test rows is worth. The seconds of prediction are those of all rows."""
        test, spread = self.split.test, float(self.targets.spread)
        _, seconds = timed(partial(predict, self.inputs.of(self.data.x)))
        found = predict(self.inputs.of(self.data.x[test]))
        y = ((self.data.y[test] - self.targets.mean) / spread).reshape(found.mean.shape)
        scores = {
            "rmse": uci.rmse(self.targets.back(found.mean).ravel(), self.data.y[test]),
            "nll": float(np.log(spread) - found.log_prob(y).mean()),
            "calibration": mace(found.cdf(y).ravel(), kind="interval"),
        }
        return entry(scores, training, seconds, memory)


def load(folder: Path | None, names: Sequence[str] | None) -> list[RegressionSet]:
    """Raises as `load_sets`; ValueError for a set without published rates."""
    found = list(load_sets(folder, list(names or NAMES)))
    for data in found:
        if data.published is None:
            raise ValueError(f"the set {data.name!r} has no published rates and precisions, which dropout takes here")
    return found


def measured(data: RegressionSet, protocol: Protocol, workshop: Workshop) -> dict[str, list[dict[str, Any]]]:
    """For each method what it gave and what it cost, split by split."""
    folds = [Fold(data, number) for number in range(min(SPLITS, len(data.splits)))]
    found: dict[str, list[dict[str, Any]]] = {}
    for kind, compute in KINDS.items():

        def told(done: int, total: int, kind: str = kind) -> None:
            workshop.tell(data.name, done, total, kind)

        facts = [data.name, data.digest(), vars(protocol), len(folds), kind]
        found |= workshop.kept("choose", facts, partial(compute, folds, protocol, told))
    return found


def _of_one_net(folds: list[Fold], protocol: Protocol, told: Told, checkpoint: Path) -> dict[str, Any]:
    """A net without dropout, in one pass and with Laplace's approximation."""
    models, seconds = _trained(folds, [0.0] * len(folds), protocol, told, checkpoint)
    found: dict[str, list[dict[str, Any]]] = {"one pass": [], "Laplace, all layers": []}
    for fold, model in zip(folds, models, strict=True):
        noise = float(np.mean((logits(model, fold.x)[:, 0] - fold.y) ** 2))
        found["one pass"].append(fold.entry(partial(_one_pass, model, noise), seconds, 1.0))
        laplace, more = timed_once(partial(_laplace, model, fold, noise))
        assert laplace.vectors is not None
        memory = 1 + (laplace.curvatures.size + laplace.vectors.size) / numbers_of(model)
        found["Laplace, all layers"].append(fold.entry(partial(_exact, laplace), seconds + more, memory))
    return found


def _of_dropout(folds: list[Fold], protocol: Protocol, told: Told, checkpoint: Path) -> dict[str, Any]:
    """At the published rates; the published precisions give the noise."""
    rates, precisions = _published(folds)
    models, seconds = _trained(folds, rates, protocol, told, checkpoint)
    samples = protocol.samples or SAMPLES

    def of(fold: Fold, model: nn.Module, tau: float) -> dict[str, Any]:
        noise = 1 / tau / float(fold.targets.spread) ** 2
        return fold.entry(partial(_mean_of_samples, model, samples, noise), seconds, 1.0)

    return {
        f"dropout, {samples} samples": [
            of(fold, model, tau) for fold, model, tau in zip(folds, models, precisions, strict=True)
        ]
    }


def _of_ensemble(folds: list[Fold], protocol: Protocol, told: Told, checkpoint: Path) -> dict[str, Any]:
    """Five of the nets without dropout for each split, each trained as the one net is."""
    models, seconds = _trained(folds, [0.0] * len(folds), protocol, told, checkpoint, MEMBERS)

    def of(fold: Fold, members: list[nn.Module]) -> dict[str, Any]:
        noise = float(np.mean((_of_members(members, fold.x).mean(axis=0)[:, 0] - fold.y) ** 2))
        return fold.entry(partial(_mean_of_members, members, noise), seconds, float(MEMBERS))

    found = [of(fold, models[i * MEMBERS : (i + 1) * MEMBERS]) for i, fold in enumerate(folds)]
    return {f"ensemble of {MEMBERS}": found}


def _of_brief_ensemble(folds: list[Fold], protocol: Protocol, told: Told, checkpoint: Path) -> dict[str, Any]:
    """Five nets with a mean and a variance for each split, all as one stack."""
    data = folds[0].data
    seeds = [protocol.seed * 1_000_000 + number for number in range(len(folds) * MEMBERS)]
    each = [fold for fold in folds for _ in range(MEMBERS)]
    models = [ensembles.net(data.x.shape[1], data.hidden).seed(seed) for seed in seeds]
    batches = [nn.Batches(f.x, f.y, batch_size=ensembles.BATCH, seed=seed) for f, seed in zip(each, seeds, strict=True)]
    rate = ensembles.LEARNING_RATE
    job = Job(models, batches, protocol.epochs or data.epochs, heads_nll, lambda s: optim.Adam(s.parameters(), lr=rate))
    warm_up(replace(job, batches=[nn.Batches(f.x[:2], f.y[:2], batch_size=2) for f in each], epochs=1))
    members, seconds = trained(job, checkpoint, told)
    memory = MEMBERS * numbers_of(members[0]) / numbers_of(uci.net(data.x.shape[1], data.hidden, 0.0).seed(0))
    found = [
        fold.entry(partial(predict_mixture, members[i * MEMBERS : (i + 1) * MEMBERS]), seconds / len(folds), memory)
        for i, fold in enumerate(folds)
    ]
    return {f"brief ensemble of {MEMBERS}": found}


def _of_gaussian_process(folds: list[Fold], protocol: Protocol, told: Told, checkpoint: Path) -> dict[str, Any]:
    return {"Gaussian process": list(_processes(folds, told))}


def _processes(folds: list[Fold], told: Told) -> Iterator[dict[str, Any]]:
    import_module("sklearn.gaussian_process")  # which takes longer than a fit does
    for number, fold in enumerate(folds):
        process, seconds = timed_once(partial(_process, fold))
        data, kept = fold.data, process.regressor
        weights = numbers_of(uci.net(data.x.shape[1], data.hidden, 0.0).seed(0))
        memory = (kept.X_train_.size + kept.alpha_.size + kept.L_.size) / weights
        yield fold.entry(process.predict, seconds, memory)
        told(number + 1, len(folds))


KINDS: dict[str, Callable[..., dict[str, list[dict[str, Any]]]]] = {
    "one net": _of_one_net,
    "dropout": _of_dropout,
    "ensemble": _of_ensemble,
    "brief ensemble": _of_brief_ensemble,
    "Gaussian process": _of_gaussian_process,
}


def _trained(
    folds: list[Fold], rates: Sequence[float], protocol: Protocol, told: Told, checkpoint: Path, members: int = 1
) -> tuple[list[nn.Module], float]:
    """By the protocol of the table "uci", so many nets for each split, all as one stack; and the seconds of a split."""
    data, (_, precisions) = folds[0].data, _published(folds)
    each = [(f, p, t) for f, p, t in zip(folds, rates, precisions, strict=True) for _ in range(members)]
    seeds = [protocol.seed * 1_000_000 + number for number in range(len(each))]
    batches = [
        nn.Batches(fold.x, fold.y[:, None], batch_size=uci.BATCH, seed=seed)
        for (fold, _, _), seed in zip(each, seeds, strict=True)
    ]
    models = [uci.net(data.x.shape[1], data.hidden, p).seed(seed) for (_, p, _), seed in zip(each, seeds, strict=True)]
    decays = np.array([uci.decay(p, t, len(f.x)) for f, p, t in each])

    def optimizer(stack: nn.Stacked) -> optim.Adam:
        decay: list[Any] = [decays.reshape(-1, 1, 1) if p.ndim > 2 else 0.0 for p in stack.parameters()]  # no biases
        return optim.Adam(stack.parameters(), lr=1e-3, eps=1e-7, weight_decay=decay)

    job = Job(models, batches, protocol.epochs or uci.EPOCH_FACTOR * data.epochs, nn.mse, optimizer)
    warm_up(replace(job, batches=[nn.Batches(f.x[:2], f.y[:2, None], batch_size=2) for f, _, _ in each], epochs=1))
    nets, seconds = trained(job, checkpoint, told)
    return nets, seconds / len(folds)


def _published(folds: list[Fold]) -> tuple[list[float], list[float]]:
    """Rates and precisions of these splits."""
    known = folds[0].data.published
    assert known is not None
    return [float(known.p[f.number]) for f in folds], [float(known.tau[f.number]) for f in folds]


def _one_pass(model: nn.Module, noise: float, x: np.ndarray) -> NormalPrediction:
    mean = logits(model, x)  # (N, 1)
    return GaussianFunctionPrediction.of(mean, np.zeros_like(mean), noise)


def _mean_of_samples(model: nn.Module, samples: int, noise: float, x: np.ndarray) -> NormalPrediction:
    return predict(model, x, samples, likelihood="gaussian", noise_variance=noise)


def _of_members(members: list[nn.Module], x: np.ndarray) -> np.ndarray:
    return np.stack([logits(member, x) for member in members])  # (M, N, 1)


def _mean_of_members(members: list[nn.Module], noise: float, x: np.ndarray) -> NormalPrediction:
    each = _of_members(members, x)
    return GaussianFunctionPrediction.of(each.mean(axis=0), each.var(axis=0), noise)


def _laplace(model: nn.Module, fold: Fold, noise: float) -> Laplace:
    fitted = fit_laplace(model, fold.x, fold.y, likelihood="gaussian", noise_variance=noise, progress=False)
    return fitted.optimised()


def _exact(laplace: Laplace, x: np.ndarray) -> Any:
    return laplace.predict(x)


def _process(fold: Fold) -> GaussianProcess:
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the length scale of an input that does not matter
        return fit_gaussian_process(fold.x, fold.y)
