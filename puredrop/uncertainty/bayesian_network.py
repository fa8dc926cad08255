"""The posterior of a model's weights, by Hamiltonian Monte Carlo."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..nn.module import Module, Parameter
from ..random import Index, Key, bernoulli
from ..tensor import grad
from ..variants.door import whole_number
from .convergence import convergence_of, require_convergence
from .hmc import Chains, sample_hmc
from .likelihood import checked_likelihood, interpreted
from .parameter_vectors import (
    Fixed,
    checked_noise,
    checked_rows,
    checked_targets,
    fill_parameters,
    log_likelihood,
    one_output,
    outputs_with,
    own_copy,
    positive_number,
)
from .predictive import Prediction
from .progress import Progress


class LogPosterior:
    """log p(y | x, w) + log N(w; 0, I / prior_precision) of a model's weights w (P,), and its gradient.

    The model is copied, works in float64, and is run as in evaluation.
    Raises: as `sample_posterior`.

    >>> from puredrop import nn
    >>> posterior = LogPosterior(nn.Linear(1, 1).seed(0), [[1.0]], [2.0], "gaussian", noise_variance=1.0)
    >>> value, gradient = posterior(np.zeros(2))
    >>> gradient
    array([2., 2.])
    """

    def __init__(
        self,
        model: Module,
        x: Any,
        y: Any,
        likelihood: Fixed = "categorical",
        *,
        noise_variance: float | None = None,
        prior_precision: float = 1.0,
    ) -> None:
        self.noise = checked_noise("sample_posterior", likelihood, noise_variance)
        self.prior_precision = positive_number("sample_posterior", "prior_precision", prior_precision)
        self.likelihood: Fixed = likelihood
        self.model = own_copy(model).astype(np.float64)
        self.x = wide(checked_rows("sample_posterior", x))
        self.y = checked_targets(
            "sample_posterior", likelihood, y, one_output("sample_posterior", self.model, self.x).shape
        )

    @property
    def parameters(self) -> list[Parameter]:
        return self.model.parameters()

    def __call__(self, vector: np.ndarray) -> tuple[float, np.ndarray]:
        fill_parameters(self.parameters, vector)
        outputs = one_output("sample_posterior", self.model, self.x)
        value, by_outputs = log_likelihood(self.likelihood, outputs.numpy(), self.y, self.noise)
        by_weights = np.concatenate([g.ravel() for g in grad(outputs, self.parameters, by_outputs)])
        constant = 0.5 * len(vector) * math.log(self.prior_precision / (2 * math.pi))
        value += constant - 0.5 * self.prior_precision * float(vector @ vector)
        return value, by_weights - self.prior_precision * vector


def wide(x: np.ndarray) -> np.ndarray:
    """Floating-point numbers as float64; whole numbers, such as tokens, as they are."""
    return x.astype(np.float64) if x.dtype.kind == "f" else x


@dataclass(frozen=True, eq=False)
class Posterior:
    """Draws of a model's weights; `sample_posterior` makes it.

    Weights may be exchanged without changing a network, so chains may differ in them and still agree on what it says.
    Therefore `predict` looks at the convergence of the outputs, and `chains` tells that of the weights.
    """

    model: Module
    chains: Chains
    likelihood: Fixed
    noise_variance: float | None

    def predict(
        self,
        x: Any,
        *,
        thin: int = 1,
        r_hat: float = 1.01,
        ess: float = 400.0,
        accept_unconverged: bool = False,
        progress: Progress = None,
    ) -> Prediction:
        """What the models with all draws say together of x, or with every `thin`-th draw.

        Raises: NotConvergedError, saying why, where R-hat or the effective sample sizes of an output at x do not keep
            to the limits, or trajectories diverged, unless `accept_unconverged`.
        """
        draws = self.chains.samples[:, :: whole_number("Posterior.predict", "thin", thin, 1)]  # (chains, D, P)
        vectors = draws.reshape(-1, draws.shape[-1])
        (outputs,) = outputs_with(
            "Posterior.predict", self.model, vectors, wide(checked_rows("Posterior.predict", x)), "gaussian", progress
        )
        found = convergence_of(self._told(outputs).reshape(*draws.shape[:2], -1), int(self.chains.divergent.sum()))
        require_convergence("Posterior.predict", found, r_hat, ess, accept_unconverged)
        noise = checked_likelihood("Posterior.predict", self.likelihood, self.noise_variance, None)
        return interpreted("Posterior.predict", self.likelihood, (outputs,), noise)

    def _told(self, outputs: np.ndarray) -> np.ndarray:
        """What of the outputs matters: of logits their differences, for a shift of all changes nothing."""
        return outputs[..., 1:] - outputs[..., :1] if self.likelihood == "categorical" else outputs


def sample_posterior(
    model: Module,
    x: Any,
    y: Any,
    draws: int = 1000,
    *,
    key: Key,
    likelihood: Fixed = "categorical",
    noise_variance: float | None = None,
    prior_precision: float = 1.0,
    chains: int = 4,
    starts: Sequence[Any] | None = None,
    **options: Any,
) -> Posterior:
    """Draws of the posterior of a model's weights, by Hamiltonian Monte Carlo: what other methods approximate.

    Math: p(w | data) proportional to p(y | x, w) N(w; 0, I / prior_precision).
    likelihood: "categorical": logits (N, C), y classes (N,). "gaussian": y numbers, with `noise_variance`.
    starts: weights (chains, P); by default draws of the prior, far apart, so that chains which agree have found the
        posterior. Of the model only what it computes counts, not its weights. options: those of `sample_hmc`, such as
        warmup, leapfrogs, scales, checkpoint and executor.
    Draws: as `sample_hmc`; the starts of chain c by draw 2 at sample c + 1.
    Raises: ValueError for targets that do not fit; RuntimeError for an unseeded model; and as `sample_hmc`.
    Reference: Neal, "Bayesian learning for neural networks" (1996); Izmailov et al., "What are Bayesian neural network
        posteriors really like?" (2021).

    >>> from puredrop import nn
    >>> x = np.linspace(-1, 1, 10)[:, None]
    >>> net = nn.Linear(1, 1).seed(0)
    >>> posterior = sample_posterior(
    ...     net, x, 2 * x, 100, key=Key(0), likelihood="gaussian", noise_variance=1.0, chains=2, warmup=50, leapfrogs=8
    ... )
    >>> posterior.predict(x, r_hat=1.1, ess=50).mean.shape
    (10, 1)
    """
    density = LogPosterior(model, x, y, likelihood, noise_variance=noise_variance, prior_precision=prior_precision)
    if starts is None:
        size = sum(parameter.size for parameter in density.parameters)
        count = whole_number("sample_posterior", "chains", chains, 1)
        starts = [_normal(key, chain, size) / math.sqrt(prior_precision) for chain in range(count)]
    sampled = sample_hmc(density, np.asarray(starts), draws, key=key, **options)
    return Posterior(density.model, sampled, likelihood, density.noise)


def _normal(key: Key, chain: int, size: int) -> np.ndarray:
    return bernoulli.normal(replace(key, sample=chain + 1).draw(2), Index.whole(size))
