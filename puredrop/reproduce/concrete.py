"""Concrete dropout on a line with noise: Gal, Hron & Kendall (2017), section 4.1, by the protocol of their notebooks.

y = 2 x + 8 + noise, x and noise standard normal; three layers of 1,024 units; a mean and a log variance; concrete
dropout of what each of the five layers reads; length scale 1e-4. The more data, the smaller the rates and the epistemic
uncertainty should be, while the aleatoric stays near 1, the truth. Beside ours stand the RMSE of their notebooks for
Keras, TensorFlow and PyTorch, and the rates and uncertainties of the last: layers begin as PyTorch's do, and the
aleatoric standard deviation is theirs, of the exponential of the mean log variance. It penalises biases, and ours not.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .. import nn, ops, optim
from ..random import Index, Key
from ..random.bernoulli import normal
from ..uncertainty import predict
from .table import Comparison, Protocol, Table, column, mean_and_error, part, with_runs
from .training import Workshop, trained_alone

RATES = ("p1", "p2", "p3", "p_mean", "p_log_variance")
LABELS = {"rmse": "RMSE", "aleatoric": "aleatoric sd", "epistemic": "epistemic sd"} | {
    name: f"rate {i + 1}" for i, name in enumerate(RATES)
}
REPETITIONS = 3
UNITS = 1024
BATCH = 20
SAMPLES = 20
TEST_ROWS = 1_000
LENGTH_SCALE = 1e-4
OF_DATA = 1000  # a site that no layer has


class Published(NamedTuple):
    """For one number of examples: epochs; RMSE of three notebooks; rates, aleatoric and epistemic sd of PyTorch's."""

    epochs: int
    rmse: tuple[float, ...]
    rates: tuple[float, ...]
    aleatoric: float
    epistemic: float


PAPER = {
    10: Published(2000, (1.82, 1.60, 1.90), (0.076, 0.404, 0.403, 0.403, 0.404), 1.257, 1.278),
    25: Published(1000, (1.18, 1.19, 1.35), (0.080, 0.403, 0.402, 0.403, 0.404), 1.199, 1.081),
    50: Published(500, (1.15, 1.12, 1.24), (0.068, 0.325, 0.325, 0.325, 0.326), 1.081, 0.904),
    100: Published(200, (1.14, 1.10, 1.26), (0.073, 0.236, 0.236, 0.236, 0.236), 1.317, 0.716),
    1_000: Published(20, (1.07, 1.17, 1.04), (0.056, 0.232, 0.232, 0.232, 0.236), 1.222, 0.644),
    10_000: Published(2, (1.21, 1.13, 1.00), (0.051, 0.157, 0.158, 0.136, 0.219), 1.125, 0.531),
}


class Net(nn.Module):
    """x (N, 1) -> mean and log variance (N, 2)."""

    def __init__(self, rows: int, units: int = UNITS) -> None:
        sizes = ((1, units), (units, units), (units, units), (units, 1), (units, 1))
        weight_scale, dropout_scale = LENGTH_SCALE**2 / rows, 2 / rows
        self.drops = [nn.ConcreteDropout(0.1, 0.1, weight_scale, dropout_scale) for _ in sizes]
        self.layers = [nn.Linear(a, b) for a, b in sizes]

    def forward(self, x: Any) -> Any:
        for drop, layer in zip(self.drops[:3], self.layers, strict=False):
            x = ops.relu(layer(drop(x)))  # (N, units)
        heads = zip(self.drops[3:], self.layers[3:], strict=True)
        return ops.concatenate([layer(drop(x)) for drop, layer in heads], axis=-1)  # (N, 2)

    def regulariser(self) -> Any:
        """Summed over the five layers."""
        terms = [drop.regulariser(layer.weight) for drop, layer in zip(self.drops, self.layers, strict=True)]
        return sum(terms[1:], terms[0])


def loss(model: Net, x: Any, y: Any) -> Any:
    """Twice the negative log likelihood but for a constant, as in the notebooks, and the regulariser."""
    heads = model(x)
    mean, log_variance = (ops.take(heads, index=(slice(None), i)) for i in (0, 1))  # (N,)
    return ops.mean((mean - y) ** 2 * ops.exp(-log_variance) + log_variance) + model.regulariser()


def data(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """x (N, 1) and y (N,), float32."""
    drawn = normal(Key(seed, OF_DATA), Index.whole((rows, 2)))  # (N, 2)
    return drawn[:, :1].astype(np.float32), (2 * drawn[:, 0] + 8 + drawn[:, 1]).astype(np.float32)


def measured(loaded: None, protocol: Protocol, workshop: Workshop) -> list[dict[str, Any]]:
    """A part for each number of examples."""
    return [_of_one_size(rows, paper, protocol, workshop) for rows, paper in PAPER.items()]


def _of_one_size(rows: int, paper: Published, protocol: Protocol, workshop: Workshop) -> dict[str, Any]:
    epochs = protocol.epochs or paper.epochs
    found = []
    for number in range(REPETITIONS):
        seed = protocol.seed * REPETITIONS + number
        stage = f"N = {rows:,}", f"{number + 1} of {REPETITIONS}"
        compute = partial(_trained_and_measured, rows, epochs, seed, protocol.samples or SAMPLES, workshop, stage)
        found.append(workshop.kept("concrete", [rows, epochs, seed, protocol.samples, UNITS], compute))
    published = {
        "aleatoric": paper.aleatoric,
        "epistemic": paper.epistemic,
        **dict(zip(RATES, paper.rates, strict=True)),
    }
    lines = {"rmse": between(column(found, "rmse"), np.array(paper.rmse))}
    lines |= {metric: with_runs(column(found, metric), published[metric], REPETITIONS, 1e-3) for metric in published}
    return part(f"N = {rows:,}", found, lines, epochs=epochs)


def between(ours: np.ndarray, paper: np.ndarray) -> Comparison:
    """Two means of independent runs."""
    own, other = mean_and_error(ours), mean_and_error(paper)
    return Comparison(other, own, (own[0] - other[0], float(np.hypot(own[1], other[1]))))


def _trained_and_measured(
    rows: int, epochs: int, seed: int, samples: int, workshop: Workshop, stage: tuple[str, str], checkpoint: Path
) -> dict[str, float]:
    """One net on data of its own, measured on new data."""
    (x, y), (x_test, y_test) = data(rows, 2 * seed), data(TEST_ROWS, 2 * seed + 1)
    model = Net(rows, UNITS).seed(seed)
    optimizer, batches = optim.Adam(model.parameters(), lr=1e-3), nn.Batches(x, y, batch_size=BATCH, seed=seed)

    def told(done: int, total: int) -> None:
        workshop.tell(stage[0], done, total, stage[1])

    trained_alone(model, optimizer, batches, epochs, loss, checkpoint, told)
    prediction = predict(model, x_test, samples, likelihood="heteroscedastic")
    return {
        "rmse": float(np.sqrt(((prediction.mean[:, 0] - y_test) ** 2).mean())),
        "aleatoric": float(np.sqrt(np.exp(np.log(prediction.variances).mean(axis=0)).mean())),
        "epistemic": float(np.sqrt(prediction.samples.var(axis=0).mean())),
        **{name: drop.p for name, drop in zip(RATES, model.drops, strict=True)},
    }


def findings(parts: list[dict[str, Any]]) -> list[str]:
    """What the paper says of the table: rates, and what more data does."""
    few = [one for one in parts if one["set"] in ("N = 10", "N = 25", "N = 50", "N = 100")]
    inner = [abs(one["comparison"][rate]["difference"][0]) for one in few for rate in ("p2", "p3", "p_mean")]
    epistemic = [column(one["rows"], "epistemic").mean() for one in parts]
    aleatoric = [column(one["rows"], "aleatoric").mean() for one in parts]
    return [
        f"rates 2 to 4 up to 100 examples: at most {max(inner):.3f} from the published",
        f"epistemic sd from {epistemic[0]:.2f} to {epistemic[-1]:.2f} over the sizes, "
        f"{'falling throughout' if (np.diff(epistemic) < 0).all() else 'not falling throughout'}",
        f"aleatoric sd from {min(aleatoric):.2f} to {max(aleatoric):.2f}, where the truth is 1",
    ]


TABLE = Table(
    title="concrete dropout on a noisy line (Gal, Hron & Kendall 2017)",
    labels=LABELS,
    over="three repetitions",
    load=lambda folder, names: None,
    measure=measured,
    findings=findings,
    beside="notebooks",
)
