"""Dropout for the first steps only, against underfitting: Liu et al., "Dropout reduces underfitting" (2023), in small.

The paper trains transformers on ImageNet for GPU days. Here a perceptron of 16 hidden units, too small for its task,
learns 5,000 digits of MNIST for 30 epochs: without dropout, with it (p = 0.1) in the first sixth of them (falling to 0
linearly), all the time, and after the first sixth. Beside ours stand the differences of ViT-T from the
paper's repository: another net on other data, so that only their signs can agree.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from .. import nn, optim
from ..uncertainty import accuracy, nll
from ..variants import schedules
from .mnist import BATCH, EPOCHS, Digits, load_digits, logits, softmax
from .report import CLOSE
from .table import Protocol, Table, column, digest, paired, part, with_runs
from .training import Job, Workshop, trained

LABELS = {"accuracy": "accuracy, points", "train_loss": "training loss"}
SEEDS = 5
P = 0.1
HIDDEN = 16
KINDS = ("none", "early", "standard", "late")
PAPER = {"early": 74.3 - 73.9, "standard": 67.9 - 73.9}  # accuracy of ViT-T less that without dropout


def rate(kind: str, steps: int) -> Any:
    """The rate of dropout: a number, or a schedule over the first sixth of the steps."""
    first = max(1, steps // 6)
    return {
        "none": 0.0,
        "early": schedules.EarlyLinear(P, steps=first),
        "standard": P,
        "late": schedules.Late(P, steps=first),
    }[kind]


def net(p: Any) -> nn.Sequential:
    return nn.Sequential(nn.Linear(784, HIDDEN), nn.ReLU(), nn.Dropout(p), nn.Linear(HIDDEN, 10))


def measured(data: Digits, protocol: Protocol, workshop: Workshop) -> list[dict[str, Any]]:
    """A part for each kind: without dropout as it is, the others as differences from it, seed by seed."""
    facts = [digest(*data), protocol.seed, protocol.epochs]
    rows = workshop.kept("early-dropout", facts, partial(_trained_and_measured, data, protocol, workshop))
    parts = [part("no dropout", rows["none"], {m: paired(column(rows["none"], m), None) for m in LABELS})]
    for kind in KINDS[1:]:
        gains = {m: column(rows[kind], m) - column(rows["none"], m) for m in LABELS}
        lines = {m: with_runs(gains[m], PAPER.get(kind) if m == "accuracy" else None, runs=1) for m in LABELS}
        parts.append(part(f"{kind} less none", rows[kind], lines))
    return parts


def _trained_and_measured(
    data: Digits, protocol: Protocol, workshop: Workshop, checkpoint: Path
) -> dict[str, list[dict[str, float]]]:
    """All nets of all kinds as one stack."""
    seeds = [protocol.seed * SEEDS + number for number in range(SEEDS)]
    epochs = protocol.epochs or EPOCHS
    steps = epochs * -(-len(data.x_train) // BATCH)
    models = [net(rate(kind, steps)).seed(seed) for kind in KINDS for seed in seeds]
    batches = [nn.Batches(data.x_train, data.y_train, batch_size=BATCH, seed=seed) for _ in KINDS for seed in seeds]
    job = Job(models, batches, epochs, nn.cross_entropy, lambda stack: optim.Adam(stack.parameters(), 1e-3))
    members, _ = trained(job, checkpoint, lambda done, total: workshop.tell("training", done, total, "twenty nets"))
    found = [scores(model, data) for model in members]
    return {kind: found[i * SEEDS : (i + 1) * SEEDS] for i, kind in enumerate(KINDS)}


def scores(model: nn.Module, data: Digits) -> dict[str, float]:
    """In eval mode: test accuracy in points of a hundred, and the loss on what was trained on."""
    return {
        "accuracy": 100 * accuracy(softmax(logits(model, data.x_test)), data.y_test),
        "train_loss": nll(softmax(logits(model, data.x_train)), data.y_train),
    }


def findings(parts: list[dict[str, Any]]) -> list[str]:
    """What early dropout did here to the training loss."""
    mean, error = next(one for one in parts if one["set"].startswith("early"))["comparison"]["train_loss"]["ours"]
    is_clear = error is not None and abs(mean) > CLOSE * error
    said = ("lowered" if mean < 0 else "raised") if is_clear else "did not clearly change"
    return [f"early dropout {said} the training loss here; in the paper it lowers that of nets that underfit"]


TABLE = Table(
    title="early dropout (Liu et al. 2023), a perceptron of 16 units on 5,000 digits",
    labels=LABELS,
    over="five seeds",
    load=lambda folder, names: load_digits(folder),
    measure=measured,
    findings=findings,
    beside="ViT-T, ImageNet",
    is_same=False,
)
