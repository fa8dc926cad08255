"""Active learning: train on what is labelled, ask for the labels that would tell most, and again."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..tensor import raw
from ..variants.door import whole_number


class Round(NamedTuple):
    """How many rows were labelled, what was measured of the model trained on them, and what was then asked for."""

    labels: int
    measured: dict[str, Any]
    asked: list[int]


class ActiveLoop:
    """Rounds of: train on the labelled rows, measure, choose among the others, have those labelled.

    pool: how many rows there are. start: the rows that are labelled at first.
    train(rows, number): gives a model trained on these rows in round `number`. If all that it draws comes of a seed
        made of `number`, the loop is the same every time, and after every interruption.
    acquire(model, rows, number): which of these unlabelled rows to have labelled: places in `rows`, such as
        `top_rows(scores, 10)`.
    measure(model): numbers to write down, such as {"error": 0.12}; anything that JSON has.
    checkpoint: a file that is written after every round, and that the loop goes on from where there is one.

    `labelled` are the rows labelled so far, in the order they were asked for; `history` the rounds.
    Raises: TypeError, ValueError for a start or places that are no distinct rows of the pool, and for a checkpoint of
        another pool or start, or that is damaged.
    Reference: Gal, Islam & Ghahramani, "Deep Bayesian active learning with image data" (2017).

    >>> truth = np.array([3.0, 1.0, 4.0, 1.0, 5.0])
    >>> loop = ActiveLoop(
    ...     5, [0], train=lambda rows, number: truth[rows].max(), measure=lambda best: {"best": float(best)},
    ...     acquire=lambda best, rows, number: [len(rows) - 1],
    ... )
    >>> loop.run(labels=3)
    >>> loop.labelled.tolist(), [(round.labels, round.measured["best"]) for round in loop.history]
    ([0, 4, 3, 2], [(1, 3.0), (2, 5.0), (3, 5.0)])
    """

    def __init__(
        self,
        pool: int,
        start: Any,
        *,
        train: Callable[[np.ndarray, int], Any],
        acquire: Callable[[Any, np.ndarray, int], Any],
        measure: Callable[[Any], Mapping[str, Any]],
        checkpoint: str | Path | None = None,
    ) -> None:
        self.pool = whole_number("ActiveLoop", "pool", pool, 1)
        self.start = _distinct("start", start, self.pool)
        self.train, self.acquire, self.measure = train, acquire, measure
        self.checkpoint = None if checkpoint is None else Path(checkpoint)
        self.history = self._kept()

    @property
    def labelled(self) -> np.ndarray:
        return np.concatenate([self.start, *(np.array(round.asked, np.int64) for round in self.history)])

    def run(self, labels: int) -> None:
        """Rounds until a model was trained on at least so many labels. Raises ValueError where there are fewer rows."""
        if labels > self.pool:
            raise ValueError(f"ActiveLoop: cannot have {labels} labels of {self.pool} rows")
        while not self.history or self.history[-1].labels < labels:
            self.round()

    def round(self) -> None:
        """Train, measure, choose, and write it down."""
        rows, number = self.labelled, len(self.history)
        others = np.setdiff1d(np.arange(self.pool), rows)
        model = self.train(rows, number)
        measured = dict(self.measure(model))
        asked: list[int] = []
        if len(others):
            asked = others[_distinct("the places acquired", self.acquire(model, others, number), len(others))].tolist()
        self.history.append(Round(len(rows), measured, asked))
        self._keep()

    def _keep(self) -> None:
        """All or nothing: beside its place first, then moved there."""
        if self.checkpoint is None:
            return
        unfinished = self.checkpoint.with_name(f"{self.checkpoint.name}.{os.getpid()}.part")
        try:
            unfinished.write_text(json.dumps({"pool": self.pool, "start": self.start.tolist(), "rounds": self.history}))
            os.replace(unfinished, self.checkpoint)
        finally:
            unfinished.unlink(missing_ok=True)

    def _kept(self) -> list[Round]:
        if self.checkpoint is None or not self.checkpoint.exists():
            return []
        try:
            stored = json.loads(self.checkpoint.read_text())
            pool, start, rounds = stored["pool"], stored["start"], [Round(*round) for round in stored["rounds"]]
        except (ValueError, KeyError, TypeError):
            raise ValueError(f"ActiveLoop: {self.checkpoint} is no checkpoint of a loop; remove it") from None
        if (pool, start) != (self.pool, self.start.tolist()):
            raise ValueError(
                f"ActiveLoop: {self.checkpoint} is of a pool of {pool} rows that began with {len(start)} labels, or "
                f"with others; this one has {self.pool} and {len(self.start)}. Name another file"
            )
        return rounds


def _distinct(what: str, rows: Any, count: int) -> np.ndarray:
    """At least one row, each once, within [0, count). int64."""
    rows = np.asarray(raw(rows))
    if rows.dtype.kind not in "iu" or rows.ndim != 1:
        raise TypeError(f"ActiveLoop: {what} must be a list of whole numbers, got {rows.dtype} of shape {rows.shape}")
    if not len(rows) or len(np.unique(rows)) < len(rows) or rows.min() < 0 or rows.max() >= count:
        raise ValueError(f"ActiveLoop: {what} must be one or more rows from 0 to {count - 1}, each once, got {rows}")
    return rows.astype(np.int64)
