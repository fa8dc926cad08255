"""The Laplace approximation: a normal distribution of the weights, as wide as the data leave them.

The curvature is the generalised Gauss-Newton matrix, exact, from Jacobians of each example. It is decomposed once; so
the marginal likelihood is a sum over eigenvalues, and choosing prior and noise by it costs nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, NamedTuple

import numpy as np

from ..nn.module import Module, Parameter
from ..ops import softmax
from ..random import Index, Key, bernoulli
from ..variants.door import whole_number
from .categorical import CategoricalPrediction
from .closed_form import GaussianFunctionPrediction, ProbabilitiesAlone
from .door import finite
from .jacobians import Block, jacobian_blocks
from .normal_prediction import NormalPrediction
from .parameter_vectors import (
    Fixed,
    checked_noise,
    checked_rows,
    checked_targets,
    log_likelihood,
    one_output,
    own_copy,
    parameter_vector,
    positive_number,
)
from .predictive import Prediction
from .progress import Progress, told

Structure = Literal["full", "diagonal"]
Method = Literal["exact", "probit", "monte_carlo"]

LIMIT = 20_000  # parameters of a full curvature: 3 GB, and as much again to decompose it


class Evidence(NamedTuple):
    """What the data say at the weights: log p(y | weights), and of numbers the squared error and their count."""

    log_likelihood: float
    squared_error: float
    numbers: int


@dataclass(frozen=True, eq=False)
class Laplace:
    """A normal distribution of weights around those of a trained model; `fit_laplace` makes it.

    Math: weights ~ N(mean, (G / noise_variance + prior_precision I)^-1), with G the Gauss-Newton matrix of the data at
        unit noise (for classes there is no noise). G = vectors diag(curvatures) vectors^T; vectors None: G's diagonal.
    """

    model: Module
    parameters: tuple[Parameter, ...]  # those that are uncertain, of this model
    likelihood: Fixed
    curvatures: np.ndarray
    vectors: np.ndarray | None
    evidence: Evidence
    prior_precision: float
    noise_variance: float | None

    @cached_property
    def mean(self) -> np.ndarray:
        """The weights of the trained model. (P,)"""
        return parameter_vector(self.parameters)

    @property
    def precisions(self) -> np.ndarray:
        """Of the posterior, along the vectors. (P,)"""
        return self.curvatures / (self.noise_variance or 1.0) + self.prior_precision

    @property
    def covariance(self) -> np.ndarray:
        """Of the weights. (P, P)"""
        if self.vectors is None:
            return np.diag(1 / self.precisions)
        return (self.vectors / self.precisions) @ self.vectors.T

    @property
    def effective_parameters(self) -> float:
        """How many directions the data determine: the sum of 1 - prior_precision / precision (MacKay 1992)."""
        return float((1 - self.prior_precision / self.precisions).sum())

    @property
    def log_marginal_likelihood(self) -> float:
        """log p(y), the evidence for this model, prior and noise.

        Math: log p(y | w) - prior_precision |w|^2 / 2 - (log det precision - P log prior_precision) / 2.
        """
        shrunk = 0.5 * self.prior_precision * float(self.mean @ self.mean)
        return self.evidence.log_likelihood - shrunk - 0.5 * float(np.log(self.precisions / self.prior_precision).sum())

    def optimised(self, noise: bool = True) -> Laplace:
        """The same with the prior precision, and for numbers the noise, of the largest marginal likelihood.

        Math: in the logarithms of both that is a concave function, so Newton's method finds its only maximum. The
            weights stay where they are: train on with the new prior, and fit again, where they would move much.
        Raises: ValueError where there is no maximum: all weights 0, or no error at all on the training data.
        Reference: MacKay, "A practical Bayesian framework for backpropagation networks" (1992); Immer et al., "Scalable
            marginal likelihood estimation for model selection in deep learning" (2021).
        """
        noise = noise and self.likelihood == "gaussian"
        if not self.mean.any():
            raise ValueError("optimised: all weights are 0, so the best prior precision would be infinite")
        if noise and self.evidence.squared_error == 0:
            raise ValueError("optimised: no error on the data, so the best noise would be 0; write noise=False")
        start = np.log([self.prior_precision, 1 / (self.noise_variance or 1.0)])
        prior, precision = np.exp(maximum(lambda at: self._slopes(at, noise), start))
        return self.with_prior(float(prior), float(1 / precision) if noise else self.noise_variance)

    def with_prior(self, prior_precision: float, noise_variance: float | None = None) -> Laplace:
        """The same with another prior precision, and for numbers another noise where one is given."""
        positive_number("with_prior", "prior_precision", prior_precision)
        changed = replace(self, prior_precision=prior_precision)
        if self.likelihood != "gaussian" or noise_variance is None:
            return changed
        positive_number("with_prior", "noise_variance", noise_variance)
        return replace(changed, noise_variance=noise_variance, evidence=_evidence(self.evidence, noise_variance))

    def _slopes(self, at: np.ndarray, noise: bool) -> tuple[np.ndarray, np.ndarray]:
        """Gradient and Hessian of the log marginal likelihood by log prior precision and log noise precision."""
        prior, precision = np.exp(at)
        shares = self.curvatures * precision / (self.curvatures * precision + prior)  # (P,): of the data
        half_norm, half_error = prior * (self.mean @ self.mean) / 2, precision * self.evidence.squared_error / 2
        bend = (shares * (1 - shares)).sum() / 2
        slope = np.array([shares.sum() / 2 - half_norm, self.evidence.numbers / 2 - half_error - shares.sum() / 2])
        hessian = np.array([[-half_norm - bend, bend], [bend, -half_error - bend]])
        return (slope, hessian) if noise else (slope * [1, 0], np.diag([hessian[0, 0], -1.0]))

    def sample(self, samples: int, key: Key) -> np.ndarray:
        """Weights of the posterior, (samples, P). float64. Draws: samples x P normal numbers at `key`."""
        samples = whole_number("Laplace.sample", "samples", samples, 1)
        return self.mean + self._deviations(samples, key)

    def _deviations(self, samples: int, key: Key) -> np.ndarray:
        z = bernoulli.normal(key, Index.whole((samples, len(self.mean)))) / np.sqrt(self.precisions)
        return z if self.vectors is None else z @ self.vectors.T

    def predict(
        self, x: Any, method: Method | None = None, *, samples: int = 100, key: Key | None = None
    ) -> Prediction:
        """What the model says that is linear in its weights, around those it was trained to.

        Math: f(x) = f_trained(x) + J(x) (w - mean), so f is normal, with the covariance J C J^T.
            method: "exact", for numbers (the default there): y is normal. "probit", for classes (the default there):
            softmax(f / sqrt(1 + pi / 8 Var f)), of each logit, which knows the mean alone. "monte_carlo": `samples`
            draws of w at `key`, each one function for all inputs.
        Shapes: x (N, ...). Draws: for "monte_carlo" as `sample`.
        Raises: ValueError for a method that does not go with the likelihood, or Monte-Carlo without a key.
        Reference: Immer, Korzepa & Bauer, "Improving predictions of Bayesian neural nets via local linearization"
            (2021); MacKay, "The evidence framework applied to classification networks" (1992), for the probit.
        """
        method = self._checked(method, key)
        x = checked_rows("Laplace.predict", x)
        shape = one_output("Laplace.predict", self.model, x[:1]).shape[1:]
        blocks = jacobian_blocks("Laplace.predict", self.model, self.parameters, x)
        if method != "monte_carlo":
            return self._closed(blocks, shape)
        assert key is not None
        deviations = self._deviations(whole_number("Laplace.predict", "samples", samples, 1), key)  # (T, P)
        parts = [b.outputs + np.einsum("nkp,tp->tnk", b.jacobian, deviations, optimize=True) for b in blocks]
        return self._interpreted(np.concatenate(parts, axis=1).reshape(samples, len(x), *shape))

    def _checked(self, method: Method | None, key: Key | None) -> Method:
        exact: Method = "exact" if self.likelihood == "gaussian" else "probit"
        method = method or exact
        if method not in (exact, "monte_carlo"):
            raise ValueError(
                f"Laplace.predict: method must be {exact!r} or 'monte_carlo' for likelihood={self.likelihood!r}, got "
                f"{method!r}"
            )
        if method == "monte_carlo" and key is None:
            raise ValueError("Laplace.predict: method='monte_carlo' draws; give a key, such as Key(seed=0)")
        return method

    def _closed(self, blocks: Iterator[Block], shape: Sequence[int]) -> Prediction:
        means, variances = zip(*((b.outputs, self._output_variances(b.jacobian)) for b in blocks), strict=True)
        mean = np.concatenate(means).reshape(-1, *shape)
        variance = np.concatenate(variances).reshape(-1, *shape)
        if self.likelihood == "gaussian":
            return GaussianFunctionPrediction.of(mean, variance, self.noise_variance)
        return ProbabilitiesAlone(softmax(mean / np.sqrt(1 + np.pi / 8 * variance), backend="numpy")[None])

    def _output_variances(self, jacobian: np.ndarray) -> np.ndarray:
        """The diagonal of J C J^T. (n, K)"""
        along = jacobian if self.vectors is None else jacobian @ self.vectors  # (n, K, P)
        return (along**2 / self.precisions).sum(axis=-1)

    def _interpreted(self, outputs: np.ndarray) -> Prediction:
        if self.likelihood == "categorical":
            return CategoricalPrediction(softmax(outputs, backend="numpy"))
        return NormalPrediction(outputs, variances=np.broadcast_to(np.float64(self.noise_variance or 0), outputs.shape))


def fit_laplace(
    model: Module,
    x: Any,
    y: Any,
    *,
    likelihood: Fixed = "categorical",
    noise_variance: float | None = None,
    prior_precision: float = 1.0,
    structure: Structure = "full",
    weights: Literal["all", "last_layer"] | Sequence[Parameter] = "all",
    progress: Progress = None,
) -> Laplace:
    """The Laplace approximation of a trained model's posterior, with the data that it was trained on.

    Math: curvature sum_n J_n^T L_n J_n, with J_n the Jacobian of example n by the weights, and L_n = diag(p) - p p^T
        for classes, I / noise_variance for numbers; prior N(0, I / prior_precision). The model is taken to be at the
        maximum of that posterior: a loss of the sum of -log p(y | x) and prior_precision |w|^2 / 2. For a linear model
        with normal noise that is exact.
    likelihood: "categorical": logits (N, C), y classes (N,). "gaussian": y numbers, with `noise_variance`.
    structure: "full", or the "diagonal" of the curvature. weights: which of them are uncertain: "all", those of the
        "last_layer" (the last module with parameters, in tree order), or a list of the model's parameters.
    The model is copied, and used as in evaluation. Cost: a backward pass for each example and output; P^3 for "full".
    Raises: ValueError for more than 20,000 parameters in full, or targets that do not fit; TypeError for several
        results; RuntimeError for an unseeded model.
    Reference: MacKay (1992); Daxberger et al., "Laplace redux: effortless Bayesian deep learning" (2021).

    >>> from puredrop import nn
    >>> x = np.linspace(-1, 1, 20)[:, None]
    >>> net = nn.Sequential(nn.Linear(1, 4), nn.Tanh(), nn.Linear(4, 1)).seed(0).astype(np.float64)
    >>> la = fit_laplace(net, x, np.sin(x), likelihood="gaussian", noise_variance=0.1).optimised(noise=False)
    >>> near, far = la.predict(np.array([[0.0], [9.0]])).epistemic_variance[:, 0]
    >>> bool(near < far)
    True
    """
    noise = checked_noise("fit_laplace", likelihood, noise_variance)
    positive_number("fit_laplace", "prior_precision", prior_precision)
    if structure not in ("full", "diagonal"):
        raise ValueError(f"fit_laplace: structure must be 'full' or 'diagonal', got {structure!r}")
    places = _places(model, weights)
    x, own = checked_rows("fit_laplace", x), own_copy(model)
    chosen = tuple(own.parameters()[i] for i in places)
    _require_room(structure, sum(parameter.size for parameter in chosen))
    outputs = finite("fit_laplace", "the model's output", one_output("fit_laplace", own, x))
    y = checked_targets("fit_laplace", likelihood, y, outputs.shape)
    curvatures, vectors = _curvature(own, chosen, x, likelihood, structure, progress)
    evidence = _at_the_weights(likelihood, outputs, y, noise)
    return Laplace(own, chosen, likelihood, curvatures, vectors, evidence, float(prior_precision), noise)


def _places(model: Module, weights: Any) -> list[int]:
    """The numbers of the chosen parameters among those of the model."""
    numbers = {id(parameter): i for i, parameter in enumerate(model.parameters())}
    if weights == "all":
        return list(numbers.values())
    if weights == "last_layer":
        weights = next(own for m in reversed(list(model.modules())) if (own := _of_itself(m)))
    elif isinstance(weights, str) or not all(id(parameter) in numbers for parameter in weights):
        raise ValueError(
            f"fit_laplace: weights must be 'all', 'last_layer' or parameters of the model, got {weights!r}"
        )
    return [numbers[id(parameter)] for parameter in weights]


def _of_itself(module: Module) -> list[Parameter]:
    return [value for value in vars(module).values() if isinstance(value, Parameter)]


def _require_room(structure: Structure, numbers: int) -> None:
    if structure == "full" and numbers > LIMIT:
        raise ValueError(
            f"fit_laplace: a full curvature of {numbers} parameters has {numbers}^2 elements, more than {LIMIT}^2; "
            f"write structure='diagonal' or weights='last_layer'"
        )


def _curvature(
    model: Module,
    chosen: Sequence[Parameter],
    x: np.ndarray,
    likelihood: Fixed,
    structure: Structure,
    progress: Progress,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Eigenvalues and vectors of the Gauss-Newton matrix at unit noise; its diagonal, and None."""
    numbers = sum(parameter.size for parameter in chosen)
    total = np.zeros((numbers, numbers) if structure == "full" else numbers)
    with told(progress, "fit_laplace", len(x)) as tell:
        for block in jacobian_blocks("fit_laplace", model, chosen, x):
            root = _root(likelihood, block).reshape(-1, numbers)  # (n K, P)
            total += root.T @ root if structure == "full" else (root**2).sum(axis=0)
            tell(block.rows.stop)
    if structure == "diagonal":
        return total, None
    values, vectors = np.linalg.eigh(total)
    return values.clip(0.0), vectors  # rounding makes some of the zeros negative


def _root(likelihood: Fixed, block: Block) -> np.ndarray:
    """R with R^T R = J^T L J of each example: for classes S^T J, S = diag(q) - p q^T, q = sqrt(p). (n, K, P)"""
    if likelihood == "gaussian":
        return block.jacobian
    p = softmax(block.outputs, backend="numpy")  # (n, C)
    q = np.sqrt(p)
    mean = np.einsum("nc,ncp->np", p, block.jacobian)
    return q[:, :, None] * (block.jacobian - mean[:, None])


def _at_the_weights(likelihood: Fixed, outputs: np.ndarray, y: np.ndarray, noise: float | None) -> Evidence:
    if likelihood == "categorical":
        return Evidence(log_likelihood(likelihood, outputs, y, noise)[0], 0.0, 0)
    assert noise is not None
    return _evidence(Evidence(0.0, float(((outputs - y) ** 2).sum()), y.size), noise)


def _evidence(evidence: Evidence, noise: float) -> Evidence:
    """That of numbers, with this noise."""
    log_density = -0.5 * (evidence.squared_error / noise + evidence.numbers * math.log(2 * math.pi * noise))
    return evidence._replace(log_likelihood=log_density)


def maximum(
    slopes: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]], start: np.ndarray, steps: int = 500
) -> np.ndarray:
    """Where a strictly concave function has its maximum, by Newton's method with steps of at most 2.

    Raises: ValueError where it finds none.
    """
    at = start
    for _ in range(steps):
        slope, hessian = slopes(at)
        step = -np.linalg.solve(hessian, slope)
        at = at + step * min(1.0, 2 / max(2e-300, np.abs(step).max()))
        if np.abs(step).max() < 1e-9:  # and so, by quadratic convergence, at the limit of rounding
            return at
    raise ValueError(f"optimised: no maximum of the marginal likelihood within {steps} steps, now at {np.exp(at)}")
