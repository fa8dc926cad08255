"""SWAG: a normal distribution of the weights, from the path that training takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..nn.module import Module
from ..nn.normalisation import BatchNorm
from ..random import Index, Key, bernoulli
from ..random.passes import Pass, entered
from ..tensor import no_grad
from ..variants.door import whole_number
from .likelihood import Likelihood, checked_likelihood, interpreted
from .parameter_vectors import (
    checked_rows,
    outputs_with,
    own_copy,
    parameter_vector,
    positive_number,
)
from .predictive import Prediction
from .prefix import placed
from .progress import Progress


class Swag:
    """Running moments of a model's weights, collected while it is trained on at a constant rate.

    Math: weights ~ N(mean, scale (diag(variance) + D D^T / (K - 1))), with D the deviations of the last K = `rank`
        weights from the mean at their time. A sample is mean + sqrt(scale) (sqrt(variance) e + D e' / sqrt(K - 1)),
        with normal e (P,) and e' (K,); scale 1/2 is the paper's. While K is below 2 it has the diagonal alone.
        (The authors' code divides by their number at most less 1, also while it holds fewer.)
    The state is saved with `state_dict`; collecting goes on from a loaded one as if nothing had been in between.
    Reference: Maddox et al., "A simple baseline for Bayesian uncertainty in deep learning" (2019).

    >>> from puredrop import nn
    >>> net = nn.Linear(1, 1).seed(0).astype(np.float64)
    >>> swag = Swag(net, rank=2)
    >>> for step in range(4):
    ...     net.bias.fill([float(step)])
    ...     swag.collect()
    >>> swag.mean[1], swag.variance[1], swag.deviations[:, 1]
    (np.float64(1.5), np.float64(1.25), array([1. , 1.5]))
    """

    def __init__(self, model: Module, rank: int = 20) -> None:
        self.rank = whole_number("Swag", "rank", rank, 0)
        self.model = model
        size = sum(parameter.size for parameter in model.parameters())
        self.collected = 0
        self.mean = np.zeros(size)
        self.squares = np.zeros(size)  # the sum of squared deviations from the mean (Welford 1962), exact to rounding
        self.deviations = np.zeros((0, size))

    def collect(self) -> None:
        """Take the weights that the model has now; the paper does so once an epoch."""
        self.model.require_parameters()
        vector = parameter_vector(self.model.parameters())
        if not np.isfinite(vector).all():
            raise ValueError(f"Swag.collect: {int((~np.isfinite(vector)).sum())} weights are not finite")
        self.collected += 1
        before = vector - self.mean
        self.mean = self.mean + before / self.collected
        self.squares = self.squares + before * (vector - self.mean)
        held = [*self.deviations, vector - self.mean]
        self.deviations = np.array(held[len(held) - min(len(held), self.rank) :]).reshape(-1, len(vector))

    @property
    def variance(self) -> np.ndarray:
        """Of the weights collected, with their number as the divisor. (P,)"""
        return self.squares / max(1, self.collected)

    def covariance(self, scale: float = 0.5) -> np.ndarray:
        """Of the distribution, (P, P)."""
        spread = self._spread()  # (K, P)
        return scale * (np.diag(self.variance) + spread.T @ spread)

    def _spread(self) -> np.ndarray:
        """D^T / sqrt(K - 1); of fewer than two deviations nothing."""
        return self.deviations[:0] if len(self.deviations) < 2 else self.deviations / np.sqrt(len(self.deviations) - 1)

    def sample(self, samples: int, key: Key, scale: float = 0.5) -> np.ndarray:
        """Weights, (samples, P). float64. Sample t is a function of the key and t alone.

        Draws: row t of normal numbers (samples, P) at the key's draw 0, and of (samples, K) at its draw 1.
        Raises: ValueError before anything was collected, or for a key that is a draw itself.
        """
        samples = whole_number("Swag.sample", "samples", samples, 1)
        positive_number("Swag.sample", "scale", scale)
        if not self.collected:
            raise ValueError("Swag.sample: no weights were collected; call .collect() while the model is trained")
        spread = self._spread()  # (K, P)
        apart = bernoulli.normal(key.draw(0), Index.whole((samples, len(self.mean)))) * np.sqrt(self.variance)
        numbers = bernoulli.normal(key.draw(1), Index.whole((samples, len(spread))))
        along = np.einsum("tk,kp->tp", numbers, spread)  # a matrix product's rounding would depend on `samples`
        return self.mean + np.sqrt(scale) * (apart + along)  # (samples, P)

    def predict(
        self,
        x: Any,
        samples: int = 30,
        *,
        key: Key,
        likelihood: Likelihood = "categorical",
        noise_variance: Any = None,
        scale: float = 0.5,
        train_x: Any = None,
        batch_size: int = 128,
        progress: Progress = None,
    ) -> Prediction:
        """What the sampled models say together; each is run as in evaluation. `likelihood` and noise as in `predict`.

        train_x: where the model has batch normalisation, the inputs that it was trained on: the statistics of each
            sampled model are computed from them, in batches of `batch_size`. Neither the model nor its state change.
        Raises: ValueError where that is missing; and as `sample` and `predict`.
        """
        noise = checked_likelihood("Swag.predict", likelihood, noise_variance, None)
        model, vectors = own_copy(self.model), self.sample(samples, key, scale)
        if _normalised(model) and train_x is None:
            raise ValueError(
                "Swag.predict: this model has batch normalisation, whose statistics fit its own weights only; give "
                "train_x, the inputs that it was trained on"
            )

        def prepared(drawn: Module) -> None:
            if _normalised(drawn):
                update_batch_norm(drawn, train_x, batch_size)

        outputs = outputs_with("Swag.predict", model, vectors, x, likelihood, progress, prepared)
        return interpreted("Swag.predict", likelihood, outputs, noise)

    def state_dict(self) -> dict[str, np.ndarray]:
        """All that collecting needs to go on."""
        held = {"mean": self.mean, "squares": self.squares, "deviations": self.deviations}
        return {"collected": np.asarray(self.collected), **{name: a.copy() for name, a in held.items()}}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue where that state stood. Raises ValueError, changing nothing, for another model or rank."""
        shapes = {name: np.shape(state[name]) for name in ("mean", "squares", "deviations")}
        size, held = len(self.mean), min(self.rank, int(state["collected"]))
        if shapes != {"mean": (size,), "squares": (size,), "deviations": (held, size)}:
            raise ValueError(f"Swag: this state is of another model or rank, nothing was loaded: {shapes}")
        self.collected = int(state["collected"])
        self.mean, self.squares, self.deviations = (np.array(state[name], np.float64) for name in shapes)


def _normalised(model: Module) -> list[BatchNorm]:
    """The layers whose running statistics depend on the weights."""
    return [m for m in model.modules() if isinstance(m, BatchNorm) and m.running_mean is not None]


def update_batch_norm(model: Module, x: Any, batch_size: int = 128) -> None:
    """Set the running statistics of batch normalisation to those of x under the present weights.

    Math: the mean over batches of the means, and of the variances with divisor n - 1, in train mode: dropout draws too,
        as it did in training. The model's modes and random state are left as they were. A last batch of one row, which
        has no variance, is left out.
    Raises: ValueError for fewer than two rows, or batch_size below 2.

    >>> from puredrop import nn
    >>> net = nn.BatchNorm1d(1).seed(0)
    >>> update_batch_norm(net, np.array([[0.0], [2.0], [4.0], [8.0]]), batch_size=2)
    >>> net.running_mean.tolist(), net.running_var.tolist()
    ([3.5], [5.0])
    """
    x, batch_size = checked_rows("update_batch_norm", x), whole_number("update_batch_norm", "batch_size", batch_size, 2)
    if len(x) < 2:
        raise ValueError(f"update_batch_norm: the statistics of a batch need two rows or more, got {len(x)}")
    layers, random_state = _normalised(model), model.random_state()
    before = [layer.momentum for layer in layers]
    for layer in layers:
        layer.momentum = None  # the mean over all batches
        for buffer in (layer.running_mean, layer.running_var, layer.num_batches_tracked):
            buffer.reset()
    try:
        with no_grad():
            for start in range(0, len(x) - 1, batch_size):
                with entered(Pass(mode="train")):
                    model(placed(x[start : start + batch_size], model.backend))
    finally:
        model.load_random_state(random_state)
        for layer, momentum in zip(layers, before, strict=True):
            layer.momentum = momentum
