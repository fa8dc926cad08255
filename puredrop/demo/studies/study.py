"""A study: one task, several models that differ in what they drop, trained alike. It can be stopped and resumed."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ... import nn, optim
from ..checkpoints import checkpoint_file, resumed

Metrics = dict[str, float]
Tell = Callable[[int, int, str], None]  # (epochs done, epochs in all, what is under way)


@dataclass(frozen=True)
class Contender:
    """One of the models: `build()` makes it, `drops` says what it drops, `draws` whether it drops at all."""

    name: str
    drops: str
    build: Callable[[], nn.Module]
    draws: bool = True


@dataclass(frozen=True)
class Study:
    """The task, and what takes part.

    train_epoch(model, optimizer, seed, epoch): one pass over the training data.
    evaluate(model): the metrics of the held-out data in eval mode.
    sampled(model): the same with Monte-Carlo samples, for models that draw.
    metric: the one that curves show; lower is better.
    """

    name: str
    title: str
    data: str
    metric: str
    contenders: tuple[Contender, ...]
    train_epoch: Callable[[nn.Module, optim.Optimizer, int, int], None]
    evaluate: Callable[[nn.Module], Metrics]
    sampled: Callable[[nn.Module], Metrics]
    optimizer: Callable[[nn.Module], optim.Optimizer]
    epochs: int
    settings: dict[str, Any] = field(default_factory=dict)

    def checkpoint_name(self, contender: Contender, seed: int) -> str:
        """Of that contender's training."""
        return checkpoint_file(self.name, [self.name, self.data, self.settings, contender.name, seed])


def run_study(study: Study, seed: int, checkpoints: Path, tell: Tell) -> dict[str, Any]:
    """Train every contender, each from the same seed, and measure. Ready for JSON.

    Each epoch ends in a checkpoint, and a run goes on from those it finds; they go when all is done.
    """
    from threadpoolctl import threadpool_limits

    total = study.epochs * len(study.contenders)
    rows = []
    with threadpool_limits(1, user_api="blas"):  # the rounding of a matrix product depends on the number of threads
        for number, contender in enumerate(study.contenders):
            told = lambda done, note, before=number * study.epochs: tell(before + done, total, note)  # noqa: E731
            rows.append(_trained(study, contender, seed, checkpoints, told))
    for contender in study.contenders:
        (checkpoints / study.checkpoint_name(contender, seed)).unlink(missing_ok=True)
    facts = ("name", "title", "data", "metric", "epochs", "settings")
    return {**{fact: getattr(study, fact) for fact in facts}, "seed": seed, "rows": rows}


def _trained(
    study: Study, contender: Contender, seed: int, checkpoints: Path, told: Callable[[int, str], None]
) -> dict[str, Any]:
    """A contender after all its epochs: its curve, its metrics in eval mode and over samples, its time."""
    model = contender.build().seed(seed)
    optimizer = study.optimizer(model)
    path = checkpoints / study.checkpoint_name(contender, seed)
    notes = resumed(path, {"curve": [], "seconds": 0.0}, model, optimizer)
    while len(notes["curve"]) < study.epochs:
        start = time.perf_counter()
        model.train()
        study.train_epoch(model, optimizer, seed, len(notes["curve"]))
        notes["seconds"] += time.perf_counter() - start
        notes["curve"].append(study.evaluate(model.eval()))
        nn.save(path, model, optimizer, **notes)
        latest = notes["curve"][-1][study.metric]
        told(len(notes["curve"]), f"{contender.name}: {study.metric} {latest:.3g}")
    return {
        "name": contender.name,
        "drops": contender.drops,
        "curve": [epoch[study.metric] for epoch in notes["curve"]],
        "eval": notes["curve"][-1],
        "samples": study.sampled(model) if contender.draws else None,
        "seconds": round(notes["seconds"], 1),
    }
