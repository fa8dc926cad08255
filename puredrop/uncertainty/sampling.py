"""Monte-Carlo samples of a model, the same bit for bit however the work is cut.

A matrix product's rounding depends on the shape of the matrices, so no shape may depend on how many samples were asked
for, or on who computes them. Hence samples are computed in tiles of fixed size, at fixed places: sample t always lies
in the same tile, and what is too much is discarded. The layers in front of the first that draws see the rows of the
batch as they are, and may be computed once.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import numpy as np

from ..backends import on_host
from ..nn.module import Module
from ..random.passes import Pass, Window, entered
from ..tensor import no_grad, raw
from .executors import checked_executor, one_blas_thread, run_all
from .inputs import Inputs, checked_inputs
from .prefix import draws, prefixed, split, through
from .progress import Progress, told

Masks = Literal["example", "pass"]

ROWS_PER_TILE = 1024
SAMPLES_PER_TILE = (100, 50, 20, 10)  # what people ask for, so that little is discarded
WORK_PER_TILE = 1 << 24  # multiplications, roughly: few enough that what is discarded costs little
TASKS = 32  # what an executor gets: enough to keep workers busy, few enough to send a model with each


def predict_samples(
    model: Module,
    x: Any,
    samples: int = 100,
    *,
    first: int = 0,
    masks: Masks = "example",
    batch_size: int | None = None,
    executor: Executor | None = None,
    reuse_prefix: bool = True,
    progress: Progress = None,
    **inputs: Any,
) -> np.ndarray:
    """The outputs of Monte-Carlo samples first, first + 1, ... of a model: (samples, N, ...).

    Math: output t is the model with the masks of sample t. The model's own modes and counters are not touched.
    Shapes: x (N, ...); the model keeps the batch on axis 0. Whatever else its `forward` takes is handed on by name:
        arrays and lists of numbers have the batch on axis 0 too, `Shared(value)` is the same for all examples.
    Draws: sample t draws at Key(seed, site, call, sample=t + 1); `masks="pass"` shares one mask over the batch, so
        that each sample is one function.
    Promises: sample t is the same bit for bit whatever `samples`, `first`, `executor` and `reuse_prefix` are, on
        machines of one kind; so a run that was cut short is resumed with `first`. Over `batch_size` and backends masks
        are equal and values agree to rounding.
    executor: a concurrent.futures.Executor, such as a ProcessPoolExecutor, dask's client.get_executor(), or mpi4py's
        MPIPoolExecutor. reuse_prefix: in a Sequential, compute what stands in front of the first layer that draws once
        for all samples. progress: a function of (parts done, parts in all), or whether to show a line in the terminal;
        None shows one where standard error is a terminal and the run takes longer than two seconds.
    Raises: ValueError where nothing in the model draws at a rate other than 0, or for samples below 1; TypeError for a
        model with several results, an input that it does not take, or one that cannot be sent to the executor's
        workers; RuntimeError for an unseeded model.
    Reference: Gal & Ghahramani, "Dropout as a Bayesian approximation" (2016).

    >>> from puredrop import nn
    >>> net = nn.Sequential(nn.Linear(3, 2), nn.Dropout(0.5)).seed(0)
    >>> predict_samples(net, np.ones((4, 3), np.float32), samples=10).shape
    (10, 4, 2)
    """
    options: dict[str, Any] = {
        "first": first,
        "masks": masks,
        "batch_size": batch_size,
        "executor": executor,
        "reuse_prefix": reuse_prefix,
        "progress": progress,
    }
    return sampled("predict_samples", 1, model, x, samples, **options, **inputs)[0]


def sampled(
    operation: str,
    results: int,
    model: Module,
    x: Any,
    samples: int,
    /,
    *,
    first: int = 0,
    masks: Masks = "example",
    batch_size: int | None = None,
    executor: Executor | None = None,
    reuse_prefix: bool = True,
    progress: Progress = None,
    **further: Any,
) -> tuple[np.ndarray, ...]:
    """The same for models with up to `results` results: each (samples, N, ...)."""
    if samples < 1 or first < 0:
        raise ValueError(f"{operation}: samples must be at least 1 and first at least 0, got {samples} and {first}")
    if masks not in ("example", "pass"):
        raise ValueError(f"{operation}: masks must be 'example' or 'pass', got {masks!r}")
    if batch_size is not None and batch_size < 1:
        raise ValueError(f"{operation}: batch_size must be at least 1, got {batch_size}")
    executor = checked_executor(operation, executor)
    inputs = checked_inputs(operation, model, x, further)
    require_draws(operation, model)
    works = [work_of(operation, results, model, inputs, w, masks) for w in _windows(inputs.rows, batch_size)]
    with one_blas_thread():
        if reuse_prefix:
            works = [work.with_prefix_done() for work in works]
        tasks = [Task(work, tiles) for work in works for tiles in _shares(work, first, samples, executor, len(works))]
        with told(progress, operation, len(tasks)) as tell:
            done = run_all(compute, tasks, executor, tell)
    return _assembled(works, tasks, done, first, samples)


def require_draws(operation: str, model: Module) -> None:
    """Raise ValueError where nothing draws, RuntimeError where parameters have no numbers yet."""
    if not draws(model):
        idle = [name or type(site).__name__ for name, site in model.named_sites()]
        raise ValueError(
            f"{operation}: nothing in this model draws, so all samples would be equal; "
            + (f"give a rate other than 0 to one of: {', '.join(idle)}" if idle else "add nn.Dropout")
        )
    model.require_parameters()


@dataclass(frozen=True)
class Work:
    """A chunk of the batch, and the layers that it goes through: all that a worker needs to know."""

    operation: str
    results: int  # so many at most
    prefix: tuple[Module, ...]  # these draw nothing, and see the rows once
    layers: tuple[Module, ...]
    inputs: Inputs
    window: Window
    masks: Masks
    backend: Any
    sites: frozenset[int]  # the numbers of those that draw
    per_tile: int  # how many samples

    def with_prefix_done(self) -> Work:
        x = prefixed(self.prefix, self.inputs.x, self.backend, self.window)
        return replace(self, prefix=(), inputs=replace(self.inputs, x=x))


class Task(NamedTuple):
    """Some of the tiles of a piece of work; tile k holds the samples from k * per_tile on."""

    work: Work
    tiles: range


def work_of(operation: str, results: int, model: Module, inputs: Inputs, window: Window, masks: Masks) -> Work:
    """The work on the rows of a window."""
    prefix, layers = ((), (model,)) if inputs.named else split(model)
    drawing = {site.rng.site for _, site in model.named_sites() if site.rng is not None and not site.is_idle()}
    chunk, sites = inputs.chunk(window.start, window.stop), frozenset(drawing)
    tile = _samples_per_tile(layers, chunk.x)
    return Work(operation, results, prefix, layers, chunk, window, masks, model.backend, sites, tile)


def _samples_per_tile(layers: Sequence[Module], x: Any) -> int:
    """Many of a small model, to spare the time around the work; few of a large one. It knows the model and x only."""
    weights = sum(parameter.size for layer in layers for parameter in layer.parameters())
    places = 1 if x.ndim <= 2 and x.dtype.kind == "f" else math.prod(x.shape[1:])  # where weights may be used again
    work = max(1, len(x) * places * weights)
    wanted = next((n for n in SAMPLES_PER_TILE if n * work <= WORK_PER_TILE), SAMPLES_PER_TILE[-1])
    return max(1, min(wanted, ROWS_PER_TILE // len(x)))


def _windows(rows: int, batch_size: int | None) -> Iterator[Window]:
    size = batch_size or rows
    return (Window(start, min(start + size, rows), rows) for start in range(0, rows, size))


def _tiles(work: Work, first: int, samples: int) -> range:
    """The tiles that hold these samples."""
    return range(first // work.per_tile, -(-(first + samples) // work.per_tile))


def _shares(work: Work, first: int, samples: int, executor: Executor | None, works: int) -> Iterator[range]:
    """The tiles, one by one, or for an executor in as many parts as make some `TASKS` together."""
    tiles = _tiles(work, first, samples)
    size = 1 if executor is None else -(-len(tiles) * works // TASKS)
    return (tiles[i : i + size] for i in range(0, len(tiles), size))


def compute(task: Task) -> list[tuple[np.ndarray, ...]]:
    """The results of each tile: (per_tile, N, ...)."""
    with no_grad(), one_blas_thread():
        return [_tile(task.work, tile) for tile in task.tiles]


def _tile(work: Work, tile: int) -> tuple[np.ndarray, ...]:
    start = tile * work.per_tile
    return outputs(work, Pass("sample", range(start, start + work.per_tile), work.window, work.masks))


def outputs(work: Work, run: Pass) -> tuple[np.ndarray, ...]:
    """What the model gives for the samples of a pass: (samples, N, ...) of every result."""
    work, samples = work.with_prefix_done(), len(run.samples)
    repeated = work.inputs.repeated(samples)  # (samples * N, ...)
    with entered(run):
        y = through(work.layers, repeated.x, work.backend, **repeated.given())
    if run.mode == "sample" and not work.sites & run.calls.keys():
        raise ValueError(
            f"{work.operation}: none of the layers that draw took part in the run, so all samples would be equal; "
            f"does forward use them?"
        )
    return tuple(_apart(work.operation, one, samples, work.inputs.rows) for one in _results(work, y))


def _results(work: Work, y: Any) -> Sequence[Any]:
    """What the model gives, as a sequence. Raises TypeError where that is more than is wanted."""
    results = y if isinstance(y, (tuple, list)) else (y,)
    if len(results) > work.results:
        raise TypeError(
            f"{work.operation}: the model gives {len(results)} results; wrap it in a Module whose forward gives the "
            f"one that is wanted, such as model(x)[0]"
        )
    return results


def _apart(operation: str, y: Any, samples: int, rows: int) -> np.ndarray:
    """Samples and rows on axes of their own."""
    array = on_host(raw(y))
    if not array.ndim or len(array) != samples * rows:
        raise ValueError(
            f"{operation}: the model gives shape {array.shape} for {samples} samples of {rows} rows; it must keep the "
            f"batch, which holds the samples one after the other, on axis 0"
        )
    return array.reshape(samples, rows, *array.shape[1:])


def _assembled(
    works: Sequence[Work], tasks: Sequence[Task], done: Sequence[list[tuple[np.ndarray, ...]]], first: int, samples: int
) -> tuple[np.ndarray, ...]:
    """Tiles one after the other, chunks side by side: (samples, N, ...) of every result."""
    chunks = []
    for work in works:
        tiles = [tile for task, part in zip(tasks, done, strict=True) if task.work is work for tile in part]
        skipped = first - _tiles(work, first, samples).start * work.per_tile
        chunks.append([np.concatenate(parts)[skipped:][:samples] for parts in zip(*tiles, strict=True)])
    return tuple(np.concatenate(parts, axis=1) for parts in zip(*chunks, strict=True))
