"""Active learning on small digits: Gal, Islam & Ghahramani (2017), in small.

MNIST at 14 x 14 pixels, a pool of 3,000 images; from 20 labels on, 10 more are asked for in every round, until 300; a
convolutional net is trained anew in each. The paper has 28 x 28 pixels, a pool of 60,000 and 1,000 labels: how many
labels it needs for 10 % error is quoted, and cannot be equal. The errors beside ours are of the same design in PyTorch,
with a net that is not known in detail.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .. import nn, ops, optim
from ..nn.datasets import mnist
from ..random import PERMUTATION, Key, bernoulli
from ..tensor import no_grad
from ..uncertainty import ActiveLoop, mutual_information, predict_samples, stochastic_rows, top_rows, variation_ratio
from .mnist import LOOKED_FOR
from .table import Protocol, Table, column, digest, part, with_runs
from .training import PARTS, Workshop

REPETITIONS = 3
POOL = 3_000
START, MORE, END = 20, 10, 300
STEPS, BATCH = 200, 32
SAMPLES = 50
GOAL = 0.1
KINDS = ("random", "BALD", "variation ratio")
PAPER = {"random": 255, "BALD": 145, "variation ratio": 120}  # labels to 10 % error
AT = (100, 200, 300)
REFERENCE = {
    "random": (0.263, 0.155, 0.110),
    "BALD": (0.260, 0.120, 0.064),
    "variation ratio": (0.213, 0.100, 0.065),
}
OF_DATA = 1000  # a site that no layer has


class Images(NamedTuple):
    """The pool and the images that errors are measured on: (N, 1, 14, 14) and labels."""

    x: np.ndarray
    y: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray


def load(folder: Path | None) -> Images:
    """Raises FileNotFoundError saying which files are looked for."""
    if folder is None:
        raise FileNotFoundError(LOOKED_FOR)
    images = mnist(folder)
    rows = bernoulli.permutation(Key(0, OF_DATA), len(images.y_train), PERMUTATION)[:POOL]
    return Images(halved(images.x_train[rows]), images.y_train[rows], halved(images.x_test), images.y_test)


def halved(x: np.ndarray) -> np.ndarray:
    """Means of squares of four pixels: (N, 1, 28, 28) -> (N, 1, 14, 14)."""
    return x.reshape(len(x), 1, 14, 2, 14, 2).mean(axis=(3, 5), dtype=np.float32)


def net() -> nn.Sequential:
    """The paper's net, narrower."""
    convolutions = nn.Conv2d(1, 16, 3), nn.ReLU(), nn.Conv2d(16, 16, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()
    dense = nn.Dropout(0.25), nn.Linear(16 * 25, 128), nn.ReLU(), nn.Dropout(0.5), nn.Linear(128, 10)
    return nn.Sequential(*convolutions, *dense)


def measured(images: Images, protocol: Protocol, workshop: Workshop) -> list[dict[str, Any]]:
    """A part for each way to choose."""
    parts = []
    for kind in KINDS:
        curves = []
        for number in range(REPETITIONS):
            seed = protocol.seed * REPETITIONS + number
            facts = [digest(*images), kind, seed, protocol.epochs, protocol.samples]
            compute = partial(_learned, images, kind, seed, protocol, workshop, f"{number + 1} of {REPETITIONS}")
            curves.append(workshop.kept("active", facts, compute))
        rows = [dict(zip(labels(), curve, strict=True)) for curve in curves]
        lines = {
            f"error{n}": with_runs(column(rows, f"error{n}"), reference, REPETITIONS)
            for n, reference in zip(AT, REFERENCE[kind], strict=True)
            if n <= END
        }
        note = f"labels to {GOAL:.0%} error: {needed(curves)}; {PAPER[kind]} in the paper"
        parts.append(part(kind, rows, lines, [note]))
    return parts


def labels() -> list[str]:
    """What the error of each round is called."""
    return [f"error{n}" for n in range(START, END + 1, MORE)]


def needed(curves: list[list[float]]) -> str:
    """At how many labels the mean error is first within the goal."""
    reached = np.flatnonzero(np.mean(curves, axis=0) <= GOAL)
    return str(START + MORE * int(reached[0])) if len(reached) else f"more than {END}"


def _learned(
    images: Images, kind: str, seed: int, protocol: Protocol, workshop: Workshop, note: str, checkpoint: Path
) -> list[float]:
    """The error of every round."""
    loop = ActiveLoop(
        len(images.y),
        first_rows(images.y, seed),
        train=partial(trained, images, seed, protocol.epochs),
        acquire=partial(chosen, images, kind, seed, protocol.samples or SAMPLES),
        measure=lambda model: {"error": error(model, images)},
        checkpoint=checkpoint.with_suffix(PARTS),
    )
    while not loop.history or loop.history[-1].labels < END:
        workshop.tell(kind, len(loop.labelled), END, note)
        loop.round()
    return [one.measured["error"] for one in loop.history]


def first_rows(y: np.ndarray, seed: int) -> np.ndarray:
    """Equally many rows of each class."""
    order = bernoulli.permutation(Key(seed, OF_DATA, step=1), len(y), PERMUTATION)
    return np.concatenate([order[y[order] == digit][: START // 10] for digit in range(10)])


def trained(images: Images, seed: int, epochs: int | None, rows: np.ndarray, number: int) -> nn.Module:
    """A new net on these rows, for some 200 steps."""
    model = net().seed(seed * 1_000 + number)
    optimizer = optim.Adam(model.parameters(), lr=3e-3)
    batches = nn.Batches(images.x[rows], images.y[rows], batch_size=BATCH, seed=seed * 1_000 + number)
    for _ in range(epochs or -(-STEPS // len(batches))):
        for x, y in batches:
            optimizer.zero_grad()
            nn.cross_entropy(model(x), y).backward()
            optimizer.step()
    return model


def chosen(
    images: Images, kind: str, seed: int, samples: int, model: nn.Module, rows: np.ndarray, number: int
) -> np.ndarray:
    """The ten places among these rows whose labels to ask for."""
    if kind == "random":
        return stochastic_rows(np.zeros(len(rows)), MORE, kind="softmax", key=Key(seed, OF_DATA, step=2 + number))
    logits = predict_samples(model, images.x[rows], samples).astype(np.float64)
    p = ops.softmax(logits, backend="numpy")  # (T, N, 10)
    return top_rows(mutual_information(p) if kind == "BALD" else variation_ratio(p, kind="mean"), MORE)


def error(model: nn.Module, images: Images) -> float:
    """The share of wrong answers in eval mode."""
    with no_grad():
        answers = np.concatenate([model.eval()(x).numpy().argmax(axis=1) for x in np.array_split(images.x_test, 10)])
    return float((answers != images.y_test).mean())


def findings(parts: list[dict[str, Any]]) -> list[str]:
    """Whether choosing beats chance at the end, repetition by repetition."""
    last = {one["set"]: column(one["rows"], labels()[-1]) for one in parts}
    wins = {kind: int((last[kind] < last["random"]).sum()) for kind in KINDS[1:]}
    return [f"{kind}: lower error at {END} labels than random in {n} of {REPETITIONS}" for kind, n in wins.items()]


TABLE = Table(
    title="active learning on 14 x 14 digits (Gal, Islam & Ghahramani 2017, in small)",
    labels={f"error{n}": f"error at {n} labels" for n in AT},
    over="three repetitions",
    load=lambda folder, names: load(folder),
    measure=measured,
    findings=findings,
    beside="PyTorch, in small",
    is_same=False,
)
