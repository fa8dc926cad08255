"""A perceptron on 5,000 digits of MNIST: dropout in one pass, with temperature, with samples; none; ensembles.

784-256-256-10, dropout 0.5 of the hidden units, 30 epochs of Adam in batches of 128. Of the 10,000 test digits the
first 2,000 fit the temperature, the other 8,000 are measured. No paper has this size, which trains in a minute: the
numbers beside ours are those of one PyTorch run of each kind, whose batch size is not known.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .. import nn, ops, optim
from ..nn.datasets import mnist
from ..tensor import no_grad
from ..uncertainty import TemperatureScaling, accuracy, brier, ece, nll, predict_samples
from .table import Protocol, Table, column, digest, part, with_runs
from .training import Job, Workshop, trained

LABELS = {"accuracy": "accuracy", "nll": "NLL", "brier": "Brier", "ece": "ECE"}
SEEDS = 5
EPOCHS = 30
BATCH = 128
SAMPLES = 100
VALIDATION = 2_000
LOOKED_FOR = (
    "no data folder named; write --data FOLDER or set PUREDROP_DATA. It holds MNIST, as mnist_train*.npz and "
    "mnist_test*.npz with arrays x (N, 28, 28) and y, or as the IDX files of http://yann.lecun.com/exdb/mnist"
)
REFERENCE = {
    "dropout, one pass": (0.9514, 0.2044, 0.0779, 0.0240),
    "and temperature": (0.9514, 0.1678, 0.0753, 0.0070),
    "samples: 1": (0.9315, 0.280, 0.108, 0.032),
    "samples: 10": (0.9501, 0.180, 0.078, 0.008),
    "samples: 100": (0.9508, 0.1657, 0.0753, 0.0102),
    "without dropout": (0.9436, 0.2782, 0.0914, 0.0363),
    "and an ensemble of 5": (0.9475, 0.2388, 0.0847, 0.0291),
}


class Digits(NamedTuple):
    """Images (N, 784) float32 and labels: for training, for the temperature, for measuring."""

    x_train: np.ndarray
    y_train: np.ndarray
    x_validation: np.ndarray
    y_validation: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray


def load_digits(folder: Path | None) -> Digits:
    """Raises FileNotFoundError saying which files are looked for."""
    if folder is None:
        raise FileNotFoundError(LOOKED_FOR)
    images = mnist(folder)
    rows = np.sort(np.concatenate([np.flatnonzero(images.y_train == digit)[:500] for digit in range(10)]))
    x, test = images.x_train[rows].reshape(len(rows), -1), images.x_test.reshape(len(images.x_test), -1)
    held = images.y_test
    return Digits(x, images.y_train[rows], test[:VALIDATION], held[:VALIDATION], test[VALIDATION:], held[VALIDATION:])


def net(p: float) -> nn.Sequential:
    """Dropout of both hidden layers."""
    return nn.Sequential(
        nn.Linear(784, 256), nn.ReLU(), nn.Dropout(p), nn.Linear(256, 256), nn.ReLU(), nn.Dropout(p), nn.Linear(256, 10)
    )


def trained_nets(
    data: Digits, protocol: Protocol, workshop: Workshop, checkpoint: Path
) -> tuple[list[nn.Module], list[nn.Module]]:
    """Five nets with dropout and five without, as one stack."""
    seeds = [protocol.seed * SEEDS + number for number in range(SEEDS)]
    models = [net(p).seed(seed) for p in (0.5, 0.0) for seed in seeds]
    batches = [nn.Batches(data.x_train, data.y_train, batch_size=BATCH, seed=seed) for seed in seeds * 2]
    job = Job(
        models, batches, protocol.epochs or EPOCHS, nn.cross_entropy, lambda stack: optim.Adam(stack.parameters(), 1e-3)
    )
    members, _ = trained(job, checkpoint, lambda done, total: workshop.tell("training", done, total, "ten nets"))
    return members[:SEEDS], members[SEEDS:]


def logits(model: nn.Module, x: np.ndarray) -> np.ndarray:
    """In eval mode, (N, 10), float64."""
    with no_grad():
        return model.eval()(x).numpy().astype(np.float64)


def softmax(z: np.ndarray) -> np.ndarray:
    return ops.softmax(z, backend="numpy")


def measured(data: Digits, protocol: Protocol, workshop: Workshop) -> list[dict[str, Any]]:
    """A part for each way to predict."""
    facts = [digest(*data), protocol.seed, protocol.epochs, protocol.samples]
    rows = workshop.kept("mnist", facts, partial(_trained_and_measured, data, protocol, workshop))
    parts = []
    for name, numbers in rows.items():
        reference = REFERENCE.get(name, (None,) * len(LABELS))
        columns = zip(LABELS, reference, strict=True)
        parts.append(part(name, numbers, {m: with_runs(column(numbers, m), one, runs=1) for m, one in columns}))
    return parts


def _trained_and_measured(
    data: Digits, protocol: Protocol, workshop: Workshop, checkpoint: Path
) -> dict[str, list[dict[str, float]]]:
    """For each way to predict the numbers of each seed."""
    dropped, plain = trained_nets(data, protocol, workshop, checkpoint)

    def of_seed(number: int) -> dict[str, Any]:
        workshop.tell("samples", number + 1, SEEDS, "")
        return _of_dropout(dropped[number], data, protocol.samples or SAMPLES)

    each = workshop.one_by_one(checkpoint, SEEDS, of_seed)
    rows = {name: [one[name] for one in each] for name in each[0]}
    alone = [softmax(logits(model, data.x_test)) for model in plain]
    rows["without dropout"] = [scores(p, data.y_test) for p in alone]
    rows["and an ensemble of 5"] = [scores(np.mean(alone, axis=0), data.y_test)]
    return rows


def _of_dropout(model: nn.Module, data: Digits, samples: int) -> dict[str, dict[str, float]]:
    """One net with dropout, in every way."""
    z = logits(model, data.x_test)
    scaling = TemperatureScaling().fit(logits(model, data.x_validation), data.y_validation)
    drawn = softmax(predict_samples(model, data.x_test, samples).astype(np.float64))  # (T, N, 10)
    return {
        "dropout, one pass": scores(softmax(z), data.y_test),
        "and temperature": scores(scaling.transform(z), data.y_test),
        **{f"samples: {n}": scores(drawn[:n].mean(axis=0), data.y_test) for n in (1, 10, samples) if n <= samples},
    }


def scores(p: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    return {
        "accuracy": accuracy(p, labels),
        "nll": nll(p, labels),
        "brier": brier(p, labels, scale="sum"),
        "ece": ece(p, labels),
    }


def findings(parts: list[dict[str, Any]]) -> list[str]:
    """Whether averaging over masks makes the likelihood better, seed by seed."""
    rows = {one["set"]: one["rows"] for one in parts}
    most = next(name for name in reversed(rows) if name.startswith("samples"))
    better = column(rows[most], "nll") < column(rows["dropout, one pass"], "nll")
    count = most.removeprefix("samples: ")
    return [f"NLL of {count} samples below that of one pass in {better.sum()} of {len(better)} seeds"]


TABLE = Table(
    title="a perceptron on 5,000 digits of MNIST",
    labels=LABELS,
    over="five seeds",
    load=lambda folder, names: load_digits(folder),
    measure=measured,
    findings=findings,
    beside="PyTorch, one run",
)
