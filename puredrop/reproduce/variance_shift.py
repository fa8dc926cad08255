"""Dropout before batch norm: how far the variance that the norm has learned is from the one it meets in evaluation.

Li et al., "Understanding the disharmony between dropout and batch normalization by variance shift" (2019), derive the
ratio of the two. Here it is measured with real layers: a batch norm sees one large batch in training, and what it gives
in evaluation has the variance 1 / ratio. The accuracies of the paper, of nets on CIFAR, are not computed.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from .. import nn
from ..random import Index, Key
from ..random.bernoulli import normal, uniform
from ..tensor import no_grad
from ..variants.objectives import variance_shift
from .table import Protocol, Table, column, part, with_formula
from .training import Workshop

LABELS = {"ratio": "variance ratio"}
REPETITIONS = 20
ROWS = 20_000
UNITS = 16
MEAN, VARIANCE = 1 / math.sqrt(2 * math.pi), 0.5 - 1 / (2 * math.pi)  # of max(0, z), z standard normal
WIDTH = 0.5
OF_INPUTS = 1000  # a site that no layer has: the inputs are independent of the noise


class Uout(nn.Module):
    """What the paper has in place of dropout: x (1 + r) with r uniform in [-width, width]."""

    def __init__(self, width: float) -> None:
        self.width = width

    def forward(self, x: Any) -> Any:
        if self.mode == "eval":
            return x
        r = self.width * (2 * uniform(Key(0), Index.whole(x.shape)) - 1)  # (N, D)
        return x * (1 + r).astype(np.float32)


def norm() -> nn.Module:
    """A batch norm that has only ever seen the last batch."""
    return nn.BatchNorm1d(UNITS, momentum=1.0, affine=False)


def cases() -> dict[str, tuple[Callable[[], nn.Module], float]]:
    """What is measured: the layers, and the ratio of the paper."""
    rates = {
        f"dropout {p}": (lambda p=p: nn.Sequential(nn.Dropout(p), norm()), variance_shift(p, MEAN, VARIANCE))
        for p in (0.1, 0.3, 0.5)
    }
    half = rates["dropout 0.5"][1]
    return {
        **rates,
        "dropout 0.5, then weights": (
            lambda: nn.Sequential(nn.Dropout(0.5), nn.Linear(UNITS, UNITS, bias=False), norm()),
            half,  # for inputs that are independent of each other
        ),
        "Gaussian dropout 0.5": (lambda: nn.Sequential(nn.GaussianDropout(0.5), norm()), half),
        f"Uout {WIDTH}": (
            lambda: nn.Sequential(Uout(WIDTH), norm()),
            1 + WIDTH**2 / 3 * (1 + MEAN**2 / VARIANCE),
        ),
        "dropout 0.5 behind the norm": (lambda: nn.Sequential(norm(), nn.Dropout(0.5)), 1.0),
    }


def measured(data: None, protocol: Protocol, workshop: Workshop) -> list[dict[str, Any]]:
    """A part for each case."""
    found = cases()
    facts = [protocol.seed, list(found), REPETITIONS, ROWS]
    rows = workshop.kept("variance-shift", facts, partial(_repeated, found, protocol.seed, workshop))
    return [
        part(name, rows[name], {"ratio": with_formula(column(rows[name], "ratio"), exact)})
        for name, (_, exact) in found.items()
    ]


def _repeated(found: Any, seed: int, workshop: Workshop, checkpoint: Path) -> dict[str, list[dict[str, float]]]:
    def once(number: int) -> dict[str, float]:
        workshop.tell("repetitions", number + 1, REPETITIONS, "")
        return {name: ratio(build(), seed * REPETITIONS + number) for name, (build, _) in found.items()}

    each = workshop.one_by_one(checkpoint, REPETITIONS, once)
    return {name: [{"ratio": one[name]} for one in each] for name in found}


def half_normal(key: Key) -> np.ndarray:
    """max(0, z), as behind a ReLU. (N, D)"""
    return np.maximum(normal(key, Index.whole((ROWS, UNITS))), 0).astype(np.float32)


def ratio(model: nn.Module, seed: int) -> float:
    """The variance learned over the variance met: one over that of the output in evaluation, averaged over units."""
    model.seed(seed)
    learned_on, met = (half_normal(Key(seed, OF_INPUTS, step)) for step in (0, 1))
    with no_grad():
        model.train()(learned_on)
        y = model.eval()(met).numpy()
    return float((1 / y.var(axis=0, dtype=np.float64)).mean())


TABLE = Table(
    title="batch norm behind dropout (Li et al. 2019)",
    labels=LABELS,
    over="20 repetitions",
    load=lambda folder, names: None,
    measure=measured,
    beside="formula",
)
