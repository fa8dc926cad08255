"""What a method costs beside one net: its training, its prediction, and the numbers that it keeps."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import numpy as np

from .. import nn
from .table import column, paired, part
from .training import Job

Result = TypeVar("Result")

COSTS = ("training", "prediction", "memory")
LONG_ENOUGH = 0.3  # seconds; what is shorter is measured more than once


def timed(call: Callable[[], Result]) -> tuple[Result, float]:
    """The result, and the processor's seconds it took: the least of several times where it is quick."""
    seconds: list[float] = []
    while not seconds or sum(seconds) < LONG_ENOUGH:
        start = time.process_time()
        result = call()
        seconds.append(time.process_time() - start)
    return result, min(seconds)


def timed_once(call: Callable[[], Result]) -> tuple[Result, float]:
    """The same of what can be done once only."""
    start = time.process_time()
    result = call()
    return result, time.process_time() - start


def warm_up(job: Job) -> None:
    """Train copies a little: what a backend compiles on its first use is no cost of the method."""
    stack = nn.Stacked(job.models)
    nn.train_stacked(stack, job.optimizer(stack), nn.StackedBatches(job.batches), job.epochs, job.loss)


def numbers_of(model: nn.Module) -> int:
    """How many numbers a net's parameters are."""
    return sum(parameter.size for parameter in model.parameters())


def entry(scores: Mapping[str, float], training: float, prediction: float, memory: float) -> dict[str, Any]:
    """A method on one repetition: seconds of training and of prediction; memory in units of one net's weights."""
    costs = dict(zip(COSTS, (training, prediction, memory), strict=True))
    return {"scores": dict(scores), "costs": costs}


def method_parts(group: str, found: Mapping[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """A part for each method of a group; the first of them is the one net whose seconds are the unit of the others'."""
    one_net = next(iter(found.values()))
    return [_method_part(group, name, entries, one_net) for name, entries in found.items()]


def _method_part(group: str, name: str, entries: list[dict[str, Any]], one_net: list[dict[str, Any]]) -> dict[str, Any]:
    rows = [each["scores"] for each in entries]
    mine, unit = ([each["costs"] for each in some] for some in (entries, one_net))
    seconds = {kind: float(column(mine, kind).mean()) for kind in ("training", "prediction")}
    costs = {kind: value / float(column(unit, kind).mean()) for kind, value in seconds.items()}
    costs["memory"] = float(np.mean(column(mine, "memory")))
    lines = {metric: paired(column(rows, metric), None) for metric in rows[0]}
    return part(name, rows, lines, group=group, costs=costs, cpu_seconds=seconds)
