"""What a published table is here: where its data are, how it is computed, and how a line of it is compared."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .training import Workshop


@dataclass(frozen=True)
class Protocol:
    """What may be varied: None stands for what was published, or what the table says."""

    seed: int = 0
    epochs: int | None = None
    samples: int | None = None
    grid: bool = False


@dataclass(frozen=True)
class Table:
    """A published table.

    labels: metric -> what it is called. over: what means and standard errors are over, such as "splits".
    load(folder, names): the data, before anything starts; FileNotFoundError says which files are missing.
    measure(data, protocol, workshop): the parts of the table, each made by `part`, in the order they are printed.
    beside: what ours is compared with, in a word. is_same: whether that is the same experiment, so that the numbers
    should agree. findings(parts): what follows from the numbers, in sentences.
    has_sets, has_grid: whether `--sets` and `--grid` mean anything. by_split: each part has published numbers of the
    same splits, and is drawn as points against these. by_method: nothing was published; a part is a method, with its
    `group` and `costs`, and a line of the text.
    """

    title: str
    labels: Mapping[str, str]
    over: str
    load: Callable[[Path | None, list[str] | None], Any]
    measure: Callable[[Any, Protocol, Workshop], list[dict[str, Any]]]
    findings: Callable[[list[dict[str, Any]]], list[str]] = lambda parts: []
    beside: str = "paper"
    is_same: bool = True
    has_sets: bool = False
    has_grid: bool = False
    by_split: bool = False
    by_method: bool = False


class Comparison(NamedTuple):
    """One line: means and their standard errors. None where nothing was published."""

    paper: tuple[float, float] | None
    ours: tuple[float, float]
    difference: tuple[float, float] | None

    @property
    def errors(self) -> float | None:
        """The difference in standard errors."""
        if self.difference is None:
            return None
        difference, error = self.difference
        return difference / error if error > 0 else math.nan


def paired(ours: np.ndarray, paper: np.ndarray | None) -> Comparison:
    """Compared split by split: how hard a split is does not count."""
    if paper is None:
        return Comparison(None, mean_and_error(ours), None)
    return Comparison(mean_and_error(paper), mean_and_error(ours), mean_and_error(ours - paper))


def unpaired(ours: np.ndarray, mean: float, deviation: float) -> Comparison:
    """Compared with a published mean and standard deviation over as many splits."""
    own = mean_and_error(ours)
    error = deviation / len(ours) ** 0.5
    return Comparison((mean, error), own, (own[0] - mean, float(np.hypot(own[1], error))))


def with_runs(ours: np.ndarray, mean: float | None, runs: int, last_digit: float = 0.0) -> Comparison:
    """Compared with the mean of so many runs whose spread was not published: they are taken to scatter as ours do.

    last_digit: what the published number is rounded to; rounding has the variance last_digit^2 / 12.
    """
    own = mean_and_error(ours)
    if mean is None:
        return Comparison(None, own, None)
    squares = own[1] ** 2 * (1 + len(ours) / runs) + last_digit**2 / 12
    return Comparison((mean, math.nan), own, (own[0] - mean, squares**0.5))


def with_formula(ours: np.ndarray, exact: float) -> Comparison:
    """Compared with a number that has no error."""
    own = mean_and_error(ours)
    return Comparison((exact, 0.0), own, (own[0] - exact, own[1]))


def digest(*arrays: np.ndarray) -> str:
    """Of data: a result belongs to these."""
    content = hashlib.sha256()
    for array in arrays:
        content.update(np.ascontiguousarray(array).tobytes())
    return content.hexdigest()[:16]


def mean_and_error(a: np.ndarray) -> tuple[float, float]:
    """Mean and standard error (ddof = 1). One number has no standard error: NaN."""
    return float(a.mean()), float(a.std(ddof=1) / len(a) ** 0.5) if len(a) > 1 else float("nan")


def column(rows: list[dict[str, float]], metric: str) -> np.ndarray:
    """One metric of all rows. (R,)"""
    return np.array([row[metric] for row in rows])


def part(
    name: str,
    rows: list[dict[str, float]],
    comparison: Mapping[str, Comparison],
    notes: list[str] | None = None,
    published: dict[str, list[float]] | None = None,
    **facts: Any,
) -> dict[str, Any]:
    """A part of a table, ready for JSON: rows are the numbers of each split or seed, `facts` whatever else is known."""
    lines = {metric: _as_json(line) for metric, line in comparison.items()}
    return {"set": name, **facts, "rows": rows, "comparison": lines, "published": published, "notes": notes or []}


def _as_json(line: Comparison) -> dict[str, Any]:
    """Numbers that are none (the standard error of one split) become null, which JSON has."""

    def number(value: float | None) -> float | None:
        return None if value is None or math.isnan(value) else value

    pairs = {name: pair and [number(value) for value in pair] for name, pair in line._asdict().items()}
    return {**pairs, "errors": number(line.errors)}
