"""What a long table rests on: stacks whose training goes on after an interruption, and results that are kept."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .. import nn
from ..demo.checkpoints import checkpoint_file, resumed
from ..demo.command import write_whole
from ..demo.progress import Tell

SECONDS_BETWEEN_SAVES = 5.0
PARTS = ".parts.json"  # what `Workshop.one_by_one` has so far


@dataclass
class Workshop:
    """Where what is under way is kept, how to tell of it, and what was made: the files to remove when all is done."""

    folder: Path
    tell: Tell
    made: list[Path]

    def kept(self, name: str, facts: Any, compute: Callable[[Path], Any]) -> Any:
        """The result of `compute(checkpoint)`, ready for JSON: from an earlier run, or computed and written down."""
        checkpoint = self.folder / checkpoint_file(name, facts)
        path = checkpoint.with_suffix(".json")
        self.made += [checkpoint, path, checkpoint.with_suffix(PARTS)]
        result = _read(path)
        if result is None:
            result = json.loads(json.dumps(compute(checkpoint)))
            write_whole(path, json.dumps(result))
        return result

    def one_by_one(self, checkpoint: Path, count: int, compute: Callable[[int], Any]) -> list[Any]:
        """compute(0) to compute(count - 1), each written down as it comes; those of an earlier run are not repeated."""
        path = checkpoint.with_suffix(PARTS)
        results = _read(path) or []
        for number in range(len(results), count):
            results.append(compute(number))
            write_whole(path, json.dumps(results))
        return results

    def clear(self) -> None:
        """Remove all that was kept: the next run computes it anew."""
        for path in self.made:
            path.unlink(missing_ok=True)


def _read(path: Path) -> Any:
    """What was written down there; None where nothing was, or it is damaged."""
    try:
        return json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        return None


@dataclass(frozen=True)
class Job:
    """A stack to train: its models, the batches of each (of equally many steps), the loss, the optimiser."""

    models: Sequence[nn.Module]
    batches: Sequence[nn.Batches]
    epochs: int
    loss: Callable[..., Any]
    optimizer: Callable[[nn.Stacked], Any]


def trained(job: Job, checkpoint: Path, told: Callable[[int, int], None]) -> tuple[list[nn.Module], float]:
    """The trained members, and the processor's seconds it took in all (of a busy machine the clock says little).

    Goes on from `checkpoint`, which it writes now and then.
    """
    stack, batches = nn.Stacked(job.models), nn.StackedBatches(job.batches)
    optimizer = job.optimizer(stack)
    notes = resumed(checkpoint, {"cpu_seconds": 0.0}, stack, optimizer, batches)
    last = max(batches.steps_of(job.epochs))
    start, saved = time.process_time(), time.perf_counter()

    def after_step(step: int) -> None:
        nonlocal saved
        now = time.perf_counter()
        if now - saved > SECONDS_BETWEEN_SAVES or step == last:
            nn.save(
                checkpoint, stack, optimizer, batches, cpu_seconds=notes["cpu_seconds"] + time.process_time() - start
            )
            saved = now
            told(step, last)

    models = nn.train_stacked(stack, optimizer, batches, job.epochs, job.loss, after_step)
    return models, notes["cpu_seconds"] + time.process_time() - start


def trained_alone(
    model: nn.Module,
    optimizer: Any,
    batches: nn.Batches,
    epochs: int,
    loss: Callable[..., Any],
    checkpoint: Path,
    told: Callable[[int, int], None],
) -> float:
    """Train one model to descend loss(model, *batch); the processor's seconds that it took.

    Goes on from `checkpoint`, which it writes now and then.
    """
    before = resumed(checkpoint, {"cpu_seconds": 0.0}, model, optimizer, batches)["cpu_seconds"] - time.process_time()
    saved = time.perf_counter()
    while batches.epoch < epochs:
        for batch in batches:
            optimizer.zero_grad()
            loss(model, *batch).backward()
            optimizer.step()
            if time.perf_counter() - saved > SECONDS_BETWEEN_SAVES:
                nn.save(checkpoint, model, optimizer, batches, cpu_seconds=before + time.process_time())
                saved = time.perf_counter()
                told(batches.epoch, epochs)
    told(epochs, epochs)
    return before + time.process_time()


def in_equal_stacks(steps: Sequence[int], most: int) -> list[list[int]]:
    """The numbers 0, 1, ... in groups of at most `most` that need equally many steps: each can be trained as one."""
    order = np.argsort(steps, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(np.asarray(steps)[order])) + 1)
    return [group[start : start + most].tolist() for group in groups for start in range(0, len(group), most)]


class Scaling:
    """Columns at mean 0 and standard deviation 1; a constant column stays where it is 0. float32."""

    def __init__(self, a: np.ndarray) -> None:
        self.mean, spread = a.mean(axis=0), a.std(axis=0)
        self.spread = np.where(spread == 0, 1.0, spread)

    def of(self, a: np.ndarray) -> np.ndarray:
        """In the scale."""
        return ((a - self.mean) / self.spread).astype(np.float32)

    def back(self, a: Any) -> np.ndarray:
        """Out of it, in float64."""
        return np.asarray(a, np.float64) * self.spread + self.mean
