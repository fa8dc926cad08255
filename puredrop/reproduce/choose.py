"""Methods beside each other: what each of them gives, and what it costs.

Nothing was published to compare with. Scores are equal for equal seeds; costs are measured, in the processor's seconds.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from . import choose_digits, choose_regression, ood
from .costs import method_parts
from .ood import Strangers
from .sets import RegressionSet
from .table import Protocol, Table
from .training import Workshop

LABELS = {
    "accuracy": "accuracy",
    "rmse": "RMSE",
    "nll": "NLL",
    "ece": "ECE",
    "calibration": "calibration",
    "Fashion": "AUROC Fashion",
    "letters": "AUROC letters",
}
BEST = {"accuracy": max, "rmse": min, "nll": min, "ece": min, "calibration": min, "Fashion": max, "letters": max}


class Data(NamedTuple):
    images: Strangers
    sets: list[RegressionSet]


def load(folder: Path | None, names: list[str] | None) -> Data:
    """Raises FileNotFoundError, ValueError saying which files are looked for."""
    return Data(ood.load(folder), choose_regression.load(folder, names))


def measured(data: Data, protocol: Protocol, workshop: Workshop) -> list[dict[str, Any]]:
    """A part for each method on the digits, then on each of the regression sets."""
    parts = method_parts("digits", choose_digits.measured(data.images, protocol, workshop))
    for one in data.sets:
        parts += method_parts(one.name, choose_regression.measured(one, protocol, workshop))
    return parts


def findings(parts: list[dict[str, Any]]) -> list[str]:
    """Which method has the best mean, score by score."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for one in parts:
        groups.setdefault(one["group"], []).append(one)
    return [f"{name}, the best mean: {_best(methods)}" for name, methods in groups.items()]


def _best(methods: list[dict[str, Any]]) -> str:
    def of(metric: str) -> str:
        means = {one["set"]: one["comparison"][metric]["ours"][0] for one in methods}
        return BEST[metric](means, key=lambda name: means[name])

    return "; ".join(f"{LABELS[metric]} {of(metric)}" for metric in methods[0]["comparison"])


TABLE = Table(
    title="methods, what they give and what they cost",
    labels=LABELS,
    over="three seeds or five splits",
    load=load,
    measure=measured,
    findings=findings,
    has_sets=True,
    by_method=True,
)
