"""Deep ensembles: several nets that predict a mean and a variance each, trained as one stack, read as a mixture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
from .normal_prediction import NormalPrediction

VARIANCE_FLOOR = 1e-6  # as Lakshminarayanan et al. have it


def mixture(means: Any, variances: Any) -> NormalPrediction:
    """The equal mixture of M normal distributions at each of N points, as one prediction with exact moments.

    Math: mean = mean_m mu_m; variance = mean_m s_m^2 + mean_m mu_m^2 - mean^2, its parts aleatoric and epistemic. The
        paper scores the normal distribution with these moments: `log_prob(y, kind="moment")`.
    Shapes: means and variances (M, N). Dtypes: float64 inside.
    Raises: ValueError where the shapes differ, there is no member, or a variance is not above 0.
    Reference: Lakshminarayanan, Pritzel & Blundell, "Simple and scalable predictive uncertainty estimation using deep
        ensembles" (2017).

    >>> mixture([[0.0], [2.0]], [[1.0], [3.0]]).total_variance
    array([3.])
    """
    means, variances = np.asarray(means, np.float64), np.asarray(variances, np.float64)
    if means.shape != variances.shape or means.ndim != 2 or not len(means):
        raise ValueError(
            f"mixture: expected means and variances (M, N), got shapes {means.shape} and {variances.shape}"
        )
    if not (variances > 0).all():
        raise ValueError("mixture: variances must be above 0; somewhere one is not")
    return NormalPrediction(means, np.full((len(means), 1), 1 / len(means)), variances=variances)


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
    >>> near, far = p.epistemic_variance                                       # it knows less far from the data
    >>> bool(abs(p.mean[0] - 0.5) < 0.1), bool(far > near)
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

    def predict(self, x: Any) -> NormalPrediction:
        """The mixture at x (N, D), every member in eval mode."""
        if not self.fitted:
            raise RuntimeError("DeepEnsemble: call fit(x, y) first")
        return predict_mixture(self.members, x)


def predict_mixture(members: Sequence[Module], x: Any) -> NormalPrediction:
    """The mixture of trained nets with two heads at x (N, D), each in eval mode; they are put into it."""
    with no_grad():
        heads = [mean_and_variance(member.eval()(x)) for member in members]
    return mixture(*(np.stack([each.numpy() for each in part]) for part in zip(*heads, strict=True)))
