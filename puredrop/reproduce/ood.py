"""What is no digit: Fashion-MNIST and letters told from MNIST by the nets of the table "mnist".

AUROC does not depend on which of the two is called positive; FPR95 does, and both are given. The numbers beside ours
are those of one PyTorch run. Lakshminarayanan et al. (2017) show the same comparison as figures.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..nn.datasets import images_and_labels
from ..uncertainty import auroc, fpr_at_tpr, ood_scores, predict_samples
from . import mnist
from .mnist import SEEDS, Digits, logits
from .table import Protocol, Table, column, digest, part, with_runs
from .training import Workshop

LABELS = {"auroc": "AUROC", "fpr_ood": "FPR95, OOD positive", "fpr_id": "FPR95, digits positive"}
FILES = {"Fashion": "fashion_test*.npz", "letters": "letters*.npz"}
SHOWN = {
    "one pass": {"max_probability": "max probability", "energy": "energy"},
    "samples": {"entropy": "entropy", "mutual_information": "mutual information", "variation_ratio": "variation ratio"},
    "ensemble": {"entropy": "entropy", "mutual_information": "mutual information"},
}
REFERENCE = {  # AUROC on Fashion and letters
    "one pass, max probability": (0.830, 0.914),
    "one pass, energy": (0.815, 0.923),
    "samples, entropy": (0.862, 0.924),
    "samples, mutual information": (0.864, 0.899),
    "ensemble, entropy": (0.815, 0.903),
    "ensemble, mutual information": (0.846, 0.900),
}
REFERENCE_FPR = {"Fashion: samples, entropy": {"fpr_ood": 0.840, "fpr_id": 0.393}}


class Strangers(NamedTuple):
    """Digits, and by name what is none: (N, 784)."""

    digits: Digits
    others: dict[str, np.ndarray]


def load(folder: Path | None) -> Strangers:
    """Raises FileNotFoundError saying which files are looked for."""
    digits = mnist.load_digits(folder)
    assert folder is not None
    others = {}
    for name, pattern in FILES.items():
        found = sorted(Path(folder).glob(pattern))
        if not found:
            raise FileNotFoundError(
                f"{folder} holds no {pattern}: {name}, arrays x (N, 28, 28) and y. Fashion-MNIST is at "
                f"https://github.com/zalandoresearch/fashion-mnist; letters may be rendered from any fonts"
            )
        x = images_and_labels(found[0])[0]
        others[name] = x.reshape(len(x), -1)
    return Strangers(digits, others)


def measured(data: Strangers, protocol: Protocol, workshop: Workshop) -> list[dict[str, Any]]:
    """A part for each set of strangers and each score."""
    facts = [digest(*data.digits, *data.others.values()), protocol.seed, protocol.epochs, protocol.samples]
    kept = workshop.kept("ood", facts, partial(_trained_and_measured, data, protocol, workshop))
    return [
        _compared(f"{other}: {name}", rows, REFERENCE.get(name, (None, None))[place])
        for place, other in enumerate(FILES)
        for name, rows in kept[other].items()
    ]


def _compared(name: str, rows: list[dict[str, float]], auroc_of_reference: float | None) -> dict[str, Any]:
    known = REFERENCE_FPR.get(name, {}) | ({} if auroc_of_reference is None else {"auroc": auroc_of_reference})
    return part(name, rows, {metric: with_runs(column(rows, metric), known.get(metric), runs=1) for metric in LABELS})


def _trained_and_measured(
    data: Strangers, protocol: Protocol, workshop: Workshop, checkpoint: Path
) -> dict[str, dict[str, list[dict[str, float]]]]:
    """For each set of strangers and each score the numbers of each seed, or of the one ensemble."""
    dropped, plain = mnist.trained_nets(data.digits, protocol, workshop, checkpoint)
    inputs = {"digits": data.digits.x_test, **data.others}

    def of_seed(number: int) -> dict[str, Any]:
        workshop.tell("samples", number + 1, SEEDS, "")
        model, samples = dropped[number], protocol.samples or mnist.SAMPLES
        one = {name: logits(model, x)[None] for name, x in inputs.items()}
        many = {name: predict_samples(model, x, samples).astype(np.float64) for name, x in inputs.items()}
        return told_apart("one pass", one) | told_apart("samples", many)

    each = workshop.one_by_one(checkpoint, SEEDS, of_seed)
    ensemble = told_apart("ensemble", {name: np.stack([logits(m, x) for m in plain]) for name, x in inputs.items()})
    rows = {name: [one[name] for one in each] for name in each[0]} | {name: [one] for name, one in ensemble.items()}
    return {other: {name: [row[other] for row in all_rows] for name, all_rows in rows.items()} for other in FILES}


def told_apart(kind: str, found: dict[str, np.ndarray]) -> dict[str, dict[str, dict[str, float]]]:
    """From logits (T, N, 10) of the digits and the strangers: each score's numbers, for each set of strangers."""
    scores = {name: ood_scores(z, energy_of="samples") for name, z in found.items()}
    return {
        f"{kind}, {label}": {other: _rates(scores["digits"][key], scores[other][key]) for other in FILES}
        for key, label in SHOWN[kind].items()
    }


def _rates(inside: np.ndarray, outside: np.ndarray) -> dict[str, float]:
    return {
        "auroc": auroc(inside, outside, positive="ood"),
        "fpr_ood": fpr_at_tpr(inside, outside, positive="ood"),
        "fpr_id": fpr_at_tpr(inside, outside, positive="id"),
    }


def findings(parts: list[dict[str, Any]]) -> list[str]:
    """Whether samples tell clothes from digits better than one pass does."""
    rows = {one["set"]: column(one["rows"], "auroc") for one in parts}
    better = rows["Fashion: samples, entropy"] > rows["Fashion: one pass, max probability"]
    return [
        f"Fashion: AUROC of the entropy of samples above that of one pass's maximum probability in {better.sum()} of "
        f"{len(better)} seeds"
    ]


TABLE = Table(
    title="what is no digit, told by a perceptron trained on 5,000 of them",
    labels=LABELS,
    over="five seeds",
    load=lambda folder, names: load(folder),
    measure=measured,
    findings=findings,
    beside="PyTorch, one run",
)
