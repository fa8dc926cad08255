"""Deep ensembles: several nets that predict a mean and a variance each, trained as one stack, read as a mixture."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import ops
from ..nn.data import Batches
from ..nn.losses import gaussian_nll
from ..nn.module import Module
from ..nn.stacked import Stacked
from ..nn.stacked_batches import StackedBatches
from ..nn.stacked_training import train_stacked
from ..optim import Adam
from ..tensor import no_grad

VARIANCE_FLOOR = 1e-6  # as Lakshminarayanan et al. have it


@dataclass(frozen=True)
class GaussianMixture:
    """M Gaussians for each of N points, and the one Gaussian with the mixture's mean and variance. All float64.

    means, variances (M, N) the members'; mean (N,); epistemic (N,), the variance of the means, divisor M; aleatoric
    (N,), the mean of the variances.
    """

    means: np.ndarray
    variances: np.ndarray
    mean: np.ndarray
    epistemic: np.ndarray
    aleatoric: np.ndarray

    @property
    def variance(self) -> np.ndarray:
        """The total: epistemic + aleatoric. (N,)"""
        return self.epistemic + self.aleatoric

    def log_density(self, y: Any) -> np.ndarray:
        """log N(y; mean, variance), of the one Gaussian: what the tables of the literature score. (N,)"""
        z = np.asarray(y, np.float64) - self.mean
        return -0.5 * (np.log(2 * math.pi * self.variance) + z * z / self.variance)


def moment_matched(means: Any, variances: Any) -> GaussianMixture:
    """The equal mixture of Gaussians, and the Gaussian of its moments.

    Math: mean = mean_m mu_m; variance = mean_m s_m^2 + mean_m mu_m^2 - mean^2, its two parts aleatoric and epistemic.
    Shapes: means and variances (M, N). Dtypes: float64 inside.
    Raises: ValueError where the shapes differ, there is no member, or a variance is not above 0.
    Reference: Lakshminarayanan, Pritzel & Blundell, "Simple and scalable predictive uncertainty estimation using deep
        ensembles" (2017).

    >>> moment_matched([[0.0], [2.0]], [[1.0], [3.0]]).variance
    array([3.])
    """
    means, variances = np.asarray(means, np.float64), np.asarray(variances, np.float64)
    if means.shape != variances.shape or means.ndim != 2 or not len(means):
        raise ValueError(
            f"moment_matched: expected means and variances (M, N), got shapes {means.shape} and {variances.shape}"
        )
    if not (variances > 0).all():
        raise ValueError("moment_matched: variances must be above 0; somewhere one is not")
    return GaussianMixture(means, variances, means.mean(axis=0), means.var(axis=0), variances.mean(axis=0))


def mean_and_variance(outputs: Any) -> tuple[Any, Any]:
    """The two heads: mean outputs[..., 0] and variance softplus(outputs[..., 1]) + 1e-6. (..., 2) -> (...) each.

    Raises: ValueError for a last axis that is not 2.
    """
    if outputs.shape[-1] != 2:
        raise ValueError(f"mean_and_variance: the net needs 2 outputs, mean and variance, got shape {outputs.shape}")
    return ops.take(outputs, index=(..., 0)), ops.softplus(ops.take(outputs, index=(..., 1))) + VARIANCE_FLOOR


def heads_nll(outputs: Any, target: Any, weight: Any = None) -> Any:
    """`nn.gaussian_nll` of the two heads: outputs (..., 2), target (...)."""
    return gaussian_nll(*mean_and_variance(outputs), target, weight)


class DeepEnsemble:
    """M nets with a mean and a variance head, each from its own first numbers, on the same data in its own order.

    Math: every net minimises -log N(y; mean(x), variance(x)) by Adam; the prediction is their equal mixture. All M are
        one stack. Inputs and targets should be scaled to a spread of about 1; that is the caller's.
    build: makes a net (N, D) -> (N, 2), without a seed. seeds: one for each member.
    Draws: member m draws its first numbers, its masks if it drops anything, and the order of its data from seeds[m].
    Raises: TypeError for a net that cannot be stacked; RuntimeError for a prediction before `fit`.
    Reference: Lakshminarayanan, Pritzel & Blundell (2017), without their adversarial training.

    >>> from puredrop import nn
    >>> x = np.linspace(-1, 1, 100, dtype=np.float32)[:, None]
    >>> build = lambda: nn.Sequential(nn.Linear(1, 20), nn.ReLU(), nn.Linear(20, 2))
    >>> ensemble = DeepEnsemble(build, seeds=range(3)).fit(x, x[:, 0], epochs=60)
    >>> p = ensemble.predict(np.array([[0.5], [9.0]], np.float32))
    >>> bool(abs(p.mean[0] - 0.5) < 0.1), bool(p.epistemic[1] > p.epistemic[0])     # it knows less far from the data
    (True, True)
    """

    def __init__(self, build: Callable[[], Module], seeds: Sequence[int] = range(5)) -> None:
        self.seeds = list(seeds)
        self.members = [build().seed(seed) for seed in self.seeds]
        self.fitted = False

    def fit(self, x: Any, y: Any, epochs: int = 40, batch_size: int = 100, lr: float = 0.01) -> DeepEnsemble:
        """Train all members. Shapes: x (N, D), y (N,)."""
        if np.ndim(y) != 1 or len(y) != len(x):
            raise ValueError(f"DeepEnsemble: expected x (N, D) and y (N,), got {np.shape(x)} and {np.shape(y)}")
        batches = [Batches(x, y, batch_size=batch_size, seed=seed) for seed in self.seeds]
        stack = Stacked(self.members)
        optimizer = Adam(stack.parameters(), lr=lr)
        self.members = train_stacked(stack, optimizer, StackedBatches(batches), epochs, heads_nll)
        self.fitted = True
        return self

    def predict(self, x: Any) -> GaussianMixture:
        """The mixture at x (N, D), every member in eval mode."""
        if not self.fitted:
            raise RuntimeError("DeepEnsemble: call fit(x, y) first")
        return predict_mixture(self.members, x)


def predict_mixture(members: Sequence[Module], x: Any) -> GaussianMixture:
    """The mixture of trained nets with two heads at x (N, D), each in eval mode; they are put into it."""
    with no_grad():
        heads = [mean_and_variance(member.eval()(x)) for member in members]
    return moment_matched(*(np.stack([each.numpy() for each in part]) for part in zip(*heads, strict=True)))
